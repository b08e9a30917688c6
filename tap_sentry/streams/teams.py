"""Streams of the heading *Teams* in Sentry's API reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.api.errors import SKIPPABLE_ERRORS
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.columns import PROJECT_SUMMARY_COLUMNS
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    TEAM_KEY,
    boolean,
    date,
    integer,
    json,
    jsons,
    key,
    schema_of,
    text,
    texts,
)
from tap_sentry.sync.directory import id_and_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap

    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context


class OrganizationTeams(ParentStream):
    """A team of an organization.

    https://docs.sentry.io/api/teams/list-an-organizations-teams/
    """

    name = "organization_teams"
    path = "/organizations/{organization}/teams/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    scopes = ("org:read",)
    is_essential = True
    kind = "team"
    setting = "teams"
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the team."),
        text("slug", "Slug of the team."),
        text("name", "Name of the team; null on GlitchTip."),
        date("dateCreated", "When the team was created."),
        integer("memberCount", "Number of its members."),
        boolean("isMember", "Whether the token's user is a member."),
        boolean("isPending", "Whether the token's user has asked to join."),
        boolean("hasAccess", "Whether the token's user has access to the team."),
        texts("access", "Scopes granted in the team; null on old servers."),
        text("teamRole", "Role of the token's user in the team; null if not a member."),
        json("flags", "Provisioning, as `idp:provisioned`; null on old servers."),
        json("avatar", "Kind and address of its picture."),
        jsons("externalTeams", "The same team in integrations; null on old servers."),
        json("organization", "The organization; null as a rule."),
        jsons("projects", "The projects of the team."),
    )


class TeamProjects(SentryStream):
    """A project that a team works on.

    https://docs.sentry.io/api/teams/list-a-teams-projects/
    """

    name = "team_projects"
    path = "/teams/{organization}/{team}/projects/"
    parent_stream_type = OrganizationTeams
    primary_keys = ("organization_id", "team_id", "id")
    scopes = ("project:read",)
    schema = schema_of(ORGANIZATION_ID, TEAM_KEY, *PROJECT_SUMMARY_COLUMNS)

    def __init__(self, tap: Tap, run: Run) -> None:
        """Prepare to keep the ids of each team's projects, which event counts need."""
        super().__init__(tap, run)
        self._ids: dict[str, list[str]] = {}
        self._failures: dict[str, Exception] = {}

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the projects of a team that the setting selects."""
        for row in self.rows_of(context):
            if self.run.settings.projects.match(*id_and_slug(row)):
                yield row

    def rows_of(self, context: Context) -> Iterator[Row]:
        """Yield all projects of a team; a list that failed is not requested again."""
        team = context["team_id"]
        if team in self._failures:
            raise self._failures[team]
        ids = []
        try:
            for row in self.rows(context):
                ids.append(id_and_slug(row)[0])
                yield row
        except SKIPPABLE_ERRORS as error:
            self._failures[team] = error
            raise
        self._ids[team] = ids

    def ids_of(self, context: Context) -> list[str]:
        """Return the ids of all projects of a team; they are read once."""
        if not self.has_ids(context):
            for _ in self.rows_of(context):
                pass
        return self._ids[context["team_id"]]

    def has_ids(self, context: Context) -> bool:
        """Return whether the ids are known without a request."""
        if context["team_id"] not in self._ids:
            rows = self.reader.peek(context)
            if rows is not None:
                self._ids[context["team_id"]] = [id_and_slug(row)[0] for row in rows]
        return context["team_id"] in self._ids
