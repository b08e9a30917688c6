"""The lists of a stream that is read by date, for one scan at a time."""

from __future__ import annotations

import contextlib
import functools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from tap_sentry.api import errors, ties
from tap_sentry.api.budget import NEXT
from tap_sentry.api.paged_list import MAX_HELD, Page, PagedList, PageSizes
from tap_sentry.api.ties import Place
from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of, newest_of
from tap_sentry.sync.state import Scan
from tap_sentry.windows import DAY, SECOND, Window, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping
    from datetime import datetime

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.api.rate_limits import RateLimiter
    from tap_sentry.api.reader import ListReader
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context

#: The shortest time for which a Sentry keeps its events.
KEPT = 30 * DAY


class ListOfScans(Protocol):
    """What a stream declares about a list that is read by date."""

    @property
    def run(self) -> Run:
        """What the streams of this run share."""

    @property
    def reader(self) -> ListReader:
        """Reads the list over HTTP."""

    @property
    def id_column(self) -> str:
        """The column that identifies a row."""

    @property
    def date_column(self) -> str:
        """The column that the list is ordered by."""

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """Page sizes, the smaller ones for a server that fails on larger pages."""

    @property
    def takes_dates(self) -> bool:
        """Whether requests have `start` and `end`."""

    @property
    def is_cut(self) -> bool:
        """Whether the server cuts the list by them, as far as is known."""

    @property
    def is_events(self) -> bool:
        """Whether the list holds events, and may be long."""

    def query(self, window: Window) -> Mapping[str, Any]:
        """The parameters that select a window."""


class Cutter(Protocol):
    """Leaves a list before its end, to go on with other lists."""

    #: The page sizes of all of the lists.
    page_sizes: PageSizes

    def leaver(self, part: Scan) -> Callable[[Page, bool], bool]:
        """The function that says whether a list is left after a page.

        It is called with each page in turn, and whether that is known to be the last,
        in a thread of the pool.
        """

    def expected(self, part: Scan) -> int:
        """The number of pages that a list is expected to have."""


