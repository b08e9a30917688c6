"""The keys and records that the streams of the tap must have."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED
from tests.sentry.figures import health_rows, usage_rows
from tests.sentry.projects import users_of
from tests.sentry.stats import RESOLUTIONS, STATS, count_errors
from tests.sentry.times import floored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.sentry.calls import Key
    from tests.sentry.data.events import Event, Record
    from tests.sentry.data.objects import (
        Issue,
        Organization,
        Project,
    )
    from tests.sentry.world import World


#: The endpoints of each stream.
STREAMS = {
    "organizations": ["organizations/"],
    "organization_projects": ["organizations/{org}/projects/"],
    "organization_repositories": ["organizations/{org}/repos/"],
    "organization_teams": ["organizations/{org}/teams/"],
    "organization_event_counts": [
        "organizations/{org}/stats_v2/",
        "organizations/{org}/stats/",
    ],
    "projects": ["projects/"],
    "team_projects": ["teams/{org}/{team}/projects/"],
    "team_event_counts": [
        "organizations/{org}/stats_v2/",
        "teams/{org}/{team}/stats/",
    ],
    "project_issues": ["projects/{org}/{project}/issues/"],
    "project_events": ["projects/{org}/{project}/events/"],
    "project_event_entries": ["projects/{org}/{project}/events/"],
    "project_feedback": ["projects/{org}/{project}/user-feedback/"],
    "project_users": ["projects/{org}/{project}/users/"],
    "project_event_counts": ["projects/{org}/{project}/stats/"],
    "issue_events": ["issues/{issue}/events/"],
    "issue_event_entries": ["issues/{issue}/events/"],
    "organization_usage": ["organizations/{org}/stats_v2/"],
    "release_health": ["organizations/{org}/sessions/"],
    **{name: [*declared.templates] for name, declared in DECLARED.items()},
}
#: What GlitchTip lacks though it has the endpoint: it counts neither by category nor by
#: project, and sends issues without activities.
LACKING_IN_GLITCHTIP = {"organization_usage", "issue_activities"}
#: Figures by day.
FIGURES = {"organization_usage": usage_rows, "release_health": health_rows}
#: The streams that are read in full, without dates.
LISTS = {name for name in STREAMS if name.startswith(("organization", "team"))}
LISTS.add("projects")


def true_rows(
    sentry: World,
    stream: str,
    start: datetime | None,
    end: datetime | None,
    **counts: Any,
) -> Iterator[tuple[Key, Callable[[], Record]]]:
    end = end or sentry.clock()
    for organization in sentry.organizations if has(sentry, stream) else ():
        if not organization.forbidden:
            yield from rows_of(sentry, stream, organization, (start, end), **counts)


def has(sentry: World, stream: str) -> bool:
    """Return whether a server has a stream."""
    if sentry.flavour.glitchtip and stream in LACKING_IN_GLITCHTIP:
        return False
    missing = sentry.flavour.missing
    return any(template not in missing for template in STREAMS[stream])


def rows_of(
    sentry: World,
    stream: str,
    organization: Organization,
    window: tuple[datetime | None, datetime],
    **counts: Any,
) -> Iterator[tuple[Key, Callable[[], Record]]]:
    start, end = window
    if stream.endswith("event_counts"):
        yield from count_rows(sentry, stream, organization, window, **counts)
    elif stream in FIGURES:
        first = start or end - timedelta(days=90)
        for key, row in FIGURES[stream](sentry, organization, first, end):
            yield key, row.copy
    elif stream in DECLARED:
        yield from DECLARED[stream].truth(sentry, organization, start, end)
    elif stream in LISTS:
        yield from list_rows(stream, organization)
    else:
        for project in organization.projects:
            if not project.forbidden:
                yield from project_rows(sentry, stream, project, start, end)


def list_rows(
    stream: str, organization: Organization
) -> Iterator[tuple[Key, Callable[[], Record]]]:
    projects, teams = organization.projects, organization.teams
    lists: dict[str, list[tuple[Key, Callable[[], Record]]]] = {
        "organizations": [((), organization.row)],
        "organization_projects": [((row.id,), row.summary) for row in projects],
        "projects": [((row.id,), row.row) for row in projects if row.is_member],
        "organization_repositories": [
            ((row.id,), row.record) for row in organization.repositories
        ],
        "organization_teams": [((row.id,), row.record) for row in teams],
        "team_projects": [
            ((team.id, row.id), row.summary) for team in teams for row in team.projects
        ],
    }
    for ids, record in lists[stream]:
        yield (organization.id, *ids), record


def project_rows(
    sentry: World, stream: str, project: Project, start: datetime | None, end: datetime
) -> Iterator[tuple[Key, Callable[[], Record]]]:
    rows: Iterable[tuple[Key, Callable[[], Record]]]
    ids: Key = (project.organization.id, project.id)
    kept = sentry.kept(start)
    if stream == "project_issues":
        ids = ids[:1]
        rows = [
            ((issue.id,), issue.record)
            for issue in project.issues
            if listed_between(sentry, issue, start, end)
        ]
    elif stream == "project_feedback":
        rows = [
            ((row.id,), row.record)
            for row in project.feedback
            if row.issue and row.created < end and not (kept and row.created < kept)
        ]
    elif stream == "project_users":
        users = [user for user, _ in users_of(sentry, project)]
        rows = [((user.tag or f"hash:{user.hash}",), user.record) for user in users]
    else:
        events = true_events(stream, project, kept, end)
        rows = (((event.id,), event.full) for event in events)
        if stream.endswith("_entries"):
            rows = (
                ((event.id, index), entry.copy)
                for event in events
                for index, entry in enumerate(event.entries.rows)
            )
    for own, record in rows:
        yield ids + own, record


def true_events(
    stream: str, project: Project, start: datetime | None, end: datetime
) -> Iterator[Event]:
    if stream.startswith("project_"):
        yield from project.events.newest(start, end)
    else:
        for issue in project.issues:
            yield from issue.events.newest(start, end)


def listed_between(
    sentry: World, issue: Issue, start: datetime | None, end: datetime
) -> bool:
    if sentry.flavour.old_records:
        return issue.first_seen < end and not (start and issue.latest < start)
    return len(issue.events.newest(sentry.kept(start), end)) > 0


def count_rows(  # noqa: PLR0913, PLR0917 - each is independent
    sentry: World,
    stream: str,
    organization: Organization,
    window: tuple[datetime | None, datetime],
    stats: Iterable[str] = ("received",),
    resolution: str = "1d",
) -> Iterator[tuple[Key, Callable[[], Record]]]:
    step = RESOLUTIONS[resolution]
    end = window[1]
    start = window[0] or end - timedelta(days=90 if resolution == "1d" else 7)
    owners: list[tuple[Key, list[Project]]] = [((), organization.projects)]
    if stream == "team_event_counts":
        teams = [team for team in organization.teams if team.projects]
        owners = [((team.id,), team.projects) for team in teams]
    elif stream == "project_event_counts":
        allowed = [row for row in organization.projects if not row.forbidden]
        owners = [((project.id,), [project]) for project in allowed]
    if "organizations/{org}/stats_v2/" in sentry.flavour.missing:
        # The old endpoints count only `generated` for teams, and for organizations
        # all but that.
        if stream == "team_event_counts":
            stats = ["generated"]
        elif stream == "organization_event_counts":
            stats = [stat for stat in stats if stat != "generated"]
    if sentry.flavour.glitchtip:
        # GlitchTip counts accepted events only.
        stats = [stat for stat in stats if "accepted" in STATS[stat]]
    by_event = stream.startswith("project") or sentry.flavour.old_stats
    for ids, projects in owners:
        for stat in stats:
            for at in range(floored(start, step), math.ceil(end.timestamp()), step):
                stamp = iso(datetime.fromtimestamp(at, UTC), "seconds")
                name = "generated" if sentry.flavour.glitchtip else stat
                count = count_errors(
                    projects,
                    name,
                    at,
                    at + step,
                    sentry.kept(None),
                    by_event=by_event,
                )
                row = {"stat": stat, "timestamp": stamp, "count": count}
                key = (organization.id, *ids, stat, resolution, stamp)
                yield key, row.copy
