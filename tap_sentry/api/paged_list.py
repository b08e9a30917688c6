"""Read a list page by page, and request pages before they are read."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from tap_sentry.api import errors
from tap_sentry.api.budget import FAR
from tap_sentry.api.scheduler import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from concurrent.futures import Future

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.api.scheduler import RequestScheduler
    from tap_sentry.records.bodies import Row

#: The most pages of one list that are held before they are read, as a rule.
MAX_HELD = 4


@dataclass(frozen=True)
class Page:
    """One page: its rows, and the place of the next page if there is one."""

    rows: list[Row]
    #: A cursor, or whatever else the function that makes the requests expects.
    following: Hashable | None
    #: Bytes of the body.
    size: int = 0
    #: Rows that the server left out, also when they were requested again.
    missed: int = 0


class PageSizes:
    """The page sizes of one or more lists, the smaller ones after failures."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        """Begin with the first size."""
        self._sizes = deque(sizes)

    @property
    def current(self) -> int:
        """The size to request."""
        return self._sizes[0]

    @property
    def is_smallest(self) -> bool:
        """Whether the current size is the smallest."""
        return len(self._sizes) == 1

    def shrink(self, failed: int) -> bool:
        """Go on to a smaller size than one that failed; return whether there is one."""
        while self._sizes[0] >= failed and not self.is_smallest:
            self._sizes.popleft()
        return self._sizes[0] < failed


class PageRequest(Protocol):
    """Makes the request for one page."""

    def __call__(self, place: Any, page_size: int) -> PendingRequest[Page]:
        """Return the request for the page at a place; None is the first page."""


class PagedList:
    """The pages of one list. Each is requested when the one before has arrived."""

    def __init__(  # noqa: PLR0913 - most have a default
        self,
        scheduler: RequestScheduler,
        request: PageRequest,
        *,
        page_sizes: PageSizes,
        place: Hashable | None = None,
        is_last: Callable[[Page], bool] | None = None,
        max_held: int = MAX_HELD,
        expected: int = 1,
    ) -> None:
        """Prepare the list; nothing is requested until it is started or read.

        Args:
            scheduler: Sends the requests.
            request: Makes the request for one page.
            page_sizes: Rows per page; lists can share them.
            place: Where the list starts; None for its beginning.
            is_last: Whether the rest of the list is not needed after a page.
            max_held: The most pages that are held before they are read.
            expected: How many pages the list is expected to have. There is room for
                them once the list is started: lists that all wait for room in the
                middle would be read one by one.
        """
        self._max_held = max_held
        #: Pages to come that the budget has room for.
        self._reserved = max(min(expected, max_held), 1) - 1
        self._scheduler = scheduler
        self._request = request
        self._page_sizes = page_sizes
        #: The size of the page that was requested last.
        self._size = 0
        self._budget = scheduler.budget
        self._is_last = is_last
        self._lock = threading.RLock()
        self._held: deque[Future[Page]] = deque()
        self._newest: Future[Page] | None = None
        #: The expected size of the newest page, until it arrives.
        self._expected = 0
        self._owner: object = None
        self._requested: Hashable | None = None
        #: Hashes of the places that were requested; places may hold many ids.
        self._known: set[int] = set()
        self._next = place
        self._order: tuple[int, ...] = ()
        self._is_started = False
        self._is_taken = False
        self._is_dropped = False

    def start(self, order: tuple[int, ...] = ()) -> PagedList:
        """Request the first page; requests of a lower order go first."""
        with self._lock:
            if not self._is_started:
                self._is_started = True
                self._order = order
                self._budget.reserve(self._reserved)
                self._request_page(self._next)
        return self

    def first(self) -> Page:
        """Request the first page only, and return it.

        Raises:
            SentryError: If the request failed for good.
        """
        self._is_last = lambda _: True
        return next(iter(self))

    def take(self) -> PagedList:
        """Request pages without regard to the budget: the list is being read."""
        self.start()
        with self._lock:
            self._is_taken = True
            self._order = ()
            self._extend()
        return self

    def drop(self) -> None:
        """Drop the pages that will not be read."""
        with self._lock:
            self._is_dropped = True
            self._give_back()
            for future in self._held:
                self._release(future)
            self._held.clear()

    def extend(self) -> None:
        """Request the next page if it is known and the budget has room again."""
        with self._lock:
            self._extend()

    def rows_if_complete(self) -> list[Row] | None:
        """Return all rows, if all pages have arrived."""
        with self._lock:
            if self._newest is not None or self._next is not None:
                return None
            return [row for future in self._held for row in future.result().rows]

    def __iter__(self) -> Iterator[Page]:
        """Yield the pages. Called by the main thread only.

        Raises:
            SentryError: If the request for a page failed for good.
        """
        self.take()
        try:
            while self._held:
                future = self._held[0]
                try:
                    page = self._scheduler.result(future)
                except errors.TransientError as error:
                    if not self._request_fewer_rows(error):
                        raise
                    continue
                with self._lock:
                    self._follow(future)
                    self._release(self._held.popleft())
                    self._extend()
                yield page
            if self._next is not None:
                msg = "status 200, but its pages go round in a circle"
                raise errors.TransientError(msg)
        finally:
            self.drop()

    def _request_page(self, place: Hashable | None, *, attempts: int = 0) -> None:
        self._size = self._page_sizes.current
        pending = self._request(place, self._size)
        self._requested, self._next = place, None
        self._known.add(hash(place))
        pending.attempts = max(pending.attempts, attempts)
        pending.order = self._order
        self._owner = pending.owner
        self._expected = self._budget.expected(pending.owner)
        self._budget.hold(1, self._expected)
        future = self._scheduler.submit(pending)
        self._newest = future
        self._held.append(future)
        future.add_done_callback(self._arrived)

    def _arrived(self, future: Future[Page]) -> None:
        """Request the next page when one has arrived; runs in a thread of the pool."""
        with self._lock:
            self._follow(future)
            self._extend()

    def _follow(self, future: Future[Page]) -> None:
        """Set the next place from the newest page; later calls do nothing."""
        if future is not self._newest:
            return
        if future.exception():
            if not self._is_dropped:
                self._budget.hold(0, -self._expected)
                self._expected = 0
            return
        page = future.result()
        is_last = self._is_last is not None and self._is_last(page)
        self._newest = None
        self._budget.learn(self._owner, page.size)
        if self._is_dropped:
            return
        self._budget.hold(0, page.size - self._expected)
        if not is_last:
            self._next = page.following
        if self._next is None:
            self._give_back()

    def _give_back(self) -> None:
        """Give back the room for pages that the list does not have."""
        self._budget.reserve(-self._reserved)
        self._reserved = 0

    def _extend(self) -> None:
        if self._next is None or hash(self._next) in self._known:
            return
        if self._is_dropped or len(self._held) >= self._max_held:
            return
        if self._reserved:
            self._reserved -= 1
            self._budget.reserve(-1)
            self._request_page(self._next)
        elif self._is_taken or not self._held or self._budget.has_room(FAR):
            self._request_page(self._next)
        else:
            self._budget.is_short = True

    def _release(self, future: Future[Page]) -> None:
        """Release a page that has been read, or never will be."""
        is_there = future is not self._newest
        size = future.result().size if is_there else self._expected
        self._budget.hold(-1, -size)

    def _request_fewer_rows(self, error: errors.TransientError) -> bool:
        """Request a failed page again with fewer rows, if that may help."""
        response = error.response
        if response is None:
            may_help = error.is_timeout
        else:
            may_help = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        if not may_help or not self._page_sizes.shrink(self._size):
            return False
        with self._lock:
            self._release(self._held.popleft())
            # A single attempt, unless this is the smallest size.
            is_last = self._page_sizes.is_smallest
            self._request_page(self._requested, attempts=0 if is_last else ATTEMPTS - 1)
        return True
