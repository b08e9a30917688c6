"""Usage and release health: figures of an organization by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_sentry.api import errors
from tap_sentry.api.responses import read_body
from tap_sentry.records.series import decode_groups
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    integer,
    key,
    key_date,
    number,
    schema_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from tap_sentry.records.bodies import Row
    from tap_sentry.windows import Window


class OrganizationUsage(IntervalStream):
    """The quantity of a category of a project on a day, by outcome and reason.

    https://docs.sentry.io/api/organizations/retrieve-event-counts-for-an-organization-v2/
    """

    name = "organization_usage"
    path = "/organizations/{organization}/stats_v2/"
    parent_stream_type = Organizations
    primary_keys = (
        "organization_id",
        "project_id",
        "category",
        "outcome",
        "reason",
        "timestamp",
    )
    replication_key = "timestamp"
    scopes = ("org:read",)
    is_optional = True
    is_paged = False
    rows_field = "groups"
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key(
            "category", "What was sent, such as `error`, `transaction` or `attachment`."
        ),
        key(
            "outcome",
            "`accepted`, `filtered`, `rate_limited`, `invalid`, `abuse` and others.",
        ),
        key("reason", "Why, such as `key_quota`; empty or `none` if accepted."),
        key_date("timestamp", "The day, in UTC."),
        integer("quantity", "Number of events; of attachments their bytes."),
    )

    def query(self, day: Window) -> Mapping[str, Any]:
        """Return the parameters for a day, by everything that Sentry can group."""
        return {
            **super().query(day),
            "field": "sum(quantity)",
            "groupBy": ["category", "outcome", "reason", "project"],
            "interval": "1d",
        }

    def parse_response(self, response: requests.Response) -> Iterator[Row]:
        """Yield the quantities of a response."""
        for figure in read_body(response, decode_groups):
            if "category" not in figure:
                msg = (
                    f"GET {errors.place(response.request)}: this server does not count "
                    "by category and project"
                )
                raise errors.ForbiddenError(
                    msg, self.scopes, is_unavailable_feature=True
                )
            yield {
                "project_id": text_of(figure.get("project")),
                "category": text_of(figure.get("category")),
                "outcome": text_of(figure.get("outcome")),
                "reason": text_of(figure.get("reason")),
                "timestamp": figure["timestamp"],
                "quantity": figure.get("sum(quantity)"),
            }


class ReleaseHealth(IntervalStream):
    """The sessions of a release in an environment, on a day or in an hour.

    https://docs.sentry.io/api/releases/retrieve-release-health-session-statistics/
    """

    name = "release_health"
    path = "/organizations/{organization}/sessions/"
    parent_stream_type = Organizations
    primary_keys = (
        "organization_id",
        "project_id",
        "release",
        "environment",
        "resolution",
        "interval_start",
    )
    replication_key = "interval_start"
    scopes = ("org:read",)
    is_optional = True
    rows_field = "groups"
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("release", "The version of the release."),
        key("environment", "The environment; empty if the sessions have none."),
        key(
            "resolution",
            "Length of the interval, `1d` or `1h`; see `stats_resolution`.",
        ),
        key_date("interval_start", "When the interval begins."),
        integer("sessions", "Sessions that were started."),
        integer("users", "Users with a session."),
        number(
            "crash_free_session_rate", "Part of the sessions without a crash, 0 to 1."
        ),
        number("crash_free_user_rate", "Part of the users without a crash, 0 to 1."),
    )

    def query(self, day: Window) -> Mapping[str, Any]:
        """Return the parameters for a day."""
        return {
            **super().query(day),
            "field": [*FIGURES],
            "groupBy": ["project", "release", "environment"],
            "interval": self.run.settings.stats_resolution,
        }

    def parse_response(self, response: requests.Response) -> Iterator[Row]:
        """Yield the figures of a response."""
        for figure in read_body(response, decode_groups):
            yield {
                "project_id": text_of(figure.get("project")),
                "release": text_of(figure.get("release")),
                "environment": text_of(figure.get("environment")),
                "resolution": self.run.settings.stats_resolution,
                "interval_start": figure["timestamp"],
                **{column: figure.get(name) for name, column in FIGURES.items()},
            }


#: What is asked for, with the column that holds it.
FIGURES = {
    "sum(session)": "sessions",
    "count_unique(user)": "users",
    "crash_free_rate(session)": "crash_free_session_rate",
    "crash_free_rate(user)": "crash_free_user_rate",
}


def text_of(value: object) -> str:
    """Return a part of a key as text; nothing is empty."""
    return "" if value is None else str(value)
