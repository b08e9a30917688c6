#!/usr/bin/env python3
"""Describe every stream, for docs/streams.md.

    python -m scripts.describe_streams

Prints a page of Markdown: pictures of the tables, and for each stream what a record
is, where it comes from, what it costs, its columns, and an example query. This is taken
from the classes of the streams; what they do not say is below, and the queries are in
`example_queries.sql`.
A test compares docs/streams.md with the output, and `make snapshots` writes it there.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.draw_tables import draw, references
from tap_sentry.records.columns import type_name
from tap_sentry.streams import STREAMS
from tap_sentry.streams.counts import EventCounts
from tap_sentry.streams.dated import DatedStream
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.issue_children import IssueChild, IssueList
from tap_sentry.streams.windowed import WindowedStream

QUERIES = Path(__file__).with_name("example_queries.sql")

INTRO = """\
# Streams

Each stream is a list of Sentry's Web API, and becomes a table of the same name.
*Requests* are those of one run for the stream itself; the list of its parent is read as
well, even if the parent is not selected. The queries are in PostgreSQL, for tables that
are loaded as in the [recipes](recipes.md), which say
[what to know about them](recipes.md#what-to-know-about-the-tables). The streams of the
setting `explore` are described in [tables of your own](explore.md).

- [Areas](#areas): all streams, by what they are about
- [Keys and references](#keys-and-references): how the main tables refer to each other
- [Columns](#columns): what is the same in all of them
"""

AREAS_INTRO = """\
## Areas

An arrow leads from a list to the lists that are read for each of its rows. Streams in
italics are [not selected by default](selecting.md).
"""

REFERENCES_INTRO = """\
## Keys and references

The main tables: their keys (`PK`), their references (`FK`) and the columns that most
questions are about, with their types in PostgreSQL. References hold within an
`organization_id`. Those of the other tables are in their descriptions.
"""

COLUMNS = """\
## Columns

- **Names** are Sentry's (`dateCreated`, `eventID`). Those that the tap adds are
  snake_case: `organization_id`, `project_id`, `team_id`, `issue_id`, `release_version`,
  `monitor_id`, `repository_id`.
- **Ids** are strings. What a server does not send is null or absent.
- **Descriptions** of all columns are in the catalog too, for targets and tools that
  show them.
- **Issues** of every status are read, ignored and resolved ones too, unless
  `issue_query` says otherwise. `count`, `userCount`, `firstSeen` and `lastSeen` are
  over all time.
- **Feedback** of Sentry's newer widget arrives as issues: in `project_issues`, with
  `issueCategory: feedback`. `project_feedback` has the older user reports.
- **Users** have unique keys, but one person may have several: `tagValue` is `id:7`,
  `email:a@example.com` and so on. Where a server sends none, it is `hash:` and the
  user's hash.
- **Counts** are of error events. `received` is all that reached Sentry, `rejected` what
  a rate limit or quota dropped, `blacklisted` what an inbound filter dropped,
  `generated` what Sentry accepted. The newest interval is still growing; the next run
  reads it again.
- **Entries** are numbered from 0 in `entry_index`. `data` is an object; where Sentry
  sends a list, it is under `values`.
- **Values that databases refuse** are replaced. NUL and lone surrogates in a text
  become U+FFFD. NaN, infinities, invalid dates and numbers that do not fit their column
  (integers beyond 64 bits) become null. A value that is nested too deeply for JSON
  libraries is kept as JSON in a text.
"""

#: The streams by what they are about.
AREAS: Mapping[str, tuple[str, ...]] = {
    "Organizations and projects": (
        *("organizations", "organization_projects", "projects"),
        *("organization_repositories", "organization_environments"),
        "project_environments",
    ),
    "People and teams": (
        *("organization_teams", "organization_members", "team_members"),
        "team_projects",
    ),
    "Issues": (
        *("project_issues", "issue_activities", "issue_comments", "issue_tags"),
        *("issue_hashes", "issue_links"),
    ),
    "Events": (
        *("project_events", "project_event_entries", "issue_events"),
        *("issue_event_entries", "project_feedback", "project_users"),
    ),
    "Releases": (
        *("organization_releases", "release_deploys", "release_commits"),
        *("repository_commits", "release_health"),
    ),
    "Monitors": ("organization_monitors", "monitor_checkins"),
    "Usage and counts": (
        *("organization_event_counts", "team_event_counts", "project_event_counts"),
        "organization_usage",
    ),
    "Alerts": (
        *("organization_detectors", "organization_workflows", "project_alert_rules"),
        *("organization_metric_alert_rules", "organization_incidents"),
    ),
    "Project settings": (
        *("project_keys", "project_service_hooks", "project_ownership"),
        *("project_inbound_filters", "project_tags"),
    ),
    "Integrations": (
        *("organization_integrations", "organization_app_installations"),
        "organization_code_mappings",
    ),
    "Dashboards and queries": ("organization_dashboards", "organization_saved_queries"),
    "Replays": ("organization_replays",),
    "Audit log": ("organization_audit_logs",),
}

#: The scopes that a token for these streams has as a rule.
USUAL_SCOPES = ("org:read", "project:read", "event:read", "team:read")

#: Requests, where the class does not say how many.
REQUESTS = {
    "project_issues": (
        "1 per 100 new records; at least 1 per project; 1 more for a list of several "
        "pages, because issues move while it is read"
    ),
    "issue_comments": (
        "as many as `issue_activities`; if that is selected too, only for issues with "
        "more than a hundred activities"
    ),
    "organization_event_counts": (
        "1 per organization and 999 intervals; to the older endpoint 1 for each "
        "of `stats`"
    ),
    "team_event_counts": (
        "1 per 100 projects of a team and 999 intervals, and those of `team_projects`"
    ),
    "project_event_counts": "1 per project for each of `stats`",
}
#: The rows of the parent that are visited, where `may_have_rows` leaves some out.
VISITED = {
    "release_deploys": (
        "release with deploys that was created, released or deployed since the last run"
    ),
    "release_commits": (
        "release with commits that was created or released since the last run, or in "
        "the 7 days before it"
    ),
}
#: Why streams are not selected by default, where neither scopes nor issues are why.
LEFT_OUT = {
    "team_members": "it needs `team:read`, which a token may lack",
    "projects": "it mostly repeats `organization_projects`",
    "project_event_entries": (
        "on sentry.io it sends ten times the requests of `project_events`"
    ),
    "issue_events": (
        "it repeats `project_events`, and sends at least 1 request per issue"
    ),
    "monitor_checkins": "it sends at least 1 request per monitor",
}
#: What else there is to say about replication.
REPLICATION = {
    "organization_releases": "from the `start_date` on",
    "project_issues": "all issues are read again once per `issue_refresh`",
}
#: Columns of Sentry's own that hold ids of another stream.
MORE_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "organization_repositories": {"integrationId": "organization_integrations"},
    "organization_replays": {
        "releases": "organization_releases",
        "error_ids": "project_events",
    },
    "organization_dashboards": {"projects": "organization_projects"},
    "organization_saved_queries": {"projects": "organization_projects"},
    "organization_detectors": {
        "projectId": "organization_projects",
        "workflowIds": "organization_workflows",
    },
    "organization_workflows": {"detectorIds": "organization_detectors"},
    "organization_code_mappings": {
        "projectId": "organization_projects",
        "repoId": "organization_repositories",
        "integrationId": "organization_integrations",
    },
    "project_feedback": {"eventID": "project_events"},
}

BY_NAME: Mapping[str, Any] = {vars(stream)["name"]: stream for stream in STREAMS}


class Query(NamedTuple):
    """An example query, and the question that it answers."""

    question: str
    sql: str


def queries() -> dict[str, Query]:
    """The example queries by stream."""
    text = QUERIES.read_text(encoding="utf-8")
    found = re.findall(r"^-- (\w+): (.+)\n((?:(?!--).+\n)+)", text, re.MULTILINE)
    return {name: Query(question, sql) for name, question, sql in found}


def anchor(heading: str) -> str:
    """The address of a heading on its page, as GitHub makes it."""
    return "#" + heading.lower().replace(" ", "-")


def linked(name: str) -> str:
    """A link to the description of a stream."""
    return f"[`{name}`]({anchor(name)})"


def coded(names: tuple[str, ...], last: str = ", ") -> str:
    """Names in backticks."""
    *first, end = [f"`{name}`" for name in names]
    return last.join([", ".join(first), end] if first else [end])


# The facts ----------------------------------------------------------------------------


def endpoint(stream: Any) -> str:
    """The path, with a link to Sentry's documentation, and the older path."""
    (page,) = re.findall(r"https://docs\.sentry\.io/\S+", str(stream.__doc__))
    text = f"[`{stream.path}`]({page})"
    if stream.fallback_path:
        text += f"; on servers without it `{stream.fallback_path}`"
    return text


def visited(stream: Any) -> str:
    """What a stream sends at least one request for."""
    if issubclass(stream, IssueList):
        return "issue with new events, and per issue once per `issue_refresh`"
    if issubclass(stream, IssueChild):
        return "issue with new events"
    if issubclass(stream, IntervalStream):
        return (
            "organization and day; more for a day of "
            f"{stream.many_rows:,} figures, whose projects are read in parts"
        )
    if issubclass(stream, DatedStream) and (
        stream.may_have_rows is not DatedStream.may_have_rows
    ):
        return VISITED[stream.name]
    return str(stream.parent_stream_type.kind)


def per_page(stream: Any) -> str:
    """How many records, or events, come with a request; empty for a list in one."""
    if stream.page_size_name is None:
        return ""
    size = stream.page_sizes[0]
    is_windowed = issubclass(stream, WindowedStream)
    if is_windowed and stream.is_entries:
        return f"1 per 10 new events on sentry.io, elsewhere per {size}"
    is_whole = replication_key(stream) is None or (
        issubclass(stream, DatedStream) and not stream.stops_by_date
    )
    text = f"1 per {size} {'records' if is_whole else 'new records'}"
    if is_windowed and stream.is_events:
        text += ", on sentry.io per 10 with `full_events`"
    return text


def requests(stream: Any) -> str:
    """How many requests a run sends for a stream."""
    if stream.name in REQUESTS:
        return REQUESTS[stream.name]
    most = per_page(stream)
    if stream.parent_stream_type is None:
        return most
    least = f"1 per {visited(stream)}"
    return f"{most}; at least {least}" if most else least


def selection(stream: Any) -> str:
    """Whether a stream is selected by default, else why it is not."""
    if stream.selected_by_default:
        return "yes"
    if stream.name in LEFT_OUT:
        return f"no, {LEFT_OUT[stream.name]}"
    if issubclass(stream, IssueChild):
        return "no, it sends at least 1 request per issue"
    scope = next(scope for scope in stream.scopes if scope not in USUAL_SCOPES)
    return f"no, few tokens have the scope `{scope}`"


def scopes(stream: Any) -> str:
    """The scopes of a stream, any of which is enough, and those of its older path."""
    text = coded(stream.scopes, " or ")
    if stream.fallback_scopes:
        text += f"; for the older endpoint {coded(stream.fallback_scopes, ' or ')}"
    return text


def replication_key(stream: Any) -> str | None:
    """The column that a stream is replicated by; None if it is read whole."""
    key = stream.replication_key
    # Without one there is the property of the SDK.
    return key if isinstance(key, str) else None


def replication(stream: Any) -> str:
    """How a stream is replicated, and what is read again."""
    key = replication_key(stream)
    parts = [f"incremental by `{key}`" if key else "full table"]
    if stream.name in REPLICATION:
        parts.append(REPLICATION[stream.name])
    if issubclass(stream, IssueList):
        parts.append(
            "issues with new events, and all once per `issue_refresh`; each whole"
        )
    if issubclass(stream, IntervalStream):
        parts.append("the newest two days are read again")
    elif issubclass(stream, EventCounts):
        parts.append("the newest two intervals are read again")
    elif issubclass(stream, (WindowedStream, DatedStream)) and stream.refresh:
        days = stream.refresh.days
        span = "a day" if days == 1 else f"{days} days"
        parts.append(f"every run goes back {span} before its bookmark")
    return "; ".join(parts)


def refers(stream: Any) -> str:
    """The columns that hold ids of other streams."""
    found = {name: to.name for name, to in references(stream).items()}
    found |= MORE_REFERENCES.get(stream.name, {})
    return ", ".join(f"{linked(to)} by `{name}`" for name, to in found.items())


# The page -----------------------------------------------------------------------------


def contents() -> Iterator[str]:
    """The lines of the table of contents."""
    yield from ("| area | streams |", "| --- | --- |")
    for area, names in AREAS.items():
        streams = ", ".join(map(linked, names))
        yield f"| [{area}]({anchor(area)}) | {streams} |"


def pictured() -> Iterator[str]:
    """The lines of a Mermaid diagram of all streams, by parent and area.

    Each parent has a box of its own. Below it there is one for each area, with the
    streams that are no parents themselves.
    """
    parents = {stream.parent_stream_type for stream in STREAMS} - {None}
    yield "flowchart LR"
    for parent in (*(stream for stream in STREAMS if stream in parents), None):
        if parent is not None:
            above = parent.parent_stream_type
            arrow = f"{above.name} --> " if above else ""
            yield f'    {arrow}{parent.name}["<b>{parent.name}</b>"]'
        for number, (area, names) in enumerate(AREAS.items()):
            streams = [BY_NAME[name] for name in names]
            below = [
                stream.name if stream.selected_by_default else f"<i>{stream.name}</i>"
                for stream in streams
                if stream.parent_stream_type is parent and stream not in parents
            ]
            if below:
                arrow = f"{parent.name} --> {parent.name}_" if parent else "alone_"
                text = "<br>".join([f"<b>{area}</b>", *below])
                yield f'    {arrow}{number}["{text}"]'


def facts(stream: Any) -> Iterator[str]:
    """The lines of what there is to know about a stream."""
    yield f"- Endpoint: {endpoint(stream)}"
    yield f"- Requests: {requests(stream)}"
    yield f"- Selected by default: {selection(stream)}"
    yield f"- Scope: {scopes(stream)}"
    yield f"- Primary key: {coded(stream.primary_keys)}"
    yield f"- Replication: {replication(stream)}"
    if stream.parent_stream_type:
        yield f"- Parent: {linked(stream.parent_stream_type.name)}"
    if found := refers(stream):
        yield f"- Refers to: {found}"


def columns(stream: Any) -> Iterator[str]:
    """The lines of the table of columns."""
    yield from ("| column | type | description |", "| --- | --- | --- |")
    for name, schema in stream.schema["properties"].items():
        text = schema["description"].replace("|", "\\|")
        yield f"| `{name}` | {type_name(schema)} | {text} |"


def section(stream: Any, query: Query) -> Iterator[str]:
    """The lines of the description of a stream."""
    yield from (f"### `{stream.name}`", "", str(stream.__doc__).splitlines()[0], "")
    yield from facts(stream)
    yield ""
    yield from columns(stream)
    yield from ("", query.question, "", f"```sql\n{query.sql}```", "")


def describe() -> str:
    """The whole page as text."""
    examples = queries()
    lines = [INTRO, AREAS_INTRO, "```mermaid", *pictured(), "```", "", *contents(), ""]
    lines += [REFERENCES_INTRO, f"```mermaid\n{draw()}```", "", COLUMNS]
    for area, names in AREAS.items():
        lines += [f"## {area}", ""]
        for name in names:
            lines += section(BY_NAME[name], examples[name])
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe(), end="")
