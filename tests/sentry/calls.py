"""Tokens, rate limits, faults, endpoints, and the requests to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from datetime import datetime

    from tests.sentry.answers import Answer
    from tests.sentry.data.objects import (
        Issue,
        Organization,
        Project,
        Team,
    )
    from tests.sentry.world import World


TOKEN = "sntryu_simulator_token"
SCOPES = frozenset(
    {
        "event:read",
        "member:read",
        "org:read",
        "org:write",
        "project:read",
        "team:read",
    }
)
API = "/api/0/"
Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Token:
    """The permissions of a token."""

    scopes: frozenset[str] = SCOPES
    expired: bool = False
    #: Slugs; None allows every organization.
    organizations: frozenset[str] | None = None
    #: Tokens of an integration cannot list organizations, but can read one.
    lists_organizations: bool = True


@dataclass(frozen=True)
class Limit:
    """A rate limit: requests in a fixed window, and concurrent requests."""

    limit: int = 60
    window: float = 60.0
    concurrent: int = 999


#: The limits of sentry.io; `*` is the bucket of all other endpoints.
SAAS_LIMITS = {
    "projects/{org}/{project}/events/": Limit(60, 60, 1),
    "projects/{org}/{project}/users/": Limit(5, 60),
    "projects/{org}/{project}/stats/": Limit(5, 1),
    "projects/{org}/{project}/issues/": Limit(5, 1),
    "organizations/{org}/stats_v2/": Limit(20, 1),
    "organizations/{org}/events/": Limit(30, 1, 15),
    "*": Limit(40, 1, 25),
}
#: The limits of a self-hosted Sentry 24.2 whose rate limiter is turned on.
LIMITS_OF_24 = {
    "projects/{org}/{project}/events/": Limit(60, 60, 1),
    "organizations/{org}/stats_v2/": Limit(20, 1),
    "organizations/{org}/events/": Limit(30, 1, 15),
    "organizations/{org}/issues/": Limit(10, 1),
    "organizations/{org}/repos/": Limit(999, 1),
    "*": Limit(40, 1),
}


@dataclass
class Request:
    """A request as the server received it."""

    method: str
    host: str
    #: The path below `/api/0/`.
    path: str
    #: The path with placeholders, or "" if there is no such endpoint.
    template: str
    params: dict[str, list[str]]
    authorization: str
    user_agent: str
    time: datetime
    #: How many requests of this template were under way, including this one.
    underway: int = 1
    status: int = 0
    #: How many rows the page had.
    rows: int = 0

    @property
    def overlapped(self) -> bool:
        """Whether another request of the same template was under way."""
        return self.underway > 1


@dataclass
class Fault:
    """A fault to inject, and the requests that it applies to."""

    kind: int | str
    times: int | None
    when: Callable[[Request], bool] | None
    after: int
    details: dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A path template, its scopes, its parameters and the function that answers."""

    template: str
    pattern: re.Pattern[str]
    scopes: frozenset[str]
    parameters: frozenset[str]
    answer: Callable[[World, Call], Answer]


@dataclass
class Call:
    """A request while it is being answered."""

    request: Request
    endpoint: Endpoint | None
    parts: dict[str, str]
    token: Token = field(default_factory=Token)
    fault: Fault | None = None
    organization: Organization = field(init=False)
    project: Project = field(init=False)
    team: Team = field(init=False)
    issue: Issue = field(init=False)

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of a parameter."""
        return self.request.params.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Return the non-empty values of a parameter."""
        return [value for value in self.request.params.get(name, []) if value]
