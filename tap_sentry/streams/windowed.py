"""Lists that are read by date and resume where they stopped, such as events."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.event_rows import ENTRIES_SCHEMA, entries_of, fill_in
from tap_sentry.streams.scan_lists import ScanLists, part_of
from tap_sentry.streams.slices import Slices
from tap_sentry.sync import state
from tap_sentry.windows import BEGINNING, Window, to_text

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
    from datetime import datetime

    from singer_sdk import Tap

    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.api.ties import Place
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.issue_lists import Listed
    from tap_sentry.streams.stored_events import StoredEvents

#: Ids of a list that are remembered: pages of a list that is paged by row can overlap.
REMEMBERED = 1000


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
    #: Whether the server cuts the list by them, as far as is known.
    is_cut: ClassVar[bool] = True

    #: How far before its bookmark the list is read again, if further than `lookback`.
    refresh: ClassVar[timedelta] = timedelta()

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start without slices."""
        super().__init__(tap, run)
        #: The slices of the scans that are being read or prefetched.
        self._slices: dict[Hashable, Slices] = {}
        #: Hashes of the scans of the current project that have been read.
        self._read_scans: set[int] = set()

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
        """Yield the rows of a scan, as `read_pages` does."""
        return self.read_pages(context, scan, self.slices(context, scan).pages())

    def read_pages(
        self,
        context: Context,
        scan: state.Scan,
        pages: Iterator[tuple[Page, datetime, bool]],
    ) -> Iterator[tuple[list[Row], state.Scan | None]]:
        """Yield the rows of a scan page by page, each once and all within its window.

        Each page comes with the scan as it can be resumed after it; None at its end.
        """
        window = Window(scan.window.start, scan.end)
        reached = scan
        seen: dict[object, None] = {}
        for page, start, is_more in pages:
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
                    # A date before all that Sentry holds does not move the scan, nor
                    # does one leave out slices.
                    if date is not None and date >= BEGINNING:
                        date = max(date, start)
                        if date < (reached.at or window.end):
                            reached = replace(reached, at=date)
            if place is None and is_more:
                yield rows, replace(reached, cursor=None)
            else:
                yield rows, resumable(reached, place)
        self.end_slices(context, scan)

    # Lists ----------------------------------------------------------------------------

    @functools.cached_property
    def scan_lists(self) -> ScanLists:
        """Makes and reads the lists."""
        return ScanLists(self)

    @property
    def stored(self) -> StoredEvents | None:
        """Counts the rows of the lists, if the server does."""
        return None

    def listed(self, context: Context, scan: state.Scan) -> Listed | None:
        """Return the issue whose events are listed, if they are those of one."""
        del context, scan
        return None

    def slices(self, context: Context, scan: state.Scan) -> Slices:
        """Return the slices of a scan; the same ones until it has been read."""
        key = self.slices_key(context, scan)
        if key not in self._slices:
            self._slices[key] = Slices(
                self.scan_lists, context, scan, self.stored, self.listed(context, scan)
            )
        return self._slices[key]

    def end_slices(self, context: Context, scan: state.Scan) -> None:
        """Forget the slices of a scan that has been read."""
        key = self.slices_key(context, scan)
        self._slices.pop(key, None)
        self._read_scans.add(hash(key))

    def forget_scans(self) -> None:
        """Forget the scans that have been read, at the end of a project."""
        self._read_scans.clear()

    def slices_key(self, context: Context, scan: state.Scan) -> Hashable:
        """Return what identifies the slices of a scan."""
        return (*context.values(), part_of(scan))

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists of the first scan."""
        for scan in self.scans(context)[:1]:
            yield from self.scan_prefetches(context, scan)

    def scan_prefetches(
        self, context: Context, scan: state.Scan
    ) -> Iterator[Prefetch | None]:
        """Yield the lists of a scan; None while no other is known."""
        if hash(self.slices_key(context, scan)) in self._read_scans:
            # It was read before its turn to be prefetched came.
            return iter(())
        return self.slices(context, scan).prefetches()


def resumable(scan: state.Scan, place: Place | None) -> state.Scan | None:
    """Return the scan to resume at a place; None at the end of a list."""
    return scan.resumable(place.kept_cursor, place.second) if place else None
