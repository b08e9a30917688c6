"""Events, under the heading *Events & Issues* in Sentry's API reference."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tap_sentry.records.dates import instant_of
from tap_sentry.streams.columns import ENTRY_COLUMNS, EVENT_COLUMNS, EVENT_NAMES
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.issue_children import IssueChild
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import ORGANIZATION_ID, PROJECT_KEY, schema_of, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.stored_events import StoredEvents

#: What an event belongs to.
IDS = (
    ORGANIZATION_ID,
    PROJECT_KEY,
    text("issue_id", "Id of the issue; null if the event is in none."),
)


class ProjectEvents(EventsOfProjects):
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
    issue_stream = "issue_events"
    schema = schema_of(*IDS, *EVENT_COLUMNS)

    @functools.cached_property
    def names_issues(self) -> bool:
        """Whether the events of issues are read too."""
        return self.issues.has_selected_descendents

    def records_of(self, row: Row, context: Context) -> Iterable[Row]:
        """Return the records of an event, and keep its issue for `IssueEvents`."""
        found = super().records_of(row, context)
        date = instant_of(row, "dateCreated") if self.names_issues else None
        if date is not None:
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
    issue_stream = "issue_event_entries"
    schema = schema_of(*IDS, *ENTRY_COLUMNS)

    @property
    def stored(self) -> StoredEvents:
        """The count that both streams share."""
        return self.sibling(ProjectEvents).stored


class IssueEvents(IssueChild):
    """An event of an issue.

    https://docs.sentry.io/api/events/list-an-issues-events/
    """

    name = "issue_events"
    path = "/organizations/{organization}/issues/{issue}/events/"
    fallback_path = "/issues/{issue}/events/"
    primary_keys: Sequence[str] = ("organization_id", "project_id", "eventID")
    replication_key = "dateCreated"
    id_column = "eventID"
    renamed = EVENT_NAMES
    schema = schema_of(*IDS, *EVENT_COLUMNS)


class IssueEventEntries(IssueEvents):
    """An entry of an event of an issue.

    https://docs.sentry.io/api/events/list-an-issues-events/
    """

    name = "issue_event_entries"
    primary_keys = ("organization_id", "project_id", "event_id", "entry_index")
    is_entries = True
    schema = schema_of(*IDS, *ENTRY_COLUMNS)
