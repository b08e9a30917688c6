"""Estimate the requests and records of streams, before they are read."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_sentry.api.budget import FAR, MAX_BYTES
from tap_sentry.api.paged_list import MAX_HELD, Page, PagedList, PageSizes
from tap_sentry.api.prefetch import Prefetch
from tap_sentry.streams.counts import EventCounts
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.issue_children import IssueChild, IssueList
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.samples import Sample, events_of
from tap_sentry.streams.slices import PAGES
from tap_sentry.streams.stored_events import PATH as COUNTS
from tap_sentry.streams.stored_events import length_of
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.windows import Window, split

if TYPE_CHECKING:
    from collections.abc import Hashable

    import requests

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.streams.issue_lists import IssueLists
    from tap_sentry.sync.state import Scan

#: Pages of the lists of issues for each issue, beside those that its events fill: most
#: lists end with a page that is not full.
PER_ISSUE = 0.6


@dataclass
class Forecast:
    """What it is expected to take to read a stream, in one or more contexts."""

    #: Requests by endpoint.
    requests: Counter[str] = field(default_factory=Counter)
    #: Records; None if nothing tells how many.
    records: int | None = 0
    #: How many projects are read by project, and by issue.
    ways: Counter[str] = field(default_factory=Counter)
    #: Those of the requests that are sent one after the other.
    chained: Counter[str] = field(default_factory=Counter)

    def add(self, other: Forecast) -> None:
        """Add the forecast for another context."""
        self.requests += other.requests
        self.chained += other.chained
        self.ways += other.ways
        is_known = self.records is not None and other.records is not None
        self.records = (self.records or 0) + (other.records or 0) if is_known else None


class Forecaster:
    """Estimates streams from Sentry's counts of events and issues."""

    def __init__(self) -> None:
        """Know nothing yet."""
        #: The rows of the lists of `preparations`, by key.
        self.answers: dict[Hashable, list[Row]] = {}
        #: The lists of issues that are estimated for a stream already.
        self._listed: set[Hashable] = set()

    def preparations(self, stream: SentryStream, context: Context) -> list[Prefetch]:
        """Return the lists that the forecast of a stream depends on."""
        scans = stream.scans(context) if isinstance(stream, WindowedStream) else []
        events, lists = None, None
        if isinstance(stream, EventsOfProjects):
            events, issues = stream, stream.issues
            lists = issues.every
        elif isinstance(stream, (IssueChild, ProjectIssues)):
            issues = stream.parent if isinstance(stream, IssueChild) else stream
            lists = issues.lists
            if isinstance(stream, IssueChild) and not isinstance(stream, IssueList):
                events = events_of(stream)
        found = []
        for scan in scans:
            if events:
                length = length_of(scan.window)
                found.append(events.stored.prefetch(context, scan.window, length))
            if lists:
                found.append(hits(issues, lists, context, scan))
        return found

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
        pages = 2 if sample.has_more else 1
        is_whole = context == sample.context and not sample.has_more
        records = sample.rows if is_whole else None
        return Forecast(Counter({stream.reader.current_path: pages}), records)

    @forecast.register(WindowedStream)
    def _(self, stream: WindowedStream, context: Context, sample: Sample) -> Forecast:
        """Estimate one list for each window that can have new rows."""
        pages = (2 if sample.has_more else 1) * len(stream.scans(context))
        return Forecast(Counter({stream.reader.current_path: pages}), None)

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
                records = points * len(counted) if number else 0
                found.add(Forecast(Counter({path: number}), records))
        return found

    @forecast.register(ProjectIssues)
    def _(self, stream: ProjectIssues, context: Context, sample: Sample) -> Forecast:
        """The list of issues, whose head is read twice if it has several pages."""
        found = Forecast()
        size = size_of(stream, sample)
        for scan in stream.scans(context):
            number = self.issues(stream.lists, context, scan)
            spent = self.listing(stream, stream.lists, context, scan, size)
            found.add(Forecast(spent, number))
        return found

    @forecast.register(EventsOfProjects)
    def _(self, stream: EventsOfProjects, context: Context, sample: Sample) -> Forecast:
        """The pages of a project or those of its issues, and what they depend on."""
        found = Forecast()
        for scan in stream.scans(context):
            number = self.events(stream, context, scan)
            is_by_issue = self.is_by_issue(stream, context, scan, sample)
            pages = math.ceil((number or 0) / size_of(stream, sample))
            if is_by_issue:
                lists = stream.issues.every
                issues = self.issues(lists, context, scan)
                spent = by_issue(stream.below, pages, issues)
                is_open = stream.ways.may_choose(scan)
                spent += Counter({stream.reader.current_path: int(is_open), COUNTS: 1})
                spent += self.listing(stream.issues, lists, context, scan)
            elif number is None:
                spent = Counter({stream.reader.current_path: 1 + sample.has_more})
            else:
                spent = by_project(stream, pages)
                if not stream.scan_lists.is_sliced:
                    path = stream.reader.current_path
                    found.chained[path] += max(0, pages - ahead(stream, sample))
            way = "issue" if is_by_issue else "project"
            way += " without a count" if number is None else ""
            records = None if stream.is_entries else number
            found.add(Forecast(spent, records, Counter({way: 1})))
        return found

    @forecast.register(IssueChild)
    def _(self, stream: IssueChild, context: Context, sample: Sample) -> Forecast:
        """The lists of the issues with new events, unless another stream reads them."""
        found = Forecast(records=0 if stream.has_own_requests else None)
        if not stream.has_own_requests:
            return found
        settings, issues = stream.run.settings, stream.parent
        for scan in stream.scans(context):
            listed = self.issues(issues.lists, context, scan)
            spent = self.listing(issues, issues.lists, context, scan)
            number = None
            if settings.issue_ids and issues.chosen.is_available:
                listed, spent = len(issues.ids_of(context, scan.window)), Counter()
            elif not isinstance(stream, IssueList) and not settings.issue_ids:
                above = events_of(stream)
                if not settings.issue_query:
                    number = self.events(above, context, scan)
                if (
                    above.selected
                    and stream.shares(context, scan)
                    and self.is_by_issue(above, context, scan, sample)
                ):
                    found.add(Forecast(records=None if stream.is_entries else number))
                    continue
            pages = math.ceil((number or 0) / size_of(stream, sample))
            spent += by_issue(stream, pages, listed)
            found.add(Forecast(spent, None if stream.is_entries else number))
        return found

    def is_by_issue(
        self, stream: EventsOfProjects, context: Context, scan: Scan, sample: Sample
    ) -> bool:
        """Return whether a run reads the events of a project from those of issues."""
        ways = stream.ways
        if not ways.may_choose(scan):
            return bool(ways.is_by_issue(context, scan))
        number = self.events(stream, context, scan) or 0
        pages = math.ceil(number / size_of(stream, sample))
        if not stream.scan_lists.is_limited or pages <= MAX_HELD:
            return False
        return ways.is_faster(pages, self.issues(stream.issues.every, context, scan))

    def listing(
        self,
        stream: ProjectIssues,
        lists: IssueLists,
        context: Context,
        scan: Scan,
        size: int = 100,
    ) -> Counter[str]:
        """Return the requests for a list of issues, which streams share."""
        key = hits(stream, lists, context, scan).key
        if key in self._listed:
            return Counter()
        self._listed.add(key)
        pages = max(1, math.ceil(self.issues(lists, context, scan) / size))
        return Counter({stream.reader.current_path: pages + (pages > 1)})

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

    def all_events(self, stream: EventsOfProjects, context: Context) -> int:
        """Return how many events Sentry counts in what is left of all scans."""
        found = (self.events(stream, context, scan) for scan in stream.scans(context))
        return sum(number or 0 for number in found)

    def issues(self, lists: IssueLists, context: Context, scan: Scan) -> int:
        """Return how many issues Sentry finds in the window of a scan."""
        rows = self.answers.get(hits_key(lists, context, scan), ())
        return sum(int(row["hits"]) for row in rows)


def size_of(stream: WindowedStream, sample: Sample) -> int:
    """Return how many rows a page has."""
    return sample.rows if sample.has_more and sample.rows else stream.page_sizes[0]


def ahead(stream: WindowedStream, sample: Sample) -> int:
    """Return how many pages of a list have arrived when it is read."""
    room = FAR * MAX_BYTES / stream.run.settings.concurrency
    return min(MAX_HELD, int(room / max(sample.size, 1)))


def hits_key(lists: IssueLists, context: Context, scan: Scan) -> tuple[Hashable, ...]:
    """Return what identifies the number of the issues of a scan."""
    above = (context["organization_id"], context["project_id"])
    return ("hits", *above, scan.window, lists.query)


def hits(
    issues: ProjectIssues, lists: IssueLists, context: Context, scan: Scan
) -> Prefetch:
    """Return a list whose only page has the number of the issues of a scan."""
    query = lists.parameters(context, scan.window)

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
        hits_key(lists, context, scan),
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
