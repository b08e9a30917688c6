"""The kinds of servers, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Flavour:
    """How one kind of server differs from the others."""

    name: str
    retention: timedelta | None = timedelta(days=90)
    issue_query: str = "is:unresolved"
    numeric_ids: bool = True
    refuses_unknown: bool = False
    #: The maximum number of rows in a page of full events.
    full_rows: int = 100
    #: The form of events on servers that always send them in full, or "".
    body: str = ""
    #: Whether the lists of a project's and of an issue's events honour dates.
    event_dates: bool = True
    issue_event_dates: bool = True
    #: Whether event cursors hold a time instead of a number of rows.
    value_cursors: bool = False
    #: The status for bad parameters and for bad cursors.
    bad_parameter: int = 400
    #: Precision of dates in events.
    precision: str = "seconds"
    old_stats: bool = False
    old_records: bool = False
    glitchtip: bool = False
    closes_silently: bool = False
    #: The endpoints that this server lacks, with the kind of answer it gives.
    missing: Mapping[str, str] = field(default_factory=dict)


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            "saas",
            refuses_unknown=True,
            full_rows=10,
            missing={
                "projects/{org}/{project}/rules/": "gone",
                "organizations/{org}/alert-rules/": "gone",
            },
        ),
        Flavour(
            "self-hosted-24",
            issue_query="is:unresolved issue.priority:[high, medium]",
            event_dates=False,
            missing={
                "organizations/{org}/detectors/": "empty",
                "organizations/{org}/workflows/": "empty",
                "organizations/{org}/sentry-app-installations/": "not_found",
            },
        ),
        Flavour(
            "self-hosted-9",
            retention=None,
            numeric_ids=False,
            body="nine",
            event_dates=False,
            value_cursors=True,
            bad_parameter=500,
            precision="milliseconds",
            old_stats=True,
            old_records=True,
            closes_silently=True,
            missing={
                "organizations/{org}/stats_v2/": "empty",
                "organizations/{org}/events/": "denied",
                "organizations/{org}/issues/{issue}/": "empty",
                "organizations/{org}/issues/{issue}/events/": "empty",
                "organizations/{org}/issues/{issue}/activities/": "empty",
                "organizations/{org}/issues/{issue}/comments/": "empty",
                "organizations/{org}/issues/{issue}/notes/": "empty",
                "organizations/{org}/issues/{issue}/tags/": "empty",
                "organizations/{org}/issues/{issue}/hashes/": "empty",
                "organizations/{org}/issues/{issue}/external-issues/": "empty",
                "issues/{issue}/external-issues/": "empty",
                "organizations/{org}/sessions/": "empty",
                "organizations/{org}/discover/saved/": "empty",
                "organizations/{org}/replays/": "empty",
                "organizations/{org}/detectors/": "empty",
                "organizations/{org}/workflows/": "empty",
                "organizations/{org}/alert-rules/": "empty",
                "organizations/{org}/incidents/": "empty",
                "organizations/{org}/sentry-app-installations/": "empty",
                "organizations/{org}/code-mappings/": "empty",
                "organizations/{org}/monitors/": "hidden",
                "organizations/{org}/monitors/{monitor}/checkins/": "hidden",
                "projects/{org}/{project}/hooks/": "feature",
            },
        ),
        Flavour(
            "glitchtip",
            retention=None,
            numeric_ids=False,
            body="glitchtip",
            event_dates=False,
            issue_event_dates=False,
            bad_parameter=422,
            precision="microseconds",
            old_records=True,
            glitchtip=True,
            missing={
                "organizations/{org}/repos/": "page",
                "organizations/{org}/stats/": "page",
                "organizations/{org}/events/": "page",
                "organizations/{org}/issues/{issue}/": "method",
                "organizations/{org}/shortids/{short_id}/": "page",
                "organizations/{org}/issues/{issue}/events/": "page200",
                "organizations/{org}/issues/{issue}/activities/": "page200",
                "organizations/{org}/issues/{issue}/comments/": "page200",
                "organizations/{org}/issues/{issue}/notes/": "page200",
                "organizations/{org}/issues/{issue}/tags/": "page200",
                "organizations/{org}/issues/{issue}/external-issues/": "page200",
                "issues/{issue}/external-issues/": "page200",
                "issues/{issue}/notes/": "page200",
                "organizations/{org}/audit-logs/": "page",
                "organizations/{org}/dashboards/": "page",
                "organizations/{org}/detectors/": "page",
                "organizations/{org}/workflows/": "page",
                "organizations/{org}/integrations/": "page",
                "organizations/{org}/replays/": "page",
                "organizations/{org}/sessions/": "page",
                "organizations/{org}/discover/saved/": "page",
                "organizations/{org}/alert-rules/": "page",
                "organizations/{org}/incidents/": "page",
                "organizations/{org}/sentry-app-installations/": "page",
                "organizations/{org}/code-mappings/": "page",
                "organizations/{org}/monitors/{monitor}/checkins/": "page",
                "organizations/{org}/releases/{version}/deploys/": "page",
                "organizations/{org}/releases/{version}/commits/": "page",
                "organizations/{org}/repos/{repository}/commits/": "page",
                "projects/{org}/{project}/filters/": "page200",
                "projects/{org}/{project}/hooks/": "page200",
                "projects/{org}/{project}/ownership/": "page200",
                "projects/{org}/{project}/tags/": "page200",
                "projects/{org}/{project}/rules/": "page200",
                "projects/{org}/{project}/stats/": "page200",
                "projects/{org}/{project}/users/": "page200",
                "projects/{org}/{project}/user-feedback/": "page200",
                "teams/{org}/{team}/stats/": "page",
            },
        ),
    )
}

#: The columns of today's records that Sentry 9.1.2 and GlitchTip also send.
OLD_COLUMNS = {
    "organization": "id slug status name dateCreated isEarlyAdopter require2FA avatar",
    "repository": (
        "id name url provider status dateCreated integrationId externalSlug"
    ),
    "team": (
        "id slug name dateCreated isMember hasAccess isPending memberCount avatar "
        "projects"
    ),
    "summary": (
        "team teams id name slug isBookmarked isMember hasAccess dateCreated "
        "environments features firstEvent platform platforms latestRelease"
    ),
    "project": (
        "id slug name isPublic isBookmarked color dateCreated firstEvent features "
        "status platform isInternal isMember hasAccess avatar organization"
    ),
    "issue": (
        "id shareId shortId count userCount title culprit permalink firstSeen lastSeen "
        "logger level status statusDetails isPublic project type metadata numComments "
        "assignedTo isBookmarked isSubscribed subscriptionDetails hasSeen annotations "
        "stats activity participants seenBy userReportCount firstRelease tags"
    ),
}
SNAKE_CASE = {
    "eventID": "event_id",
    "groupID": "group_id",
    "projectID": "project_id",
    "dateCreated": "date_created",
    "dateReceived": "date_received",
}
