"""Projects and their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sentry.answers import (
    Answer,
    refuse,
    written,
)
from tests.sentry.data.events import iso
from tests.sentry.endpoints import PAGED, endpoint, plain_list
from tests.sentry.lists import pages, values
from tests.sentry.organizations import readable

if TYPE_CHECKING:
    from datetime import datetime

    from tests.sentry.calls import Call
    from tests.sentry.data.events import EventUser
    from tests.sentry.data.objects import (
        Project,
    )
    from tests.sentry.world import World


def chosen_projects(_: World, call: Call) -> list[Project]:
    """Return the projects of an organization that the query names."""
    wanted = set(call.one("query").split())
    return [
        row
        for row in call.organization.projects
        if not wanted or {f"id:{row.id}", f"slug:{row.slug}"} & wanted
    ]


plain_list(
    "organizations/{org}/projects/",
    "org:read",
    f"{PAGED} query collapse",
    kind="summary",
    rows=chosen_projects,
    record=lambda _, project: project.summary(),
    order=lambda project: project.slug,
)


def own_projects(sentry: World, call: Call) -> list[Project]:
    """Return the user's projects in all organizations."""
    return [
        project
        for organization in readable(sentry, call)
        for project in organization.projects
        if project.is_member and call.one("status", "active") in {"", "active"}
    ]


plain_list(
    "projects/",
    "project:read",
    f"{PAGED} status",
    kind="project",
    rows=own_projects,
    record=lambda _, project: project.row(),
    date=lambda project: project.created,
)


@endpoint("projects/{org}/{project}/users/", "project:read", f"{PAGED} query")
def project_users(sentry: World, call: Call) -> Answer:
    if call.one("query"):
        raise refuse(400, "Not simulated: a query for users")
    rows = users_of(sentry, call.project)
    if not sentry.flavour.old_records:
        return pages(sentry, call, rows, lambda row: written(row[0].record()))
    rows = sorted(rows, key=lambda row: row[0].first_seen, reverse=True)

    def write(row: tuple[EventUser, datetime]) -> bytes:
        user = row[0]
        old = {"id": str(user.number), "dateCreated": iso(user.first_seen)}
        return written(user.record() | old)

    return values(sentry, call, rows, write, lambda row: row[0].first_seen)


def users_of(sentry: World, project: Project) -> list[tuple[EventUser, datetime]]:
    """Return the users with errors and the date of the latest, newest first."""

    def build() -> list[tuple[EventUser, datetime]]:
        latest: dict[EventUser, datetime] = {}
        for event in project.events.newest(sentry.kept(None)):
            if event.user:
                latest.setdefault(event.user, event.created)
        return list(latest.items())

    return sentry.remembered(("users", project.id, sentry.clock().date()), build)
