"""The data that a server holds, from CSV files that were taken from its database.

The files are organizations, teams, projects, team_projects, repositories, keys, issues,
events, users, feedback, and `stats_1d` and `stats_1h` with the event counts that are
not zero.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeAlias

from tests.live.crawler import parse, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

Row: TypeAlias = dict[str, str]
Key: TypeAlias = tuple[str, ...]


class Truth:
    """The contents of the files, as keys of records."""

    def __init__(self, folder: Path) -> None:
        """Read the slugs and ids of organizations, projects and teams."""
        self.folder = folder
        self._organizations = {
            row["slug"]: row["id"] for row in self.rows("organizations")
        }
        self._projects = {
            (row["org"], row["slug"]): self.key(row) for row in self.rows("projects")
        }
        self._teams = {
            (row["org"], row["slug"]): self.key(row) for row in self.rows("teams")
        }

    def rows(self, name: str) -> list[Row]:
        """The rows of a file."""
        with (self.folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def key(self, row: Row) -> Key:
        """The id of a row's organization, and its own."""
        return (self._organizations[row["org"]], row["id"])

    def project(self, row: Row) -> Key:
        """The ids of the organization and the project of a row."""
        return self._projects[row["org"], row["project"]]

    def team_project(self, row: Row) -> Key:
        """The ids of the organization, the team and the project of a row."""
        return (*self._teams[row["org"], row["team"]], row["project_id"])

    @property
    def organizations(self) -> set[str]:
        """The ids of the organizations in the files."""
        return set(self._organizations.values())

    def keys(self, stream: str) -> set[Key]:
        """The keys of a stream, according to the files."""
        if stream in EVENTS:
            return {
                (*self.project(row), row["event_id"]) for row in self.rows("events")
            }
        name, key = KEYS[stream]
        return {key(self, row) for row in self.rows(name) if is_listed(row)}

    def counts(self, resolution: str) -> dict[str, dict[Key, int]]:
        """The event counts that are not zero, by stream and key."""
        counts: defaultdict[str, dict[Key, int]] = defaultdict(dict)
        teams = defaultdict(list)
        for row in self.rows("team_projects"):
            teams[f"{row['org']}/{row['project']}"].append(
                self._teams[row["org"], row["team"]]
            )
        of_teams: Counter[Key] = Counter()
        for row in self.rows(f"stats_{resolution}"):
            at = (row["stat"], resolution, text(parse(float(row["timestamp"]))))
            count = int(row["count"])
            if row["kind"] == "organization":
                key: Key = (self._organizations[row["name"]], *at)
                counts["organization_event_counts"][key] = count
                continue
            organization, _, project = row["name"].partition("/")
            key = (*self._projects[organization, project], *at)
            counts["project_event_counts"][key] = count
            if row["stat"] == "generated":
                for team in teams[row["name"]]:
                    of_teams[(*team, *at)] += count
        counts["team_event_counts"] = dict(of_teams)
        return counts

    def span(self, resolution: str) -> tuple[datetime, datetime]:
        """The first and the last interval in the files."""
        instants = [
            parse(float(row["timestamp"])) for row in self.rows(f"stats_{resolution}")
        ]
        return min(instants), max(instants)


def tag(row: Row) -> str:
    """The tag by which Sentry identifies a user: the first attribute that is known."""
    for name, column in USER.items():
        if row[column]:
            return f"{name}:{row[column]}"
    msg = f"a user with nothing known: {row}"
    raise ValueError(msg)


USER = {
    "id": "ident",
    "username": "username",
    "email": "email",
    "ip": "ip_address",
}


def is_listed(row: Row) -> bool:
    """Whether Sentry ever lists the row: it does not list a report without an issue."""
    return row.get("listed") != "never"


#: The file of each stream, and the function that makes the key of a row. Hidden
#: repositories are included: the tap requests every status, as it does for feedback and
#: issues.
KEYS: Mapping[str, tuple[str, Callable[[Truth, Row], Key]]] = {
    "organizations": ("organizations", lambda _, row: (row["id"],)),
    "organization_projects": ("projects", Truth.key),
    "organization_repositories": ("repositories", Truth.key),
    "organization_teams": ("teams", Truth.key),
    "projects": ("projects", Truth.key),
    "team_projects": ("team_projects", Truth.team_project),
    "project_keys": (
        "keys",
        lambda truth, row: (*truth.project(row), row["public_key"]),
    ),
    "project_issues": (
        "issues",
        lambda truth, row: (truth.project(row)[0], row["issue_id"]),
    ),
    "project_feedback": (
        "feedback",
        lambda truth, row: (*truth.project(row), row["id"]),
    ),
    "project_users": ("users", lambda truth, row: (*truth.project(row), tag(row))),
}
#: Streams of events.
EVENTS = ("project_events", "issue_events")
