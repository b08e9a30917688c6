"""User feedback, under the heading *Projects* in Sentry's API reference."""

from typing import ClassVar

from singer_sdk import typing as th

from tap_sentry.streams.columns import ANY_OBJECT
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.windowed import WindowedStream


class ProjectFeedback(WindowedStream):
    """A user report of a project; feedback of the newer widget is an issue.

    https://docs.sentry.io/api/projects/list-a-projects-user-feedback/
    """

    name = "project_feedback"
    path = "/projects/{organization}/{project}/user-feedback/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    replication_key = "dateCreated"
    scopes = ("project:read",)
    # Without a status Sentry answers with reports of unresolved issues only.
    params: ClassVar = {"status": ""}
    is_events = False
    is_cut = False
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType, required=True),
        th.Property("id", th.StringType, required=True),
        th.Property("eventID", th.StringType),
        th.Property("name", th.StringType),
        th.Property("email", th.StringType),
        th.Property("comments", th.StringType),
        th.Property("dateCreated", th.DateTimeType),
        th.Property("user", ANY_OBJECT),
        th.Property("event", ANY_OBJECT),
        th.Property("issue", ANY_OBJECT),
    ).to_dict()
