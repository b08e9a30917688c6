"""Sends requests: a bounded pool of threads behind the gates of the endpoints.

Threads only send and decode. A request that waits, for the limit of its endpoint or to
be repeated, holds no thread. Whoever wants an answer waits for it with `result`, on the
main thread, which alone writes and keeps state.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import requests
import urllib3
from singer_sdk.exceptions import RetriableAPIError

from tap_sentry import errors, limits
from tap_sentry.lookahead import Budget

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

#: How often one request is sent before its failure is final; before that of an answer
#: that is whole, and odd.
TRIES = 5
TRIES_OF_ODD = 2
#: How often a connection that was closed unannounced is reopened without a word: each
#: of the idle ones may be closed.
REOPENINGS = 20
#: How often a request that Sentry refuses for its rate is sent before that is final.
REFUSALS = 60
#: Seconds that a brown-out of an endpoint is waited for, in all.
BROWN_OUT = 180.0

T = TypeVar("T")


class Source(Protocol):
    """What a request is sent for: a stream, seen from here."""

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send the request and give its answer, whatever its status."""

    def validate_response(self, response: requests.Response) -> None:
        """Raise unless the answer is a good one."""


@dataclass(eq=False)
class Call(Generic[T]):
    """One request that is waiting, under way or answered."""

    source: Source
    #: The endpoint: its path without the names in it. It has one gate.
    endpoint: str
    request: requests.PreparedRequest
    #: Makes the result of a good answer; raises `RetriableAPIError` if it is damaged.
    parse: Callable[[requests.Response], T]
    #: Whether a brown-out is waited for, or final at once because there is a fallback.
    patient: bool = True
    #: Whether the first failure of the server is final, because the server may lack
    #: the endpoint and there is a fallback.
    is_trial: bool = False
    future: Future[T] = field(default_factory=Future)
    order: tuple[int, ...] = ()
    tries: int = 0
    refusals: int = 0
    reopenings: int = 0
    delays: Iterator[float] = field(default_factory=limits.expo)


