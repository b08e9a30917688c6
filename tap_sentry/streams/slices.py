"""Read a long list in slices of its window, side by side.

A page can be requested only when the one before has arrived. So a list is left after a
few pages, and the rest of its window is cut into slices of about as many rows each. A
slice is a list of its own; one that is longer than expected is cut in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tap_sentry.api import errors
from tap_sentry.api.paged_list import MAX_HELD
from tap_sentry.api.retention import may_be_too_old
from tap_sentry.streams.cuts import by_count, by_rate
from tap_sentry.sync.state import Scan
from tap_sentry.windows import HOUR, SECOND, Window, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime, timedelta

    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.api.ties import Place
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.issue_lists import Listed
    from tap_sentry.streams.scan_lists import ScanLists
    from tap_sentry.streams.stored_events import Counts, StoredEvents

#: The pages that a slice is expected to have. It is left after one more.
PAGES = MAX_HELD - 1
#: The list of an issue is cut if at least so many of its pages are left.
MANY = 12
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
        issue: Listed | None = None,
    ) -> None:
        """Cut nothing yet.

        Args:
            lists: Makes the lists.
            context: The context of the list.
            scan: The scan of the list.
            stored: Counts the rows of the list, if the server does.
            issue: The issue whose events they are, if they are those of one.
        """
        self._lists = lists
        self._context = context
        self._scan = scan
        self._stored = stored
        self._issue = issue if issue and issue.pace else None
        self.page_sizes = lists.page_sizes()
        #: Where the list goes on after its newest page that was read; None at its end.
        self.place: Place | None = None
        #: Whether to leave a list that the server limits after its first page.
        self.pauses = False
        #: Whether the list has more pages than the first, and how many rows that has;
        #: None before it has arrived.
        self.has_more: bool | None = None
        self.first_rows: int | None = None
        #: What leaves each list. One that is made twice, because its path or the
        #: retention has changed, may still be requested in its older form.
        self._leavers: dict[Hashable, Callable[[Page, bool], bool]] = {}
        #: What each list was left with; None for a list that was read to its end.
        self._rests: dict[Hashable, Rest | None] = {}
        #: The slices that were cut out of each rest.
        self._cut: dict[Hashable, list[Scan]] = {}
        #: The date that was read last.
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
            is_whole = False
            try:
                for page in lists.pages(self._context, part, None, self):
                    if self.is_slice(part) and lists.is_refuted:
                        todo = [part]
                        break
                    self._note(part, page)
                    yield page, part.window.start, bool(todo)
                else:
                    slices = self._slices(part, waits=True)
                    is_whole = slices is None
                    todo = [*(slices or ()), *todo]
            except (errors.RejectedError, errors.TransientError) as error:
                if not (may_be_too_old(error) and (rest := self._instead(part))):
                    raise
                todo = [rest]
            if is_whole and self.place:
                # The list was left to choose, and goes on.
                todo = [part]
                break
        if todo:
            # No slices are read, or the server ignores dates: a slice then has the rows
            # of the list's top.
            for page in lists.pages(self._context, self._scan, self.place):
                yield page, self._scan.window.start, False

    def _note(self, part: Scan, page: Page) -> None:
        """Note how far a list has been read."""
        if not self.is_slice(part):
            self.place = cast("Place | None", page.following)
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
        early: set[Hashable] = set()
        is_counted = self._stored is None
        while todo or asked:
            found: list[Scan] = []
            for part in list(asked):
                if (cut := self._slices(part)) is not None:
                    asked.remove(part)
                    found += cut
                    if self.is_slice(part):
                        # They are read before lists that are requested already.
                        early.update(map(key_of, cut))
                elif (
                    self._stored
                    and not is_counted
                    and self._rests.get(key_of(part))
                    and lists.may_slice(self)
                ):
                    is_counted = True
                    yield self._stored.prefetch(self._context, self._scan.window, HOUR)
            todo = [*found, *todo]
            has_room = todo and (key_of(todo[0]) in early or lists.has_room)
            is_first = bool(todo) and not self.is_slice(todo[0])
            is_next = bool(todo) and (
                not asked or (lists.is_known_to_cut and bool(has_room))
            )
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
        if self.is_slice(part):
            # Half of them have one page more than most.
            return MAX_HELD
        rows = self._issue.events_in(part.window) if self._issue else 1
        pages = math.ceil(rows / self._lists.rows_per_page)
        # A longer list is cut.
        return pages if pages < MAX_HELD + MANY else MAX_HELD

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
            if pages == 1 and not self.is_slice(part):
                self._note_first(page, is_end=is_end)
            if self.is_slice(part) and page.rows and not lists.prove():
                return True
            if is_end or page.following is None:
                self._rests[key_of(part)] = None
                return is_end
            if pages == 1 and self.pauses and lists.is_limited:
                return True
            place = cast("Place", page.following)
            if not (place.tie and newest and self._is_long(part, pages, rows)):
                return False
            end = floor(place.tie.moment, SECOND) + SECOND
            if place.second or newest < end:
                # A second that is read again, or one that is a list of its own. Without
                # newer rows, a slice would not show whether the server cuts it.
                return False
            window, span = Window(part.window.start, end), newest - place.tie.moment
            self._rests[key_of(part)] = Rest(window, pages, rows, span)
            return True

        def is_left_by_latest(page: Page, is_end: bool) -> bool:  # noqa: FBT001 - see above
            return self._leavers[key] is not is_left or is_left(page, is_end)

        key = key_of(part)
        self._leavers[key] = is_left
        return is_left_by_latest

    def _note_first(self, page: Page, *, is_end: bool) -> None:
        """Note how the list begins."""
        self.place = cast("Place | None", page.following)
        self.first_rows = len(page.rows)
        self.has_more = not is_end and self.place is not None

    def _is_long(self, part: Scan, pages: int, rows: int) -> bool:
        """Return whether a list of which some has been read is worth cutting."""
        if pages < MAX_HELD or not self._lists.is_sliced:
            return False
        if self._stored or self.is_slice(part):
            return True
        if self._issue and self._issue.events:
            return (self._issue.events - rows) * pages / max(rows, 1) >= MANY
        return pages >= UNCOUNTED

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
            if counts:
                cut = by_count(rest.window, counts, most)
            else:
                cut = self._guessed(part, rest, most)
            issue = self._scan.issue
            self._cut[rest] = [Scan(window, issue=issue) for window in cut]
        return self._cut[rest]

    def _guessed(self, part: Scan, rest: Rest, most: float) -> list[Window]:
        """Cut what is left of a list whose rows are not counted by time."""
        oldest, issue = self._lists.surely_kept, self._issue
        if issue is None or self.is_slice(part) or not (issue.first and issue.pace):
            # The rows of a slice come faster than expected.
            return by_rate(rest.window, rest.span / rest.rows * most, oldest, GUESSED)
        return by_rate(rest.window, issue.pace * most, max(oldest, issue.first))


def key_of(part: Scan) -> Hashable:
    """Return what identifies a list among those of a scan, however far it has come."""
    return part.window.start, part.window.end
