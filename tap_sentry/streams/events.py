"""Events, under the heading *Events & Issues* in Sentry's API reference."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from singer_sdk import typing as th

from tap_sentry.streams.columns import ENTRY_COLUMNS, EVENT_COLUMNS, EVENT_NAMES
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.windowed import WindowedStream, instant_of
from tap_sentry.sync.state import Scan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context


class ProjectEvents(WindowedStream):
    """An error event of a project.

    https://docs.sentry.io/api/events/list-a-projects-error-events/
    """

    name = "project_events"
    path = "/projects/{organization}/{project}/events/"
    parent_stream_type = OrganizationProjects
    primary_keys: Sequence[str] = ("organization_id", "project_id", "eventID")
    replication_key = "dateCreated"
    scopes = ("project:read",)
    id_column = "eventID"
    renamed = EVENT_NAMES
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("issue_id", th.StringType),
        *EVENT_COLUMNS,
    ).to_dict()

    @functools.cached_property
    def issues(self) -> ProjectIssues | None:
        """The stream of issues, if the events of issues are read too."""
        issues = self.sibling(ProjectIssues)
        return issues if issues.has_selected_descendents else None

    def records_of(self, row: Row, context: Context) -> Iterable[Row]:
        """Return the records of an event, and keep its issue for `IssueEvents`."""
        found = super().records_of(row, context)
        date = instant_of(row, "dateCreated") if self.issues else None
        if self.issues and date is not None:
            self.issues.lists.add_named(context, str(row["issue_id"]), date)
        return found


class ProjectEventEntries(ProjectEvents):
    """An entry of an error event of a project.

    https://docs.sentry.io/api/events/list-a-projects-error-events/
    """

    name = "project_event_entries"
    primary_keys = ("organization_id", "project_id", "event_id", "entry_index")
    # Ten times the requests of `project_events`.
    selected_by_default = False
    is_entries = True
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("issue_id", th.StringType),
        *ENTRY_COLUMNS,
    ).to_dict()


class IssueEvents(WindowedStream):
    """An event of an issue.

    https://docs.sentry.io/api/events/list-an-issues-events/
    """

    name = "issue_events"
    path = "/organizations/{organization}/issues/{issue}/events/"
    fallback_path = "/issues/{issue}/events/"
    parent_stream_type = ProjectIssues
    primary_keys: Sequence[str] = ("organization_id", "project_id", "eventID")
    replication_key = "dateCreated"
    scopes = ("event:read",)
    id_column = "eventID"
    renamed = EVENT_NAMES
    # The events of `project_events` again, by issue.
    selected_by_default = False
    parent: ProjectIssues
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("issue_id", th.StringType),
        *EVENT_COLUMNS,
    ).to_dict()

    @functools.cached_property
    def saves_state(self) -> bool:
        """Whether this run moves bookmarks; a run for single issues does not."""
        return super().saves_state and not self.run.settings.issue_ids

    def walk(
        self, context: Context, scan: Scan, *, saves: bool
    ) -> Generator[Row, None, bool]:
        """Yield the events of one issue after the other, by ascending id."""
        is_complete = True
        for issue in self.parent.ids_of(context, scan.window):
            if scan.issue is not None and issue < scan.issue:
                continue
            one = {**context, "issue_id": str(issue)}
            with self.reading(one) as outcome:
                yield from super().walk(one, scan.of_issue(issue), saves=saves)
            # The state stays at the first issue that has to be tried again.
            is_complete = is_complete and outcome.is_final
            saves = saves and is_complete
            self.progress(context, Scan(scan.window, issue=issue + 1), saves=saves)
        return is_complete

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield nothing; the stream of issues prefetches the events of each."""
        del context
        return iter(())


class IssueEventEntries(IssueEvents):
    """An entry of an event of an issue.

    https://docs.sentry.io/api/events/list-an-issues-events/
    """

    name = "issue_event_entries"
    primary_keys = ("organization_id", "project_id", "event_id", "entry_index")
    is_entries = True
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("issue_id", th.StringType),
        *ENTRY_COLUMNS,
    ).to_dict()
