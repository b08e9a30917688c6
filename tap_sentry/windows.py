"""Periods of time: parse, round and split them.

Every instant is an aware UTC `datetime`; every window is half-open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: The start of a window without a lower bound; servers cut it to what they keep.
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)

UNITS = {
    "s": SECOND,
    "m": timedelta(minutes=1),
    "h": HOUR,
    "d": DAY,
    "w": 7 * DAY,
}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*")


@dataclass(frozen=True, slots=True)
class Window:
    """The instants from `start` up to but not including `end`."""

    start: datetime
    end: datetime

    def __bool__(self) -> bool:
        """Return whether it contains any instant."""
        return self.start < self.end

    def __contains__(self, instant: datetime) -> bool:
        """Return whether the instant lies in it."""
        return not self.is_after(instant) and instant < self.end

    def is_after(self, instant: datetime) -> bool:
        """Return whether it begins after an instant; never if it has no lower bound."""
        return self.start != BEGINNING and instant < self.start


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `36h`, `10d` or `2w`.

    Raises:
        ValueError: If the text is not such a duration.
    """
    if not (match := _DURATION.fullmatch(text.strip())):
        msg = f"{text!r} is not a duration such as 90s, 30m, 36h, 10d or 2w"
        raise ValueError(msg)
    number, unit = match.groups()
    return int(number) * UNITS[unit]


def parse_day(text: str, now: datetime) -> Window:
    """Read one whole UTC day: `2026-11-01`, or `1d` for yesterday.

    Raises:
        ValueError: If the text names no day.
    """
    text = text.strip()
    if _DAY.fullmatch(text):
        start = _read(text)
    elif (match := _DURATION.fullmatch(text)) and match[2] in "dw":
        start = floor(now, DAY) - parse_duration(text)
    else:
        msg = f"{text!r} is not a day such as 2026-11-01 or 1d"
        raise ValueError(msg)
    return Window(start, start + DAY)


def parse_date(text: str, now: datetime, *, is_end: bool = False) -> datetime:
    """Read a date setting: a day, an instant, or how long ago.

    Days (also `10d` and `2w`) are whole UTC days; the day of an end is included.

    Raises:
        ValueError: If the text is none of these.
    """
    text = text.strip()
    if _INSTANT.fullmatch(text):
        return _read(text)
    if (match := _DURATION.fullmatch(text)) and match[2] in "smh":
        return now - parse_duration(text)
    try:
        day = parse_day(text, now)
    except (ValueError, OverflowError):
        msg = (
            f"{text!r} is not a date: use a day (2026-11-01), an instant "
            "(2026-11-01T12:00:00Z) or how long ago (10d, 2w, 36h)"
        )
        raise ValueError(msg) from None
    return day.end if is_end else day.start


def _read(text: str) -> datetime:
    """Read an ISO 8601 date; without an offset it is UTC."""
    # Imported here because it takes a fifth of the startup time, and discovery and most
    # runs do not need it.
    import pendulum  # noqa: PLC0415 - see above

    parsed = pendulum.parse(text, tz="UTC", strict=True)
    if not isinstance(parsed, pendulum.DateTime):
        msg = f"{text!r} is not a date"
        raise ValueError(msg)  # noqa: TRY004 - a wrong text, not a wrong type
    instant = parsed.in_timezone("UTC")
    return datetime.fromtimestamp(instant.timestamp(), tz=UTC)


def parse_instant(text: str) -> datetime:
    """Read a date of Sentry's records.

    Raises:
        ValueError: If the text is not an ISO 8601 date.
    """
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def to_text(instant: datetime) -> str:
    """Format an instant in whole seconds, which every Sentry version parses."""
    return f"{instant.astimezone(UTC).isoformat(timespec='seconds')[:19]}Z"


def floor(instant: datetime, step: timedelta) -> datetime:
    """Return the last multiple of `step` since 1970 that is not after the instant."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return instant - (instant - epoch) % step


def ceil(instant: datetime, step: timedelta) -> datetime:
    """Return the first multiple of `step` since 1970 that is not before the instant."""
    floored = floor(instant, step)
    return floored if floored == instant else floored + step


def split(window: Window, step: timedelta) -> Iterator[Window]:
    """Yield consecutive windows of at most `step` that make up a window."""
    start = window.start
    while start < window.end:
        end = min(start + step, window.end)
        yield Window(start, end)
        start = end
