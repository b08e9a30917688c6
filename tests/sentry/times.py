"""Dates and windows, as Sentry parses them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOUR, DAY = 3600, 86400


def parse_date(text: str, *, offsets: bool = True) -> datetime:
    """Parse a date as Sentry does: ISO 8601, or seconds since 1970."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    if not offsets and moment.utcoffset() and not text.endswith("Z"):
        raise ValueError(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def parse_period(text: str) -> timedelta:
    """Parse a period such as `14d`."""
    if not (match := re.fullmatch(r"(\d+)([smhdw])", text)):
        raise ValueError(text)
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    return timedelta(**{units[match[2]]: int(match[1])})


def milliseconds(moment: datetime) -> int:
    """Return the milliseconds since 1970, as cursors hold them."""
    return math.ceil(moment.timestamp() * 1000)


def floored(moment: datetime, seconds: int) -> int:
    """Return the start of the interval that contains a time."""
    return int(moment.timestamp()) // seconds * seconds


@dataclass(frozen=True)
class Window:
    """A half-open period; `outside` if it ends before what is still kept."""

    start: datetime | None
    end: datetime | None
    outside: bool = False
