"""Organizations and their repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sentry.access import is_allowed
from tests.sentry.answers import (
    Answer,
    refuse,
    reply,
)
from tests.sentry.endpoints import PAGED, endpoint, plain_list

if TYPE_CHECKING:
    from tests.sentry.calls import Call
    from tests.sentry.data.objects import (
        Organization,
        Repository,
    )
    from tests.sentry.world import World


@endpoint("", "")
def root(_: World, call: Call) -> Answer:
    auth = {"scopes": sorted(call.token.scopes)}
    return reply({"version": "0", "auth": auth, "user": {"id": "1"}})


def readable(sentry: World, call: Call) -> list[Organization]:
    """Return the organizations that the token can read."""
    return [row for row in sentry.organizations if is_allowed(call, row)]


def listed(sentry: World, call: Call) -> list[Organization]:
    """Return the organizations that the token can list."""
    return readable(sentry, call) if call.token.lists_organizations else []


plain_list(
    "organizations/",
    "org:read",
    PAGED,
    kind="organization",
    rows=listed,
    record=lambda _, organization: organization.row(),
    date=lambda organization: organization.created,
)


@endpoint("organizations/{org}/", "org:read", "detailed")
def organization(sentry: World, call: Call) -> Answer:
    detail = call.organization.detail()
    if sentry.flavour.old_records:
        del detail["links"]
    return reply(detail)


def chosen_repositories(_: World, call: Call) -> list[Repository]:
    """Return the repositories with a status whose names contain the query."""
    status, query = call.one("status", "active"), call.one("query").lower()
    if status not in {"", "active", "deleted", "unmigratable"}:
        raise refuse(400, "Invalid status")
    return [
        row
        for row in call.organization.repositories
        if status in {"", row.status} and query in row.name.lower()
    ]


plain_list(
    "organizations/{org}/repos/",
    "org:read org:integrations org:ci",
    f"{PAGED} query status",
    kind="repository",
    rows=chosen_repositories,
    order=lambda repository: repository.name,
)
