"""`--plan`: foretell the records, requests and time of a run, and read nothing.

It reads the lists of organizations, projects and other parents, Sentry's counts of the
events and issues of each project, and the first page of each other list.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import SingerSDKError

from tap_sentry.api import errors
from tap_sentry.cli.summary import duration
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.forecasts import Forecast, Forecaster, Sample, hits
from tap_sentry.streams.issue_children import IssueChild
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.parents import ParentStream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from tap_sentry.api.paged_list import Page, PagedList
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.tap import TapSentry

#: Seconds of the limits of endpoints that are not those of a second.
#: https://docs.sentry.io/api/ratelimits/
WINDOWS = {
    "/projects/{organization}/{project}/events/": 60,
    "/projects/{organization}/{project}/users/": 60,
}
#: Seconds of processor time for a request and a record.
EACH_REQUEST, EACH_RECORD = 0.0015, 0.00004
#: Seconds until the first request.
START = 0.4
HEADER = ("stream", "records", "requests", "time", "how")


@dataclass
class Line:
    """The forecast of a stream."""

    name: str
    forecast: Forecast = field(default_factory=Forecast)
    #: Why it cannot be foretold, if it cannot.
    reason: str = ""
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """All requests."""
        return self.forecast.requests.total()

    @property
    def how(self) -> str:
        """How it is read, such as `9 projects by issue`."""
        ways = sorted(self.forecast.ways.items())
        return self.reason or ", ".join(f"{n:,} by {way}" for way, n in ways)

    def to_json(self) -> dict[str, Any]:
        """Return the line as an object."""
        return {
            "stream": self.name,
            "records": self.forecast.records,
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "how": self.how,
        }


class Plan:
    """Foretells a run of a tap."""

    def __init__(self, tap: TapSentry) -> None:
        """Request nothing yet."""
        self._tap = tap
        self._run = tap.run
        self._forecaster = Forecaster()
        #: The contexts of each stream, and why those of a stream are not known.
        self._contexts: dict[SentryStream, list[Context]] = {}
        self._reasons: dict[SentryStream, str] = {}
        self._samples: dict[str, Sample] = {}
        #: Seconds of a request that is sent alone, by endpoint.
        self._alone: dict[str, float] = {}
        #: How many requests the server answers in the time of one.
        self._abreast = float(self._run.settings.concurrency)

    def lines(self) -> list[Line]:
        """Return the forecast of each stream that sends requests, and their sum."""
        for stream in self._tap.sentry_streams:
            if not stream.parent:
                self._visit(stream, {})
        self._prepare()
        found = [self._line(stream) for stream in self._contexts]
        total = Line("total")
        for line in found:
            line.seconds = self._seconds(line.forecast)
            total.forecast.requests += line.forecast.requests
        known = (line.forecast.records for line in found)
        total.forecast.records = sum(number or 0 for number in known)
        total.seconds = START + self._seconds(total.forecast)
        return [*found, total]

    def _visit(self, stream: SentryStream, context: Context) -> None:
        """Collect the contexts of a stream and of those below it."""
        if not (stream.selected or stream.has_selected_descendents):
            return
        if stream.selected or isinstance(stream, ParentStream):
            self._contexts.setdefault(stream, []).append(context)
        below = [child for child in self._tap.sentry_streams if child.parent is stream]
        if isinstance(stream, ProjectIssues):
            for child in below:
                self._visit(child, context)
        if isinstance(stream, ParentStream):
            try:
                rows = stream.rows_of(context)
            except errors.SKIPPABLE_ERRORS as error:
                self._reasons[stream] = reason_of(error)
                return
            for row in rows:
                one = stream.get_child_context(row, context)
                for child in below:
                    if child.visits(row, one):
                        self._visit(child, one)

    def _prepare(self) -> None:
        """Request what the forecasts depend on: one alone, the others side by side."""
        for stream, contexts in self._contexts.items():
            issues = issues_above(stream)
            if issues and issues.reader.is_unverified:
                # The lists of issues of old servers have another path.
                with contextlib.suppress(*errors.SKIPPABLE_ERRORS):
                    self._sample(issues, contexts[0])
        wanted = {
            prefetch.key: prefetch
            for stream, contexts in self._contexts.items()
            for context in contexts
            for prefetch in self._forecaster.preparations(stream, context)
        }
        started = time.monotonic()
        alone = 0.0
        lists: dict[Hashable, PagedList] = {}
        for key, prefetch in wanted.items():
            lists[key] = prefetch.make().start()
            if not alone:
                self._answer(key, lists.pop(key))
                alone = time.monotonic() - started
        for key, paged_list in lists.items():
            self._answer(key, paged_list)
        rest = time.monotonic() - started - alone
        if len(lists) >= 2 * self._abreast:
            self._abreast = min(max(alone * len(lists) / rest, 1.0), self._abreast)

    def _answer(self, key: Hashable, paged_list: PagedList) -> None:
        """Keep the rows of a list for the forecasts."""
        with contextlib.suppress(*errors.SKIPPABLE_ERRORS):
            rows = [row for page in paged_list for row in page.rows]
            self._forecaster.answers[key] = rows

    def _line(self, stream: SentryStream) -> Line:
        """Return the forecast of a stream."""
        line = Line(stream.name, reason=self._reasons.get(stream, ""))
        contexts = self._contexts[stream]
        try:
            sample = self._sample(stream, self._largest(stream, contexts))
            for context in contexts:
                line.forecast.add(self._forecaster.forecast(stream, context, sample))
        except errors.SKIPPABLE_ERRORS as error:
            line.reason = reason_of(error)
            # A list that is denied or not found is requested in each context.
            is_missing = isinstance(error, errors.MissingEndpointError)
            number = 1 if is_missing else len(contexts)
            line.forecast = Forecast(Counter({stream.path: number}), None)
        return line

    def _largest(self, stream: SentryStream, contexts: list[Context]) -> Context:
        """Return the context of which the first page says most."""
        if not isinstance(stream, EventsOfProjects):
            return contexts[0]

        def size(context: Context) -> int:
            scans = stream.scans(context)
            found = (self._forecaster.events(stream, context, scan) for scan in scans)
            return sum(number or 0 for number in found)

        return max(contexts, key=size)

    def _sample(self, stream: SentryStream, context: Context) -> Sample:
        """Request the first page of a stream in a context.

        Raises:
            SentryError: If it cannot be read.
        """
        if isinstance(stream, ParentStream):
            return Sample(0, has_more=False)
        if isinstance(stream, IssueChild):
            # Its pages are like those of projects.
            above = "project_event_entries" if stream.is_entries else "project_events"
            return self._samples.get(above, Sample(stream.page_sizes[0], has_more=True))
        started = time.monotonic()

        def read() -> Iterator[Page]:
            wanted = next(stream.prefetches(context), None)
            if isinstance(stream, ProjectIssues):
                scans = stream.scans(context)[:1]
                wanted = hits(stream, context, scans[0]) if scans else None
            if wanted is not None:
                yield wanted.make().first()

        for page in stream.reader.with_fallback(context, read):
            path = stream.reader.current_path
            self._run.client.endpoints.add_answer(path, stream.needed_scopes)
            self._alone[path] = time.monotonic() - started
            sample = Sample(len(page.rows), page.following is not None)
            self._samples[stream.name] = sample
            return sample
        return Sample(0, has_more=False)

    def _seconds(self, forecast: Forecast) -> float:
        """Return how long requests take at the limits that the server states."""
        scheduler = self._run.client.scheduler
        usual = statistics.median(self._alone.values()) if self._alone else 0.1
        busy, limited = 0.0, defaultdict["Hashable", float](float)
        for path, number in forecast.requests.items():
            limiter = next(iter(scheduler.limiters_of([path])), None)
            abreast = self._abreast
            if limiter and limiter.limit:
                window = WINDOWS.get(path, 1)
                # Endpoints with the same limit may share it.
                bucket = path if window > 1 else (limiter.limit, limiter.concurrent)
                limited[bucket] += number * window / limiter.limit
            if limiter and limiter.concurrent:
                abreast = min(abreast, limiter.concurrent)
            busy += number * self._alone.get(path, usual) / abreast
        work = forecast.requests.total() * EACH_REQUEST
        work += (forecast.records or 0) * EACH_RECORD
        return max(busy, work, *limited.values())


def issues_above(stream: SentryStream) -> ProjectIssues | None:
    """Return the stream of issues that a stream needs, if it needs it."""
    if isinstance(stream, EventsOfProjects):
        return stream.issues
    if isinstance(stream, IssueChild):
        return stream.parent
    return stream if isinstance(stream, ProjectIssues) else None


def reason_of(error: errors.SentryError) -> str:
    """Return why a stream cannot be foretold, in a few words."""
    if isinstance(error, errors.MissingEndpointError):
        return "missing on this server"
    if isinstance(error, errors.ForbiddenError):
        return "denied: see --test"
    return str(error)


def show(tap: TapSentry, form: str, say: Callable[[str], object]) -> int:
    """Print the forecast of a run as a table or as JSON; return the exit code."""
    try:
        lines = Plan(tap).lines()
    except (errors.SentryError, SingerSDKError) as error:
        tap.logger.error("%s", error)  # noqa: TRY400 - one line
        return 1
    finally:
        tap.run.client.close()
    if form == "json":
        say(json.dumps([line.to_json() for line in lines], indent=2))
    else:
        say(table(lines))
    return 0


def table(lines: list[Line]) -> str:
    """Format a forecast."""
    rows = [HEADER]
    for line in lines:
        records = line.forecast.records
        rows.append(
            (
                line.name,
                "~" if records is None else f"{records:,}",
                f"{line.requests:,}",
                duration(line.seconds),
                line.how,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:{widths[0]}}  {records:>{widths[1]}}  {requests:>{widths[2]}}  "
        f"{seconds:>{widths[3]}}  {how}".rstrip()
        for name, records, requests, seconds, how in rows
    )
