"""Teams and their projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sentry.endpoints import PAGED, plain_list

if TYPE_CHECKING:
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import (
        Team,
    )


def detailed(call: Call, team: Team) -> Record:
    """Return the record of a team, with its projects unless `detailed=0`."""
    record = team.record()
    if call.one("detailed", "1") != "0":
        projects = [project.row() for project in team.projects]
        for project in projects:
            del project["organization"]
        record |= {"projects": projects, "externalTeams": []}
    return record


plain_list(
    "organizations/{org}/teams/",
    "org:read",
    f"{PAGED} query detailed",
    kind="team",
    rows=lambda _, call: call.organization.teams,
    record=detailed,
    order=lambda team: team.slug,
)


plain_list(
    "teams/{org}/{team}/projects/",
    "project:read",
    PAGED,
    kind="summary",
    rows=lambda _, call: call.team.projects,
    record=lambda _, project: project.summary(),
    order=lambda project: project.slug,
)
