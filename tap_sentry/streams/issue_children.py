"""The base classes of lists below issues."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tap_sentry.records.dates import instant_of
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from singer_sdk import Tap

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.issue_lists import Listed


class IssueChild(WindowedStream):
    """A list below each issue of a project."""

    parent_stream_type = ProjectIssues
    scopes = ("event:read",)
    # At least one request for each issue.
    selected_by_default = False
    parent: ProjectIssues
    #: Records to write that another stream has read.
    _given: list[Row] | None = None

    def __init__(self, tap: Tap, run: Run) -> None:
        """Hold no rows of another stream."""
        super().__init__(tap, run)
        #: Rows that another stream has read and this one has not written yet.
        self.held: list[Row] = []

    @functools.cached_property
    def saves_state(self) -> bool:
        """Whether this run moves bookmarks; a run for single issues does not."""
        return super().saves_state and not self.run.settings.issue_ids

    def walk(
        self, context: Context, scan: Scan, *, saves: bool
    ) -> Generator[Row, None, bool]:
        """Yield the records of one issue after the other, by ascending id."""
        is_complete = True
        for issue in self.parent.ids_of(context, scan.window):
            if scan.issue is not None and issue < scan.issue:
                continue
            one = {**context, "issue_id": str(issue)}
            with self.run.parts.reading(self, one) as outcome:
                yield from super().walk(one, scan.of_issue(issue), saves=saves)
            # The state stays at the first issue that has to be tried again.
            is_complete = is_complete and outcome.is_final
            saves = saves and is_complete
            self.progress(context, Scan(scan.window, issue=issue + 1), saves=saves)
        if not is_complete:
            self.on_failed(context)
        return is_complete

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """Yield the records of a project, or those that were given."""
        if self._given is None:
            yield from super().get_records(context)
        else:
            yield from self._given

    def add(self, context: Context, row: Row, number: int) -> bool:
        """Write a row that another stream has read, together with others.

        Args:
            context: The context of the issue.
            row: A row of its list.
            number: How many rows are written together.

        Returns:
            Whether all rows are written.
        """
        self.held.append(row)
        if len(self.held) >= number:
            self.flush(context)
        return not self.held

    def flush(self, context: Context) -> None:
        """Write the rows of an issue that are held."""
        counter = self.metrics[0]
        contexts = counter.contexts
        self._given = [
            record for row in self.held for record in self.records_of(row, context)
        ]
        self.held = []
        above = {name: context[name] for name in ("organization_id", "project_id")}
        try:
            self.sync(above)
        finally:
            self._given = None
            # The project is counted when its turn comes.
            counter.contexts = contexts

    def shares(self, context: Context, scan: Scan) -> bool:
        """Return whether this stream has to read all issues of a scan of another."""
        settings = self.run.settings
        is_narrower = settings.issue_query or settings.issue_ids
        is_read = self.selected and self.saves_state and not is_narrower
        return is_read and self.scans(context)[:1] == [scan]

    def reach(self, context: Context, reached: Scan) -> None:
        """Record how far another stream has come that reads for this one, too."""
        self.run.bookmarks.progress(self.name, self.key(context), reached)

    def finish(self, context: Context, scan: Scan, named: set[int]) -> None:
        """Record that another stream has read a scan for this one, too.

        Args:
            context: The context of the project.
            scan: The scan.
            named: Issues that were found later. This stream reads them itself, and
                those with higher ids again.
        """
        if named:
            self.reach(context, Scan(scan.window, issue=min(named)))
        else:
            self.run.bookmarks.finish(self.name, self.key(context), scan)

    def listed(self, context: Context, scan: Scan) -> Listed | None:
        """Return the issue as it is listed."""
        found = self.parent.lists.known(context, scan.window)
        return (found or {}).get(int(context["issue_id"]))

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield nothing; the stream of issues prefetches the list of each."""
        del context
        return iter(())


class IssueList(IssueChild):
    """A list that is read whole for each issue with new events.

    What is done to an issue, such as resolving it, is no event. So all issues are
    visited when `issue_refresh` is due.
    """

    page_sizes = (100,)
    is_events = False
    is_redacted = True
    is_partial = True
    is_paged = False
    takes_dates = False

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start with no failures."""
        super().__init__(tap, run)
        #: Organizations with an issue that could not be read this time.
        self._unread: set[object] = set()

    @functools.cached_property
    def saves_state(self) -> bool:
        """Whether this run moves bookmarks, also those of lists without dates."""
        settings = self.run.settings
        return not settings.is_report and not settings.issue_ids

    def scans(self, context: Context) -> list[Scan]:
        """Return what to visit: issues with new events, or all when that is due."""
        scans = super().scans(context)
        organization = str(context["organization_id"])
        if not (scans and self.parent.is_refresh_due(organization, self.name)):
            return scans
        first = self.run.settings.start or BEGINNING
        if scans[0].issue is not None and scans[0].window.start <= first:
            return scans
        return [Scan(Window(first, scans[-1].window.end))]

    def read(
        self, context: Context, scan: Scan
    ) -> Iterator[tuple[list[Row], Scan | None]]:
        """Yield the rows of an issue, all at once."""
        del scan
        rows = list(self.rows(context))
        for row in rows:
            row["issue_id"] = context["issue_id"]
        yield self.wanted(rows, context), None

    def wanted(self, rows: list[Row], context: Context) -> list[Row]:
        """Return the rows between the dates of the settings, if rows have dates.

        Older ones than the last run come again: it need not have visited the issue.
        """
        del context
        if not self.replication_key:
            return rows
        settings = self.run.settings
        window = Window(settings.start or BEGINNING, settings.end)
        dates = [instant_of(row, self.replication_key) for row in rows]
        return [
            row
            for row, date in zip(rows, dates, strict=True)
            if date is None or date in window
        ]

    def scan_prefetches(self, context: Context, scan: Scan) -> Iterator[Prefetch]:
        """Yield the list of an issue."""
        del scan
        yield self.reader.prefetch(context)

    def on_failed(self, context: Context) -> None:
        """Visit all issues of the organization again in the next run."""
        self._unread.add(context["organization_id"])

    def on_parents_synced(self, context: Context) -> None:
        """Record when all issues of an organization were visited."""
        organization = str(context["organization_id"])
        is_due = self.parent.is_refresh_due(organization, self.name)
        if self.saves_state and is_due and organization not in self._unread:
            end = self.run.settings.end
            self.run.bookmarks.refresh(self.name, organization, end)
