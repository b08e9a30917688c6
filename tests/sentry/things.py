"""Dashboards, alerts, integrations and the audit log of organizations."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.sentry.data.events import iso
from tests.sentry.declared import declare
from tests.sentry.endpoints import DATES
from tests.sentry.people import SECRET, account

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization
    from tests.sentry.world import World


def made(
    number: int, **columns: object
) -> Callable[[World, Organization], list[Record]]:
    """Make the rows of an organization that differ by their number alone."""

    def rows(_: World, organization: Organization) -> list[Record]:
        created = iso(organization.created, "microseconds")
        return [
            {"id": f"{organization.id}{index}", "dateCreated": created, **columns}
            for index in range(number)
        ]

    return rows


def dashboards(sentry: World, organization: Organization) -> list[Record]:
    """Give a prebuilt dashboard and two of somebody."""
    if sentry.flavour.old_records:
        created = iso(organization.created, "microseconds")
        row = {"title": "Board", "createdBy": "1", "dateAdded": created, "widgets": []}
        return [row | {"id": f"{organization.id}{number}"} for number in range(2)]
    own = made(2, title="Board", createdBy=account(1), widgetDisplay=["line"])
    prebuilt = {"id": "default-overview", "title": "General", "widgetPreview": []}
    empty = {"dateCreated": "", "createdBy": ""}
    return [prebuilt | empty, *own(sentry, organization)]


def detectors(_: World, organization: Organization) -> list[Record]:
    """Give the detector that Sentry makes, and two of which one has an owner."""
    created = iso(organization.created, "microseconds")
    team = {"type": "team", "id": "7", "name": "pumps"}
    return [
        {
            "id": f"{organization.id}{number}",
            "projectId": next((row.id for row in organization.projects), None),
            "name": name,
            "type": kind,
            "owner": owner,
            "createdBy": creator,
            "workflowIds": ["1"],
            "dataSources": [{"queryObj": {"url": "x", "headers": [["A", SECRET]]}}],
            "enabled": True,
            "dateCreated": created,
        }
        for number, (name, kind, owner, creator) in enumerate(
            (
                ("Error Monitor", "error", None, None),
                ("Too many errors", "metric_issue", None, "1"),
                ("The shop is up", "uptime_domain_failure", team, "1"),
            )
        )
    ]


def workflows(_: World, organization: Organization) -> list[Record]:
    """Give a workflow of a team and one of nobody."""
    return [
        {
            "id": f"{organization.id}{number}",
            "name": name,
            "owner": owner,
            "createdBy": "1",
            "detectorIds": [f"{organization.id}1"],
            "actionFilters": [{"id": "1"}],
            "enabled": True,
            "dateCreated": iso(organization.created, "microseconds"),
        }
        for number, (name, owner) in enumerate(
            (("Send mail", "team:7"), ("Page whoever is on call", None))
        )
    ]


def incidents(sentry: World, organization: Organization) -> list[Record]:
    """Give the incidents of an organization, newest first."""
    now = sentry.builder.now
    return [
        {
            "id": f"{organization.id}{age}",
            "identifier": str(age),
            "organizationId": organization.id,
            "title": "Too many errors",
            "status": 20 if age < 3 else 2,
            "statusMethod": 2,
            "type": 2,
            "projects": [project.slug for project in organization.projects[:1]],
            "alertRule": {"id": "1", "name": "Errors", "createdBy": account(1)},
            "dateStarted": iso(now - timedelta(days=age)),
            "dateDetected": iso(now - timedelta(days=age)),
            "dateCreated": iso(now - timedelta(days=age)),
            "dateClosed": None,
        }
        for age in (1, 5, 30)
    ]


def audit_log(sentry: World, organization: Organization) -> list[Record]:
    """Give the audit log of an organization, newest first."""
    now = sentry.builder.now
    return [
        {
            "id": f"{organization.id}{hour}",
            "actor": account(1),
            "event": "projectkey.create",
            "ipAddress": "192.0.2.7",
            "note": "created key",
            "targetObject": 7,
            "targetUser": account(2) if hour else None,
            "data": {"label": "key", "public_key": "abc", "secret_key": SECRET},
            "dateCreated": iso(now - timedelta(hours=hour)),
        }
        for hour in range(7)
    ]


def replays(sentry: World, organization: Organization) -> list[Record]:
    """Give the replays of an organization, newest first."""
    now = sentry.builder.now
    return [
        {
            "id": f"{int(organization.id):016x}{hour:016x}",
            "project_id": int(project.id),
            "started_at": iso(now - timedelta(hours=hour, minutes=9)).replace(
                "Z", "+00:00"
            ),
            "finished_at": iso(now - timedelta(hours=hour)).replace("Z", "+00:00"),
            "duration": 540,
            "activity": 3,
            "environment": "production",
            "platform": "javascript",
            "replay_type": "session",
            "is_archived": False,
            "user": {"id": "7", "username": None, "email": "jane@example.com"},
            "releases": ["1.1.0"],
            "urls": ["https://shop.example.com/"],
            "segment_names": ["/"],
            "ota_updates": {"channel": "beta", "update_id": None},
            "clicks": [{"click.tag": "button"}],
            "error_ids": [],
            "trace_ids": [],
            "tags": {"plan": ["free"]},
            "count_errors": hour,
            "count_segments": 3,
        }
        for project in organization.projects[:1]
        for hour in range(1, 8)
    ]


def installations(_: World, organization: Organization) -> list[Record]:
    """Give an app that is installed, with the code that would give access."""
    return [
        {
            "uuid": f"app-{organization.id}",
            "app": {"uuid": "a1", "slug": "linear", "clientSecret": SECRET},
            "organization": {"slug": organization.slug},
            "status": "installed",
            "code": SECRET,
        }
    ]


ALERTS = "org:read alerts:read"
INTEGRATIONS = "org:read org:integrations"

declare(
    "organization_dashboards", "organizations/{org}/dashboards/", "org:read", dashboards
)
declare(
    "organization_saved_queries",
    "organizations/{org}/discover/saved/",
    "org:read",
    made(2, name="Errors", fields=["title"], projects=[1], createdBy=account(1)),
    parameters="query sortBy",
)
declare(
    "organization_detectors",
    "organizations/{org}/detectors/",
    ALERTS,
    detectors,
    parameters="project query sortBy id",
)
declare(
    "organization_workflows",
    "organizations/{org}/workflows/",
    ALERTS,
    workflows,
    parameters="project query sortBy id",
)
declare(
    "organization_metric_alert_rules",
    "organizations/{org}/alert-rules/",
    ALERTS,
    made(2, name="Errors", status=0, timeWindow=60.0, createdBy=account(1)),
)
declare(
    "organization_incidents",
    "organizations/{org}/incidents/",
    ALERTS,
    incidents,
    date="dateStarted",
)
declare(
    "organization_integrations",
    "organizations/{org}/integrations/",
    INTEGRATIONS,
    made(
        1,
        name="acme",
        provider={"key": "github", "name": "GitHub"},
        configData={"token": SECRET},
        organizationId=1,
    ),
    parameters="providerKey features includeConfig",
)
declare(
    "organization_app_installations",
    "organizations/{org}/sentry-app-installations/",
    INTEGRATIONS,
    installations,
    key=("uuid",),
)
declare(
    "organization_code_mappings",
    "organizations/{org}/code-mappings/",
    "org:read",
    made(2, projectId="1", repoId="2", stackRoot="app/", sourceRoot="src/app/"),
)
declare(
    "organization_audit_logs",
    "organizations/{org}/audit-logs/",
    "org:write",
    audit_log,
    field="rows",
    date="dateCreated",
)
declare(
    "organization_replays",
    "organizations/{org}/replays/",
    "org:read",
    replays,
    # `field` as well, but the names that it may have differ between versions.
    parameters=f"{DATES} project environment query sort",
    field="data",
    date="started_at",
)
