"""The lists of Sentry whose rows are records as they are, one line of facts for each.

From https://docs.sentry.io/api/ and, for the lists of issues on old servers and for
lists that are not documented, from the sources of Sentry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Place:
    """Something that has lists, such as a project."""

    #: Its path, and the one that older servers have instead.
    paths: tuple[str, ...]
    #: The names that identify it in the keys of rows.
    key: tuple[str, ...]
    #: The stream whose rows such places are; None of those that every crawl visits.
    stream: str | None = None
    #: The field that identifies a row in keys, and those of which paths have the first.
    id: str = "id"
    slugs: tuple[str, ...] = ("id",)


@dataclass(frozen=True)
class Listing:
    """A list: where it is found, and what identifies its rows there."""

    #: The place that has the list, in `PLACES`.
    place: str
    #: Its path below that place, and those that older servers have instead.
    paths: tuple[str, ...]
    #: The fields that identify a row, `repository.id` being a field of a field; none of
    #: an object that is sent instead of a list.
    ids: tuple[str, ...] = ("id",)
    params: Mapping[str, Any] = field(default_factory=dict)
    #: The field that holds the list, if the body is not the list itself.
    wrapper: str | None = None
    #: The dates of a row, which has to have one of them in the window.
    dates: tuple[str, ...] = ()
    #: Whether the server selects rows by `start` and `end`.
    takes_window: bool = False
    #: Whether rows outside the window may be read as well, because such a list is read
    #: in full or not at all.
    is_loose: bool = False


ORGANIZATION = "organizations/{organization}"
PROJECT = "projects/{organization}/{project}"

PLACES: Mapping[str, Place] = {
    "organization": Place((ORGANIZATION,), ("organization_id",)),
    "team": Place(("teams/{organization}/{team}",), ("organization_id", "team_id")),
    "project": Place((PROJECT,), ("organization_id", "project_id")),
    "issue": Place(
        (f"{ORGANIZATION}/issues/{{issue}}", "issues/{issue}"),
        ("organization_id", "issue"),
    ),
    "release": Place(
        (f"{ORGANIZATION}/releases/{{release}}",),
        ("organization_id", "release_id"),
        stream="organization_releases",
        id="version",
        slugs=("version",),
    ),
    "monitor": Place(
        (f"{ORGANIZATION}/monitors/{{monitor}}",),
        ("organization_id", "monitor_id"),
        stream="organization_monitors",
        # The monitors of GlitchTip have no slugs.
        slugs=("slug", "id"),
    ),
    "repository": Place(
        (f"{ORGANIZATION}/repos/{{repository}}",),
        ("organization_id", "repository_id"),
        stream="organization_repositories",
    ),
}

CREATED = ("dateCreated",)
ALL_ENVIRONMENTS = {"visibility": "all"}

LISTS: Mapping[str, Listing] = {
    "organization_members": Listing("organization", ("members/",)),
    "organization_environments": Listing(
        "organization", ("environments/",), params=ALL_ENVIRONMENTS
    ),
    "organization_releases": Listing(
        "organization",
        ("releases/",),
        ids=("version",),
        params={"status": ""},
        dates=("dateReleased", "dateCreated"),
        is_loose=True,
    ),
    "organization_monitors": Listing("organization", ("monitors/",)),
    "organization_replays": Listing(
        "organization",
        ("replays/",),
        params={"project": -1},
        wrapper="data",
        dates=("started_at",),
        takes_window=True,
    ),
    "organization_dashboards": Listing("organization", ("dashboards/",)),
    "organization_saved_queries": Listing("organization", ("discover/saved/",)),
    "organization_detectors": Listing("organization", ("detectors/",)),
    "organization_workflows": Listing("organization", ("workflows/",)),
    "organization_metric_alert_rules": Listing("organization", ("alert-rules/",)),
    "organization_incidents": Listing(
        "organization", ("incidents/",), dates=("dateStarted",)
    ),
    "organization_integrations": Listing("organization", ("integrations/",)),
    "organization_app_installations": Listing(
        "organization", ("sentry-app-installations/",), ids=("uuid",)
    ),
    "organization_code_mappings": Listing("organization", ("code-mappings/",)),
    "organization_audit_logs": Listing(
        "organization", ("audit-logs/",), wrapper="rows", dates=CREATED
    ),
    "repository_commits": Listing(
        "repository", ("commits/",), dates=CREATED, is_loose=True
    ),
    "release_deploys": Listing(
        "release", ("deploys/",), dates=("dateFinished",), is_loose=True
    ),
    "release_commits": Listing(
        "release",
        ("commits/",),
        ids=("repository.id", "id"),
        dates=CREATED,
        is_loose=True,
    ),
    "monitor_checkins": Listing(
        "monitor", ("checkins/",), dates=CREATED, takes_window=True
    ),
    "team_members": Listing("team", ("members/",)),
    "project_environments": Listing(
        "project", ("environments/",), params=ALL_ENVIRONMENTS
    ),
    "project_keys": Listing("project", ("keys/",)),
    "project_service_hooks": Listing("project", ("hooks/",)),
    "project_ownership": Listing("project", ("ownership/",), ids=()),
    "project_inbound_filters": Listing("project", ("filters/",)),
    "project_tags": Listing("project", ("tags/",), ids=("key",)),
    "project_alert_rules": Listing("project", ("rules/",)),
    # Old servers send the activities with the issue.
    "issue_activities": Listing(
        "issue", ("activities/", ""), wrapper="activity", dates=CREATED
    ),
    "issue_comments": Listing("issue", ("notes/", "comments/"), dates=CREATED),
    "issue_tags": Listing("issue", ("tags/",), ids=("key",)),
    # Without this parameter Sentry sends whole events.
    "issue_hashes": Listing("issue", ("hashes/",), params={"full": ""}),
    "issue_links": Listing("issue", ("external-issues/",)),
}
