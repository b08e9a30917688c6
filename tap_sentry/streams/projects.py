"""Streams of the heading *Projects* in Sentry's API reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.columns import PROJECT_COLUMNS, PROJECT_SUMMARY_COLUMNS
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    boolean,
    date,
    json,
    key,
    schema_of,
    text,
)
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
    schema = schema_of(ORGANIZATION_ID, *PROJECT_SUMMARY_COLUMNS)


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
    schema = schema_of(
        ORGANIZATION_ID,
        *PROJECT_COLUMNS,
        text("status", "State of the project, such as `active`; null on GlitchTip."),
        boolean("isInternal", "Whether the server reports its own errors to it."),
        boolean("isPublic", "Whether the project is public."),
        text("color", "Color of the project, as `#rrggbb`; empty on GlitchTip."),
        json("avatar", "Kind and address of its picture."),
        json("organization", "The organization, with `id`, `slug`, `name` and others."),
    )

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
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        text("id", "Number of the user; sent by old servers only."),
        key(
            "tagValue",
            "What identifies the user, such as `id:7` or `email:a@example.com`.",
        ),
        text("identifier", "The `id` in events; null without one."),
        text("username", "User name in the application; null without one."),
        text("email", "Email address of the user; null without one."),
        text(
            "name", "Name of the user; on newer servers the email address or user name."
        ),
        text("ipAddress", "IP address of the user; null without one."),
        text("avatarUrl", "Address of a picture of the user."),
        text("hash", "MD5 hash of the value that identifies the user."),
        date("dateCreated", "When Sentry noted the user; sent by old servers only."),
    )

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
