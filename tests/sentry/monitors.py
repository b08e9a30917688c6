"""Cron monitors and their check-ins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.sentry.answers import refuse
from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED, Declared, declare, listed, within
from tests.sentry.endpoints import DATES, PAGED, endpoint

if TYPE_CHECKING:
    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization
    from tests.sentry.world import World

#: Hours since the last check-in of a silent environment.
SILENT = 72


def monitors(sentry: World, organization: Organization) -> list[Record]:
    """Give three monitors of the first project.

    The second is silent in one of its environments. The last never had a check-in, so
    it has no environments.
    """
    now = sentry.builder.now
    is_well = {
        "name": "production",
        "status": "ok",
        "isMuted": False,
        "lastCheckIn": iso(now - timedelta(minutes=1)),
    }
    is_silent = {
        "name": "staging",
        "status": "missed_checkin",
        "isMuted": False,
        "lastCheckIn": iso(now - timedelta(hours=SILENT, minutes=1)),
    }
    return [
        {
            "id": f"00000000-0000-4000-8000-{organization.id:0>8}{number:04}",
            "slug": f"nightly-{number}",
            "name": f"Nightly {number}",
            "type": "cron_job",
            "status": "active",
            "isMuted": False,
            "config": {"schedule": "0 * * * *", "timezone": "UTC"},
            "dateCreated": iso(organization.created, "microseconds"),
            "project": project.named() | {"platform": project.platform},
            "owner": {"type": "user", "id": "1", "name": "Jane 1", "email": "j@e.org"},
            "environments": environments,
        }
        for project in organization.projects[:1]
        for number, environments in enumerate(
            ([is_well], [is_well, is_silent], [], *[[is_well]] * sentry.more_monitors)
        )
    ]


def checkins(sentry: World, monitor: Record) -> list[Record]:
    """Give the check-ins of a monitor, newest first; a silent one missed the last."""
    now = sentry.builder.now
    number = int(monitor["slug"].rpartition("-")[2])
    rows: list[Record] = []
    for place, environment in enumerate(monitor["environments"]):
        is_silent = environment["status"] != "ok"
        for hour in (*range(9), SILENT) if is_silent else range(9):
            status = "ok" if hour else "in_progress"
            if is_silent and hour < SILENT:
                status = "missed"
            rows.append(
                {
                    "id": f"{monitor['id'][:-4]}{number}{place}{hour:02}",
                    "environment": environment["name"],
                    "status": status,
                    "duration": 1000 + hour if status == "ok" else None,
                    "dateCreated": iso(now - timedelta(hours=hour, minutes=1)),
                    "attachmentId": None,
                    "expectedTime": iso(now - timedelta(hours=hour)),
                    "monitorConfig": monitor["config"],
                }
            )
    return sorted(rows, key=lambda row: row["dateCreated"], reverse=True)


declare(
    "organization_monitors",
    "organizations/{org}/monitors/",
    "alerts:read org:read",
    monitors,
    parameters="project environment owner",
)


@endpoint(
    "organizations/{org}/monitors/{monitor}/checkins/",
    "alerts:read project:read",
    f"{PAGED} {DATES} environment expand",
)
def monitor_checkins(sentry: World, call: Call) -> Answer:
    for monitor in monitors(sentry, call.organization):
        if call.parts["monitor"] in {monitor["slug"], monitor["id"]}:
            rows = within(sentry, call, checkins(sentry, monitor), "dateCreated")
            return listed(sentry, call, rows)
    raise refuse(404, "The requested resource does not exist")


DECLARED["monitor_checkins"] = Declared(
    ("organizations/{org}/monitors/{monitor}/checkins/",),
    ("monitor_id", "id"),
    lambda sentry, organization: [
        row | {"monitor_id": monitor["id"]}
        for monitor in monitors(sentry, organization)
        for row in checkins(sentry, monitor)
    ],
    "dateCreated",
)
