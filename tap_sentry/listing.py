"""A list of Sentry, page by page, asked for ahead of its reader."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import requests
from singer_sdk.exceptions import RetriableAPIError

from tap_sentry import errors
from tap_sentry.fetching import TRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from concurrent.futures import Future

    from tap_sentry.fetching import Call, Fetcher
    from tap_sentry.records import Row

#: Pages of one list that are held before their reader takes them.
AHEAD = 4


@dataclass(frozen=True)
class Page:
    """One page: its rows, and the place of the next page if there is one."""

    rows: list[Row]
    #: A cursor, or whatever else the list's `Ask` makes a request of.
    following: Hashable | None
    #: Bytes of the body.
    size: int = 0
    #: Rows that the server left out and could not be made to send.
    missed: int = 0


class Ask(Protocol):
    """Makes the call for one page."""

    def __call__(self, place: Any, page_size: int) -> Call[Page]:
        """The call for the page at this place; None is the first page."""


class Listing:
    """The pages of one list in order; each is asked for when the one before arrives."""

    def __init__(
        self,
        fetcher: Fetcher,
        ask: Ask,
        *,
        page_sizes: tuple[int, ...],
        place: Hashable | None = None,
        is_last: Callable[[Page], bool] | None = None,
    ) -> None:
        """Prepare the list; nothing is asked before `start` or the first page.

        `page_sizes` after the first are for a server that fails on large pages;
        `is_last` says which page is the last although the server has more.
        """
        self._fetcher = fetcher
        self._call = ask
        self._page_sizes = deque(page_sizes)
        self._budget = fetcher.budget
        self._is_last = is_last
        self._lock = threading.RLock()
        self._held: deque[Future[Page]] = deque()
        self._newest: Future[Page] | None = None
        #: What the newest is held as until it arrives.
        self._expected = 0
        self._source: object = None
        self._asked: Hashable | None = None
        #: Hashes of the places that were asked for, which may hold ids of rows.
        self._known: set[int] = set()
        self._next = place
        self._order: tuple[int, ...] = ()
        self._is_started = False
        self._is_taken = False
        self._is_dropped = False

    def start(self, order: tuple[int, ...] = ()) -> Listing:
        """Ask for the first page, after those of a lower order."""
        with self._lock:
            if not self._is_started:
                self._is_started = True
                self._order = order
                self._ask(self._next)
        return self

    def take(self) -> Listing:
        """Start, if need be, for the reader who is there now."""
        self.start()
        with self._lock:
            self._is_taken = True
            self._order = ()
            self._extend()
        return self

    def drop(self) -> None:
        """Nobody will read the rest."""
        with self._lock:
            self._is_dropped = True
            for future in self._held:
                self._release(future)
            self._held.clear()

    def extend(self) -> None:
        """Ask for the next page if it is known and there is room again."""
        with self._lock:
            self._extend()

    def rows_if_complete(self) -> list[Row] | None:
        """All rows, if all pages are there."""
        with self._lock:
            if self._newest is not None or self._next is not None:
                return None
            return [row for future in self._held for row in future.result().rows]

    def __iter__(self) -> Iterator[Page]:
        """The pages, as they are needed. For the main thread.

        Raises:
            Exception: What the request for a page ended with.
        """
        self.take()
        try:
            while self._held:
                future = self._held[0]
                try:
                    page = self._fetcher.result(future)
                except (RetriableAPIError, requests.RequestException) as error:
                    if not self._ask_for_less(error):
                        raise
                    continue
                with self._lock:
                    self._follow(future)
                    self._release(self._held.popleft())
                    self._extend()
                yield page
            if self._next is not None:
                msg = "status 200, but its pages go round in a circle"
                raise RetriableAPIError(msg)
        finally:
            self.drop()

    def _ask(self, place: Hashable | None, *, tries: int = 0) -> None:
        call = self._call(place, self._page_sizes[0])
        self._asked, self._next = place, None
        self._known.add(hash(place))
        call.tries, call.order = tries, self._order
        self._source = call.source
        self._expected = self._budget.expected(call.source)
        self._budget.hold(1, self._expected)
        future = self._fetcher.submit(call)
        self._newest = future
        self._held.append(future)
        future.add_done_callback(self._arrived)

    def _arrived(self, future: Future[Page]) -> None:
        """In a thread of the fetcher: a page is there, ask for the next."""
        with self._lock:
            self._follow(future)
            self._extend()

    def _follow(self, future: Future[Page]) -> None:
        """Learn, once, from the newest page how the list goes on."""
        if future is not self._newest or future.exception():
            return
        page = future.result()
        is_last = self._is_last is not None and self._is_last(page)
        self._newest = None
        self._budget.learn(self._source, page.size)
        if self._is_dropped:
            return
        self._budget.hold(0, page.size - self._expected)
        if not is_last:
            self._next = page.following

    def _extend(self) -> None:
        if self._next is None or hash(self._next) in self._known:
            return
        if self._is_dropped or len(self._held) >= AHEAD:
            return
        if self._is_taken or not self._held or self._budget.has_room():
            self._ask(self._next)
        else:
            self._budget.is_short = True

    def _release(self, future: Future[Page]) -> None:
        """A page is read, or never will be."""
        is_there = future is not self._newest
        size = future.result().size if is_there else self._expected
        self._budget.hold(-1, -size)

    def _ask_for_less(self, error: Exception) -> bool:
        """Ask for the failed page again with fewer rows, if that may help."""
        response = getattr(error, "response", None)
        if response is None:
            may_help = errors.is_timeout(error)
        else:
            may_help = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        if not may_help or len(self._page_sizes) == 1:
            return False
        with self._lock:
            self._page_sizes.popleft()
            self._release(self._held.popleft())
            # Once, as long as there is something smaller to try.
            is_last = len(self._page_sizes) == 1
            self._ask(self._asked, tries=0 if is_last else TRIES - 1)
        return True