class ScanLists:
    """Makes and reads the lists of scans, each of which may be cut."""

    def __init__(self, source: ListOfScans) -> None:
        """Request nothing yet."""
        self._source = source
        self._reader = source.reader
        self._run = source.run
        #: Whether the server cuts the list by dates, until it shows otherwise.
        self.is_cut = source.is_cut
        #: Whether it has shown that it does.
        self.is_known_to_cut = False
        #: How many rows a page has that is not the last.
        self.rows_per_page = source.page_sizes[0]
        #: The oldest date of which the server is known to have an event.
        self._oldest: datetime | None = None
        self._lock = threading.Lock()
        #: What leaves the first list that is cut.
        self._first: Cutter | None = None

    @property
    def is_refuted(self) -> bool:
        """Whether the server ignores dates."""
        with self._lock:
            return not (self.is_cut or self.is_known_to_cut)

    def prove(self) -> bool:
        """Return whether the server cuts lists; a slice with rows has just arrived."""
        with self._lock:
            # Later rows outside of their slice are dated wrongly.
            self.is_known_to_cut = self.is_known_to_cut or self.is_cut
            return self.is_known_to_cut

    def try_slice(self, context: Context, scan: Scan, end: datetime) -> None:
        """Find out whether the server ignores dates: request a slice.

        Args:
            context: The context of a list.
            scan: Its scan.
            end: A date that is older than the first rows of the list.
        """
        if self.is_sliced:
            part = Scan(Window(scan.window.start, floor(end, SECOND)))
            with contextlib.suppress(*errors.SKIPPABLE_ERRORS):
                self.prefetch(context, part).make().first()

    def may_slice(self, cutter: Cutter) -> bool:
        """Return whether to request slices ahead; it is tried with one list first."""
        self._first = self._first or cutter
        return self.is_known_to_cut or self._first is cutter

    @property
    def is_sliced(self) -> bool:
        """Whether a long list is read in slices, side by side."""
        most = self.at_a_time
        is_parallel = self._run.settings.concurrency > 1 and (most is None or most > 1)
        return self._source.is_events and self.is_cut and is_parallel

    @property
    def has_room(self) -> bool:
        """Whether the budget has room for a list that is read later."""
        return self._run.client.scheduler.budget.has_room(NEXT)

    @property
    def is_limited(self) -> bool:
        """Whether the server states a limit of requests for the list."""
        return self.limit is not None

    @property
    def limit(self) -> int | None:
        """The rate limit that the server states for the list; None without one."""
        return self._limiter.limit if self._limiter else None

    @property
    def at_a_time(self) -> int | None:
        """The limit of concurrent requests to the list; None without one."""
        return self._limiter.concurrent if self._limiter else None

    @property
    def path(self) -> str:
        """The path of the list on this server."""
        return self._reader.current_path

    @property
    def _limiter(self) -> RateLimiter | None:
        return next(iter(self._run.client.scheduler.limiters_of([self.path])), None)

    @property
    def surely_kept(self) -> datetime:
        """The instant from which on this server is known to keep events."""
        kept = self._run.settings.started - KEPT
        # What it sent may be deleted while the run goes on.
        return min(kept, self._oldest + DAY) if self._oldest else kept

    def page_sizes(self) -> PageSizes:
        """Return the page sizes of a list that has not failed yet."""
        return PageSizes(self._source.page_sizes)

    def add_kept(self, date: datetime) -> None:
        """Record that the server has an event of this date."""
        if self._oldest is None or date < self._oldest:
            self._oldest = date

    def date_of(self, row: Row) -> datetime | None:
        """Return the date that the list is ordered by."""
        return instant_of(row, self._source.date_column)

    def is_kept(self, context: Context, scan: Scan) -> bool:
        """Return whether the server keeps a part of the window of a scan."""
        window = Window(scan.window.start, scan.end)
        return bool(self._reader.retained(context, window))

    def pages(
        self,
        context: Context,
        scan: Scan,
        place: Place | None = None,
        cutter: Cutter | None = None,
    ) -> Iterator[Page]:
        """Yield the pages of a scan, or those that are left of it at a place.

        Sentry fails (500, 400) where all of a window is older than what it keeps, and
        rejects cursors that are no longer valid. A scan that was interrupted too long
        ago is therefore requested from its top, and Sentry returns what it keeps.
        """
        is_read = place is not None
        try:
            for page in self._within_retention(context, scan, place, cutter):
                is_read = True
                yield page
        except (errors.TransientError, errors.RejectedError):
            is_old = scan.at and self._run.settings.end - scan.end >= KEPT
            if is_read or not (is_old or scan.cursor):
                raise
            top = replace(scan, at=None, cursor=None)
            yield from self._within_retention(context, top, None, cutter)

    def _within_retention(
        self,
        context: Context,
        scan: Scan,
        place: Place | None,
        cutter: Cutter | None,
    ) -> Iterator[Page]:
        """Yield the pages of a scan, from a later start if Sentry keeps less."""

        def rest() -> Prefetch:
            return self.prefetch(context, scan, place, cutter)

        window = (
            Window(scan.window.start, scan.end) if self._source.takes_dates else None
        )
        for page in self._reader.pages(context, rest, window):
            place = cast("Place | None", page.following)
            if page.rows and (date := self.date_of(page.rows[-1])):
                self.add_kept(date)
            if place and page.rows:
                self.rows_per_page = len(page.rows)
            yield page

    def prefetch(
        self,
        context: Context,
        scan: Scan,
        place: Place | None = None,
        cutter: Cutter | None = None,
    ) -> Prefetch:
        """Return the list of a scan, or what is left of it at a place."""
        make = functools.partial(self._list, context, scan, place, cutter)
        part = part_of(scan) if place is None else (part_of(scan), place)
        return self._reader.prefetch(context, make, part=part)

    def _list(
        self,
        context: Context,
        scan: Scan,
        start: Place | None,
        cutter: Cutter | None,
    ) -> PagedList:
        """Return the pages of a scan, from a place on if it does not begin anew.

        Dates end the list if the server ignores windows.
        """
        is_left = cutter.leaver(scan) if cutter else is_end_itself
        expected = cutter.expected(scan) if cutter else 1
        whole = Window(scan.window.start, scan.end)
        kept = self._reader.retained(context, whole)

        def is_older(page: Page) -> bool:
            place = cast("Place | None", page.following)
            if place and place.second:
                return False
            # Servers order events by either date. The first row is enough for nearly
            # every page.
            columns = (self._source.date_column, "dateReceived")
            dates = (newest_of(row, *columns) for row in page.rows)
            return bool(page.rows) and all(
                date is not None and whole.is_after(date) for date in dates
            )

        def ask(place: Place, page_size: int) -> PendingRequest[Page]:
            window = Window(place.start or kept.start, place.end or kept.end)
            size = ties.page_size(page_size, place)
            pending = self._reader.request_page(
                context, self._source.query(window), place.cursor, size
            )
            read = pending.read
            pending.read = lambda response: self._placed(read(response), place, window)
            return pending

        return PagedList(
            self._run.client.scheduler,
            ask,
            page_sizes=cutter.page_sizes if cutter else self.page_sizes(),
            place=start or Place(scan.cursor),
            is_last=lambda page: is_left(page, is_older(page)),
            max_held=max(expected, MAX_HELD),
            expected=expected,
        )

    def _placed(self, page: Page, place: Place, window: Window) -> Page:
        """Add the place after a page to it; runs in a thread of the pool."""
        cursor = cast("str | None", page.following)
        if cursor is None and not place.tie:
            return page
        dated = [
            (bodies.decode_value(row.get(self._source.id_column)), date)
            for row in page.rows
            if (date := self.date_of(row)) is not None
        ]
        first, last = (
            date.replace(microsecond=0) for date in (window.start, window.end)
        )
        if not all(first <= date < last for _, date in dated):
            with self._lock:
                self.is_cut = False
            if instead := ties.uncut(place):
                # These rows are those of the list's top.
                return Page([], instead.place, page.size, instead.missed)
        next_place = ties.next_place(place, dated, cursor, is_cut=self.is_cut)
        return replace(page, following=next_place.place, missed=next_place.missed)


def is_end_itself(page: Page, is_end: bool) -> bool:  # noqa: FBT001 - like `leaver`
    """Return whether a page is the last one: a list that is read to its end."""
    del page
    return is_end


def part_of(scan: Scan) -> Hashable:
    """Return what identifies the list of a scan, however far the scan has come."""
    return scan.window.start, scan.window.end, scan.issue
