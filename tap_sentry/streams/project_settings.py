"""Settings of projects, under the heading *Projects* of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.records.bodies import ARRAY, array_items, decode_value, first_byte
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    boolean,
    date,
    integer,
    json,
    key,
    schema_of,
    text,
    texts,
)

if TYPE_CHECKING:
    from tap_sentry.records.bodies import Row


class ProjectKeys(SentryStream):
    """A client key (DSN) of a project, without its secret.

    https://docs.sentry.io/api/projects/list-a-projects-client-keys/
    """

    name = "project_keys"
    path = "/projects/{organization}/{project}/keys/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    scopes = ("project:read",)
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the key."),
        text("name", "The name of the key."),
        text("label", "The name of the key; the same as `name`."),
        text("public", "The public part, which SDKs send with every event."),
        boolean("isActive", "Whether events with this key are accepted."),
        json(
            "rateLimit", "Events (`count`) in seconds (`window`); null without a limit."
        ),
        json("dsn", "Addresses that clients send to, without the one with the secret."),
        text("browserSdkVersion", "Version of the browser SDK that the loader loads."),
        json("browserSdk", "Versions that can be chosen for the loader."),
        json("dynamicSdkLoaderOptions", "What the loader loads besides."),
        text("useCase", "What the key is for, such as `user`; null on old servers."),
        date("dateCreated", "When the key was made."),
    )


class ProjectServiceHooks(SentryStream):
    """A service hook of a project, without its secret.

    https://docs.sentry.io/api/projects/list-a-projects-service-hooks/
    """

    name = "project_service_hooks"
    path = "/projects/{organization}/{project}/hooks/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    scopes = ("project:read",)
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the hook."),
        text("url", "The address that Sentry calls."),
        text("status", "`active` or `disabled`."),
        texts("events", "What the hook is called for, such as `event.alert`."),
        date("dateCreated", "When the hook was made."),
    )


class ProjectOwnership(SentryStream):
    """The ownership rules of a project.

    https://docs.sentry.io/api/projects/retrieve-ownership-configuration-for-a-project/
    """

    name = "project_ownership"
    path = "/projects/{organization}/{project}/ownership/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id")
    scopes = ("project:read",)
    is_object = True
    is_paged = False
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        text("raw", "The rules as they were written; null without rules."),
        boolean("fallthrough", "Whether everyone owns what no rule matches."),
        boolean("isActive", "Whether the rules are in use."),
        text("autoAssignment", "Whom new issues are assigned to; null on old servers."),
        boolean(
            "codeownersAutoSync",
            "Whether CODEOWNERS files are kept up to date; null on old servers.",
        ),
        json("schema", "The rules as Sentry parses them; null without rules."),
        date("dateCreated", "When the rules were first written; null without rules."),
        date("lastUpdated", "When the rules were last changed; null without rules."),
    )


class ProjectInboundFilters(SentryStream):
    """An inbound filter of a project, and whether it is on.

    https://docs.sentry.io/api/projects/list-a-projects-data-filters/
    """

    name = "project_inbound_filters"
    path = "/projects/{organization}/{project}/filters/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    scopes = ("project:read",)
    is_paged = False
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the filter, such as `legacy-browsers`."),
        boolean("active", "Whether the filter, or a part of it, is on."),
        texts("parts", "Parts that are on, of a filter that has parts; else null."),
    )

    def normalize(self, sent: Row, row: Row) -> Row:
        """Split `active`, which is a list of the parts that are on for some filters."""
        raw = sent.get("active")
        if raw is not None and first_byte(raw) == ARRAY:
            row["parts"] = [decode_value(item) for item in array_items(raw)]
            row["active"] = bool(row["parts"])
        return row


class ProjectTags(SentryStream):
    """A key of tags that events of a project have.

    https://docs.sentry.io/api/projects/
    """

    name = "project_tags"
    path = "/projects/{organization}/{project}/tags/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "key")
    id_column = "key"
    scopes = ("project:read",)
    is_paged = False
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("key", "The key, such as `environment`."),
        text("name", "The key in words."),
        integer("uniqueValues", "Number of different values; null where not counted."),
        integer("totalValues", "Events with this tag; null where not counted."),
        boolean("canDelete", "Whether the tag may be deleted."),
    )
