"""Streams of what happened at some time: events, their entries, feedback."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import typing as th

from tap_sentry.api import errors, ties
from tap_sentry.api.paged_list import Page, PagedList
from tap_sentry.api.ties import Place
from tap_sentry.records import bodies
from tap_sentry.records.columns import Projection, epoch_to_text
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.columns import ANY_OBJECT
from tap_sentry.sync import state
from tap_sentry.windows import BEGINNING, DAY, Window, parse_instant, to_text

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
    from datetime import datetime

    import requests

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context

#: Rows of a list whose ids are remembered: pages that are counted by rows can overlap.
REMEMBERED = 1000

#: What every Sentry keeps of its events, at least.
KEPT = 30 * DAY

#: What the entries of an event need of it, beside the entries themselves.
ENTRIES_SCHEMA = th.PropertiesList(
    th.Property("eventID", th.StringType),
    th.Property("groupID", th.StringType),
    th.Property("dateCreated", th.DateTimeType),
    th.Property("dateReceived", th.DateTimeType),
).to_dict()

#: Where Sentry sends an array as the data of an entry, it is wrapped.
ENTRY = Projection(
    th.PropertiesList(
        th.Property("type", th.StringType), th.Property("data", ANY_OBJECT)
    ).to_dict(),
    {},
)


class WindowedStream(SentryStream):
    """A list that is read by its dates, newest first, and resumes where it stopped."""

    page_sizes = (100, 25, 5)

    #: The column whose ids the entries in the state belong to.
    state_column: ClassVar[str] = "project_id"

    #: Whether the list holds events: the server may cut it by dates.
    is_events: ClassVar[bool] = True

    #: Whether the records are the entries of the events in the list.
    is_entries: ClassVar[bool] = False

    #: Whether the server cuts the list by `start` and `end`, until it shows otherwise.
    is_cut: bool = True

    @property
    def row_schema(self) -> Mapping[str, Any]:
        """The columns of an event that its entries need; else those of the records."""
        return ENTRIES_SCHEMA if self.is_entries else self.schema

    def query(self, window: Window) -> Mapping[str, Any]:
        """The parameters of a scan, or of a part of it."""
        if not self.is_events:
            return {}
        # Dates of requests have whole seconds.
        query = {"start": to_text(window.start), "end": to_text(window.end)}
        if self.is_entries or self.run.settings.full_events:
            # `full=false` would read as true on some servers.
            query["full"] = "true"
        return query

    def normalize(self, sent: Row, row: Row) -> Row:
        """Give an event that has no `dateCreated` (performance issues) its end."""
        if not self.is_events:
            return row
        if self.is_entries:
            row["entries"] = sent.get("entries")
        if bodies.decode_value(row.get("eventID")) is None and "id" in sent:
            key = bodies.decode_value(sent["id"])
            row["eventID"] = None if key is None else str(key)
        if instant_of(row, "dateCreated") is None:
            row["dateCreated"] = bodies.decode_value(row.get("dateReceived"))
            ended = bodies.decode_value(sent.get("endTimestamp"))
            if isinstance(ended, (int, float)):
                row["dateCreated"] = epoch_to_text(ended)
        return row

    def records(self, context: Context) -> Iterable[Row]:
        """The records of what is left of an interrupted scan, then of what is new."""
        keeps = self.saves_state
        for scan in self.scans(context):
            is_complete = yield from self.walk(context, scan, keeps=keeps)
            # After a scan with a gap, the state stays before the gap.
            keeps = keeps and is_complete
            if keeps:
                self.run.bookmarks.finish(self.name, self.key(context), scan)
            self.run.checkpoint()

    def key(self, context: Context) -> str:
        """Return the id that the entry in the state belongs to."""
        return str(context[self.state_column])

    def scans(self, context: Context) -> list[state.Scan]:
        """What there is to read. Creates nothing in the state."""
        settings = self.run.settings
        entry: state.Entry = {}
        if self.saves_state:
            entry = self.run.bookmarks.entry(self.name, self.key(context))
        return state.plan(
            entry, start=settings.start, end=settings.end, lookback=settings.lookback
        )

    def walk(
        self, context: Context, scan: state.Scan, *, keeps: bool
    ) -> Generator[Row, None, bool]:
        """The records of a scan, and whether it is complete."""
        for rows, reached in self.read(context, scan):
            for row in rows:
                yield from self.records_of(row, context)
            self.progress(context, reached, keeps=keeps)
        return True

    def progress(
        self, context: Context, reached: state.Scan | None, *, keeps: bool
    ) -> None:
        """Keep how far a scan has come, now that all of it is written."""
        if keeps and reached is not None:
            self.run.bookmarks.progress(self.name, self.key(context), reached)
        self.run.checkpoint()

    def records_of(self, row: Row, context: Context) -> Iterable[Row]:
        """The records that a row of the list makes."""
        if self.is_events:
            issue = bodies.decode_value(row.get("groupID"))
            row["issue_id"] = context.get("issue_id") if issue is None else issue
        return entries_of(row) if self.is_entries else (row,)

    def read(
        self, context: Context, scan: state.Scan
    ) -> Iterator[tuple[list[Row], state.Scan | None]]:
        """The rows of a scan, page by page, none twice and none outside its window.

        With each page comes how far the scan has come with it, if that can be kept and
        there is more.
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
                date = instant_of(row, "dateCreated")
                key = bodies.decode_value(row.get(self.id_column))
                if date is not None and date not in window:
                    self.run.results.add_outside(self.name)
                elif key not in seen:
                    seen[key] = None
                    if len(seen) > most:
                        del seen[next(iter(seen))]
                    rows.append(row)
                    # A date before all that Sentry holds says nothing of the others.
                    if date is not None and BEGINNING <= date < (
                        reached.at or window.end
                    ):
                        reached = replace(reached, at=date)
            yield rows, resumable(reached, place)

    def scan_pages(self, context: Context, scan: state.Scan) -> Iterator[Page]:
        """The pages of a scan.

        Sentry fails (500, 400) where all of a window is older than what it keeps, and
        refuses cursors that it does not know: a scan that lay idle too long is asked
        for from its top, which Sentry cuts.
        """
        is_read = False
        try:
            for page in self.listed_pages(context, scan):
                is_read = True
                yield page
        except (errors.TransientError, errors.RejectedError):
            is_old = scan.at and self.run.settings.end - scan.end >= KEPT
            if is_read or not (is_old or scan.cursor):
                raise
            top = replace(scan, at=None, cursor=None)
            yield from self.listed_pages(context, top)

    def listed_pages(self, context: Context, scan: state.Scan) -> Iterator[Page]:
        """Yield the pages of a scan, from a later start if Sentry keeps less."""
        place: Place | None = None

        def rest() -> Prefetch:
            return self.scan_want(context, scan, place)

        window = Window(scan.window.start, scan.end) if self.is_events else None
        for page in self.reader.pages(context, rest, window):
            place = cast("Place | None", page.following)
            yield page

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """The list of the scan that comes first."""
        for scan in self.scans(context)[:1]:
            yield self.scan_want(context, scan)

    def scan_want(
        self, context: Context, scan: state.Scan, place: Place | None = None
    ) -> Prefetch:
        """Return the list of a scan, or what is left of it at a place."""
        make = functools.partial(self.scan_listing, context, scan, place)
        part = part_of(scan) if place is None else (part_of(scan), place)
        return self.reader.prefetch(context, make, part=part)

    def scan_listing(
        self, context: Context, scan: state.Scan, start: Place | None = None
    ) -> PagedList:
        """Return the pages of a scan. A server that ignores dates is stopped by them.

        Args:
            context: The context of the list.
            scan: The scan.
            start: The place at which the list starts; None for the scan's own.
        """
        whole = Window(scan.window.start, scan.end)
        kept = self.reader.retained(context, whole)

        def is_older(page: Page) -> bool:
            place = cast("Place | None", page.following)
            if place and place.second:
                return False
            # The first row is enough for nearly every page.
            dates = (newest_of(row) for row in page.rows)
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

            def placed(response: requests.Response) -> Page:
                return self.placed(read(response), place, window)

            pending.read = placed
            return pending

        return PagedList(
            self.run.client.scheduler,
            ask,
            page_sizes=self.page_sizes,
            place=start or Place(scan.cursor),
            is_last=is_older,
        )

    def placed(self, page: Page, place: Place, window: Window) -> Page:
        """A page with the place where the list goes on; in a thread of the fetcher."""
        cursor = cast("str | None", page.following)
        if cursor is None and not place.tie:
            return page
        dated = [
            (bodies.decode_value(row.get(self.id_column)), date)
            for row in page.rows
            if (date := instant_of(row, "dateCreated")) is not None
        ]
        first, last = (
            date.replace(microsecond=0) for date in (window.start, window.end)
        )
        if not all(first <= date < last for _, date in dated):
            self.is_cut = False
            if instead := ties.uncut(place):
                # These rows are those of the list's top.
                return Page([], instead.place, page.size, instead.missed)
        turn = ties.turn(place, dated, cursor, is_cut=self.is_cut)
        return replace(page, following=turn.place, missed=turn.missed)


def resumable(scan: state.Scan, place: Place | None) -> state.Scan | None:
    """The scan as a later run can resume it, if the list goes on at a place."""
    return scan.resumable(place.kept_cursor, place.second) if place else None


def part_of(scan: state.Scan) -> Hashable:
    """What the list of a scan is known by, however far the scan has come."""
    return scan.window.start, scan.window.end, scan.issue


def entries_of(event: Row) -> Iterator[Row]:
    """The entries of an event in Sentry's order, each with the ids of the event."""
    for index, fields in enumerate(bodies.array_objects(event.get("entries"))):
        entry = ENTRY(fields)
        yield {
            "issue_id": event["issue_id"],
            "event_id": event["eventID"],
            "entry_index": index,
            "type": entry.get("type"),
            "data": entry.get("data"),
            "dateCreated": event.get("dateCreated"),
        }


def newest_of(row: Row) -> datetime | None:
    """The later of an event's two dates: servers order by the one or the other."""
    dates = [instant_of(row, column) for column in ("dateCreated", "dateReceived")]
    return max((date for date in dates if date is not None), default=None)


def instant_of(row: Row, column: str) -> datetime | None:
    """The date in a column, if there is one."""
    text = bodies.decode_value(row.get(column))
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None
