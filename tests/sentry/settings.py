"""How projects and organizations are set up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.sentry.answers import reply
from tests.sentry.data.events import iso
from tests.sentry.declared import DECLARED, Declared, declare
from tests.sentry.endpoints import endpoint
from tests.sentry.people import SECRET, account

if TYPE_CHECKING:
    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization, Project
    from tests.sentry.world import World

ENVIRONMENTS = ("canary", "production", "staging")


def environments(_: World, organization: Organization) -> list[Record]:
    """Give the environments of an organization."""
    return [
        {"id": f"{organization.id}{number}", "name": name}
        for number, name in enumerate(ENVIRONMENTS)
    ]


def project_environments(_: World, project: Project) -> list[Record]:
    """Give the environments of a project; one is hidden."""
    return [
        {"id": f"{project.id}{number}", "name": name, "isHidden": name == "canary"}
        for number, name in enumerate(ENVIRONMENTS)
    ]


def keys(_: World, project: Project) -> list[Record]:
    """Give two client keys of a project, with what nobody may see."""
    rows = []
    for number in range(2):
        public = hashlib.md5(
            f"{project.id}-{number}".encode(), usedforsecurity=False
        ).hexdigest()
        rows.append(
            {
                "id": public,
                "name": f"key {number}",
                "label": f"key {number}",
                "public": public,
                "secret": SECRET,
                "projectId": int(project.id),
                "isActive": not number,
                "rateLimit": {"window": 3600, "count": 5} if number else None,
                "dsn": {
                    "secret": f"https://{public}:{SECRET}@sentry.io/1",
                    "public": f"https://{public}@sentry.io/1",
                },
                "browserSdkVersion": "7.x",
                "browserSdk": {"choices": [["latest", "latest"]]},
                "dateCreated": iso(project.created, "microseconds"),
                "dynamicSdkLoaderOptions": {"hasReplay": False},
            }
        )
    return rows


def hooks(_: World, project: Project) -> list[Record]:
    """Give a service hook."""
    return [
        {
            "id": f"hook{project.id}",
            "url": "https://hook.example.com",
            "secret": SECRET,
            "status": "active",
            "events": ["event.alert"],
            "dateCreated": iso(project.created, "microseconds"),
        }
    ]


FILTERS = {"browser-extensions": False, "legacy-browsers": ["ie_9", "ie_10"]}


def filters(_: World, __: Project) -> list[Record]:
    """Give the inbound filters of a project; one has parts."""
    return [{"id": key, "active": active} for key, active in FILTERS.items()]


def tags(_: World, __: Project) -> list[Record]:
    """Give the keys of tags of a project."""
    return [
        {"key": key, "name": key.title(), "uniqueValues": 2, "canDelete": True}
        for key in ("environment", "level", "release")
    ]


def rules(_: World, project: Project) -> list[Record]:
    """Give the alert rules of a project."""
    return [
        {
            "id": f"{project.id}{number}",
            "name": f"Rule {number}",
            "conditions": [],
            "filters": [],
            "actions": [{"id": "mail", "settings": [{"value": 1}], "token": SECRET}],
            "actionMatch": "all",
            "filterMatch": "all",
            "frequency": 30,
            "owner": "team:7" if number else None,
            "createdBy": account(1) if number else None,
            "environment": None,
            "projects": [project.slug],
            "status": "active",
            "snooze": False,
            "dateCreated": iso(project.created, "microseconds"),
        }
        for number in range(2)
    ]


declare(
    "organization_environments",
    "organizations/{org}/environments/",
    "org:read",
    environments,
    parameters="visibility",
    is_paged=False,
)
declare(
    "project_environments",
    "projects/{org}/{project}/environments/",
    "project:read",
    project_environments,
    parameters="visibility",
    is_paged=False,
)
declare("project_keys", "projects/{org}/{project}/keys/", "project:read", keys)
declare(
    "project_inbound_filters",
    "projects/{org}/{project}/filters/",
    "project:read",
    filters,
    is_paged=False,
)
declare(
    "project_tags",
    "projects/{org}/{project}/tags/",
    "project:read",
    tags,
    key=("key",),
    is_paged=False,
)
declare(
    "project_alert_rules",
    "projects/{org}/{project}/rules/",
    "project:read alerts:read",
    rules,
)
declare(
    "project_service_hooks", "projects/{org}/{project}/hooks/", "project:read", hooks
)


@endpoint("projects/{org}/{project}/ownership/", "project:read")
def ownership(_: World, call: Call) -> Answer:
    is_first = call.project is call.organization.projects[0]
    return reply(
        {
            "raw": "*.py jane@example.com" if is_first else None,
            "fallthrough": True,
            "dateCreated": None,
            "lastUpdated": None,
            "isActive": True,
            "autoAssignment": "Auto Assign to Issue Owner",
            "codeownersAutoSync": True,
            "schema": {"$version": 1, "rules": []} if is_first else None,
        }
    )


DECLARED["project_ownership"] = Declared(
    ("projects/{org}/{project}/ownership/",),
    ("project_id",),
    lambda _, organization: [
        {"project_id": project.id}
        for project in organization.projects
        if not project.forbidden
    ],
)
