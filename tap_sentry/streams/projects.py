"""Streams of the heading *Projects* in Sentry's API reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk import typing as th

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.columns import (
    ANY_OBJECT,
    PROJECT_COLUMNS,
    PROJECT_SUMMARY_COLUMNS,
)
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.parents import ParentStream
from tap_sentry.sync.directory import id_and_slug

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context


class OrganizationProjects(ParentStream):
    """A project of an organization.

    https://docs.sentry.io/api/organizations/list-an-organizations-projects/
    """

    name = "organization_projects"
    path = "/organizations/{organization}/projects/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    scopes = ("org:read",)
    is_essential = True
    kind = "project"
    setting = "projects"
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        *PROJECT_SUMMARY_COLUMNS,
    ).to_dict()


class Projects(SentryStream):
    """A project of any organization that the token can see.

    Sentry has deprecated this list and no longer documents it:
    https://docs.sentry.io/api/projects/
    """

    name = "projects"
    path = "/projects/"
    primary_keys = ("organization_id", "id")
    scopes = ("project:read",)
    # Mostly the rows of `organization_projects` again.
    selected_by_default = False
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        *PROJECT_COLUMNS,
        th.Property("status", th.StringType),
        th.Property("isInternal", th.BooleanType),
        th.Property("isPublic", th.BooleanType),
        th.Property("color", th.StringType),
        th.Property("avatar", ANY_OBJECT),
        th.Property("organization", ANY_OBJECT),
    ).to_dict()

    waits_for_brown_out = False

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the selected projects of this run's organizations."""
        organizations = {
            id_and_slug(row)[0]: row for row in self.run.directory.rows("organization")
        }
        try:
            for row in self.rows(context):
                owner = bodies.decode_value(row.get("organization")) or {}
                row["organization_id"] = str(owner.get("id"))
                if row["organization_id"] in organizations and self.is_selected(row):
                    yield row
        except errors.MissingEndpointError:
            for key, organization in organizations.items():
                yield from self.rows_of(key, organization)

    def is_selected(self, row: Row) -> bool:
        """Return whether the setting `projects` selects a project."""
        return self.run.settings.projects.match(*id_and_slug(row))

    def rows_of(self, key: str, organization: Row) -> Iterable[Row]:
        """Yield the projects of an organization as this list would have them."""
        owner = {name: organization.get(name) for name in ("id", "slug", "name")}
        for row in self.run.directory.rows("project", {"organization_id": key}):
            columns = {
                name: row[name] for name in self.schema["properties"] if name in row
            }
            yield {**columns, "organization_id": key, "organization": owner}


class ProjectUsers(SentryStream):
    """A user affected by the events of a project.

    https://docs.sentry.io/api/projects/list-a-projects-users/
    """

    name = "project_users"
    path = "/projects/{organization}/{project}/users/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "tagValue")
    id_column = "tagValue"
    scopes = ("project:read",)
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("id", th.StringType, description="Sent by old servers only."),
        th.Property(
            "tagValue",
            th.StringType,
            required=True,
            description="Such as `id:7` or `email:a@example.com`.",
        ),
        th.Property("identifier", th.StringType, description="The `id` in events."),
        th.Property("username", th.StringType),
        th.Property("email", th.StringType),
        th.Property("name", th.StringType),
        th.Property("ipAddress", th.StringType),
        th.Property("avatarUrl", th.StringType),
        th.Property("hash", th.StringType),
        th.Property(
            "dateCreated", th.DateTimeType, description="Sent by old servers only."
        ),
    ).to_dict()

    def normalize(self, sent: Row, row: Row) -> Row:
        """Use the hash as the key of a user without a `tagValue`."""
        found = bodies.decode_value(sent.get("hash"))
        if bodies.decode_value(row.get("tagValue")) is None and found is not None:
            row["tagValue"] = f"hash:{found}"
        return row

    def is_blank(self, row: Row) -> bool:
        """Return whether a row stands for the events without a user."""
        return all(
            bodies.decode_value(row.get(column)) is None for column in IDENTIFYING
        )


#: Columns that identify a user.
IDENTIFYING = ("id", "identifier", "username", "email", "name", "ipAddress")
