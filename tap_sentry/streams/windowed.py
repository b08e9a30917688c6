"""Lists that are read by date and resume where they stopped, such as events."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tap_sentry.api import errors, ties
from tap_sentry.api.paged_list import Page, PagedList
from tap_sentry.api.ties import Place
from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of, newest_of
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.event_rows import ENTRIES_SCHEMA, entries_of, fill_in
from tap_sentry.sync import state
from tap_sentry.windows import BEGINNING, DAY, Window, to_text

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context

#: Ids of a list that are remembered: pages of a list that is paged by row can overlap.
REMEMBERED = 1000

#: The shortest time for which a Sentry keeps its events.
KEPT = 30 * DAY


class WindowedStream(SentryStream):
    """A list that is read by date, newest first, and resumes where it stopped."""

    page_sizes: ClassVar[tuple[int, ...]] = (100, 25, 5)
    # Events hold what an application sent; Sentry scrubs it by the project's rules.
    is_redacted = False

    #: The column whose ids the entries in the state belong to.
    state_column: ClassVar[str] = "project_id"

    #: Whether the list holds events: the server may cut it by dates.
    is_events: ClassVar[bool] = True
    #: Whether the records are the entries of the events in the list.
    is_entries: ClassVar[bool] = False

    #: Whether requests have `start` and `end`.
    takes_dates: ClassVar[bool] = True
    #: Whether the server cuts the list by them, until it shows otherwise.
    is_cut: bool = True

    #: How far before its bookmark the list is read again, if further than `lookback`.
    refresh: ClassVar[timedelta] = timedelta()

    @property
    def row_schema(self) -> Mapping[str, Any]:
        """The columns of the list; for entries, those of an event that they need."""
        return ENTRIES_SCHEMA if self.is_entries else self.schema

    @property
    def has_own_requests(self) -> bool:
        """Whether no other stream requests the same lists."""
        return True

    def query(self, window: Window) -> Mapping[str, Any]:
        """Return the parameters that select a window."""
        if not self.takes_dates:
            return {}
        # Dates of requests have whole seconds.
        query = {"start": to_text(window.start), "end": to_text(window.end)}
        if self.is_events and (self.is_entries or self.run.settings.full_events):
            # `full=false` would read as true on some servers.
            query["full"] = "true"
        return query

    def normalize(self, sent: Row, row: Row) -> Row:
        """Fill in what some events lack; keep the entries if they are needed."""
        if self.is_events:
            fill_in(sent, row)
        if self.is_entries:
            row["entries"] = sent.get("entries")
        return row

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the rest of an interrupted scan, then what is new."""
        saves = self.saves_state
        for scan in self.scans(context):
            is_complete = yield from self.walk(context, scan, saves=saves)
            # After a scan with a gap, the state stays before the gap.
            saves = saves and is_complete
            if saves:
                self.run.bookmarks.finish(self.name, self.key(context), scan)
            self.run.checkpoint()

    @functools.cached_property
    def date_column(self) -> str:
        """The column that the list is ordered by."""
        return str(self.replication_key)

    def key(self, context: Context) -> str:
        """Return the id that the entry in the state belongs to."""
        return str(context[self.state_column])

    def scans(self, context: Context) -> list[state.Scan]:
        """Return the scans of a context; this does not change the state."""
        settings = self.run.settings
        entry: state.Entry = {}
        if self.saves_state:
            entry = self.run.bookmarks.entry(self.name, self.key(context))
        return state.plan(
            entry,
            start=settings.start,
            end=settings.end,
            lookback=max(settings.lookback, self.refresh),
        )

    def walk(
        self, context: Context, scan: state.Scan, *, saves: bool
    ) -> Generator[Row, None, bool]:
        """Yield the records of a scan; return whether it is complete."""
        for rows, reached in self.read(context, scan):
            for row in rows:
                yield from self.records_of(row, context)
            self.progress(context, reached, saves=saves)
        return True

    def progress(
        self, context: Context, reached: state.Scan | None, *, saves: bool
    ) -> None:
        """Record how far a scan has come; all of its records so far are written."""
        if saves and reached is not None:
            self.run.bookmarks.progress(self.name, self.key(context), reached)
        self.run.checkpoint()

    def records_of(self, row: Row, context: Context) -> Iterable[Row]:
        """Return the records that a row of the list contains."""
        if self.is_events:
            issue = bodies.decode_value(row.get("groupID"))
            row["issue_id"] = context.get("issue_id") if issue is None else issue
        return entries_of(row) if self.is_entries else (row,)

    def read(
        self, context: Context, scan: state.Scan
    ) -> Iterator[tuple[list[Row], state.Scan | None]]:
        """Yield the rows of a scan page by page, each once and all within its window.

        Each page comes with the scan as it can be resumed after it; None at its end.
        """
        window = Window(scan.window.start, scan.end)
        reached = scan
        seen: dict[object, None] = {}
        for page in self.scan_pages(context, scan):
            self.run.results.add_missed(self.name, page.missed)
            place = cast("Place | None", page.following)
            # All rows of a second may be repeated.
            most = REMEMBERED + (len(place.tie.ids) if place and place.tie else 0)
            rows = []
            for row in page.rows:
                date = instant_of(row, self.date_column)
                key = bodies.decode_value(row.get(self.id_column))
                if date is not None and date not in window:
                    self.run.results.add_outside(self.name)
                elif key not in seen:
                    seen[key] = None
                    if len(seen) > most:
                        del seen[next(iter(seen))]
                    rows.append(row)
                    # A date before all that Sentry holds does not move the scan.
                    if date is not None and BEGINNING <= date < (
                        reached.at or window.end
                    ):
                        reached = replace(reached, at=date)
            yield rows, resumable(reached, place)

    def scan_pages(self, context: Context, scan: state.Scan) -> Iterator[Page]:
        """Yield the pages of a scan.

        Sentry fails (500, 400) where all of a window is older than what it keeps, and
        rejects cursors that are no longer valid. A scan that was interrupted too long
        ago is therefore requested from its top, and Sentry returns what it keeps.
        """
        is_read = False
        try:
            for page in self.pages_within_retention(context, scan):
                is_read = True
                yield page
        except (errors.TransientError, errors.RejectedError):
            is_old = scan.at and self.run.settings.end - scan.end >= KEPT
            if is_read or not (is_old or scan.cursor):
                raise
            top = replace(scan, at=None, cursor=None)
            yield from self.pages_within_retention(context, top)

    def pages_within_retention(
        self, context: Context, scan: state.Scan
    ) -> Iterator[Page]:
        """Yield the pages of a scan, from a later start if Sentry keeps less."""
        place: Place | None = None

        def rest() -> Prefetch:
            return self.prefetch_scan(context, scan, place)

        window = Window(scan.window.start, scan.end) if self.takes_dates else None
        for page in self.reader.pages(context, rest, window):
            place = cast("Place | None", page.following)
            yield page

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the list of the first scan."""
        for scan in self.scans(context)[:1]:
            yield self.prefetch_scan(context, scan)

    def prefetch_scan(
        self, context: Context, scan: state.Scan, place: Place | None = None
    ) -> Prefetch:
        """Return the list of a scan, or what is left of it at a place."""
        make = functools.partial(self.scan_list, context, scan, place)
        part = part_of(scan) if place is None else (part_of(scan), place)
        return self.reader.prefetch(context, make, part=part)

    def scan_list(
        self, context: Context, scan: state.Scan, start: Place | None = None
    ) -> PagedList:
        """Return the pages of a scan, from a place on if it does not begin anew.

        Dates end the list if the server ignores windows.
        """
        whole = Window(scan.window.start, scan.end)
        kept = self.reader.retained(context, whole)

        def is_older(page: Page) -> bool:
            place = cast("Place | None", page.following)
            if place and place.second:
                return False
            # Servers order events by either date. The first row is enough for nearly
            # every page.
            columns = (self.date_column, "dateReceived")
            dates = (newest_of(row, *columns) for row in page.rows)
            return bool(page.rows) and all(
                date is not None and whole.is_after(date) for date in dates
            )

        def ask(place: Place, page_size: int) -> PendingRequest[Page]:
            window = Window(place.start or kept.start, place.end or kept.end)
            size = ties.page_size(page_size, place)
            pending = self.reader.request_page(
                context, self.query(window), place.cursor, size
            )
            read = pending.read
            pending.read = lambda response: self.placed(read(response), place, window)
            return pending

        return PagedList(
            self.run.client.scheduler,
            ask,
            page_sizes=self.page_sizes,
            place=start or Place(scan.cursor),
            is_last=is_older,
        )

    def placed(self, page: Page, place: Place, window: Window) -> Page:
        """Add the place after a page to it; runs in a thread of the pool."""
        cursor = cast("str | None", page.following)
        if cursor is None and not place.tie:
            return page
        dated = [
            (bodies.decode_value(row.get(self.id_column)), date)
            for row in page.rows
            if (date := instant_of(row, self.date_column)) is not None
        ]
        first, last = (
            date.replace(microsecond=0) for date in (window.start, window.end)
        )
        if not all(first <= date < last for _, date in dated):
            self.is_cut = False
            if instead := ties.uncut(place):
                # These rows are those of the list's top.
                return Page([], instead.place, page.size, instead.missed)
        next_place = ties.next_place(place, dated, cursor, is_cut=self.is_cut)
        return replace(page, following=next_place.place, missed=next_place.missed)


def resumable(scan: state.Scan, place: Place | None) -> state.Scan | None:
    """Return the scan to resume at a place; None at the end of a list."""
    return scan.resumable(place.kept_cursor, place.second) if place else None


def part_of(scan: state.Scan) -> Hashable:
    """Return what identifies the list of a scan, however far the scan has come."""
    return scan.window.start, scan.window.end, scan.issue
