"""The base class of events of projects, read by project or by issue."""

from __future__ import annotations

import contextlib
import functools
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tap_sentry.api import errors
from tap_sentry.streams.event_audit import Audit, Tally
from tap_sentry.streams.event_ways import EventWays
from tap_sentry.streams.issue_children import IssueChild
from tap_sentry.streams.issue_lists import Listed
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.stored_events import StoredEvents, length_of
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.sync.state import Scan
from tap_sentry.windows import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from datetime import datetime

    from singer_sdk import Tap

    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.slices import Slices

    Pages = Iterator[tuple[Page, datetime, bool]]

#: An issue that an event names and no list shows.
UNLISTED = Listed(None, None, None, is_error=True)


@dataclass(frozen=True)
class Issue:
    """An issue whose events are read."""

    id: int
    context: Context
    #: Whether its events are error events.
    is_error: bool


class EventsOfProjects(WindowedStream):
    """Events of projects, from the list of a project or from those of its issues."""

    #: The stream whose lists have the events of an issue.
    issue_stream: ClassVar[str]

    def __init__(self, tap: Tap, run: Run) -> None:
        """Choose and compare nothing yet."""
        super().__init__(tap, run)
        self.ways = EventWays(self)
        self.audit = Audit(self)

    @functools.cached_property
    def issues(self) -> ProjectIssues:
        """The stream of issues."""
        return self.sibling(ProjectIssues)

    @functools.cached_property
    def below(self) -> IssueChild:
        """The stream of the events of issues."""
        return next(
            stream
            for stream in self.issues.child_streams
            if isinstance(stream, IssueChild) and stream.name == self.issue_stream
        )

    @functools.cached_property
    def stored(self) -> StoredEvents:
        """Sentry's own count of the events."""
        return StoredEvents(self)

    def slices(self, context: Context, scan: Scan) -> Slices:
        """Return the slices of a scan; they pause where there is a choice."""
        slices = super().slices(context, scan)
        slices.pauses = self.ways.may_choose(scan)
        return slices

    # By project -----------------------------------------------------------------------

    def walk(
        self, context: Context, scan: Scan, *, saves: bool
    ) -> Generator[Row, None, bool]:
        """Yield the records of a scan, by project or by issue."""
        pages: Pages = self.slices(context, scan).pages()
        first, is_whole = [], True
        if self.ways.may_choose(scan):
            first = [*itertools.islice(pages, 1)]
            for page, *_ in first:
                # The newest events may name issues that no list shows yet.
                is_whole = self.issues.every.add_rows(
                    context, page.rows, self.scan_lists.date_of
                )
        # Events that are in no issue are only in the list of the project.
        if not (is_whole and self.ways.is_by_issue(context, scan, waits=True)):
            yield from self._by_project(
                context, scan, itertools.chain(first, pages), saves=saves
            )
            return True
        del pages
        tally, every = self.tally(context, scan), self.issues.every
        is_complete, shares = yield from self._by_issue(
            context, scan, tally, saves=saves
        )
        self.end_slices(context, scan)
        named = every.named(context, scan.window)
        if is_complete:
            yield from self._check(context, scan, tally, by_issue=True)
        if shares:
            new = every.named(context, scan.window) - named
            self.below.finish(context, scan, new)
        return is_complete

    def _by_project(
        self, context: Context, scan: Scan, pages: Pages, *, saves: bool
    ) -> Iterator[Row]:
        """Yield the records of a scan from the list of the project."""
        tally = self.tally(context, scan)
        number, oldest = 0, None
        for rows, reached in self.read_pages(context, scan, pages):
            for row in rows:
                yield from self.records_of(row, context)
            self.progress(context, reached, saves=saves)
            tally.add(rows, self.scan_lists.date_of)
            number += 1
            oldest = self.scan_lists.date_of(rows[-1]) if rows else oldest
        # A list of one page cannot lack rows, unless the server cuts it to some days.
        may_be_cut = self.audit.may_be_cut(context, scan, oldest)
        self.audit.add_read(context, scan, oldest)
        if (number > 1 or may_be_cut) and not scan.cursor:
            yield from self._check(
                context, scan, tally, by_issue=False, may_help=may_be_cut
            )

    def tally(self, context: Context, scan: Scan) -> Tally:
        """Return the tally of a scan."""
        # Within a scan by issue, only the list of one issue is cut by its progress.
        end = scan.end if scan.issue is None else scan.window.end
        kept = self.reader.retained(context, Window(scan.window.start, end))
        length, lookback = length_of(scan.window), self.run.settings.lookback
        return Tally.of(kept, length, lookback, scan.rows)

    def _check(
        self,
        context: Context,
        scan: Scan,
        tally: Tally,
        *,
        by_issue: bool,
        may_help: bool = True,
    ) -> Iterator[Row]:
        """Compare the events with Sentry's count; if short, read them again."""
        if tally.is_unknown or not tally.closed:
            return
        counts = self.ways.counts(context, scan, waits=True) or []
        ways = ("issue", "project") if by_issue else ("project", "issue")
        again = functools.partial(self._again, context, scan, by_issue=not by_issue)
        yield from self.audit.check(
            context, tally, counts, ways, again if may_help else None
        )

    def _again(
        self, context: Context, scan: Scan, tally: Tally, *, by_issue: bool
    ) -> Iterator[Row]:
        """Yield the records of the whole window of a scan, without moving its state."""
        again = Scan(scan.window)
        if by_issue:
            for issue in self._left(context, again, every=False):
                # The list of the project was read: no issue is left out.
                with contextlib.suppress(*errors.SKIPPABLE_ERRORS):
                    for records, _ in self._issue(issue, again, tally, shares=False):
                        yield from records
            return
        pages = self.slices(context, again).pages()
        for rows, _ in self.read_pages(context, again, pages):
            for row in rows:
                yield from self.records_of(row, context)
            tally.add(rows, self.scan_lists.date_of)

    def on_siblings_synced(self, context: Context) -> None:
        """Forget the scans and the issues of the project."""
        del context
        for stream in (self, self.below):
            stream.forget_scans()
        self.issues.every.end_project()

    # By issue -------------------------------------------------------------------------

    def _by_issue(
        self, context: Context, scan: Scan, tally: Tally, *, saves: bool
    ) -> Generator[Row, None, tuple[bool, bool]]:
        """Yield the records of a scan from the lists of its issues, by ascending id.

        Returns:
            Whether they are complete, and whether the other stream has all of them too.
        """
        is_complete, below = True, self.below
        shares = saves and below.shares(context, scan)
        for issue in self._left(context, scan, every=shares):
            if not (shares or issue.is_error):
                continue
            with self.run.parts.reading(self, issue.context) as outcome:
                for records, at in self._issue(issue, scan, tally, shares=shares):
                    yield from records
                    if at:
                        self._progress(context, at, saves=saves, shares=shares)
            if below.held:
                below.flush(issue.context)
            # The other stream reads and reports the rest itself.
            shares = shares and outcome.is_read
            # The state stays at the first issue that has to be tried again.
            is_complete = is_complete and outcome.is_final
            saves = saves and is_complete
            after = Scan(scan.window, issue=issue.id + 1, rows=tally.rows)
            self._progress(context, after, saves=saves, shares=shares)
        return is_complete, shares

    def _left(self, context: Context, scan: Scan, *, every: bool) -> Iterator[Issue]:
        """Yield the issues that are left of a scan, by ascending id."""
        issues = self.issues_of(context, scan, waits=True) or {}
        counts = self.ways.counts(context, scan, waits=True) if issues else []
        for date in [date for date, count in counts or () if count][:1]:
            self.below.scan_lists.add_kept(date)
        for issue in left_of(issues, scan, every=every):
            one = {**context, "issue_id": str(issue)}
            yield Issue(issue, one, is_error=issues[issue].is_error)

    def _issue(
        self, issue: Issue, scan: Scan, tally: Tally, *, shares: bool
    ) -> Iterator[tuple[Iterable[Row], Scan | None]]:
        """Yield the records of an issue, and how far both streams are written.

        The other stream gets as many rows at a time as the first page has: the pages of
        slices, which depend on `concurrency`, may have fewer.
        """
        below, one, number = self.below, issue.context, 0
        at: Scan | None = None
        for rows, reached in below.read(one, scan.of_issue(issue.id)):
            number = number or len(rows)
            for row in rows:
                if issue.is_error:
                    yield self.records_of(row, one), None
                if shares and below.add(one, row, number):
                    yield (), at
                    at = None
            if issue.is_error:
                tally.add(rows, self.scan_lists.date_of)
            at = replace(reached, rows=tally.rows) if reached else at
            if not below.held:
                yield (), at
                at = None

    def _progress(
        self, context: Context, reached: Scan, *, saves: bool, shares: bool
    ) -> None:
        """Record how far a scan has come, also for the stream that shares its rows."""
        if saves and shares:
            self.below.reach(context, reached)
        self.progress(context, reached, saves=saves)

    def issues_of(
        self, context: Context, scan: Scan, *, waits: bool
    ) -> dict[int, Listed] | None:
        """Return the issues of a project; None if they have not arrived."""
        every, window = self.issues.every, scan.window
        if not waits:
            return every.known(context, window)
        named = dict.fromkeys(every.named(context, window), UNLISTED)
        return named | every.found(context, window)

    def issue_lists(self, context: Context, scan: Scan) -> Iterator[Prefetch | None]:
        """Yield the list of the issues of a project, once the server has shown it."""
        while self.issues.reader.is_unverified:
            yield None
        yield self.issues.every.prefetch(context, scan.window)

    def issue_prefetches(
        self, context: Context, scan: Scan
    ) -> Iterator[Iterator[Prefetch | None]]:
        """Yield the lists of each issue of a project."""
        issues = self.issues_of(context, scan, waits=False) or {}
        shares = self.below.shares(context, scan)
        for issue in left_of(issues, scan, every=shares):
            one = {**context, "issue_id": str(issue)}
            yield self.below.scan_prefetches(one, scan.of_issue(issue))

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists of the first scan, as soon as it is known which."""
        for scan in self.scans(context)[:1]:
            yield from self.ways.prefetches(context, scan)


def left_of(issues: dict[int, Listed], scan: Scan, *, every: bool) -> list[int]:
    """Return the issues that are left of a scan, all or those of errors."""
    first = scan.issue or 0
    return sorted(
        issue
        for issue, listed in issues.items()
        if issue >= first and (every or listed.is_error)
    )
