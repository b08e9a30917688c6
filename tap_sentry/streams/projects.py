"""Streams of the heading *Projects* in Sentry's API reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk import typing as th

from tap_sentry import errors, records
from tap_sentry.client import SentryStream
from tap_sentry.named import NamedStream, id_and_slug
from tap_sentry.schemas import (
    ANY_OBJECT,
    PROJECT_COLUMNS,
    PROJECT_SUMMARY_COLUMNS,
)
from tap_sentry.streams.organizations import Organizations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_sentry.client import Context
    from tap_sentry.records import Row


class OrganizationProjects(NamedStream):
    """A project of an organization.

    https://docs.sentry.io/api/organizations/list-an-organizations-projects/
    """

    name = "organization_projects"
    path = "/organizations/{organization}/projects/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    scopes = ("org:read",)
    kind = "project"
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        *PROJECT_SUMMARY_COLUMNS,
    ).to_dict()

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The projects that the setting lets through."""
        yield from super().get_records(context)
        self.tap.organization_is_done(str((context or {})["organization_id"]))


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

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The projects of this run's organizations that the settings let through."""
        organizations = self.tap.stream(Organizations).all_rows
        known = {id_and_slug(row)[0]: row for row in organizations}
        with self.skipping(context):
            try:
                for row in self.rows(context):
                    owner = records.value(row.get("organization")) or {}
                    row["organization_id"] = str(owner.get("id"))
                    if row["organization_id"] in known and self.is_named(row):
                        yield row
            except errors.MissingEndpointError:
                for key, organization in known.items():
                    yield from self.rows_of(key, organization)

    def is_named(self, row: Row) -> bool:
        """Whether the setting `projects` lets a project through."""
        return self.tap.settings.projects.match(*id_and_slug(row))

    def rows_of(self, key: str, organization: Row) -> Iterable[Row]:
        """The projects of an organization, as they would stand in this list."""
        owner = {name: organization.get(name) for name in ("id", "slug", "name")}
        for row in self.tap.stream(OrganizationProjects).rows_of(key):
            columns = {
                name: row[name] for name in self.schema["properties"] if name in row
            }
            yield {**columns, "organization_id": key, "organization": owner}


class ProjectUsers(SentryStream):
    """A user whom a project's events happened to.

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

    def straighten(self, sent: Row, row: Row) -> Row:
        """A key is never null: a user without a `tagValue` is known by the hash."""
        found = records.value(sent.get("hash"))
        if records.value(row.get("tagValue")) is None and found is not None:
            row["tagValue"] = f"hash:{found}"
        return row

    def is_blank(self, row: Row) -> bool:
        """Events without a user make a row of nulls."""
        return all(records.value(row.get(column)) is None for column in IDENTIFYING)


#: What a user can be told by.
IDENTIFYING = ("id", "identifier", "username", "email", "name", "ipAddress")
