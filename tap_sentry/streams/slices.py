"""Read a long list in slices of its window, side by side.

A page can be requested only when the one before has arrived. So a list is left after a
few pages, and the rest of its window is cut into slices of about as many rows each. A
slice is a list of its own; one that is longer than expected is cut in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from tap_sentry.api import errors
from tap_sentry.api.paged_list import MAX_HELD
from tap_sentry.api.retention import may_be_too_old
from tap_sentry.sync.state import Scan
from tap_sentry.windows import HOUR, Window, ceil, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime

    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.api.ties import Place
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.scan_lists import ScanLists
    from tap_sentry.streams.stored_events import Counts, StoredEvents

SECOND = timedelta(seconds=1)
#: The pages that a slice is expected to have. It is left after one more.
PAGES = MAX_HELD - 1
#: The pages after which a list is left whose rows are not counted …
UNCOUNTED = 32
#: … and the number of slices to cut then.
GUESSED = 8


@dataclass(frozen=True)
class Rest:
    """What is left of a list, and what has been read of it."""

    window: Window
    pages: int
    rows: int
    #: The time from the newest of the rows to the oldest.
    span: timedelta


class Slices:
    """The slices that the window of one scan is read in, newest first."""

    def __init__(
        self,
        lists: ScanLists,
        context: Context,
        scan: Scan,
        stored: StoredEvents | None = None,
    ) -> None:
        """Cut nothing yet.

        Args:
            lists: Makes the lists.
            context: The context of the list.
            scan: The scan of the list.
            stored: Counts the rows of the list, if the server does.
        """
        self._lists = lists
        self._context = context
        self._scan = scan
        self._stored = stored
        self.page_sizes = lists.page_sizes()
        #: What each list was left with; None for a list that was read to its end.
        self._rests: dict[Hashable, Rest | None] = {}
        #: The slices that were cut out of each rest. A list that is requested twice,
        #: because its path or the retention has changed, may be left at two places.
        self._cut: dict[Hashable, list[Scan]] = {}
        #: Where the whole list was left, and the date that was read last.
        self._place: Place | None = None
        self._oldest: datetime | None = None

    def pages(self) -> Iterator[tuple[Page, datetime, bool]]:
        """Yield all pages of the scan.

        Each comes with the start of its slice, and whether other slices follow.
        """
        lists, todo = self._lists, [self._scan]
        while todo and not (self.is_slice(todo[0]) and lists.is_refuted):
            part = todo.pop(0)
            if self.is_slice(part) and not lists.is_kept(self._context, part):
                continue
            try:
                for page in lists.pages(self._context, part, None, self):
                    if self.is_slice(part) and lists.is_refuted:
                        todo = [part]
                        break
                    self._note(part, page)
                    yield page, part.window.start, bool(todo)
                else:
                    todo = [*(self._slices(part, waits=True) or ()), *todo]
            except (errors.RejectedError, errors.TransientError) as error:
                if not (may_be_too_old(error) and (rest := self._instead(part))):
                    raise
                todo = [rest]
        if todo:
            # The server ignores dates: the slice has the rows of the list's top.
            for page in lists.pages(self._context, self._scan, self._place):
                yield page, self._scan.window.start, False

    def _note(self, part: Scan, page: Page) -> None:
        """Note how far a list has been read."""
        if not self.is_slice(part):
            self._place = cast("Place | None", page.following)
        if page.rows and (date := self._lists.date_of(page.rows[-1])):
            self._oldest = max(date, part.window.start)

    def _instead(self, part: Scan) -> Scan | None:
        """Return the list to read instead of a slice that failed at once.

        Sentry fails where it keeps no part of a window. It does keep a part of one that
        ends with the second that was read last.
        """
        if not self.is_slice(part) or self._oldest is None:
            return None
        window = Window(self._scan.window.start, floor(self._oldest, SECOND) + SECOND)
        if self._oldest < part.window.end or window == part.window:
            return None
        # Failures of the slice say nothing about the size of pages.
        self.page_sizes = self._lists.page_sizes()
        return Scan(window, issue=self._scan.issue)

    def prefetches(self) -> Iterator[Prefetch | None]:
        """Yield the lists of the slices; None while no other is known."""
        lists, todo = self._lists, [self._scan]
        asked: list[Scan] = []
        is_counted = self._stored is None
        while todo or asked:
            found: list[Scan] = []
            for part in list(asked):
                if (cut := self._slices(part)) is not None:
                    asked.remove(part)
                    found += cut
                elif (
                    self._stored
                    and not is_counted
                    and self._rests.get(key_of(part))
                    and lists.may_slice(self)
                ):
                    is_counted = True
                    yield self._stored.prefetch(self._context, self._scan.window, HOUR)
            todo = [*found, *todo]
            is_first = bool(todo) and not self.is_slice(todo[0])
            is_next = bool(todo) and (lists.is_known_to_cut or not asked)
            if is_first or (is_next and lists.may_slice(self)):
                asked.append(todo.pop(0))
                yield lists.prefetch(self._context, asked[-1], None, self)
            elif lists.is_refuted:
                return
            else:
                yield None

    def is_slice(self, part: Scan) -> bool:
        """Return whether a list is one of the slices, not the whole list."""
        return key_of(part) != key_of(self._scan)

    def expected(self, part: Scan) -> int:
        """Return the number of pages that a list is expected to have."""
        return PAGES if self.is_slice(part) else 1

    def _most_pages(self, part: Scan) -> int:
        """Return the number of pages after which a list is left."""
        is_counted = self._stored is not None or self.is_slice(part)
        return MAX_HELD if is_counted else UNCOUNTED

    def leaver(self, part: Scan) -> Callable[[Page, bool], bool]:
        """Return a function that says whether a list is left after a page.

        It is called with each page in turn, and whether that is known to be the last,
        in a thread of the pool.
        """
        lists, rows, pages = self._lists, 0, 0
        newest: datetime | None = None

        def is_left(page: Page, is_end: bool) -> bool:  # noqa: FBT001 - see above
            nonlocal rows, pages, newest
            rows, pages = rows + len(page.rows), pages + 1
            if newest is None and page.rows:
                newest = lists.date_of(page.rows[0])
            if self.is_slice(part) and page.rows and not lists.prove():
                return True
            if is_end or page.following is None:
                self._rests[key_of(part)] = None
                return is_end
            tie = cast("Place", page.following).tie
            if (
                pages < self._most_pages(part)
                or tie is None
                or newest is None
                or not lists.is_sliced
            ):
                return False
            window = Window(part.window.start, floor(tie.moment, SECOND) + SECOND)
            if is_repeated(page) or newest < window.end:
                # A second that is read again, or one that is a list of its own. Without
                # newer rows, a slice would not show whether the server cuts it.
                return False
            rest = Rest(window, pages, rows, newest - tie.moment)
            self._rests[key_of(part)] = rest
            return True

        return is_left

    def _slices(self, part: Scan, *, waits: bool = False) -> list[Scan] | None:
        """Return the slices of what a list was left with.

        Args:
            part: The list.
            waits: Whether to wait for the count.

        Returns:
            None if it is not known yet what the list was left with, or the count.
        """
        if key_of(part) not in self._rests:
            return None
        if (rest := self._rests[key_of(part)]) is None:
            return []
        if rest not in self._cut:
            counts: Counts = []
            is_counted = not (self.is_slice(part) or self._lists.is_refuted)
            if self._stored and is_counted:
                window = self._scan.window
                find = self._stored.take if waits else self._stored.known
                if (found := find(self._context, window, HOUR)) is None:
                    return None
                counts = found
            most = PAGES * rest.rows / rest.pages
            cut = (
                by_count(rest.window, counts, most)
                if counts
                else by_rate(rest, most, self._lists.surely_kept)
            )
            issue = self._scan.issue
            self._cut[rest] = [Scan(window, issue=issue) for window in cut]
        return self._cut[rest]


def is_repeated(page: Page) -> bool:
    """Return whether a second is read again after a page, because it lacks rows."""
    return cast("Place", page.following).second is not None


def key_of(part: Scan) -> Hashable:
    """Return what identifies a list among those of a scan, however far it has come."""
    return part.window.start, part.window.end


def by_count(window: Window, counts: Counts, most: float) -> list[Window]:
    """Cut a window into slices that have about as many rows each, the newest first.

    Args:
        window: The window.
        counts: The number of rows of each hour; empty if it is not known.
        most: How many rows a slice shall have.
    """
    hours = [
        (part, count * ((part.end - part.start) / HOUR))
        for start, count in reversed(counts)
        if (part := Window(max(start, window.start), min(start + HOUR, window.end)))
    ]
    left = sum(rows for _, rows in hours)
    cuts, held = list["datetime"](), 0.0
    for part, rows in hours:
        each = (part.end - part.start) / (rows or 1)
        # The last slice has rows as well: Sentry fails where it keeps no part of one.
        held += rows
        while held > most and left > most:
            held, left = held - most, left - most
            cuts.append(ceil(part.start + held * each, SECOND))
    return between(window, cuts)


def by_rate(rest: Rest, most: float, oldest: datetime) -> list[Window]:
    """Cut a few slices as if the rows went on as before, and leave what is older whole.

    Args:
        rest: What a list was left with.
        most: How many rows a slice shall have.
        oldest: Where to stop: Sentry fails where it keeps no part of a slice.
    """
    step = max(timedelta(seconds=rest.span * (most / rest.rows) // SECOND), SECOND)
    cuts = [rest.window.end - step * number for number in range(1, GUESSED + 1)]
    return between(rest.window, [cut for cut in cuts if cut > oldest])


def between(window: Window, cuts: list[datetime]) -> list[Window]:
    """Return the parts of a window between cuts, the newest first."""
    inside = sorted({cut for cut in cuts if cut in window}, reverse=True)
    ends, starts = [window.end, *inside], [*inside, window.start]
    return [part for pair in zip(starts, ends, strict=True) if (part := Window(*pair))]
