#!/usr/bin/env python3
"""Draw the tables that the streams become in a warehouse, for docs/streams.md.

    python scripts/draw_tables.py

Prints a Mermaid diagram of the core of the catalog: for each table its key, its
references, and the columns that most questions are about. `describe_streams.py` puts it
into docs/streams.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tap_sentry.records.columns import type_name
from tap_sentry.streams import STREAMS
from tap_sentry.streams.events import (
    IssueEventEntries,
    IssueEvents,
    ProjectEventEntries,
    ProjectEvents,
)
from tap_sentry.streams.feedback import ProjectFeedback
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.members import OrganizationMembers, TeamMembers
from tap_sentry.streams.monitors import MonitorCheckins, OrganizationMonitors
from tap_sentry.streams.organizations import OrganizationRepositories, Organizations
from tap_sentry.streams.projects import OrganizationProjects, Projects, ProjectUsers
from tap_sentry.streams.releases import (
    OrganizationReleases,
    ReleaseCommits,
    ReleaseDeploys,
)
from tap_sentry.streams.stats import (
    OrganizationEventCounts,
    ProjectEventCounts,
    TeamEventCounts,
)
from tap_sentry.streams.teams import OrganizationTeams, TeamProjects
from tap_sentry.streams.usage import ReleaseHealth

#: The streams that are drawn; the others would make the diagram unreadable.
CORE: frozenset[Any] = frozenset(
    {
        *(Organizations, OrganizationProjects, OrganizationRepositories, Projects),
        *(OrganizationTeams, TeamProjects, OrganizationMembers),
        *(ProjectIssues, ProjectEvents, ProjectEventEntries),
        *(IssueEvents, IssueEventEntries, ProjectFeedback, ProjectUsers),
        *(OrganizationEventCounts, TeamEventCounts, ProjectEventCounts),
        *(OrganizationReleases, ReleaseDeploys, ReleaseCommits),
        *(OrganizationMonitors, MonitorCheckins),
    }
)

#: The type that each kind of column has in PostgreSQL.
TYPES = {
    "string": "text",
    "date-time": "timestamp",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "object": "jsonb",
    "array of object": "jsonb[]",
    "array of string": "text[]",
}

#: Columns to draw beside keys and references, where a table has them.
MAIN = (
    *("slug", "name", "platform", "shortId", "title", "status", "level", "priority"),
    *("issueCategory", "firstSeen", "lastSeen", "count", "userCount", "type"),
    *("dateCreated", "email", "username", "comments", "user", "tags", "data"),
    *("dateReleased", "newGroups", "environment", "dateFinished", "duration"),
    *("message", "author", "role", "pending"),
)

#: A part of the keys: ids are unique within an organization only.
REALM = "organization_id"
#: The stream that a column refers to, by the last column of that stream's key.
REFERENCES: Mapping[str, Any] = {
    REALM: Organizations,
    "team_id": OrganizationTeams,
    "project_id": OrganizationProjects,
    "issue_id": ProjectIssues,
    "release_version": OrganizationReleases,
    "monitor_id": OrganizationMonitors,
    "repository_id": OrganizationRepositories,
}
#: References that may be null.
OPTIONAL = {"issue_id"}
#: References that do not follow from the name of the column.
MORE_REFERENCES: Mapping[Any, Mapping[str, Any]] = {
    Projects: {"id": OrganizationProjects},
    TeamProjects: {"id": OrganizationProjects},
    TeamMembers: {"id": OrganizationMembers},
    ReleaseHealth: {"release": OrganizationReleases},
    ProjectEventEntries: {"event_id": ProjectEvents},
    IssueEventEntries: {"event_id": IssueEvents},
}


def references(stream: Any) -> dict[str, Any]:
    """The columns of a stream that are references, with the stream they refer to."""
    columns = stream.schema["properties"]
    named = {name: to for name, to in REFERENCES.items() if name in columns}
    return named | dict(MORE_REFERENCES.get(stream, {}))


def drawn_references(stream: Any) -> dict[str, Any]:
    """The references of a stream to others that are drawn."""
    found = references(stream)
    return {name: to for name, to in found.items() if to in CORE}


def relations(stream: Any) -> Iterator[str]:
    """The lines that lead to a table, without those that another one implies."""
    found = drawn_references(stream)
    implied = {
        above
        for name, to in found.items()
        if name not in OPTIONAL
        for above in references(to).values()
    }
    for name, to in found.items():
        if to not in implied:
            one = "|o" if name in OPTIONAL else "||"
            many = "o|" if set(stream.primary_keys) <= {REALM, name} else "o{"
            yield f"{to.name} {one}--{many} {stream.name} : {name}"


def columns(stream: Any) -> Iterator[str]:
    """The lines of the columns of a table."""
    refers = drawn_references(stream)
    for name, schema in stream.schema["properties"].items():
        marks = ["PK"] * (name in stream.primary_keys) + ["FK"] * (name in refers)
        if marks or name in MAIN:
            yield f"{TYPES[type_name(schema)]} {name} {', '.join(marks)}".rstrip()


def draw() -> str:
    """The diagram as text."""
    lines = ["erDiagram"]
    drawn: list[Any] = [stream for stream in STREAMS if stream in CORE]
    for stream in drawn:
        lines.append(f"    {stream.name} {{")
        lines += [f"        {line}" for line in columns(stream)]
        lines.append("    }")
    for stream in drawn:
        lines += [f"    {line}" for line in relations(stream)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(draw(), end="")
