"""Event counts, under the headings *Organizations* and *Projects* of the reference."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tap_sentry.streams.columns import COUNT_COLUMNS
from tap_sentry.streams.counts import EventCounts
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import ORGANIZATION_ID, PROJECT_KEY, TEAM_KEY, schema_of
from tap_sentry.streams.teams import OrganizationTeams, TeamProjects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.streams.base import Context

#: Projects that fit into the address of one request.
MAX_PROJECTS = 100


class OrganizationEventCounts(EventCounts):
    """The number of error events of an organization in an hour or a day.

    https://docs.sentry.io/api/organizations/retrieve-event-counts-for-an-organization-v2/
    """

    name = "organization_event_counts"
    path = "/organizations/{organization}/stats_v2/"
    fallback_path = "/organizations/{organization}/stats/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "stat", "resolution", "timestamp")
    state_column = "organization_id"
    scopes = ("org:read",)
    schema = schema_of(ORGANIZATION_ID, *COUNT_COLUMNS)

    @functools.cached_property
    def _stats_of_v1(self) -> tuple[str, ...]:
        """The stats without `generated`, which the older endpoint cannot count."""
        stats = self.run.settings.stats
        if "generated" in stats:
            self.logger.warning(
                "This server cannot count the generated events of an organization"
            )
        return tuple(stat for stat in stats if stat != "generated")

    @property
    def stats(self) -> tuple[str, ...]:
        """The stats that the path in use can count."""
        return super().stats if self.is_v2 else self._stats_of_v1


class TeamEventCounts(EventCounts):
    """The number of error events of the projects of a team in an hour or a day.

    https://docs.sentry.io/api/organizations/retrieve-event-counts-for-an-organization-v2/
    """

    name = "team_event_counts"
    path = "/organizations/{organization}/stats_v2/"
    fallback_path = "/teams/{organization}/{team}/stats/"
    parent_stream_type = OrganizationTeams
    primary_keys = ("organization_id", "team_id", "stat", "resolution", "timestamp")
    state_column = "team_id"
    scopes = ("org:read",)
    fallback_scopes = ("team:read",)
    schema = schema_of(ORGANIZATION_ID, TEAM_KEY, *COUNT_COLUMNS)

    @property
    def stats(self) -> tuple[str, ...]:
        """The stats that the path in use counts; the older one has a single one."""
        return super().stats if self.is_v2 else ("generated",)

    def projects(self, context: Context) -> Iterable[list[str]]:
        """Return the projects of the team; a team without any needs no request."""
        ids = self.sibling(TeamProjects).ids_of(context)
        return [ids[i : i + MAX_PROJECTS] for i in range(0, len(ids), MAX_PROJECTS)]

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the list of the team's projects, then the counts of these."""
        if not self.has_projects(context):
            yield self.sibling(TeamProjects).reader.prefetch(context)
        yield from super().prefetches(context)

    def has_projects(self, context: Context) -> bool:
        """Return whether the list of the team's projects has arrived."""
        return not self.is_v2 or self.sibling(TeamProjects).has_ids(context)


class ProjectEventCounts(EventCounts):
    """The number of error events of a project in an hour or a day.

    https://docs.sentry.io/api/projects/retrieve-event-counts-for-a-project/
    """

    name = "project_event_counts"
    path = "/projects/{organization}/{project}/stats/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "stat", "resolution", "timestamp")
    state_column = "project_id"
    scopes = ("project:read",)
    schema = schema_of(ORGANIZATION_ID, PROJECT_KEY, *COUNT_COLUMNS)
