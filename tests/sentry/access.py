"""Authentication, permissions and the objects named in a path."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tests.sentry.answers import (
    FORBIDDEN,
    WEB_PAGE,
    Answer,
    RefusalError,
    refuse,
    reply,
    web_page,
)
from tests.sentry.calls import API

if TYPE_CHECKING:
    from tests.sentry.calls import Call, Endpoint, Request, Token
    from tests.sentry.data.objects import (
        Organization,
        Project,
        Team,
    )
    from tests.sentry.world import World


REPEATABLE = {
    "project",
    "field",
    "groupBy",
    "category",
    "outcome",
    "reason",
    "collapse",
}


#: What Sentry says where it does not have a list, or has switched it off.
REFUSALS = {
    "hidden": (404, {"detail": "The requested resource does not exist"}),
    "not_found": (404, {"detail": "Not found."}),
    "denied": (
        403,
        {"detail": "You do not have permission to perform this action."},
    ),
    "gone": (410, {"message": "This API no longer exists."}),
    "feature": (
        403,
        {
            "error_type": "unavailable_feature",
            "detail": ["You do not have that feature enabled"],
        },
    ),
}


def absent_answer(how: str) -> Answer:
    if how == "unprocessable":
        detail = [{"type": "missing", "loc": ["query"], "msg": "Field required"}]
        return reply({"detail": detail}, 422)
    if how in REFUSALS:
        status, body = REFUSALS[how]
        return reply(body, status)
    if how == "method":
        return Answer(405, {"Content-Type": "text/plain"}, b"Method not allowed")
    if how == "empty":
        return web_page(404, b"")
    return web_page(200 if how == "page200" else 404, WEB_PAGE.ljust(73_000))


def authenticated(sentry: World, request: Request) -> Token:
    if not request.authorization:
        raise refuse(401, "Authentication credentials were not provided.")
    kind, _, value = request.authorization.partition(" ")
    token = sentry.tokens.get(value) if kind == "Bearer" else None
    if not token:
        raise refuse(401, "Invalid token")
    if token.expired:
        raise refuse(401, "Token expired")
    return token


def permitted(sentry: World, call: Call, found: Endpoint) -> None:
    """Check the method, the scopes, the objects in the path and the parameters."""
    if call.request.method == "HEAD":
        raise refuse(403, FORBIDDEN)
    if call.request.method != "GET":
        raise refuse(405, f"Method '{call.request.method}' not allowed.")
    if found.scopes and not found.scopes & call.token.scopes:
        raise refuse(403, FORBIDDEN)
    for part, find in (
        ("org", find_organization),
        ("project", find_project),
        ("team", find_team),
        ("issue", find_issue),
    ):
        if part in call.parts:
            find(sentry, call)
    if not sentry.flavour.refuses_unknown:
        return
    for name, values in call.request.params.items():
        is_repeatable = name in REPEATABLE or f"{name}*" in found.parameters
        if not found.parameters & {name, f"{name}*"}:
            raise refuse(400, f"Not simulated: the parameter {name!r}")
        if len(values) > 1 and not is_repeatable:
            raise refuse(400, f"Not simulated: {name!r} more than once")


def is_named(sentry: World, thing: Organization | Project | Team, name: str) -> bool:
    return name == thing.slug or (sentry.flavour.numeric_ids and name == thing.id)


def find_organization(sentry: World, call: Call) -> None:
    name, tip = call.parts["org"], sentry.flavour.glitchtip
    found = next(
        (row for row in sentry.organizations if is_named(sentry, row, name)), None
    )
    if found and is_allowed(call, found):
        call.organization = found
    elif tip and name.isdigit():
        raise refuse(404, "Not Found")
    elif found and not tip:
        raise refuse(403, FORBIDDEN)
    elif sentry.flavour.refuses_unknown:
        raise RefusalError(web_page(404, b""))  # from the gateway
    else:
        raise unknown(sentry, call)


def is_allowed(call: Call, organization: Organization) -> bool:
    allowed = call.token.organizations
    known = allowed is None or organization.slug in allowed
    return known and not organization.forbidden


def unknown(sentry: World, call: Call) -> RefusalError:
    """Return the answer for a missing object: a 404, or GlitchTip's empty list."""
    if sentry.flavour.glitchtip and call.request.template != "organizations/{org}/":
        return RefusalError(reply([]))
    return refuse(404, "The requested resource does not exist")


def find_project(sentry: World, call: Call) -> None:
    organization, name = call.organization, call.parts["project"]
    for project in organization.projects:
        if is_named(sentry, project, name):
            if project.forbidden:
                raise refuse(403, FORBIDDEN)
            call.project = project
            return
    moved = sentry.moved.get((organization.slug, name))
    if not moved or moved not in organization.projects:
        raise unknown(sentry, call)
    query = urlencode(call.request.params, doseq=True)
    path = call.request.path.replace(f"/{name}/", f"/{moved.slug}/", 1)
    url = f"{urlsplit(sentry.url).path}{API}{path}{'?' if query else ''}{query}"
    body = {
        "slug": moved.slug,
        "detail": {"extra": {"url": url, "slug": moved.slug}},
    }
    raise RefusalError(reply(body, 302, Location=url))


def find_team(sentry: World, call: Call) -> None:
    for team in call.organization.teams:
        if is_named(sentry, team, call.parts["team"]):
            call.team = team
            return
    raise unknown(sentry, call)


def find_issue(sentry: World, call: Call) -> None:
    try:
        issue = sentry.issue(call.parts["issue"])
    except KeyError:
        raise refuse(404, "The requested resource does not exist") from None
    owner = issue.project.organization
    if "org" in call.parts and owner is not call.organization:
        raise refuse(404, "The requested resource does not exist")
    if issue.project.forbidden or not is_allowed(call, owner):
        raise refuse(403, FORBIDDEN)
    call.issue = issue
