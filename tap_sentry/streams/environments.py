"""Environments, under the heading *Environments* of the reference."""

from __future__ import annotations

from typing import ClassVar

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    boolean,
    key,
    schema_of,
    text,
)


class OrganizationEnvironments(SentryStream):
    """An environment of an organization.

    https://docs.sentry.io/api/environments/list-an-organizations-environments/
    """

    name = "organization_environments"
    path = "/organizations/{organization}/environments/"
    parent_stream_type = Organizations
    scopes = ("org:read",)
    is_paged = False
    page_size_name = None
    params: ClassVar = {"visibility": "all"}
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the environment."),
        text("name", "Its name, such as `production`."),
    )


class ProjectEnvironments(SentryStream):
    """An environment as a project uses it.

    https://docs.sentry.io/api/environments/list-a-projects-environments/
    """

    name = "project_environments"
    path = "/projects/{organization}/{project}/environments/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    scopes = ("project:read",)
    is_paged = False
    page_size_name = None
    params: ClassVar = {"visibility": "all"}
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the environment in this project."),
        text("name", "Its name, such as `production`."),
        boolean("isHidden", "Whether the project hides it from its menus."),
    )
