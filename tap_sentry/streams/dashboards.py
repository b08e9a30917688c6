"""Dashboards and saved queries, under *Dashboards* and *Discover* of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tap_sentry.records import bodies
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    boolean,
    date,
    integer,
    json,
    jsons,
    key,
    person,
    schema_of,
    text,
    texts,
)

if TYPE_CHECKING:
    from tap_sentry.records.bodies import Row


class OrganizationDashboards(SentryStream):
    """A dashboard of an organization.

    https://docs.sentry.io/api/dashboards/list-an-organizations-custom-dashboards/
    """

    name = "organization_dashboards"
    path = "/organizations/{organization}/dashboards/"
    parent_stream_type = Organizations
    scopes = ("org:read",)
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the dashboard; text such as `default-overview` if prebuilt."),
        text("title", "Its title."),
        text("prebuiltId", "Which prebuilt dashboard it is; null for custom ones."),
        date("dateCreated", "When it was made; null for prebuilt ones."),
        person("createdBy", "Who made it; null for prebuilt ones."),
        texts("environment", "Environments that it is limited to."),
        texts("projects", "Ids of the projects that it is limited to."),
        json("filters", "Filters such as the release."),
        json("permissions", "Who may edit it."),
        date("lastVisited", "When the user of the token last opened it."),
        boolean("isFavorited", "Whether it is a favourite of the token's user."),
        texts("widgetDisplay", "The kinds of its widgets, such as `line` or `table`."),
        jsons("widgetPreview", "Kind and place of each widget."),
    )
    # The name on old servers.
    renamed: ClassVar = {"dateAdded": "dateCreated"}

    def normalize(self, sent: Row, row: Row) -> Row:
        """Keep the id of the creator, which is all that old servers send."""
        creator = bodies.decode_value(sent.get("createdBy"))
        if creator and isinstance(creator, str):
            row["createdBy"] = {"id": creator}
        return row


class OrganizationSavedQueries(SentryStream):
    """A saved Discover query of an organization.

    https://docs.sentry.io/api/discover/list-an-organizations-discover-saved-queries/
    """

    name = "organization_saved_queries"
    path = "/organizations/{organization}/discover/saved/"
    parent_stream_type = Organizations
    scopes = ("org:read",)
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the query."),
        text("name", "Its name."),
        integer("version", "Version of the format of the query."),
        texts("projects", "Ids of the projects that it searches."),
        texts("environment", "Environments that it searches."),
        text("query", "The search, in Sentry's search syntax."),
        texts("conditions", "Conditions of a query of version 1; else null."),
        texts("aggregations", "Functions of a query of version 1; else null."),
        texts("fields", "Fields and functions of the result."),
        texts("yAxis", "What its chart shows."),
        text("orderby", "What the result is ordered by."),
        integer("limit", "How many rows the result may have; null if not limited."),
        text("range", "How far back it searches, such as `24h`."),
        date("start", "Start of the period, if it is fixed."),
        date("end", "End of the period, if it is fixed."),
        text("interval", "Interval of the chart."),
        text("display", "The kind of chart."),
        integer("topEvents", "How many groups the chart shows."),
        text("queryDataset", "The dataset that it searches."),
        text("datasetSource", "Who chose the dataset."),
        boolean("expired", "Whether its period is older than what Sentry keeps."),
        json("exploreQuery", "The same query for Explore; null where there is none."),
        person("createdBy", "Who saved it; null if unknown."),
        date("dateCreated", "When it was saved."),
        date("dateUpdated", "When it was last changed."),
    )
