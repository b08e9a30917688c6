"""Send requests from a bounded pool of threads, within the endpoints' rate limits.

The threads only send requests and decode responses. A request that waits for its rate
limit or for a retry occupies no thread. The main thread waits for results with
`result`; it alone writes messages and changes the state.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import requests

from tap_sentry.api import errors, rate_limits
from tap_sentry.api.arrivals import Arrivals
from tap_sentry.api.brown_outs import BrownOuts
from tap_sentry.api.budget import BufferBudget

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from tap_sentry.api.pending import PendingRequest

#: How often a request is sent before its failure is final; the second number is for
#: responses that are complete but not from Sentry's API.
ATTEMPTS = 5
ATTEMPTS_IF_FOREIGN = 2
#: How often a connection that the server closed unannounced is reopened without a log
#: line. Each idle connection of the pool may have been closed.
REOPENINGS = 20
#: How many responses with status 429 a request may get before its failure is final.
MAX_REJECTIONS = 60
T = TypeVar("T")
#: A heap of requests, those of the lowest order first.
Queue: TypeAlias = "list[tuple[tuple[int, ...], int, PendingRequest[object]]]"


class RequestScheduler:
    """Sends pending requests, those of the lowest order first, as the limits allow."""

    def __init__(
        self,
        concurrency: int,
        logger: logging.Logger,
        *,
        send: Callable[[requests.PreparedRequest], requests.Response],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Prepare the pool; threads start with the first request.

        Args:
            concurrency: The largest number of requests in flight.
            logger: Where retries and waits are logged.
            send: Sends one request, in a thread of the pool.
            waiting: The context in which the main thread waits for results.
        """
        self.concurrency = concurrency
        #: Bounds the pages that are held before they are read.
        self.budget = BufferBudget(concurrency)
        self.logger = logger
        #: How many requests were sent for each stream. One that is sent again because
        #: the server has closed the connection counts once.
        self.sent: Counter[str] = Counter()
        self._send = send
        self._waiting = waiting
        #: Called by the main thread before it waits and whenever a response arrives.
        self.meanwhile: Callable[[], None] = lambda: None
        self._sequence = itertools.count()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._arrivals = Arrivals()
        self._ready: dict[str, Queue] = {}
        self._delayed: list[tuple[float, int, PendingRequest[object]]] = []
        self._limiters: dict[str, rate_limits.RateLimiter] = {}
        self._brown_outs = BrownOuts(logger)
        self._threads: set[threading.Thread] = set()
        self._idling = 0
        self._closed = False

    def submit(self, pending: PendingRequest[T]) -> Future[T]:
        """Queue a request and return the future of its result."""
        with self._lock:
            self._enqueue(pending)
            if threading.current_thread() in self._threads:
                # This thread looks for work itself in a moment.
                return pending.future
            # An idle thread that was woken counts as idle until it runs.
            waiting = sum(map(len, self._ready.values()))
            if waiting > self._idling and len(self._threads) < self.concurrency:
                # Daemon threads: a request in flight does not delay the exit.
                thread = threading.Thread(target=self._run, daemon=True)
                self._threads.add(thread)
                thread.start()
            self._work.notify()
        return pending.future

    def result(self, future: Future[T]) -> T:
        """Wait for a result. Called by the main thread only.

        Raises:
            SentryError: If the request failed for good.
        """
        if not future.done():
            with self._waiting():
                self.meanwhile()
                while not future.done():
                    self._arrivals.wait()
                    self.meanwhile()
        return future.result()

    def pause(self, seconds: float) -> None:
        """Wait while requests go on. Called by the main thread only."""
        with self._waiting():
            time.sleep(seconds)

    def limiters_of(
        self, endpoints: Iterable[str | None] | None = None
    ) -> list[rate_limits.RateLimiter]:
        """Return the rate limiters of these endpoints, or of all that were used."""
        limiters = dict(self._limiters)
        wanted = limiters if endpoints is None else endpoints
        return [limiters[endpoint] for endpoint in wanted if endpoint in limiters]

    def close(self) -> None:
        """Send no further request."""
        with self._lock:
            self._closed = True
            self._work.notify_all()

    # In the threads of the pool -------------------------------------------------------

    def _run(self) -> None:
        while (pending := self._next()) is not None:
            try:
                self._attempt(pending)
            except Exception as error:  # noqa: BLE001 - the main thread waits for it
                if not pending.future.done():
                    pending.future.set_exception(error)
                self._arrivals.add()

    def _enqueue(self, pending: PendingRequest[T]) -> None:
        entry = (pending.order, next(self._sequence), pending)
        heapq.heappush(self._ready.setdefault(pending.endpoint, []), entry)  # type: ignore[misc] # of any type

    def _limiter(self, endpoint: str) -> rate_limits.RateLimiter:
        return self._limiters.setdefault(endpoint, rate_limits.RateLimiter())

    def _next(self) -> PendingRequest[object] | None:
        """Wait for the next request that may be sent; None once the pool is closed."""
        with self._lock:
            while not self._closed:
                now = time.time()
                while self._delayed and self._delayed[0][0] <= now:
                    self._enqueue(heapq.heappop(self._delayed)[2])
                best, opening = self._best(now)
                if best:
                    pending = heapq.heappop(best)[2]
                    self._limiter(pending.endpoint).send()
                    self.sent[pending.owner] += 1
                    if self._idling and (self._delayed or any(self._ready.values())):
                        # Another thread sends the rest, or waits until it may.
                        self._work.notify()
                    return pending
                self._idling += 1
                self._work.wait(opening)
                self._idling -= 1
        return None

    def _best(self, now: float) -> tuple[Queue | None, float | None]:
        """Return the queue to send from now, and the seconds until one opens."""
        opening = self._delayed[0][0] - now if self._delayed else None
        best = None
        for endpoint, queued in self._ready.items():
            if not queued or (best and queued[0][:2] > best[0][:2]):
                continue
            limiter = self._limiter(endpoint)
            others = rate_limits.sharing(limiter, self._limiters.values())
            wait = limiter.wait(now, sum(other.in_flight for other in others))
            limiter.note(wait, now)
            if wait == 0:
                best = queued
            elif wait is not None:
                opening = wait if opening is None else min(opening, wait)
        return best, opening

    def _attempt(self, pending: PendingRequest[T]) -> None:
        """Send a request once; it then succeeds, fails or is queued again."""
        received: rate_limits.Limits | None = None
        result: T
        try:
            with self._send(pending.request) as response:
                received = rate_limits.read(response.headers, time.time())
                result = pending.read(response)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            if isinstance(error, requests.RequestException):
                error = errors.ConnectionFailedError(error, pending.request)
            self._done(pending, received, error)
            self._failed(pending, error, received)
        else:
            self._done(pending, received)
            # Not under the lock: a callback of the future may submit the next request.
            pending.future.set_result(result)
            self._arrivals.add()

    def _done(
        self,
        pending: PendingRequest[T],
        received: rate_limits.Limits | None,
        error: Exception | None = None,
    ) -> None:
        received = stated(received, error)
        with self._lock:
            limiter = self._limiter(pending.endpoint)
            limiter.receive(received)
            if received:
                for other in rate_limits.sharing(limiter, self._limiters.values()):
                    other.adopt(received)
            if error is None:
                limiter.reopen()

    def _failed(
        self,
        pending: PendingRequest[T],
        error: Exception,
        received: rate_limits.Limits | None,
    ) -> None:
        if is_final := pending.is_trial and errors.is_internal_error(error):
            error = errors.UnverifiedEndpointError(str(error))
        delay = None if is_final else self._delay(pending, error, received)
        if delay is None:
            pending.future.set_exception(error)
            self._arrivals.add()
            return
        with self._lock:
            due = (time.time() + delay, next(self._sequence), pending)
            heapq.heappush(self._delayed, due)  # type: ignore[misc] # of any type

    def _delay(
        self,
        pending: PendingRequest[T],
        error: Exception,
        received: rate_limits.Limits | None,
    ) -> float | None:
        """Return the seconds until the next attempt; None if the failure is final."""
        if not isinstance(error, errors.TransientError) or error.is_untrusted:
            return None
        if error.was_closed and pending.reopenings < REOPENINGS:
            pending.reopenings += 1
            with self._lock:
                self.sent[pending.owner] -= 1
            return 0.0
        response = error.response
        if response is not None and received is not None:
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                return self._rejected(pending, received)
            if isinstance(error, errors.BrownOutError):
                return self._brown_outs.delay(pending, response)
        pending.attempts += 1
        attempts = attempts_of(error)
        if pending.attempts >= attempts:
            return None
        delay = next(pending.delays)
        self.logger.info(
            "%s; try %d of %d in %.1f s", error, pending.attempts + 1, attempts, delay
        )
        return delay

    def _rejected(
        self, pending: PendingRequest[T], received: rate_limits.Limits
    ) -> float | None:
        """Hold back all requests to the endpoint after a 429."""
        now = time.time()
        pending.rejections += 1
        if pending.rejections > MAX_REJECTIONS:
            return None
        with self._lock:
            limiter = self._limiter(pending.endpoint)
            is_first = limiter.closed_until <= now
            seconds = limiter.close(received, now)
        if is_first:
            self.logger.info(
                "Sentry limits the rate of %s: waiting %.0f s",
                pending.endpoint,
                seconds,
            )
        return 0.0


def stated(
    received: rate_limits.Limits | None, error: Exception | None
) -> rate_limits.Limits | None:
    """Return the limits of a response, unless it may not be Sentry's."""
    is_transient = isinstance(error, errors.TransientError)
    if is_transient and received and received.limit is None:
        # The response may come from a proxy, which has no limits to state.
        return None
    return received


def attempts_of(error: Exception) -> int:
    """Return how often a request is sent that fails in this way."""
    is_foreign = isinstance(error, errors.ForeignResponseError)
    return ATTEMPTS_IF_FOREIGN if is_foreign else ATTEMPTS
