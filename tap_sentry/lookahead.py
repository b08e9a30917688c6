"""Starts lists before they are needed, in the order in which they will be.

The SDK reads stream after stream and project after project, so that nearly all time
would go by waiting for Sentry. While the main thread writes or waits, the lists that
come next are asked for; whoever needs one takes it, or starts it. So looking ahead
cannot change what is read, nor in which order.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from tap_sentry.listing import Listing
    from tap_sentry.records import Row

#: Bytes of bodies that are held unread before no more lists are started.
MOST_BYTES = 16 << 20
#: Requests at once that are looked ahead for, even where fewer are allowed.
LEAST_WIDTH = 4


class Budget:
    """How many pages are held that nobody has read yet."""

    def __init__(self, concurrency: int) -> None:
        """Allow for some pages for each request that can be under way.

        And for those of other endpoints, while one waits for its limit.
        """
        width = max(concurrency, LEAST_WIDTH)
        self.most_pages = 6 * width
        self.most_lists = 2 * width
        self._lock = threading.Lock()
        #: Pages that are held, and their bytes: those under way as they are expected.
        self.pages = 0
        self.size = 0
        #: Whether a list would have gone on if there had been room.
        self.is_short = False
        #: The largest page so far of each source; before its first, a share of all.
        self._largest: dict[object, int] = {}
        self._share = MOST_BYTES // width

    def hold(self, pages: int, size: int) -> None:
        """Count pages that were asked for or have arrived; negative when read."""
        with self._lock:
            self.pages += pages
            self.size += size

    def expected(self, source: object) -> int:
        """The bytes that a page of a source may have."""
        return self._largest.get(source, self._share)

    def learn(self, source: object, size: int) -> None:
        """A page has arrived."""
        self._largest[source] = max(size, self._largest.get(source, 0))

    def has_room(self) -> bool:
        """Whether one more page may be asked for ahead of time."""
        return self.pages < self.most_pages and self.size < MOST_BYTES


@dataclass(frozen=True)
class Want:
    """A list that will be needed: what it is known by, and how it is made."""

    key: Hashable
    make: Callable[[], Listing]


@dataclass(eq=False)
class Slice:
    """What one organization, team or project will need."""

    number: int
    wants: list[Iterator[Want | None]]
    #: Its lists that were started and not taken yet.
    lists: dict[Hashable, Listing] = field(default_factory=dict)
    #: All that were started or taken while it was read.
    known: set[Hashable] = field(default_factory=set)


class LookAhead:
    """The lists that were started, and the plans for more. For the main thread."""

    def __init__(self, budget: Budget) -> None:
        """Start with no plan: every list is started when it is needed."""
        self.budget = budget
        self._levels: list[deque[Slice]] = []
        #: The slice of each list that was started and not taken yet.
        self._owners: dict[Hashable, Slice] = {}
        self._slices = 0
        self._is_topping_up = False

    @contextmanager
    def over(
        self, slices: Iterable[list[Iterator[Want | None]]]
    ) -> Iterator[Callable[[], None]]:
        """Plan for slices that are read one after the other.

        Gives what to call when the first of them is done.
        """
        level: deque[Slice] = deque()
        for wants in slices:
            self._slices += 1
            level.append(Slice(self._slices, wants))
        self._levels.append(level)

        def done() -> None:
            for key, listing in level.popleft().lists.items():
                del self._owners[key]
                listing.drop()

        try:
            yield done
        finally:
            while level:
                done()
            self._levels.remove(level)

    def take(self, want: Want) -> Listing:
        """The list that is wanted, started if it was not yet."""
        owner = self._owners.pop(want.key, None)
        listing = owner.lists.pop(want.key) if owner else want.make()
        if self._levels and self._levels[-1]:
            self._levels[-1][0].known.add(want.key)
        listing.take()
        self.top_up()
        return listing

    def peek(self, key: Hashable) -> list[Row] | None:
        """The rows of a list that was started and not taken, once all are there."""
        owner = self._owners.get(key)
        return owner.lists[key].rows_if_complete() if owner else None

    def top_up(self) -> None:
        """Start the lists that there is room for."""
        if self._is_topping_up or not self.budget.has_room():
            return
        self._is_topping_up = True
        if was_short := self.budget.is_short:
            # Before the lists are looked at: their threads may set it meanwhile.
            self.budget.is_short = False
        try:
            for depth, level in reversed([*enumerate(self._levels)]):
                self._top_up(level, depth, was_short=was_short)
        finally:
            self._is_topping_up = False

    def _top_up(self, level: deque[Slice], depth: int, *, was_short: bool) -> None:
        distant = 0
        for index, part in enumerate(level):
            if was_short:
                for listing in list(part.lists.values()):
                    listing.extend()
            # The present slice and the next are worth more than those after.
            if index > 1:
                distant += len(part.lists)
            while (
                part.wants
                and self.budget.has_room()
                and distant < self.budget.most_lists
            ):
                # What hangs on the present slice comes before the next one.
                if self._start_one(part, (-depth, part.number)) is None:
                    break
                distant += index > 1
            if distant >= self.budget.most_lists:
                # The lists of those after it are yet to be looked at.
                self.budget.is_short |= was_short
                return

    def _start_one(self, part: Slice, order: tuple[int, ...]) -> Listing | None:
        """Start the next list that a slice wants; None if there is none for now."""
        for wants in list(part.wants):
            for want in wants:
                if want is None:
                    break
                if self._is_known(part, want.key):
                    continue
                listing = want.make()
                listing.start(order)
                part.lists[want.key] = listing
                self._owners[want.key] = part
                return listing
            else:
                part.wants.remove(wants)
        return None

    def _is_known(self, part: Slice, key: Hashable) -> bool:
        """Whether a list was started before; remember that it is now."""
        is_known = key in self._owners or key in part.known
        part.known.add(key)
        return is_known
