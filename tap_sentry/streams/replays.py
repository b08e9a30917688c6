"""Session replays, under the heading *Replays* of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tap_sentry.records import bodies
from tap_sentry.streams.intervals import ALL_PROJECTS
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_ID,
    boolean,
    date,
    integer,
    json,
    key,
    schema_of,
    text,
    texts,
)
from tap_sentry.streams.windowed import WindowedStream

if TYPE_CHECKING:
    from tap_sentry.records.bodies import Row


class OrganizationReplays(WindowedStream):
    """A session replay of an organization.

    https://docs.sentry.io/api/replays/list-an-organizations-replays/
    """

    name = "organization_replays"
    path = "/organizations/{organization}/replays/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    replication_key = "started_at"
    state_column = "organization_id"
    scopes = ("org:read",)
    is_optional = True
    rows_field = "data"
    is_events = False
    # Without `field`: servers reject the names of fields that they do not know.
    params: ClassVar = {"project": ALL_PROJECTS, "sort": "-started_at"}
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_ID,
        key("id", "Id of the replay."),
        date("started_at", "When the replay began."),
        date("finished_at", "When its newest part arrived."),
        integer("duration", "Length in seconds."),
        integer("activity", "How much happened, from 1 to 10."),
        text("environment", "The environment of the application."),
        text("platform", "The platform, such as `javascript`."),
        text(
            "replay_type", "`session`, or `buffer` if an error started the recording."
        ),
        boolean("is_archived", "Whether it was deleted; most columns are null then."),
        boolean("has_viewed", "Whether the user of the token has seen it."),
        json("user", "Whom it shows: id, username, email, address and location."),
        json("sdk", "Name and version of the SDK."),
        json("os", "Name and version of the operating system."),
        json("browser", "Name and version of the browser."),
        json("device", "Name, brand, model and family of the device."),
        json("tags", "Tags, each with a list of values."),
        texts("releases", "Versions of the application."),
        text("dist", "The distribution of the release."),
        json(
            "ota_updates",
            "Update over the air: channel, version and id; null on old servers.",
        ),
        texts("urls", "Pages that were visited, in order."),
        texts("segment_names", "Names of its transactions; null on older servers."),
        texts("error_ids", "Ids of its error events."),
        texts("trace_ids", "Ids of its traces."),
        integer("count_dead_clicks", "Clicks that did nothing."),
        integer("count_rage_clicks", "Clicks in quick succession that did nothing."),
        integer("count_errors", "Errors during the replay."),
        integer("count_warnings", "Warnings during the replay; null on old servers."),
        integer("count_infos", "Informational events; null on old servers."),
        integer("count_segments", "Parts that the recording was sent in."),
        integer("count_urls", "Pages that were visited."),
    )

    def normalize(self, sent: Row, row: Row) -> Row:
        """Add the id of the project, which Sentry sends as text or number."""
        found = bodies.decode_value(sent.get("project_id"))
        row["project_id"] = None if found is None else str(found)
        return row
