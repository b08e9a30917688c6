"""Releases, their deploys and commits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.sentry.answers import RefusalError, refuse, web_page
from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED, Declared, listed, within
from tests.sentry.endpoints import DATES, PAGED, endpoint
from tests.sentry.people import account
from tests.sentry.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization
    from tests.sentry.world import World

SCOPES = "project:read project:releases org:ci"
#: Newest first, with age in days, deploys and commits.
VERSIONS = (
    ("frontend@2026.11+8", 1, 1, 1),
    ("frontend@2026.11+7", 6, 3, 4),
    ("1.1.0", 18, 1, 0),
    ("a#b?c=d&e%20f é", 20, 0, 2),
    ("1.0.0", 40, 3, 5),
)


def releases(sentry: World, organization: Organization) -> list[Record]:
    """Give the releases of an organization; the oldest is archived."""
    now = sentry.builder.now
    rows: list[Record] = []
    old = [
        (f"0.0.{number}", 50 + number, 1, 1) for number in range(sentry.old_releases)
    ]
    for number, (version, age, number_of_deploys, number_of_commits) in enumerate(
        (*VERSIONS, *old), 1
    ):
        created = now - timedelta(days=age)
        rows.append(
            {
                "id": int(organization.id) * 1000 + number,
                "version": version,
                "shortVersion": version.rpartition("@")[2],
                "versionInfo": {"description": version, "package": None},
                "status": "archived" if version == "1.0.0" else "open",
                "ref": None,
                "url": None,
                "dateReleased": iso(created) if number % 2 else None,
                "dateCreated": iso(created),
                "data": {},
                "newGroups": number,
                "owner": None,
                "commitCount": number_of_commits,
                "lastCommit": None,
                "deployCount": number_of_deploys,
                "lastDeploy": None,
                "authors": [account(1), {"name": "Joe", "email": "joe@example.com"}],
                "projects": [
                    {
                        "id": int(project.id),
                        "slug": project.slug,
                        "name": project.name,
                        # All new issues are in the first project.
                        "newGroups": 0 if place else number,
                    }
                    for place, project in enumerate(organization.projects[:2])
                ],
                "firstEvent": None,
                "lastEvent": None,
                "currentProjectMeta": {},
                "userAgent": None,
            }
        )
        made = deploys(sentry, organization, rows[-1])
        rows[-1]["lastDeploy"] = made[0] if made else None
    return rows


def deploys(_: World, organization: Organization, release: Record) -> list[Record]:
    """Give the deploys of a release, newest first, one every two days."""
    created = parse_date(release["dateCreated"])
    number_of_deploys = release["deployCount"]
    return [
        {
            "id": f"{organization.id}{release['id']}{number}",
            "environment": ("production", "staging", "canary")[number],
            "name": None,
            "url": None,
            "dateStarted": None,
            "dateFinished": iso(
                created + timedelta(days=2 * (number_of_deploys - number - 1))
            ),
        }
        for number in range(number_of_deploys)
    ]


def commits(_: World, organization: Organization, release: Record) -> list[Record]:
    """Give the commits of a release in order; the first is of two repositories."""
    return [
        {
            "id": f"{release['id']:0>38}{number:02}",
            "message": f"Fix {number} é",
            "dateCreated": release["dateCreated"],
            "pullRequest": None,
            "suspectCommitType": "",
            "repository": repository.record(),
            "author": account(2) if number else None,
            "releases": [{"version": release["version"]}],
        }
        for number in range(release["commitCount"])
        for repository in organization.repositories[: 1 if number else 2]
    ]


def all_commits(sentry: World, organization: Organization) -> list[Record]:
    """Give the commits of all releases, each once."""
    return [
        commit | {"repository_id": commit["repository"]["id"]}
        for release in releases(sentry, organization)
        for commit in commits(sentry, organization, release)
    ]


@endpoint(
    "organizations/{org}/releases/",
    SCOPES,
    f"{PAGED} {DATES} status query project environment sort",
)
def organization_releases(sentry: World, call: Call) -> Answer:
    status = call.one("status", "open")
    rows = releases(sentry, call.organization)
    chosen = [row for row in rows if status in {"", row["status"]}]
    if call.one("start") or call.one("statsPeriod"):
        chosen = within(sentry, call, chosen, "dateCreated")
    return listed(sentry, call, chosen)


DECLARED["organization_releases"] = Declared(
    ("organizations/{org}/releases/",), ("version",), releases, "dateCreated"
)


def below(
    stream: str,
    name: str,
    rows: Callable[[World, Organization, Record], list[Record]],
    key: tuple[str, ...],
) -> None:
    """Declare a list below each release."""
    template = f"organizations/{{org}}/releases/{{version}}/{name}/"

    @endpoint(template, SCOPES, PAGED)
    def answer(sentry: World, call: Call) -> Answer:
        version = unquote(call.parts["version"])
        if "/" in version:
            # Sentry unquotes the path before it looks for the endpoint.
            raise RefusalError(web_page(404, b""))
        for release in releases(sentry, call.organization):
            if release["version"] == version:
                return listed(sentry, call, rows(sentry, call.organization, release))
        raise refuse(404, "The requested resource does not exist")

    def all_rows(sentry: World, organization: Organization) -> Iterator[Record]:
        for release in releases(sentry, organization):
            added = {
                "release_version": release["version"],
                # The date that decides whether the release is visited.
                "release_date": release["dateCreated"],
            }
            for row in rows(sentry, organization, release):
                repository = row.get("repository", {})
                yield row | added | {"repository_id": repository.get("id")}

    DECLARED[stream] = Declared((template,), key, all_rows, "release_date")


below("release_deploys", "deploys", deploys, ("release_version", "id"))
below("release_commits", "commits", commits, ("release_version", "repository_id", "id"))


@endpoint(
    "organizations/{org}/repos/{repository}/commits/",
    "org:read org:integrations org:ci",
    PAGED,
)
def repository_commits(sentry: World, call: Call) -> Answer:
    known = {repository.id for repository in call.organization.repositories}
    if (repository := call.parts["repository"]) not in known:
        raise refuse(404, "The requested resource does not exist")
    rows = all_commits(sentry, call.organization)
    return listed(
        sentry, call, [row for row in rows if row["repository_id"] == repository]
    )


DECLARED["repository_commits"] = Declared(
    ("organizations/{org}/repos/{repository}/commits/",),
    ("repository_id", "id"),
    all_commits,
)
