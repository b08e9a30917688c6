"""`--plan`: estimate the records, requests and time of a run.

It reads the lists of organizations, projects and other parents, Sentry's counts of the
events and issues of each project, and the first page of each other list.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from singer_sdk.exceptions import SingerSDKError

from tap_sentry.api import errors
from tap_sentry.cli.durations import START, Durations
from tap_sentry.cli.plan_table import Line, table
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.forecasts import Forecast, Forecaster
from tap_sentry.streams.issue_children import IssueChild
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.samples import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tap_sentry.api.paged_list import PagedList
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.tap import TapSentry


class Plan:
    """Estimates a run of a tap."""

    def __init__(self, tap: TapSentry) -> None:
        """Request nothing yet."""
        self._tap = tap
        self._run = tap.run
        self._forecaster = Forecaster()
        #: The contexts of each stream, and why those of a stream are not known.
        self._contexts: dict[SentryStream, list[Context]] = {}
        self._reasons: dict[SentryStream, str] = {}
        #: The requests for the lists of parents; a run sends the same.
        self._sent: Counter[str] = Counter()
        client = self._run.client
        self._sampler = Sampler(client, self._forecaster.all_events)
        self._durations = Durations(client.scheduler, self._sampler.seconds)

    def lines(self) -> list[Line]:
        """Return the forecast of each stream that sends requests, and their sum."""
        for stream in self._tap.sentry_streams:
            if not stream.parent:
                self._visit(stream, {})
        self._sent = Counter(self._run.client.scheduler.sent)
        self._prepare()
        found = [self._line(stream) for stream in self._contexts]
        found = self._with_issues(found)
        total = Line("total")
        for line in found:
            line.seconds = self._durations.seconds(line.forecast)
            records = line.forecast.records or 0
            total.forecast.add(replace(line.forecast, records=records, ways=Counter()))
        total.seconds = START + self._durations.seconds(total.forecast)
        return [*found, total]

    def _visit(self, stream: SentryStream, context: Context) -> None:
        """Collect the contexts of a stream and of those below it."""
        if not is_used(stream):
            return
        if stream.selected or isinstance(stream, ParentStream):
            self._contexts.setdefault(stream, []).append(context)
        below = [child for child in self._tap.sentry_streams if child.parent is stream]
        if isinstance(stream, ProjectIssues):
            for child in below:
                self._visit(child, context)
        if isinstance(stream, ParentStream):
            self._visit_below(stream, context, below)

    def _visit_below(
        self, stream: ParentStream, context: Context, below: list[SentryStream]
    ) -> None:
        """Collect the contexts of the streams below the rows of a parent."""
        try:
            rows = stream.rows_of(context)
        except errors.SKIPPABLE_ERRORS as error:
            if stream.is_essential:
                raise
            self._reasons[stream] = reason_of(error)
            return
        contexts = [stream.get_child_context(row, context) for row in rows]
        for child in below:
            if isinstance(child, ParentStream) and is_used(child):
                child.check_names(contexts)
        for row, one in zip(rows, contexts, strict=True):
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
                    self._sampler.sample(issues, contexts[:1])
        wanted = {
            prefetch.key: prefetch
            for stream, contexts in self._contexts.items()
            for context in contexts
            for prefetch in self._forecaster.preparations(stream, context)
        }
        started = time.monotonic()
        alone = 0.0
        lists: dict[Hashable, PagedList] = {}
        lacking: Hashable = None
        for key, prefetch in wanted.items():
            if kind_of(key) == lacking:
                continue
            lists[key] = prefetch.make().start()
            if not alone:
                if self._answer(key, lists.pop(key)):
                    lacking = kind_of(key)
                alone = time.monotonic() - started
        for key, paged_list in lists.items():
            self._answer(key, paged_list)
        self._durations.learn(alone, len(lists), time.monotonic() - started - alone)

    def _answer(self, key: Hashable, paged_list: PagedList) -> bool:
        """Keep the rows of a list; return whether the server has no such lists."""
        try:
            rows = [row for page in paged_list for row in page.rows]
        except errors.SKIPPABLE_ERRORS as error:
            return errors.says_missing(error)
        self._forecaster.answers[key] = rows
        return False

    def _line(self, stream: SentryStream) -> Line:
        """Return the forecast of a stream."""
        line = Line(stream.name, reason=self._reasons.get(stream, ""))
        contexts = self._contexts[stream]
        if isinstance(stream, ParentStream):
            requests = Counter({stream.reader.current_path: self._sent[stream.name]})
            read = [context for context in contexts if stream.is_read(context)]
            rows = sum(len(stream.rows_of(context)) for context in read)
            records = None if line.reason else rows if stream.selected else 0
            line.forecast = Forecast(requests, records)
            return line
        try:
            sample = self._sampler.sample(stream, contexts)
            for context in contexts:
                line.forecast.add(self._forecaster.forecast(stream, context, sample))
            line.forecast.requests[stream.path] += self._sampler.tries[stream.name]
        except errors.SKIPPABLE_ERRORS as error:
            line.reason = reason_of(error)
            # A list that is denied or not found is requested in each context.
            is_missing = isinstance(error, errors.MissingEndpointError)
            number = 1 if is_missing else len(contexts)
            number *= 1 + self._sampler.tries[stream.name]
            line.forecast = Forecast(Counter({stream.path: number}), None)
        return line

    def _with_issues(self, found: list[Line]) -> list[Line]:
        """Give the lists of issues that other streams need a line of their own."""
        issues = next(
            s for s in self._tap.sentry_streams if isinstance(s, ProjectIssues)
        )
        path, line, at = issues.reader.current_path, Line(issues.name), None
        for place, other in enumerate(found):
            if other.name != line.name and (n := other.forecast.requests.pop(path, 0)):
                line.forecast.requests[path] += n
                at = place if at is None else at
        for other in found:
            if other.name == line.name:
                other.forecast.add(line.forecast)
                return found
        return found if at is None else [*found[:at], line, *found[at:]]


def is_used(stream: SentryStream) -> bool:
    """Return whether a run reads a stream, for itself or for one below it."""
    return stream.selected or stream.has_selected_descendents


def kind_of(key: Hashable) -> Hashable:
    """Return which kind of list a key belongs to."""
    return key[0] if isinstance(key, tuple) else key


def issues_above(stream: SentryStream) -> ProjectIssues | None:
    """Return the stream of issues that a stream needs, if it needs it."""
    if isinstance(stream, EventsOfProjects):
        return stream.issues
    if isinstance(stream, IssueChild):
        return stream.parent
    return stream if isinstance(stream, ProjectIssues) else None


def reason_of(error: errors.SentryError) -> str:
    """Return why a stream cannot be estimated, in a few words."""
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
