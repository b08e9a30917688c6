"""Members of organizations and teams, and their accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED, Declared, declare, listed
from tests.sentry.endpoints import PAGED, endpoint

if TYPE_CHECKING:
    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization, Team
    from tests.sentry.world import World

#: What no record may hold.
SECRET = "5ec4e7"


def account(number: int = 1) -> Record:
    """Describe an account as Sentry does wherever one is mentioned."""
    email = f"jane{number}@example.com"
    return {
        "id": str(number),
        "name": f"Jane {number}",
        "username": email,
        "email": email,
        "isActive": True,
        "hasPasswordAuth": True,
        "isSuperuser": False,
        "emails": [{"id": "1", "email": f"{SECRET}@example.com", "is_verified": True}],
        "options": {"timezone": SECRET},
        "flags": {"newsletter_consent_prompt": SECRET},
        "identities": [{"externalId": SECRET}],
    }


def members(_: World, organization: Organization) -> list[Record]:
    """Give four members and an open invitation."""
    rows = []
    for number in range(1, 6):
        is_pending = number == 3
        email = f"jane{number}@example.com"
        role = "billing" if number == 4 else "member"
        rows.append(
            {
                "id": f"{organization.id}{number}",
                "email": email,
                "name": email if is_pending else f"Jane {number}",
                "user": None if is_pending else account(number),
                "role": role,
                "roleName": role.title(),
                "orgRole": role,
                "pending": is_pending,
                "expired": False,
                "flags": {"sso:linked": False, "idp:provisioned": False},
                "dateCreated": iso(organization.created, "microseconds"),
                "inviteStatus": "approved",
                "inviterName": "Jane 1" if is_pending else None,
            }
        )
    return rows


def of_team(sentry: World, organization: Organization, team: Team) -> list[Record]:
    """Give the members of a team, the first two; a team without projects has none."""
    more = {"teamRole": None, "teamSlug": team.slug}
    rows = members(sentry, organization)
    return [row | more for row in rows[:2]] if team.projects else []


declare(
    "organization_members",
    "organizations/{org}/members/",
    "member:read",
    members,
    parameters="query expand",
)


@endpoint("teams/{org}/{team}/members/", "team:read", PAGED)
def team_members(sentry: World, call: Call) -> Answer:
    rows = of_team(sentry, call.organization, call.team)
    is_old = sentry.flavour.name == "self-hosted-9"
    return listed(sentry, call, rows, is_paged=not is_old)


DECLARED["team_members"] = Declared(
    ("teams/{org}/{team}/members/",),
    ("team_id", "id"),
    lambda sentry, organization: [
        row | {"team_id": team.id}
        for team in organization.teams
        for row in of_team(sentry, organization, team)
    ],
)
