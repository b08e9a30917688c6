"""Request lists before they are read, in the order in which they will be read.

The SDK reads stream after stream and project after project, so nearly all of a run
would be spent waiting for Sentry. While the main thread writes or waits, the next lists
are requested in the background. A reader takes a prefetched list, or else requests the
list itself, so prefetching changes neither what is read nor its order.
"""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_sentry.api.budget import FAR, NEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from tap_sentry.api.budget import BufferBudget
    from tap_sentry.api.paged_list import PagedList
    from tap_sentry.records.bodies import Row


@dataclass(frozen=True)
class Prefetch:
    """A list that can be prefetched: its key and a function that makes it."""

    key: Hashable
    make: Callable[[], PagedList]


@dataclass(eq=False)
class Partition:
    """The lists of one organization, team or project."""

    number: int
    #: For each stream the lists it will read; None while the next one is not known.
    plans: list[Iterator[Prefetch | None]]
    #: Lists that were prefetched and not taken yet.
    lists: dict[Hashable, PagedList] = field(default_factory=dict)
    #: The keys of all lists that were prefetched or taken.
    keys: set[Hashable] = field(default_factory=set)


class Prefetcher:
    """Prefetches the lists of the partitions to come. Used by the main thread only."""

    def __init__(self, budget: BufferBudget) -> None:
        """Start without partitions: every list is requested when it is read."""
        self.budget = budget
        self._levels: list[deque[Partition]] = []
        #: The partition of each list that was prefetched and not taken yet.
        self._owners: dict[Hashable, Partition] = {}
        self._count = 0
        self._is_topping_up = False

    @contextmanager
    def over(
        self, partitions: Iterable[list[Iterator[Prefetch | None]]]
    ) -> Iterator[Callable[[], None]]:
        """Prefetch for partitions that are read one after the other.

        Yields a function to call whenever the first remaining partition has been read.
        """
        level: deque[Partition] = deque()
        for plans in partitions:
            self._count += 1
            level.append(Partition(self._count, plans))
        self._levels.append(level)

        def done() -> None:
            for key, paged_list in level.popleft().lists.items():
                del self._owners[key]
                paged_list.drop()

        try:
            yield done
        finally:
            while level:
                done()
            self._levels.remove(level)

    def take(self, prefetch: Prefetch) -> PagedList:
        """Return a list to the reader that needs it; make it if not prefetched."""
        owner = self._owners.pop(prefetch.key, None)
        paged_list = owner.lists.pop(prefetch.key) if owner else prefetch.make()
        if self._levels and self._levels[-1]:
            self._levels[-1][0].keys.add(prefetch.key)
        paged_list.take()
        self.top_up()
        return paged_list

    def peek(self, key: Hashable) -> list[Row] | None:
        """Return the rows of a prefetched list once all of its pages have arrived."""
        owner = self._owners.get(key)
        return owner.lists[key].rows_if_complete() if owner else None

    def top_up(self) -> None:
        """Prefetch as many lists as the budget allows."""
        if self._is_topping_up or not self.budget.has_room():
            return
        self._is_topping_up = True
        if was_short := self.budget.is_short:
            # Reset first: worker threads may set it again while the lists are visited.
            self.budget.is_short = False
        try:
            for depth, level in reversed([*enumerate(self._levels)]):
                self._top_up(level, depth, was_short=was_short)
        finally:
            self._is_topping_up = False

    def _top_up(self, level: deque[Partition], depth: int, *, was_short: bool) -> None:
        distant = 0
        for index, partition in enumerate(level):
            if was_short:
                for paged_list in list(partition.lists.values()):
                    paged_list.extend()
            # The current partition and the next one are exempt from `max_lists`.
            if index > 1:
                distant += len(partition.lists)
            while (
                partition.plans
                and self.budget.has_room(FAR if index else 1)
                and distant < self.budget.max_lists
            ):
                # Lists below the current partition go before those of the next one.
                if self._start_next(partition, (-depth, partition.number)) is None:
                    break
                distant += index > 1
            if distant >= self.budget.max_lists:
                # The partitions after this one have not been extended yet.
                self.budget.is_short |= was_short
                return

    def _start_next(
        self, partition: Partition, order: tuple[int, ...]
    ) -> PagedList | None:
        """Start the next list of a partition; None if none is known at present."""
        for plan in list(partition.plans):
            for prefetch in plan:
                if prefetch is None:
                    break
                if self._is_known(partition, prefetch.key):
                    continue
                paged_list = prefetch.make()
                paged_list.start(order)
                partition.lists[prefetch.key] = paged_list
                self._owners[prefetch.key] = partition
                return paged_list
            else:
                partition.plans.remove(plan)
        return None

    def _is_known(self, partition: Partition, key: Hashable) -> bool:
        """Return whether a list was already prefetched or taken, and remember it."""
        is_known = key in self._owners or key in partition.keys
        partition.keys.add(key)
        return is_known


def interleaved(
    plans: Iterable[Iterator[Prefetch | None]], budget: BufferBudget
) -> Iterator[Prefetch | None]:
    """Yield the lists of plans that are read one after the other.

    A plan goes on while later ones do not know their next list, and the other way
    round. None while no plan knows one, or there is no room for one that is read later.
    """
    later, started = iter(plans), deque["Iterator[Prefetch | None]"]()
    is_exhausted = False
    while started or not is_exhausted:
        for index, plan in enumerate(list(started)):
            while index == 0 or budget.has_room(NEAR):
                try:
                    prefetch = next(plan)
                except StopIteration:
                    started.remove(plan)
                    break
                if prefetch is None:
                    break
                yield prefetch
        if not is_exhausted and (not started or budget.has_room(NEAR)):
            first = [*itertools.islice(later, 1)]
            is_exhausted = not first
            started += first
        elif started:
            yield None
