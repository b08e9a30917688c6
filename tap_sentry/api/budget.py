"""A bound on the pages that are held in memory before they are read."""

from __future__ import annotations

import threading

#: No further page is prefetched while unread response bodies hold this many bytes.
MAX_BYTES = 16 << 20
#: The budget allows for at least this many concurrent requests.
MIN_WIDTH = 4
#: The parts of the budget for what is read later: other partitions and further pages,
#: other lists of the current partition, other slices of the current list.
FAR, NEAR, NEXT = 0.5, 0.65, 0.8


class BufferBudget:
    """Counts pages that are requested or held but not yet read, and their bytes."""

    def __init__(self, concurrency: int) -> None:
        """Allow several pages for each request that can be in flight.

        The surplus lets other endpoints go on while one waits for its rate limit.
        """
        width = max(concurrency, MIN_WIDTH)
        self.max_pages = 20 * width
        self.max_lists = 2 * width
        self._lock = threading.Lock()
        #: Pages that are held. Those in flight count with their expected size.
        self.pages = 0
        self.size = 0
        #: Pages to come of lists that were started, for which there has to be room.
        self.reserved = 0
        #: Whether a list stopped prefetching for lack of room.
        self.is_short = False
        #: The largest page so far by owner.
        self._largest: dict[object, int] = {}
        self._default = MAX_BYTES // width

    def hold(self, pages: int, size: int) -> None:
        """Adjust the pages and bytes that are held; negative when a page is read."""
        with self._lock:
            self.pages += pages
            self.size += size

    def reserve(self, pages: int) -> None:
        """Keep room for pages that are not requested yet; negative to give it back."""
        with self._lock:
            self.reserved += pages

    def expected(self, owner: object) -> int:
        """Return the size in bytes that a page of an owner is expected to have."""
        return self._largest.get(owner, self._default)

    def learn(self, owner: object, size: int) -> None:
        """Adjust the expected size after a page has arrived."""
        self._largest[owner] = max(size, self._largest.get(owner, 0))

    def has_room(self, share: float = 1.0) -> bool:
        """Return whether one more page may be prefetched.

        Args:
            share: The part of the budget that may be used. What is read later gets less
                of it: what is read next may become known when all else is prefetched.
        """
        pages = self.pages + self.reserved
        # Pages to come are as large as those that are there, on average.
        size = self.size * pages / max(self.pages, 1)
        return pages < self.max_pages * share and size < MAX_BYTES * share