class Fetcher:
    """Sends calls, the ones of lowest order first, as the gates allow."""

    def __init__(
        self,
        concurrency: int,
        logger: logging.Logger,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Start no thread yet; the main thread waits within `waiting`."""
        self.concurrency = concurrency
        #: How much of what was fetched may wait for its reader.
        self.budget = Budget(concurrency)
        self.logger = logger
        #: How many requests were sent, and for whom.
        self.sent: Counter[Source] = Counter()
        self._waiting = waiting
        #: Done by the main thread before it waits and whenever an answer arrives.
        self.meanwhile: Callable[[], None] = lambda: None
        self._sequence = itertools.count()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        #: One for each answer that the main thread has not heard of.
        self._answers: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ready: dict[str, list[tuple[tuple[int, ...], int, Call[object]]]] = {}
        self._delayed: list[tuple[float, int, Call[object]]] = []
        self._gates: dict[str, limits.Gate] = {}
        self._brown_outs: dict[str, float] = {}
        self._threads: set[threading.Thread] = set()
        self._idling = 0
        self._closed = False

    def submit(self, call: Call[T]) -> Future[T]:
        """Have a call sent as soon as there is room for it."""
        with self._lock:
            self._enqueue(call)
            if threading.current_thread() in self._threads:
                # It looks for work itself in a moment.
                return call.future
            # A thread that was woken is idle until it runs: it takes one call only.
            waiting = sum(map(len, self._ready.values()))
            if waiting > self._idling and len(self._threads) < self.concurrency:
                # Daemons, so that a request under way does not delay the end.
                thread = threading.Thread(target=self._run, daemon=True)
                self._threads.add(thread)
                thread.start()
            self._work.notify()
        return call.future

    def result(self, future: Future[T]) -> T:
        """Wait for an answer. For the main thread.

        Raises:
            Exception: What the call ended with, if not with an answer.
        """
        if not future.done():
            with self._waiting():
                self.meanwhile()
                while not future.done():
                    # No lock is held: a signal may end the wait.
                    self._answers.get()
                    while not self._answers.empty():
                        self._answers.get()
                    self.meanwhile()
        return future.result()

    def pause(self, seconds: float) -> None:
        """Wait, while what was asked for goes on. For the main thread."""
        with self._waiting():
            time.sleep(seconds)

    def gates_of(
        self, endpoints: Iterable[str | None] | None = None
    ) -> list[limits.Gate]:
        """The gates of these endpoints, or of all, as far as they have been asked."""
        gates = dict(self._gates)
        wanted = gates if endpoints is None else endpoints
        return [gates[endpoint] for endpoint in wanted if endpoint in gates]

    def close(self) -> None:
        """Send nothing more."""
        with self._lock:
            self._closed = True
            self._work.notify_all()

    # In the threads -------------------------------------------------------------------

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                self._attempt(call)
            except Exception as error:  # noqa: BLE001 - the main thread waits for it
                if not call.future.done():
                    call.future.set_exception(error)
                self._answers.put(None)

    def _enqueue(self, call: Call[T]) -> None:
        entry = (call.order, next(self._sequence), call)
        heapq.heappush(self._ready.setdefault(call.endpoint, []), entry)  # type: ignore[misc] # of any type

    def _gate(self, endpoint: str) -> limits.Gate:
        return self._gates.setdefault(endpoint, limits.Gate())

    def _next(self) -> Call[object] | None:
        """The next call to send, once its gate is open."""
        with self._lock:
            while not self._closed:
                now = time.time()
                while self._delayed and self._delayed[0][0] <= now:
                    self._enqueue(heapq.heappop(self._delayed)[2])
                opening = self._delayed[0][0] - now if self._delayed else None
                best = None
                for endpoint, calls in self._ready.items():
                    if not calls or (best and calls[0][:2] > best[0][:2]):
                        continue
                    gate = self._gate(endpoint)
                    wait = gate.wait(now)
                    gate.note(wait, now)
                    if wait == 0:
                        best = calls
                    elif wait is not None:
                        opening = wait if opening is None else min(opening, wait)
                if best:
                    call = heapq.heappop(best)[2]
                    self._gate(call.endpoint).send()
                    self.sent[call.source] += 1
                    if self._idling and (self._delayed or any(self._ready.values())):
                        # Another one sends the rest, or waits until it may.
                        self._work.notify()
                    return call
                self._idling += 1
                self._work.wait(opening)
                self._idling -= 1
        return None

    def _attempt(self, call: Call[T]) -> None:
        """Send a call once; it is then answered, failed, or due again."""
        received: limits.Limits | None = None
        result: T
        try:
            response = call.source.send(call.request)
            received = limits.read(response.headers, time.time())
            call.source.validate_response(response)
            result = call.parse(response)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            if isinstance(error, requests.RequestException) and error.request is None:
                # A body that breaks off does not say what it was the answer to.
                error.request = call.request
            self._done(call, received, error)
            self._failed(call, error, received)
        else:
            self._done(call, received)
            # Not under the lock: what waits for the future may submit the next call.
            call.future.set_result(result)
            self._answers.put(None)

    def _done(
        self,
        call: Call[T],
        received: limits.Limits | None,
        error: Exception | None = None,
    ) -> None:
        if isinstance(error, RetriableAPIError) and received and received.limit is None:
            # It may be a proxy's, which knows nothing of limits.
            received = None
        with self._lock:
            gate = self._gate(call.endpoint)
            gate.receive(received)
            if error is None:
                gate.reopen()

    def _failed(
        self, call: Call[T], error: Exception, received: limits.Limits | None
    ) -> None:
        delay: float | None = None
        if call.is_trial and errors.is_failure(error):
            error = errors.UnprovenEndpointError(errors.reason(error))
        else:
            delay = self._delay(call, error, received)
        if delay is None:
            call.future.set_exception(error)
            self._answers.put(None)
            return
        with self._lock:
            due = (time.time() + delay, next(self._sequence), call)
            heapq.heappush(self._delayed, due)  # type: ignore[misc] # of any type

    def _delay(
        self, call: Call[T], error: Exception, received: limits.Limits | None
    ) -> float | None:
        """Seconds until a failed call is sent again; None if its failure is final."""
        if is_closed_unannounced(error) and call.reopenings < REOPENINGS:
            call.reopenings += 1
            return 0.0
        if not isinstance(
            error, (RetriableAPIError, requests.RequestException)
        ) or errors.is_untrusted(error):
            return None
        response = error.response
        if response is not None and received is not None:
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                return self._refused(call, received)
            if isinstance(error, errors.BrownOutError):
                return self._browned_out(call, response)
        call.tries += 1
        is_odd = isinstance(error, errors.OddAnswerError)
        tries = TRIES_OF_ODD if is_odd else TRIES
        if call.tries >= tries:
            return None
        delay = next(call.delays)
        self.logger.info(
            "%s; try %d of %d in %.1f s",
            errors.reason(error),
            call.tries + 1,
            tries,
            delay,
        )
        return delay

    def _refused(self, call: Call[T], received: limits.Limits) -> float | None:
        """Sentry wants fewer requests: the whole endpoint waits."""
        now = time.time()
        call.refusals += 1
        if call.refusals > REFUSALS:
            return None
        with self._lock:
            gate = self._gate(call.endpoint)
            is_first = gate.closed_until <= now
            seconds = gate.close(received, now)
        if is_first:
            self.logger.info(
                "Sentry limits the rate of %s: waiting %.0f s", call.endpoint, seconds
            )
        return 0.0

    def _browned_out(self, call: Call[T], response: requests.Response) -> float | None:
        """A deprecated endpoint is switched off, for a minute or for good."""
        if not call.patient:
            return None
        now = time.time()
        with self._lock:
            is_first = call.endpoint not in self._brown_outs
            until = self._brown_outs.setdefault(call.endpoint, now + BROWN_OUT)
        if is_first:
            name = "X-Sentry-Replacement-Endpoint"
            replacement = response.headers.get(name, "not named")
            self.logger.warning(
                "Sentry is retiring %s (410). It is asked again for %d s; its "
                "replacement is %s",
                call.endpoint,
                BROWN_OUT,
                errors.without_token(replacement, call.request),
            )
        delay = max(next(call.delays), limits.FIRST_DELAY)
        return delay if now + delay < until else None


def is_closed_unannounced(error: BaseException) -> bool:
    """Whether the server had closed the connection before the request came.

    Servers that close idle connections without saying so are met with a reset or an
    empty answer when a connection is used again.
    """
    if not isinstance(error, requests.ConnectionError) or not error.args:
        return False
    cause = error.args[0]
    return isinstance(cause, urllib3.exceptions.ProtocolError) and any(
        isinstance(item, ConnectionError) for item in cause.args
    )
