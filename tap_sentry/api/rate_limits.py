"""Keep to Sentry's rate limits, which response headers state for each endpoint.

https://docs.sentry.io/api/ratelimits/
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import backoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PREFIX = "X-Sentry-Rate-Limit-"

#: Sentry's windows last a minute at most. A reset further away is due to a wrong clock.
LONGEST_WINDOW = 60.0
#: Seconds from a response to the reset of a window of a second, at most.
LONGEST_SECOND = 2.0
#: The endpoints whose windows are longer than a second, with their seconds.
WINDOWS = {
    "/projects/{organization}/{project}/events/": 60,
    "/projects/{organization}/{project}/users/": 60,
}
#: What sentry.io grants to lists that have no limit of their own: requests in a second,
#: and at a time.
USUAL_LIMIT, USUAL_CONCURRENT = 40, 25
#: The longest `Retry-After`, in seconds, that is honored; proxies send longer ones.
LONGEST_RETRY_AFTER = 900.0


#: Integers in headers with this many digits or more are ignored.
LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Limits:
    """The rate limit headers of one response."""

    limit: int | None
    remaining: int | None
    #: Seconds since 1970 on the server's clock.
    reset: float | None
    concurrent: int | None
    #: The server's clock minus ours, in seconds; None without a `Date` header.
    clock: float | None
    retry_after: float | None
    #: The server's clock when it answered, as `reset`.
    date: float | None = None

    @property
    def is_slow(self) -> bool:
        """Whether the window is surely longer than a second."""
        if self.reset is None or self.date is None:
            return False
        return self.reset - self.date > LONGEST_SECOND


def read(headers: Mapping[str, str], now: float) -> Limits:
    """Read the limits from the headers of a response that arrived at `now`."""
    date = _date(headers.get("Date"))
    return Limits(
        limit=_integer(headers.get(f"{PREFIX}Limit")),
        remaining=_integer(headers.get(f"{PREFIX}Remaining")),
        reset=_number(headers.get(f"{PREFIX}Reset")),
        concurrent=_integer(headers.get(f"{PREFIX}ConcurrentLimit")),
        clock=None if date is None else date - now,
        retry_after=_retry_after(headers.get("Retry-After"), now),
        date=date,
    )


def _integer(text: str | None) -> int | None:
    is_number = text and text.strip().isdecimal() and len(text) < LONGEST_NUMBER
    return int(text) if text and is_number else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


@functools.lru_cache(maxsize=1)
def _date(text: str | None) -> float | None:
    """Parse a date; consecutive responses nearly always have the same one."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def _retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds to wait, from a number of seconds or a date."""
    seconds = _number(text)
    if seconds is None and (date := _date(text)) is not None:
        seconds = date - now
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


#: Seconds before the second attempt; each further one waits twice as long.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


def expo() -> Iterator[float]:
    """Yield the seconds before each further attempt: about 1, 2, 4 … with jitter."""
    delays = backoff.expo(factor=FIRST_DELAY, max_value=LONGEST_DELAY)
    next(delays)  # `backoff` generators yield None first
    return (backoff.full_jitter(delay) / 2 + delay / 2 for delay in delays)


