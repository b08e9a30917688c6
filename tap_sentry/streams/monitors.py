"""Cron monitors and their check-ins, under the heading *Crons* of the reference."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tap_sentry.records import bodies
from tap_sentry.streams.dated import DatedStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_ID,
    boolean,
    date,
    integer,
    json,
    jsons,
    key,
    owner,
    schema_of,
    text,
)

if TYPE_CHECKING:
    from tap_sentry.records.bodies import Row


class OrganizationMonitors(ParentStream):
    """A cron monitor of an organization.

    https://docs.sentry.io/api/crons/retrieve-monitors-for-an-organization/
    """

    name = "organization_monitors"
    path = "/organizations/{organization}/monitors/"
    parent_stream_type = Organizations
    scopes = ("org:read", "alerts:read")
    is_optional = True
    kind = "monitor"
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_ID,
        key("id", "Id of the monitor."),
        text("slug", "Its name in addresses."),
        text("name", "The name of the monitor."),
        text("type", "`cron_job`; null on newer servers."),
        text("status", "`active` or `disabled`."),
        boolean("isMuted", "Whether it opens no issues."),
        boolean("isUpserting", "Whether check-ins may change its settings."),
        json("config", "Schedule, time zone, margins and thresholds in minutes."),
        json("alertRule", "The alert rule of the monitor; null unless asked for."),
        owner("owner", "Who owns the monitor; null if nobody does."),
        json("project", "The project of the monitor."),
        jsons(
            "environments", "Status and dates of the last and next check-in of each."
        ),
        date("dateCreated", "When the monitor was made."),
    )

    def normalize(self, sent: Row, row: Row) -> Row:
        """Add the id of the project."""
        project = bodies.object_fields(sent.get("project"))
        found = bodies.decode_value(project.get("id"))
        row["project_id"] = None if found is None else str(found)
        return row


class MonitorCheckins(DatedStream):
    """A check-in of a cron monitor.

    https://docs.sentry.io/api/crons/retrieve-check-ins-for-a-monitor/
    """

    name = "monitor_checkins"
    path = "/organizations/{organization}/monitors/{monitor}/checkins/"
    parent_stream_type = OrganizationMonitors
    primary_keys = ("organization_id", "monitor_id", "id")
    scopes = ("project:read", "alerts:read")
    # One request for each monitor.
    selected_by_default = False
    takes_dates = True
    # A check-in that is in progress changes until its job ends.
    refresh = timedelta(days=1)
    schema = schema_of(
        ORGANIZATION_ID,
        key("monitor_id", "Id of the monitor."),
        key("id", "Id of the check-in."),
        text("environment", "The environment of the job."),
        text("status", "`ok`, `error`, `in_progress`, `missed` or `timeout`."),
        integer("duration", "Milliseconds that the job took; null until it ends."),
        date("dateCreated", "When the check-in was made."),
        date("dateAdded", "When it was first received; null on old servers."),
        date("dateUpdated", "When it last changed; null on old servers."),
        date("dateInProgress", "When the job started; null if it did not say so."),
        date("dateClock", "Sentry's clock when it was received; null on old servers."),
        date("expectedTime", "When it was expected."),
        text("attachmentId", "Id of an attachment; null without one."),
        json("monitorConfig", "The settings of the monitor at that time."),
    )
