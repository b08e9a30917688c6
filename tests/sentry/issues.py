"""Issues."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.sentry.answers import (
    FORBIDDEN,
    Answer,
    internal_error,
    refuse,
    reply,
    written,
)
from tests.sentry.data.events import tally
from tests.sentry.endpoints import DATES, endpoint
from tests.sentry.issue_details import activities
from tests.sentry.lists import one_page, page_limit, shaped, values, window_of
from tests.sentry.paging import Slice, by_value
from tests.sentry.search import searched
from tests.sentry.times import DAY, HOUR, Window, floored, milliseconds

if TYPE_CHECKING:
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Newest, Record
    from tests.sentry.data.objects import (
        Issue,
        Project,
    )
    from tests.sentry.world import World


def selected(sentry: World, call: Call) -> list[Project]:
    """Return the projects that `project=` selects; without it, the user's own."""
    wanted = call.all("project")
    projects = call.organization.projects
    if sentry.flavour.glitchtip:
        return [row for row in projects if not wanted or row.id in wanted]
    if not wanted:
        return [row for row in projects if row.is_member and not row.forbidden]
    if not all(re.fullmatch(r"-?\d+", value) for value in wanted):
        raise refuse(400, "Invalid project parameter. Values must be numbers.")
    if "-1" in wanted:
        return [row for row in projects if not row.forbidden]
    found = [row for row in projects if row.id in wanted and not row.forbidden]
    if len(found) < len(set(wanted)):
        raise refuse(403, FORBIDDEN)
    return found


@endpoint(
    "organizations/{org}/issues/",
    "event:read",
    f"{DATES} cursor limit per_page project query sort collapse groupStatsPeriod",
)
def organization_issues(sentry: World, call: Call) -> Answer:
    if sentry.flavour.name == "self-hosted-9":
        if not (wanted := call.all("project")):
            detail = "You do not have the multi project stream feature enabled"
            raise refuse(400, detail)
        if "-1" in wanted:
            raise refuse(403, FORBIDDEN)
        raise internal_error()
    if sentry.flavour.glitchtip:
        return every_issue(sentry, call, selected(sentry, call))
    window = window_of(sentry, call, timedelta(days=90))
    projects = selected(sentry, call)
    query = call.one("query", sentry.flavour.issue_query)
    order = call.one("sort", "date") or "date"
    if order not in {"date", "new", "freq"}:
        raise refuse(400, f"Not simulated: the order {order!r}")
    rows = seen(sentry, projects, query, window, order)

    def write(row: tuple[int, Issue, Newest]) -> bytes:
        return written(windowed(sentry, call, row[1], row[2], query))

    def slicer(cursor: str | None, limit: int) -> Slice:
        return by_value(cursor, limit, rows, lambda row: row[0])

    limit = page_limit(sentry, call, "limit")
    answer = one_page(sentry, call, rows, write, slicer, limit)
    hits = {"X-Hits": str(min(len(rows), 1000)), "X-Max-Hits": "1000"}
    return replace(answer, headers=answer.headers | hits)


def seen(
    sentry: World, projects: list[Project], query: str, window: Window, order: str
) -> list[tuple[int, Issue, Newest]]:
    """Return the issues with events in a window, ordered by their score."""

    def build() -> list[tuple[int, Issue, Newest]]:
        matches = searched(query)
        rows: list[tuple[int, Issue, Newest]] = []
        for project in () if window.outside else projects:
            for issue in project.issues:
                events = issue.events.newest(window.start, window.end)
                if issue.id in sentry.unlisted:
                    continue
                if events and matches(issue, latest := events[0].created):
                    first = issue.first_seen
                    scores = {"date": latest, "new": first}
                    score = milliseconds(scores[order]) if order in scores else 0
                    rows.append((score or len(events), issue, events))
        return sorted(rows, key=lambda row: (-row[0], -int(row[1].id)))

    ids = tuple(project.id for project in projects)
    hidden = frozenset(sentry.unlisted)
    return sentry.remembered((ids, query, window, order, hidden), build)


def windowed(
    sentry: World, call: Call, issue: Issue, events: Newest, query: str
) -> Record:
    """Return the record of an issue with the figures of a window."""
    record = issue.record()
    figures = ("count", "userCount", "firstSeen", "lastSeen")
    record["lifetime"] = {name: record[name] for name in figures}
    counted = tally(events)
    record |= counted
    record["filtered"] = counted if query else None
    record |= graph(sentry, call, issue)
    record["isUnhandled"] = False
    for name in call.all("collapse"):
        dropped = {
            "stats": (*figures, "stats", "lifetime", "filtered"),
            "lifetime": (*figures, "lifetime"),
            "filtered": ("filtered",),
            "unhandled": ("isUnhandled",),
        }
        if name not in dropped:
            raise refuse(400, f"Not simulated: to collapse {name!r}")
        for column in dropped[name]:
            record.pop(column, None)
    return record