@dataclass
class RateLimiter:
    """Decides when the next request to one endpoint may be sent.

    An endpoint that has not responded yet gets a single request, whose headers state
    the limits. Sentry counts requests in fixed windows. The number that may be sent is
    the smallest `Remaining` of the window minus all requests in flight, because a
    response may have been sent before they were counted. All times are `time.time()`.
    """

    in_flight: int = 0
    #: What remains of the window according to its responses, requests in flight not
    #: subtracted; None without a limit.
    left: int | None = 1
    limit: int | None = None
    reset: float = 0.0
    concurrent: int | None = 1
    #: Whether its windows are longer than a second.
    is_slow: bool = False
    #: After a 429 no request is sent before this instant.
    closed_until: float = 0.0
    #: The server's clock minus ours. A `Date` header is up to a second old, so the
    #: largest difference seen is the most accurate.
    clock: float | None = None
    #: Whether `reset` has passed and no response has stated the next one yet.
    in_new_window: bool = False
    _delays: Iterator[float] = field(default_factory=expo)
    #: Since when, and until when, a limit holds requests back; 0 if it does not.
    _shut_since: float = 0.0
    _opens_at: float = 0.0
    #: Seconds that earlier limits held requests back.
    _waited: float = 0.0

    def wait(self, now: float, elsewhere: int = 0) -> float | None:
        """Return the seconds until the next request; None to wait for a response.

        Args:
            now: The time.
            elsewhere: The requests in flight to endpoints that share the limit.
        """
        if self.closed_until > now:
            return self.closed_until - now
        # At least one: a limit of zero would block forever.
        if self.concurrent is not None and self.in_flight >= max(self.concurrent, 1):
            return None
        if self._has_room(elsewhere):
            return 0.0
        if self.limit is not None and not self.in_new_window:
            opens = self.reset - (self.clock or 0.0)
            if opens - now > LONGEST_WINDOW:
                opens = now + LONGEST_WINDOW
                self.reset = opens + (self.clock or 0.0)
            if now < opens:
                return opens - now
            # The new window may count the requests that are in flight.
            self.in_new_window = True
            self.left = self.limit
        is_alone = not (self.in_flight or elsewhere)
        return 0.0 if is_alone or self._has_room(elsewhere) else None

    def _has_room(self, elsewhere: int) -> bool:
        return self.left is None or self.left > self.in_flight + elsewhere

    def adopt(self, limits: Limits) -> None:
        """Adopt what a response states of the window, here or where it is shared."""
        if limits.reset is None or limits.remaining is None:
            return
        if self.left is None or limits.reset > self.reset:
            self.left, self.in_new_window = limits.remaining, False
        elif limits.reset == self.reset and not self.in_new_window:
            self.left = min(self.left, limits.remaining)
        # Otherwise the response belongs to a window that is over.
        self.reset = max(self.reset, limits.reset)

    def note(self, wait: float | None, now: float) -> None:
        """Record what `wait` returned, for the progress table."""
        if wait:
            self._shut_since = self._shut_since or now
            self._opens_at = now + wait
        elif self._shut_since:
            self._waited += now - self._shut_since
            self._shut_since = 0.0

    def waited(self, now: float) -> float:
        """Return the seconds that the limit has held requests back so far."""
        return self._waited + (now - self._shut_since if self._shut_since else 0.0)

    def opens_in(self, now: float) -> float:
        """Return the seconds that the limit will hold requests back from now on."""
        return max(0.0, self._opens_at - now) if self._shut_since else 0.0

    def send(self) -> None:
        """Count a request that is sent."""
        self.in_flight += 1

    def receive(self, limits: Limits | None) -> None:
        """Count a response, or None if there was none, and adopt its limits."""
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
        self.limit = limits.limit
        self.is_slow = self.is_slow or limits.is_slow
        self.adopt(limits)

    def close(self, limits: Limits, now: float) -> float:
        """Hold requests back after a 429; return for how many seconds."""
        if limits.retry_after is not None:
            seconds = limits.retry_after
        elif limits.reset is not None and not limits.remaining:
            seconds = limits.reset - (self.clock or 0.0) - now
        else:
            seconds = 0.0
        if seconds <= 0:
            # Requests in flight are rejected together, so they wait together.
            seconds = self.closed_until - now
        if seconds <= 0:
            seconds = next(self._delays)
        elif limits.retry_after is None and seconds > LONGEST_WINDOW:
            seconds = LONGEST_WINDOW
            self.reset = now + seconds + (self.clock or 0.0)
        if limits.retry_after is not None:
            # `Retry-After` takes precedence over the limit headers.
            self.limit = self.left = None
        self.closed_until = max(self.closed_until, now + seconds)
        return seconds

    def reopen(self) -> None:
        """Reset the delay of `close` after an accepted request."""
        self._delays = expo()


def sharing(
    limiter: RateLimiter, limiters: Iterable[RateLimiter]
) -> Iterator[RateLimiter]:
    """Yield those of the other limiters whose requests may count here too.

    Sentry has one limit for all endpoints that have none of their own, and does not say
    which they are: their numbers are the same, and so is the length of their windows.
    """
    if limiter.limit is None:
        return
    numbers = (limiter.limit, limiter.concurrent, limiter.is_slow)
    for other in limiters:
        theirs = (other.limit, other.concurrent, other.is_slow)
        if other is not limiter and theirs == numbers:
            yield other
