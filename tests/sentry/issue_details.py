"""What belongs to an issue: activities, tags, hashes and links."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.sentry.answers import reply, written
from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED, Declared, listed
from tests.sentry.endpoints import PAGED, endpoint
from tests.sentry.lists import values
from tests.sentry.people import account
from tests.sentry.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Issue, Organization
    from tests.sentry.world import World


def activities(issue: Issue) -> list[Record]:
    """Return the newest activities of an issue: as many as Sentry sends."""
    rows = comments(issue)
    if issue.status == "resolved":
        resolved = {"id": f"{issue.id}1", "type": "set_resolved", "user": account(2)}
        rows.append(resolved | {"data": {}, "dateCreated": iso(issue.latest)})
    for number, (kind, at) in enumerate(issue.history, 3):
        done: Record = {"id": f"{issue.id}{number}", "type": kind, "user": None}
        rows.append(done | {"data": {}, "dateCreated": iso(at)})
    rows.sort(key=lambda row: str(row["dateCreated"]), reverse=True)
    seen: Record = {"id": "0", "type": "first_seen", "user": None, "data": {}}
    return [*rows, seen | {"dateCreated": iso(issue.first_seen)}][:100]


def comments(issue: Issue) -> list[Record]:
    """Return the comments on an issue, newest first."""
    return [
        {
            "id": f"{issue.id}2{number or ''}",
            "type": "note",
            "user": account(1),
            "data": {"text": "look at this é", "mentions": []},
            "dateCreated": iso(issue.latest - timedelta(minutes=number)),
        }
        for number in range(issue.comments)
    ]


def tags(issue: Issue) -> list[Record]:
    """Return the keys of the tags of an issue's events."""
    return [
        {
            "key": key,
            "name": key.title(),
            "totalValues": len(issue.events),
            "topValues": [{"name": value, "value": value, "count": 1}],
        }
        for key, value in (("environment", "production"), ("level", issue.level))
    ]


def hashes(issue: Issue) -> list[Record]:
    """Return the hashes of an issue's events, with the newest one in short."""
    return [
        {
            "id": f"{number}{issue.hash[1:]}",
            "latestEvent": {"eventID": f"{number:032}", "title": issue.title},
            "mergedBySeer": False,
        }
        for number in range(2)
    ]


def links(issue: Issue) -> list[Record]:
    """Return the tickets that an issue is linked to."""
    return [
        {
            "id": f"{issue.id}7",
            "issueId": issue.id,
            "serviceType": "linear",
            "displayName": f"OPS#{issue.number}",
            "webUrl": f"https://linear.example.com/OPS-{issue.number}",
        }
    ]


@endpoint("organizations/{org}/issues/{issue}/activities/", "event:read")
def issue_activities(_: World, call: Call) -> Answer:
    return reply({"activity": activities(call.issue)})


@endpoint("organizations/{org}/issues/{issue}/notes/", "event:read", PAGED)
@endpoint("organizations/{org}/issues/{issue}/comments/", "event:read", PAGED)
@endpoint("issues/{issue}/notes/", "event:read", PAGED)
@endpoint("issues/{issue}/comments/", "event:read", PAGED)
def issue_comments(sentry: World, call: Call) -> Answer:
    rows = comments(call.issue)
    if sentry.flavour.glitchtip:
        user = {name: account(1)[name] for name in ("id", "email")}
        text = {"text": "look at this é"}
        rows = [
            row | {"id": int(row["id"]), "user": user, "data": text} for row in rows
        ]
    return values(sentry, call, rows, written, lambda r: parse_date(r["dateCreated"]))


def last_seen(sentry: World, issue: Issue) -> datetime | None:
    """Return the date by which an issue is listed; None if it is not.

    Newer servers list issues by the events that they keep.
    """
    if sentry.flavour.old_records:
        return issue.latest
    events = issue.events.newest(sentry.kept(None), sentry.clock())
    return events[0].created if events else None


def of_issues(
    stream: str,
    templates: tuple[str, ...],
    rows: Callable[[Issue], list[Record]],
    key: str,
    date: str | None = None,
) -> None:
    """Declare what a stream must have of all issues that it visits."""

    def all_rows(sentry: World, organization: Organization) -> Iterator[Record]:
        for project in organization.projects:
            for issue in () if project.forbidden else project.issues:
                if (last := last_seen(sentry, issue)) is None:
                    continue
                for row in rows(issue):
                    yield row | {"issue_id": issue.id, "last_seen": iso(last)}

    DECLARED[stream] = Declared(
        templates, ("issue_id", key), all_rows, date or "last_seen"
    )


def below(
    stream: str,
    name: str,
    rows: Callable[[Issue], list[Record]],
    key: str = "id",
    parameters: str = "",
) -> None:
    """Declare a list below each issue; one with parameters is sent in pages."""
    template = f"issues/{{issue}}/{name}/"
    templates = (f"organizations/{{org}}/{template}", template)
    for path in templates:

        @endpoint(path, "event:read", parameters)
        def answer(sentry: World, call: Call) -> Answer:
            return listed(sentry, call, rows(call.issue), is_paged=bool(parameters))

    of_issues(stream, templates, rows, key)


below("issue_tags", "tags", tags, "key")
below("issue_hashes", "hashes", hashes, parameters=f"{PAGED} full")
below("issue_links", "external-issues", links)
WITH_ACTIVITIES = ("organizations/{org}/issues/{issue}/activities/", "issues/{issue}/")
of_issues("issue_activities", WITH_ACTIVITIES, activities, "id", "dateCreated")
WITH_COMMENTS = (
    "organizations/{org}/issues/{issue}/notes/",
    "issues/{issue}/comments/",
)
of_issues("issue_comments", WITH_COMMENTS, comments, "id", "dateCreated")