def graph(sentry: World, call: Call, issue: Issue) -> Record:
    """Count the events of an issue over the past day or fortnight."""
    period = call.one("groupStatsPeriod", "24h")
    if period not in {"", "24h", "14d", "auto"}:
        raise refuse(400, "Invalid stats_period. Valid choices are '', '24h', '14d'")
    step, number = (DAY, 14) if period == "14d" else (HOUR, 24)
    last = floored(sentry.clock(), step)
    first = last - (number - 1) * step
    events = issue.events.newest(datetime.fromtimestamp(first, UTC))
    counted = Counter(floored(event.created, step) for event in events)
    points = [
        [float(at) if sentry.flavour.old_stats else at, counted[at]]
        for at in range(first, last + 1, step)
    ]
    return {"stats": {period: points}} if period else {}


@endpoint(
    "projects/{org}/{project}/issues/",
    "event:read",
    "statsPeriod query sort limit per_page cursor",
)
def project_issues(sentry: World, call: Call) -> Answer:
    period = call.one("statsPeriod")
    if period not in {"", "24h", "14d"} and not sentry.flavour.glitchtip:
        choices = "Valid choices are '', '24h', and '14d'"
        raise refuse(400, f"Invalid stats_period. {choices}")
    return every_issue(sentry, call, [call.project])


def every_issue(sentry: World, call: Call, projects: list[Project]) -> Answer:
    """List issues with or without events, with their figures over all time."""
    if call.one("sort") and (sentry.flavour.glitchtip or call.one("sort") != "date"):
        raise refuse(422 if sentry.flavour.glitchtip else 400, "Invalid sort")
    query = call.one("query", sentry.flavour.issue_query)
    window = Window(None, None)
    if sentry.flavour.glitchtip and (call.one("start") or call.one("end")):
        window = window_of(sentry, call)

    def build() -> list[Issue]:
        matches = searched(query)
        rows = [
            issue
            for project in projects
            for issue in project.issues
            if matches(issue, issue.latest)
            and not (window.start and issue.first_seen < window.start)
            and not (window.end and issue.first_seen >= window.end)
        ]
        return sorted(rows, key=lambda row: (row.latest, int(row.id)), reverse=True)

    ids = tuple(project.id for project in projects)
    rows = sentry.remembered(("every", ids, query, window), build)
    answer = values(
        sentry,
        call,
        rows,
        lambda row: written(
            shaped(sentry, "issue", row.record() | graph(sentry, call, row))
        ),
        lambda row: row.latest,
        parameter="limit",
    )
    hits = {"X-Hits": str(min(len(rows), 1000)), "X-Max-Hits": "1000"}
    return replace(answer, headers=answer.headers | hits)


@endpoint("organizations/{org}/issues/{issue}/", "event:read", "collapse")
@endpoint("issues/{issue}/", "event:read", "collapse")
def issue(sentry: World, call: Call) -> Answer:
    issue = call.issue
    record = issue.record() | graph(sentry, call, issue)
    record |= {
        "activity": activities(issue),
        "seenBy": [],
        "participants": [],
        "userReportCount": 0,
        "firstRelease": {"version": "1.0.0", "shortVersion": "1.0.0"},
        "lastRelease": None,
        "tags": [{"key": "level", "name": "Level", "totalValues": 1}],
    }
    if sentry.flavour.glitchtip:
        del record["activity"]
    return reply(shaped(sentry, "issue", record))


@endpoint("organizations/{org}/shortids/{short_id}/", "event:read")
def short_id(sentry: World, call: Call) -> Answer:
    for project in call.organization.projects:
        for issue in project.issues:
            if issue.short_id == call.parts["short_id"].upper():
                if project.forbidden:
                    raise refuse(403, FORBIDDEN)
                body = {
                    "organizationSlug": call.organization.slug,
                    "projectSlug": project.slug,
                    "groupId": issue.id,
                    "group": shaped(sentry, "issue", issue.record()),
                    "shortId": issue.short_id,
                }
                return reply(body)
    raise refuse(404, "The requested resource does not exist")
