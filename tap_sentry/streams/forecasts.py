"""Foretell the requests and records of streams, before they are read."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_sentry.api.paged_list import MAX_HELD, Page, PagedList, PageSizes
from tap_sentry.api.prefetch import Prefetch
from tap_sentry.streams.counts import EventCounts
from tap_sentry.streams.event_ways import length_of
from tap_sentry.streams.events import ProjectEvents
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.issue_children import IssueChild, IssueList
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.slices import PAGES
from tap_sentry.streams.stored_events import PATH as COUNTS
from tap_sentry.windows import Window, split

if TYPE_CHECKING:
    from collections.abc import Hashable

    import requests

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.sync.state import Scan

#: Pages of the lists of issues for each issue, beside those that its events fill: most
#: lists end with a page that is not full.
PER_ISSUE = 0.6


@dataclass(frozen=True)
class Sample:
    """The first page of a list in one context."""

    rows: int
    has_more: bool


@dataclass
class Forecast:
    """What it is expected to take to read a stream, in one or more contexts."""

    #: Requests by endpoint.
    requests: Counter[str] = field(default_factory=Counter)
    #: Records; None if nothing tells how many.
    records: int | None = 0
    #: How many projects are read by project, and by issue.
    ways: Counter[str] = field(default_factory=Counter)

    def add(self, other: Forecast) -> None:
        """Add the forecast for another context."""
        self.requests += other.requests
        self.ways += other.ways
        is_known = self.records is not None and other.records is not None
        self.records = (self.records or 0) + (other.records or 0) if is_known else None


class Forecaster:
    """Foretells streams from Sentry's counts of events and issues."""

    def __init__(self) -> None:
        """Know nothing yet."""
        #: The rows of the lists of `preparations`, by key.
        self.answers: dict[Hashable, list[Row]] = {}

    def preparations(self, stream: SentryStream, context: Context) -> list[Prefetch]:
        """Return the lists that the forecast of a stream depends on."""
        if isinstance(stream, IssueChild):
            stream = stream.parent
        if isinstance(stream, ProjectIssues):
            return [hits(stream, context, scan) for scan in stream.scans(context)]
        if isinstance(stream, EventsOfProjects):
            windows = [(scan, scan.window) for scan in stream.scans(context)]
            return [
                prefetch
                for scan, window in windows
                for prefetch in (
                    stream.stored.prefetch(context, window, length_of(window)),
                    hits(stream.issues, context, scan),
                )
            ]
        return []

    @functools.singledispatchmethod
    def forecast(
        self, stream: SentryStream, context: Context, sample: Sample
    ) -> Forecast:
        """Return what it is expected to take to read a stream in a context.

        Args:
            stream: The stream.
            context: The context.
            sample: The first page of the list in one of its contexts.
        """
        del context
        pages = 2 if sample.has_more else 1
        records = None if sample.has_more else sample.rows
        return Forecast(Counter({stream.reader.current_path: pages}), records)

    @forecast.register(ParentStream)
    def _(self, stream: ParentStream, context: Context, sample: Sample) -> Forecast:
        """The list of a parent has been read."""
        del sample
        rows = stream.rows_of(context)
        pages = math.ceil(len(stream.ids_of(context)) / stream.page_sizes[0])
        requests = Counter({stream.reader.current_path: max(1, pages)})
        return Forecast(requests, len(rows) if stream.selected else 0)

    @forecast.register(IntervalStream)
    def _(self, stream: IntervalStream, context: Context, sample: Sample) -> Forecast:
        """One request for each interval."""
        del sample
        window = stream.reader.retained(context, stream.window(context))
        number = len([*split(window, stream.interval)])
        return Forecast(Counter({stream.reader.current_path: number}), None)

    @forecast.register(EventCounts)
    def _(self, stream: EventCounts, context: Context, sample: Sample) -> Forecast:
        """One request for each stat, or for all of them."""
        del sample
        path, bucket = stream.reader.current_path, stream.run.settings.bucket
        found = Forecast()
        for stats, window in stream.windows(context):
            counted = stream.counted(stats)
            for part in split(stream.reader.retained(context, window), stream.longest):
                number = len([*stream.queries(context, counted, part)])
                points = math.ceil((part.end - part.start) / bucket)
                records = points * len(counted)
                found.add(Forecast(Counter({path: number}), records))
        return found

    @forecast.register(ProjectIssues)
    def _(self, stream: ProjectIssues, context: Context, sample: Sample) -> Forecast:
        """The list of issues, whose head is read twice if it has several pages."""
        del sample
        path, size = stream.reader.current_path, stream.page_sizes[0]
        found = Forecast()
        for scan in stream.scans(context):
            number = self.issues(stream, context, scan)
            pages = max(1, math.ceil(number / size))
            found.add(Forecast(Counter({path: pages + (pages > 1)}), number))
        return found

    @forecast.register(EventsOfProjects)
    def _(self, stream: EventsOfProjects, context: Context, sample: Sample) -> Forecast:
        """The pages of a project or those of its issues, and what they depend on."""
        found = Forecast()
        settings, lists = stream.run.settings, stream.scan_lists
        for scan in stream.scans(context):
            number = self.events(stream, context, scan)
            if number is None:
                path = stream.reader.current_path
                found.add(Forecast(Counter({path: 1 + sample.has_more}), None))
                continue
            size = sample.rows if sample.has_more else stream.page_sizes[0]
            issues = self.issues(stream.issues, context, scan)
            pages = math.ceil(number / size)
            is_open = settings.events_by == "auto" and scan.issue is None
            is_by_issue = settings.events_by == "issue" or scan.issue is not None
            if is_open and lists.is_limited and pages > MAX_HELD:
                is_by_issue = stream.ways.is_faster(pages, issues)
            if is_by_issue:
                spent = by_issue(stream.below, pages, issues)
                spent += Counter({stream.reader.current_path: int(is_open), COUNTS: 1})
                if not stream.issues.selected:
                    spent[stream.issues.reader.current_path] += math.ceil(issues / 100)
            else:
                spent = by_project(stream, pages)
            records = None if stream.is_entries else number
            way = "issue" if is_by_issue else "project"
            found.add(Forecast(spent, records, Counter({way: 1})))
        return found

    @forecast.register(IssueChild)
    def _(self, stream: IssueChild, context: Context, sample: Sample) -> Forecast:
        """The lists of the issues with new events."""
        found = Forecast()
        above = stream.parent.sibling(ProjectEvents)
        for scan in stream.scans(context):
            issues = self.issues(stream.parent, context, scan)
            size = sample.rows if sample.has_more else stream.page_sizes[0]
            number = None
            if not isinstance(stream, IssueList):
                number = self.events(above, context, scan)
            spent = by_issue(stream, math.ceil((number or 0) / size), issues)
            records = None if stream.is_entries else number
            found.add(Forecast(spent, records))
        return found

    def events(
        self, stream: EventsOfProjects, context: Context, scan: Scan
    ) -> int | None:
        """Return how many events Sentry counts in what is left of a scan.

        None if it does not count them.
        """
        length = length_of(scan.window)
        wanted = stream.stored.prefetch(context, scan.window, length)
        if not (rows := self.answers.get(wanted.key)):
            return None
        window = Window(scan.window.start, scan.end)
        counts = (
            int(row["count"])
            for row in rows
            if window.start < row["timestamp"] + length
            and row["timestamp"] < window.end
        )
        return sum(counts)

    def issues(self, stream: ProjectIssues, context: Context, scan: Scan) -> int:
        """Return how many issues Sentry finds in the window of a scan."""
        rows = self.answers.get(hits(stream, context, scan).key, ())
        return sum(int(row["hits"]) for row in rows)


