"""Sentry's rate limits, endpoint by endpoint, read from its response headers.

https://docs.sentry.io/api/ratelimits/
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import backoff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "X-Sentry-Rate-Limit-"

#: Sentry counts by the minute at most: a reset further away is a wrong clock.
LONGEST_WINDOW = 60.0
#: A proxy may ask for more patience than Sentry does.
LONGEST_RETRY_AFTER = 900.0


#: Digits of a number that makes sense.
LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Limits:
    """What one answer says about the limits of its endpoint."""

    limit: int | None
    remaining: int | None
    #: Seconds since 1970 by the server's clock.
    reset: float | None
    concurrent: int | None
    #: The server's clock less ours, in seconds; None if the answer has no date.
    clock: float | None
    retry_after: float | None


def read(headers: Mapping[str, str], now: float) -> Limits:
    """Read the limits from the headers of an answer that came at `now`."""
    return Limits(
        limit=_integer(headers.get(f"{PREFIX}Limit")),
        remaining=_integer(headers.get(f"{PREFIX}Remaining")),
        reset=_number(headers.get(f"{PREFIX}Reset")),
        concurrent=_integer(headers.get(f"{PREFIX}ConcurrentLimit")),
        clock=_clock(headers.get("Date"), now),
        retry_after=_retry_after(headers.get("Retry-After"), now),
    )


def _integer(text: str | None) -> int | None:
    is_number = text and text.strip().isdecimal() and len(text) < LONGEST_NUMBER
    return int(text) if text and is_number else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _clock(date: str | None, now: float) -> float | None:
    instant = _instant(date) if date else None
    return None if instant is None else instant - now


@functools.lru_cache(maxsize=1)
def _instant(date: str) -> float | None:
    """Read a date; that of the answer before is nearly always the same one."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait, from a number of seconds or a date."""
    seconds = _number(text)
    if seconds is None and (clock := _clock(text, now)) is not None:
        seconds = clock
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


#: Seconds before the second try; each further one waits twice as long.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


def expo() -> Iterator[float]:
    """Seconds to wait before each further try: about 1, 2, 4 … with jitter."""
    delays = backoff.expo(factor=FIRST_DELAY, max_value=LONGEST_DELAY)
    next(delays)  # the generator of `backoff` waits for its first value to be asked
    return (backoff.full_jitter(delay) / 2 + delay / 2 for delay in delays)


@dataclass
class Gate:
    """How many requests one endpoint takes at this moment.

    An endpoint that has not answered yet gets one request: its headers open the gate.
    Sentry counts in fixed windows. What may be sent is the least that an answer of the
    window has left, less all that are under way: that answer may not know of them yet.
    All times are `time.time()`.
    """

    in_flight: int = 0
    #: What the window allows, by its answers, before those under way are taken off;
    #: None: no limit is known.
    left: int | None = 1
    limit: int | None = None
    reset: float = 0.0
    concurrent: int | None = 1
    #: After a 429 nothing is sent before this instant.
    closed_until: float = 0.0
    #: The server's clock less ours. A date header is up to a second old, so the
    #: largest difference seen is the nearest to the truth.
    clock: float | None = None
    #: `reset` has passed, and no answer has told the next one yet.
    in_new_window: bool = False
    _delays: Iterator[float] = field(default_factory=expo)
    #: Since when a limit has held requests back, and until when; 0 when none does.
    _shut_since: float = 0.0
    _opens_at: float = 0.0
    #: For how long it did before.
    _waited: float = 0.0

    def wait(self, now: float) -> float | None:
        """Seconds until a request may be sent: 0 now, None when an answer says."""
        if self.closed_until > now:
            return self.closed_until - now
        # One at least: a limit of none would be waited for without an end.
        if self.concurrent is not None and self.in_flight >= max(self.concurrent, 1):
            return None
        if self._has_room():
            return 0.0
        if self.limit is not None and not self.in_new_window:
            opens = self.reset - (self.clock or 0.0)
            if opens - now > LONGEST_WINDOW:
                opens = now + LONGEST_WINDOW
                self.reset = opens + (self.clock or 0.0)
            if now < opens:
                return opens - now
            # Those under way may be counted in the new window.
            self.in_new_window = True
            self.left = self.limit
        return 0.0 if not self.in_flight or self._has_room() else None

    def _has_room(self) -> bool:
        return self.left is None or self.left > self.in_flight

    def note(self, wait: float | None, now: float) -> None:
        """Remember what `wait` said, for those who look on."""
        if wait:
            self._shut_since = self._shut_since or now
            self._opens_at = now + wait
        elif self._shut_since:
            self._waited += now - self._shut_since
            self._shut_since = 0.0

    def waited(self, now: float) -> float:
        """Seconds that the limit has held requests back so far."""
        return self._waited + (now - self._shut_since if self._shut_since else 0.0)

    def opens_in(self, now: float) -> float:
        """Seconds that the limit will go on holding requests back."""
        return max(0.0, self._opens_at - now) if self._shut_since else 0.0

    def send(self) -> None:
        """Count a request that goes out."""
        self.in_flight += 1

    def receive(self, limits: Limits | None) -> None:
        """Count an answer (None: none came) and learn from it."""
        self.in_flight -= 1
        if limits is None:
            # The server may have counted it.
            if self.left is not None:
                self.left -= 1
            return
        if limits.clock is not None:
            known = limits.clock if self.clock is None else self.clock
            self.clock = max(limits.clock, known)
        self.concurrent = limits.concurrent
        if limits.limit is None or limits.remaining is None or limits.reset is None:
            self.limit = self.left = None
            return
        if self.left is None or limits.reset > self.reset:
            self.left, self.in_new_window = limits.remaining, False
        elif limits.reset == self.reset and not self.in_new_window:
            self.left = min(self.left, limits.remaining)
        # Else it was counted in a window that is over, and not in this one.
        self.limit = limits.limit
        self.reset = max(self.reset, limits.reset)

    def close(self, limits: Limits, now: float) -> float:
        """Close after a 429 and say for how many seconds."""
        if limits.retry_after is not None:
            seconds = limits.retry_after
        elif limits.reset is not None and not limits.remaining:
            seconds = limits.reset - (self.clock or 0.0) - now
        else:
            seconds = 0.0
        if seconds <= 0:
            # All that were under way are refused together: they wait together.
            seconds = self.closed_until - now
        if seconds <= 0:
            seconds = next(self._delays)
        elif limits.retry_after is None and seconds > LONGEST_WINDOW:
            seconds = LONGEST_WINDOW
            self.reset = now + seconds + (self.clock or 0.0)
        if limits.retry_after is not None:
            # That goes before what the other headers say of the window.
            self.limit = self.left = None
        self.closed_until = max(self.closed_until, now + seconds)
        return seconds

    def reopen(self) -> None:
        """A request got through: the next refusal starts with a short wait."""
        self._delays = expo()
