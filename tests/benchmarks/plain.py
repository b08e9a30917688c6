"""Sixteen of the streams in a plain tap: the SDK and nothing else.

    python -m tests.benchmarks.plain --config config.json --catalog catalog.json

It is sequential, with the SDK's own writer, decoding, type conformance and state.
Names, columns, keys and parents are those of tap-sentry.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseAPIPaginator

from tap_sentry import streams as ours

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests
    from singer_sdk import Stream

Row = dict[str, Any]

STATS = {
    "field": "sum(quantity)",
    "category": "error",
    "groupBy": "outcome",
    "interval": "1d",
    "statsPeriod": "90d",
}
#: Paths and parameters where they are not those of tap-sentry.
PATHS = {
    "project_issues": "/projects/{organization}/{project}/issues/",
    "team_event_counts": "/teams/{organization}/{team}/stats/",
}
PARAMS: dict[str, Row] = {
    "organization_event_counts": STATS,
    "team_event_counts": {"resolution": "1d"},
    "project_event_counts": {"resolution": "1d", "stat": "received"},
    "project_issues": {"query": "", "statsPeriod": ""},
}
#: The name that children use for the id of their parent's row.
IDS = {
    "organizations": "organization_id",
    "organization_projects": "project_id",
    "organization_teams": "team_id",
    "project_issues": "issue_id",
}


class NextLink(BaseAPIPaginator[str | None]):
    """Follows the `Link` header."""

    def __init__(self) -> None:
        super().__init__(None)

    def get_next(self, response: requests.Response) -> str | None:
        """The cursor of the next page, if there is one."""
        link = response.links.get("next", {})
        return link["cursor"] if link.get("results") == "true" else None


class PlainStream(RESTStream[str]):
    """A list of Sentry's API."""

    params: ClassVar[Row]
    is_full: ClassVar[bool]

    @property
    def url_base(self) -> str:
        """The address of the API."""
        return f"{self.config['api_url']}/api/0"

    @property
    def http_headers(self) -> dict[str, str]:
        """The token."""
        return {"Authorization": f"Bearer {self.config['auth_token']}"}

    def get_new_paginator(self) -> NextLink:
        """A paginator that follows the `Link` header."""
        return NextLink()

    def get_url_params(self, context: Any, next_page_token: Any) -> Row:
        """The parameters of a page."""
        del context
        params = {"cursor": next_page_token, **self.params}
        if self.is_full or (
            self.config.get("full_events") and self.name.endswith("_events")
        ):
            params["full"] = "true"
        return params

    def get_child_context(self, record: Row, context: Any) -> Row | None:
        """The ids of the record and its parents."""
        if self.name not in IDS:
            return None
        return {**(context or {}), IDS[self.name]: record["id"]}

    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows of a page, with the columns of tap-sentry."""
        if self.name.endswith("event_counts"):
            yield from counts(response.json())
            return
        for row in super().parse_response(response):
            if self.name == "project_issues":
                row.update(row.get("lifetime", {}))
                row["count"] = int(row["count"])
            elif self.name.endswith("_events"):
                if "event.type" in row:
                    row["type"] = row.pop("event.type")
                row["issue_id"] = row["groupID"]
            elif self.is_full:
                yield from entries(row)
                continue
            yield row


def entries(event: Row) -> Iterable[Row]:
    """The entries of an event."""
    for index, entry in enumerate(event["entries"]):
        yield {
            "issue_id": event["groupID"],
            "event_id": event["eventID"],
            "entry_index": index,
            "type": entry["type"],
            "data": entry["data"],
            "dateCreated": event["dateCreated"],
        }


def counts(body: Any) -> Iterable[Row]:
    """The counts of a response of an older endpoint or of `stats_v2`."""
    sums: Counter[str] = Counter()
    if isinstance(body, list):
        sums.update({str(time): count for time, count in body})
    else:
        for group in body["groups"]:
            series = group["series"]["sum(quantity)"]
            sums.update(dict(zip(body["intervals"], series, strict=True)))
    for time, count in sums.items():
        yield {"stat": "received", "resolution": "1d", "timestamp": time} | {
            "count": count
        }


def plain(kind: type[Any], parents: dict[str, type[Stream]]) -> type[PlainStream]:
    """Make a plain stream from a stream of tap-sentry."""
    path = PATHS.get(kind.name, kind.path)
    for name in ("organization", "project", "team", "issue"):
        path = path.replace(f"{{{name}}}", f"{{{name}_id}}")
    parent = getattr(kind, "parent_stream_type", None)
    columns = {
        "name": kind.name,
        "path": path,
        "schema": spelled_out(kind.schema),
        "primary_keys": kind.primary_keys,
        "replication_key": kind.replication_key,
        "params": PARAMS.get(kind.name, kind.params),
        "is_full": kind.name.endswith("_entries"),
        "parent_stream_type": parents[parent.name] if parent else None,
    }
    return type(f"Plain{kind.__name__}", (PlainStream,), columns)


def spelled_out(schema: Row) -> Row:
    """A schema with `properties` in every object, which the SDK expects there."""
    found = dict(schema)
    if "object" in schema["type"]:
        properties = schema.get("properties", {})
        found["properties"] = {k: spelled_out(v) for k, v in properties.items()}
    if "items" in schema:
        found["items"] = spelled_out(schema["items"])
    return found


#: The streams that the benchmarks sync, of organizations, teams, projects and issues.
MEASURED = (
    *("organizations", "organization_projects", "organization_repositories"),
    *("organization_teams", "organization_event_counts", "projects"),
    *("team_projects", "team_event_counts", "project_issues", "project_events"),
    *("project_event_entries", "project_feedback", "project_users"),
    *("project_event_counts", "issue_events", "issue_event_entries"),
)


class PlainTap(Tap):
    """A tap that uses the SDK and nothing else."""

    name = "plain"
    config_jsonschema: ClassVar[Row] = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("auth_token", th.StringType, required=True, secret=True),
        th.Property("full_events", th.BooleanType),
    ).to_dict()

    def discover_streams(self) -> list[Stream]:
        """The streams of tap-sentry."""
        made: dict[str, type[Stream]] = {}
        kinds: tuple[type[Any], ...] = ours.STREAMS
        for kind in kinds:
            if kind.name not in MEASURED:
                continue
            made[kind.name] = plain(kind, made)
        return [stream(self) for stream in made.values()]


if __name__ == "__main__":
    PlainTap.cli()
