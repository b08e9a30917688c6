"""Estimate how long requests take."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from tap_sentry.api import rate_limits

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tap_sentry.api.scheduler import RequestScheduler
    from tap_sentry.streams.forecasts import Forecast

#: Seconds of processor time for a request and a record.
EACH_REQUEST, EACH_RECORD = 0.0015, 0.00004
#: Seconds until the first request.
START = 0.4
#: Seconds of a request if none was measured.
USUAL = 0.1


class Durations:
    """Estimates durations from requests that were measured."""

    def __init__(self, scheduler: RequestScheduler, alone: Mapping[str, float]) -> None:
        """Assume that the server answers as many requests at a time as are sent.

        Args:
            scheduler: Sends the requests.
            alone: Seconds of a request that is sent alone, by endpoint.
        """
        self._scheduler = scheduler
        self.alone = alone
        #: How many requests the server answers in the time of one.
        self.abreast = float(scheduler.concurrency)

    def learn(self, alone: float, number: int, seconds: float) -> None:
        """Adopt how long requests took that were sent side by side.

        Args:
            alone: Seconds of such a request that was sent alone.
            number: The requests.
            seconds: Seconds from the first to the last.
        """
        # Limits say nothing about what the server can do.
        if number >= 2 * self.abreast and not self._has_limits:
            rounds = math.ceil(number / self.abreast)
            self.abreast *= min(max(alone * rounds / seconds, 1 / self.abreast), 1.0)

    def seconds(self, forecast: Forecast) -> float:
        """Return how long requests take at the limits that the server states."""
        usual = statistics.median(self.alone.values()) if self.alone else USUAL
        busy, limited = 0.0, dict[str, float]()
        windows = defaultdict[tuple["Hashable", int], float](float)
        for path, number in forecast.requests.items():
            alone = self.alone.get(path, usual)
            busy += number * alone / self.abreast
            limit, at_a_time = self._limits(path)
            if limit:
                window = rate_limits.WINDOWS.get(path, 1)
                # Endpoints with the same limit may share it.
                bucket = path if window > 1 else (limit, at_a_time)
                windows[bucket, window] += number / limit
            if at_a_time:
                limited[path] = number * alone / min(at_a_time, self.abreast)
        chain = sum(
            number * self.alone.get(path, usual)
            for path, number in forecast.chained.items()
        )
        # The other requests slow it down, as far as the server answers them in turn.
        in_turn = 1 - self.abreast / self._scheduler.concurrency
        chain += in_turn * (busy - chain / self.abreast) if chain else 0
        # The requests of the first window are not held back.
        held = [(number - 1) * window for (_, window), number in windows.items()]
        work = forecast.requests.total() * EACH_REQUEST
        work += (forecast.records or 0) * EACH_RECORD
        # Requests wait for the processor now and then.
        return max(busy + work / 3, chain, work, *limited.values(), *held)

    def _limits(self, path: str) -> tuple[int | None, int | None]:
        """Return the limits of an endpoint: requests in its window, and at a time.

        A list that was not requested has the usual ones, where the server has limits.
        """
        for limiter in self._scheduler.limiters_of([path]):
            return limiter.limit, limiter.concurrent
        if not self._has_limits:
            return None, None
        return rate_limits.USUAL_LIMIT, rate_limits.USUAL_CONCURRENT

    @property
    def _has_limits(self) -> bool:
        """Whether the server states limits."""
        return any(limiter.limit for limiter in self._scheduler.limiters_of())