def hits(issues: ProjectIssues, context: Context, scan: Scan) -> Prefetch:
    """Return a list whose only page has the number of the issues of a scan."""
    query = issues.every.parameters(context, scan.window)

    def request(place: object, page_size: int) -> PendingRequest[Page]:
        del place
        pending = issues.reader.request_page(context, query, None, page_size)

        def read(response: requests.Response) -> Page:
            issues.validate_response(response)
            found = response.headers.get("X-Hits", "")
            return Page([{"hits": int(found)}] if found.isdecimal() else [], None)

        pending.read = read
        return pending

    scheduler = issues.run.client.scheduler
    return Prefetch(
        ("hits", *context.values(), scan.window),
        lambda: PagedList(scheduler, request, page_sizes=PageSizes((1,))),
    )


def by_project(stream: EventsOfProjects, pages: int) -> Counter[str]:
    """Return the requests for the pages of a project."""
    path = stream.reader.current_path
    counts = int(pages > 1)
    if pages > MAX_HELD and stream.scan_lists.is_sliced:
        slices = math.ceil((pages - MAX_HELD) / PAGES)
        # The last page of a slice is half full, on average.
        return Counter({path: pages + math.ceil(slices / 2), COUNTS: counts + 1})
    return Counter({path: max(1, pages), COUNTS: counts})


def by_issue(stream: IssueChild, pages: int, issues: int) -> Counter[str]:
    """Return the requests for the pages of the issues of a project."""
    number = max(issues, math.ceil(pages + PER_ISSUE * issues)) if pages else issues
    return Counter({stream.reader.current_path: number})
