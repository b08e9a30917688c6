"""User feedback, under the heading *Projects* in Sentry's API reference."""

from typing import ClassVar

from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    date,
    json,
    key,
    schema_of,
    text,
)
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
    takes_dates = False
    is_cut = False
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the report."),
        text("eventID", "Id of the event that the report is about."),
        text("name", "Name that the user gave."),
        text("email", "Email address that the user gave."),
        text("comments", "What the user wrote."),
        date("dateCreated", "When the report was sent."),
        json("user", "The user of the event; null if unknown."),
        json("event", "The event, with its `id` and `eventID`."),
        json("issue", "The issue of the event; null without one."),
    )
