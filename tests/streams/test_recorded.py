"""The streams, run on the recorded responses of two real servers.

`tests/recorded` holds responses of Sentry 24.2.0 and of GlitchTip of December 2025.
Their lists were cut to the first rows when they were recorded, so no page has a next
one here.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
import responses
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # no types
from requests.structures import CaseInsensitiveDict

from tap_sentry.api.errors import detail
from tap_sentry.api.rate_limits import read as read_limits
from tap_sentry.sync.paginator import SentryPaginator
from tap_sentry.tap import TapSentry
from tests.conftest import catalog_of, run
from tests.sentry import LIMITS_OF_24, STREAMS, TOKEN, SentrySimulator
from tests.sentry.people import SECRET
from tests.streams.redaction import secrets_of, settings_in, texts

if TYPE_CHECKING:
    from tap_sentry.streams.base import SentryStream

FOLDER = Path(__file__).parents[1] / "recorded"
URL = "https://sentry.example.com"
#: A time just after the recording.
THEN = datetime(2026, 11, 27, 10, tzinfo=UTC)

SENTRY, GLITCHTIP = "sentry-24.2", "glitchtip"

#: For each server, the recorded response to each path.
ANSWERS = {
    SENTRY: {
        r"organizations/": "organizations",
        r"organizations/acme/": "organization_detail",
        r"organizations/acme/projects/": "org_projects",
        r"organizations/acme/repos/": "repos",
        r"organizations/acme/teams/": "org_teams",
        r"organizations/acme/members/": "members",
        r"organizations/acme/environments/": "environments_all",
        r"organizations/acme/releases/": "releases_status_empty",
        r"organizations/acme/releases/[^/]+/deploys/": "deploys",
        r"organizations/acme/releases/[^/]+/commits/": "release_commits",
        r"organizations/acme/repos/\d+/commits/": "repo_commits",
        r"organizations/acme/monitors/": "monitors",
        r"organizations/acme/monitors/[\w-]+/checkins/": "checkins_window",
        r"organizations/acme/stats_v2/(?!.*groupBy=project)": "stats_v2",
        r"organizations/acme/stats_v2/\?.*groupBy=project.*": "stats_v2_project",
        r"organizations/acme/sessions/": "sessions",
        r"organizations/acme/replays/": "replays",
        r"organizations/acme/dashboards/": "dashboards",
        r"organizations/acme/discover/saved/": "discover_saved",
        r"organizations/acme/detectors/": "detectors",
        r"organizations/acme/workflows/": "workflows",
        r"organizations/acme/alert-rules/": "alert_rules",
        r"organizations/acme/incidents/": "incidents",
        r"organizations/acme/integrations/": "integrations",
        r"organizations/acme/sentry-app-installations/": "app_installations",
        r"organizations/acme/code-mappings/": "code_mappings",
        r"organizations/acme/audit-logs/": "audit_logs_write",
        r"organizations/acme/issues/": "issues",
        r"organizations/acme/issues/327/": "issue_detail",
        r"organizations/acme/issues/\d+/events/\?.*full=true.*": "issue_events_full",
        r"organizations/acme/issues/\d+/events/(?!.*full=true)": "issue_events",
        r"organizations/acme/issues/\d+/activities/": "issue_activities",
        r"organizations/acme/issues/\d+/notes/": "issue_notes",
        r"organizations/acme/issues/\d+/tags/": "issue_tags",
        r"organizations/acme/issues/\d+/hashes/": "issue_hashes",
        r"organizations/acme/issues/\d+/external-issues/": "issue_external",
        r"organizations/acme/shortids/ACME-SHOP-0-1/": "shortid",
        r"projects/": "projects",
        r"projects/acme/[\w-]+/events/\?.*full=true.*": "events_full",
        r"projects/acme/[\w-]+/events/(?!.*full=true)": "events",
        r"projects/acme/[\w-]+/users/": "users",
        r"projects/acme/[\w-]+/user-feedback/": "user_feedback",
        r"projects/acme/[\w-]+/stats/": "project_stats_generated",
        r"projects/acme/[\w-]+/environments/": "project_environments",
        r"projects/acme/[\w-]+/keys/": "project_keys_100",
        r"projects/acme/[\w-]+/hooks/": "hooks",
        r"projects/acme/[\w-]+/ownership/": "ownership",
        r"projects/acme/[\w-]+/filters/": "filters",
        r"projects/acme/[\w-]+/tags/": "project_tags",
        r"projects/acme/[\w-]+/rules/": "rules",
        r"teams/acme/[\w-]+/members/": "team_members",
    },
    GLITCHTIP: {
        r"organizations/": "organizations",
        r"organizations/acme/": "organization_detail",
        r"organizations/acme/projects/": "org_projects",
        r"organizations/acme/repos/": "repos",
        r"organizations/acme/teams/": "org_teams",
        r"organizations/acme/members/": "members",
        r"organizations/acme/environments/": "environments",
        r"organizations/acme/releases/": "releases",
        r"organizations/acme/monitors/": "monitors",
        r"organizations/acme/sessions/": "sessions",
        r"organizations/acme/replays/": "replays",
        r"organizations/acme/dashboards/": "dashboards",
        r"organizations/acme/detectors/": "detectors",
        r"organizations/acme/integrations/": "integrations",
        r"organizations/acme/audit-logs/": "audit_logs",
        r"organizations/acme/stats_v2/\?.*interval=1d.*": "stats_v2_1d",
        r"organizations/acme/stats_v2/(?!.*interval=1d)": "stats_v2_1h",
        r"organizations/acme/stats/": "org_stats",
        r"organizations/acme/issues/": "issues",
        r"organizations/acme/issues/\d+/": "issue_detail",
        r"organizations/acme/issues/\d+/events/": "org_issue_events",
        r"organizations/acme/issues/\d+/activities/": "issue_activities",
        r"organizations/acme/issues/\d+/hashes/": "issue_hashes",
        r"organizations/acme/shortids/SHOP-0-1/": "shortid",
        r"issues/\d+/": "issue_detail_short",
        r"issues/\d+/tags/": "issue_tags",
        r"issues/\d+/events/": "issue_events",
        r"projects/": "projects",
        r"projects/acme/[\w-]+/events/": "events",
        r"projects/acme/[\w-]+/issues/": "project_issues",
        r"projects/acme/[\w-]+/users/": "users",
        r"projects/acme/[\w-]+/user-feedback/": "user_feedback",
        r"projects/acme/[\w-]+/stats/": "project_stats",
        r"projects/acme/[\w-]+/environments/": "project_environments",
        r"projects/acme/[\w-]+/keys/": "project_keys",
        r"projects/acme/[\w-]+/hooks/": "hooks",
        r"projects/acme/[\w-]+/ownership/": "ownership",
        r"projects/acme/[\w-]+/filters/": "filters",
        r"projects/acme/[\w-]+/tags/": "project_tags",
        r"projects/acme/[\w-]+/rules/": "rules",
        r"teams/acme/[\w-]+/members/": "team_members",
        r"teams/acme/[\w-]+/projects/": "team_projects",
    },
}

#: Paths of streams without a recording, and why.
NOT_RECORDED = {
    SENTRY: {
        "/teams/{organization}/{team}/projects/": "was not asked for",
        "/organizations/{organization}/stats/": "only where stats_v2 is missing",
        "/teams/{organization}/{team}/stats/": "only where stats_v2 is missing",
        "/projects/{organization}/{project}/issues/": "only where the other is missing",
        "/issues/{issue}/": "only where the other is missing",
        "/issues/{issue}/events/": "only where the other is missing",
        "/issues/{issue}/comments/": "only where the other is missing",
        "/issues/{issue}/tags/": "only where the other is missing",
        "/issues/{issue}/hashes/": "only where the other is missing",
        "/issues/{issue}/external-issues/": "only where the other is missing",
    },
    GLITCHTIP: {
        "/teams/{organization}/{team}/stats/": "stats_v2 answers",
        "/issues/{issue}/hashes/": "the other answers",
        "/issues/{issue}/external-issues/": "was not asked for",
        "/organizations/{organization}/issues/{issue}/notes/": "was not asked for",
        "/issues/{issue}/comments/": "was not asked for",
        "/organizations/{organization}/issues/{issue}/tags/": "was not asked for",
        "/organizations/{organization}/issues/{issue}/external-issues/": (
            "was not asked for"
        ),
        "/organizations/{organization}/discover/saved/": "was not asked for",
        "/organizations/{organization}/workflows/": "was not asked for",
        "/organizations/{organization}/alert-rules/": "was not asked for",
        "/organizations/{organization}/incidents/": "was not asked for",
        "/organizations/{organization}/sentry-app-installations/": "was not asked for",
        "/organizations/{organization}/code-mappings/": "was not asked for",
        "/organizations/{organization}/repos/{repository}/commits/": "has no repos",
        "/organizations/{organization}/releases/{release}/deploys/": (
            "the recorded list of releases is empty"
        ),
        "/organizations/{organization}/releases/{release}/commits/": (
            "the recorded list of releases is empty"
        ),
        "/organizations/{organization}/monitors/{monitor}/checkins/": (
            "the recorded list of monitors is empty"
        ),
    },
}

#: For paths that were not asked for, the recorded response to others that the server
#: does not have: a page, with status 404 below an organization and 200 below an issue.
INSTEAD = {
    SENTRY: dict[str, str](),
    GLITCHTIP: {
        r"organizations/acme/discover/saved/": "unknown_route",
        r"organizations/acme/workflows/": "unknown_route",
        r"organizations/acme/alert-rules/": "unknown_route",
        r"organizations/acme/incidents/": "unknown_route",
        r"organizations/acme/sentry-app-installations/": "unknown_route",
        r"organizations/acme/code-mappings/": "unknown_route",
        r"organizations/acme/issues/\d+/tags/": "issue_activities",
        r"organizations/acme/issues/\d+/external-issues/": "issue_activities",
        r"issues/\d+/external-issues/": "issue_activities",
    },
}

#: Streams that cannot be read from the recordings of a server.
LEFT_OUT = {
    # Its replays failed with a 500.
    SENTRY: {"team_projects", "team_event_counts", "organization_replays"},
    # Its lists of comments were not asked for.
    GLITCHTIP: {"issue_comments"},
}

#: Streams without records, because the recorded list is empty.
EMPTY = {
    SENTRY: {
        "repository_commits",
        "release_health",
        "organization_saved_queries",
        "organization_metric_alert_rules",
        "organization_incidents",
        "organization_integrations",
        "organization_code_mappings",
        "issue_tags",
        "issue_hashes",
        "issue_links",
    },
    GLITCHTIP: {
        "organization_environments",
        "organization_releases",
        "organization_monitors",
        "project_environments",
        "issue_hashes",
    },
}
#: Streams without records, because the recorded list of their parents is empty.
CHILDLESS = {
    SENTRY: set[str](),
    GLITCHTIP: {
        "repository_commits",
        "release_deploys",
        "release_commits",
        "monitor_checkins",
    },
}
#: Streams without records, because the server says that it lacks a feature.
UNAVAILABLE = {
    SENTRY: {"organization_app_installations"},
    GLITCHTIP: {"organization_usage"},
}


class Recording(NamedTuple):
    """A recorded response."""

    status: int
    headers: dict[str, str]
    body: str


def recording(server: str, name: str) -> Recording:
    """Read a recorded response."""
    text = (FOLDER / server / f"{name}.http").read_text("utf-8")
    answer = text.partition("\n\n")[2]
    top, _, body = answer.partition("\n\n")
    status, *lines = top.splitlines()
    return Recording(int(status), dict(line.split(": ", 1) for line in lines), body)


def serve(mock: responses.RequestsMock, server: str) -> None:
    """Serve the recorded responses, each list with its first rows only.

    Of several matching patterns, `responses` would use each once: only one may match.
    """
    for pattern, name in {**ANSWERS[server], **INSTEAD[server]}.items():
        status, headers, body = recording(server, name)
        if link := headers.get("Link"):
            last = link.replace(
                'rel="next"; results="true"', 'rel="next"; results="false"'
            )
            headers["Link"] = last
        kind = headers.pop("Content-Type", None)
        where = pattern if r"\?" in pattern else rf"{pattern}(\?.*)?"
        url = re.compile(f"{re.escape(URL)}/api/0/{where}$")
        mock.add("GET", url, body, status=status, headers=headers, content_type=kind)


def read_recordings(server, *streams, **settings):
    """Run the tap on the recordings of a server."""
    chosen = {"organizations": ["acme"], "start_date": "7d", **settings}
    config = {"auth_token": TOKEN, "api_url": URL, **chosen}
    names = streams or STREAMS.keys() - LEFT_OUT[server]
    with (
        pytest.MonkeyPatch.context() as patch,
        responses.RequestsMock(assert_all_requests_are_fired=False) as mock,
    ):
        patch.setattr("tap_sentry.tap.now", lambda: THEN)
        serve(mock, server)
        return run(config, catalog_of(*names))


@pytest.fixture
def read(caplog):
    """Run the tap on the recordings of a server, and capture its log."""
    caplog.set_level(logging.INFO, logger="tap-sentry")
    return read_recordings


#: All streams of a server, read once.
whole = functools.cache(read_recordings)


#: For each server and stream, the keys of all records and columns of the first.
EXPECTED: dict[str, dict[str, tuple[list[tuple[object, ...]], dict[str, object]]]] = {
    SENTRY: {
        "organizations": ([("1",)], {"slug": "acme", "name": "Acme Åß"}),
        "organization_projects": (
            [("1", "1"), ("1", "2")],
            {"slug": "acme-shop-0", "name": "Shop 0", "platform": "python"},
        ),
        "organization_repositories": (
            [("1", "2"), ("1", "3")],
            {"name": "acme/repo-001", "status": "active", "externalId": "1"},
        ),
        "organization_teams": (
            [("1", "1"), ("1", "2")],
            {"slug": "acme-team-0", "memberCount": 1, "teamRole": "admin"},
        ),
        "organization_event_counts": (
            [
                ("1", "received", "1d", f"2026-11-{day}T00:00:00Z")
                for day in range(20, 28)
            ],
            # 80 accepted, 4 filtered, 4 rate limited
            {"count": 88},
        ),
        "project_issues": (
            [("1", "454"), ("1", "452")],
            {
                "shortId": "ACME-SHOP-3-Y",
                "title": "Err35: boom 35 é😀 141",
                "level": "fatal",
                "status": "unresolved",
            },
        ),
        "project_events": (
            [
                ("1", project, event)
                for project in "12"
                for event in (
                    "f99482f87779bb2d822e93e6c296bc62",
                    "f0958e82e8d1ef628f3aba6ef7c469a5",
                )
            ],
            {
                "issue_id": "333",
                "type": "error",
                "dateCreated": "2026-11-27T08:53:37Z",
                "message": "msg 3331",
            },
        ),
        "project_event_entries": (
            [
                ("1", project, "f99482f87779bb2d822e93e6c296bc62", index)
                for project in "12"
                for index in range(3)
            ],
            {"issue_id": "333", "type": "message"},
        ),
        "project_feedback": (
            [("1", project, key) for project in "12" for key in "13"],
            {"name": "Jane", "comments": "broken", "email": "jane@example.test"},
        ),
        "project_users": (
            [
                ("1", project, tag)
                for project in "12"
                for tag in ("id:26", "ip:10.1.2.79")
            ],
            {"identifier": "26", "email": "u26@example.test", "id": None},
        ),
        "project_event_counts": (
            [
                ("1", project, "received", "1d", "2026-11-27T00:00:00Z")
                for project in "12"
            ],
            {"count": 1994},
        ),
        "organization_members": (
            [("1", "1"), ("1", "2")],
            {"email": "admin@example.test", "role": "owner"},
        ),
        "organization_environments": ([("1", "7"), ("1", "10")], {"name": "canary"}),
        "organization_releases": (
            [("1", "shop@1.0+build7"), ("1", "1.0 beta")],
            {"id": "1", "status": "open"},
        ),
        "organization_monitors": (
            [
                ("1", "6dbe1424-e859-4284-91fc-347ed7d39383"),
                ("1", "e8e9fe01-1630-4653-9f6d-1fb3e95bc6cf"),
            ],
            {"project_id": "2", "slug": "cron-0-111"},
        ),
        "organization_usage": (
            [
                ("1", "1", "error", *why, "2026-11-20T00:00:00Z")
                for why in (("accepted", "none"), ("filtered", "legacy-browsers"))
            ],
            {"quantity": 20},
        ),
        "release_health": ([], {}),
        "organization_dashboards": (
            [("1", "default-overview"), ("1", "1")],
            # The prebuilt one has empty texts there.
            {"title": "General", "dateCreated": None, "createdBy": None},
        ),
        "organization_saved_queries": ([], {}),
        "organization_detectors": ([], {}),
        "organization_workflows": ([], {}),
        "organization_metric_alert_rules": ([], {}),
        "organization_incidents": ([], {}),
        "organization_integrations": ([], {}),
        "organization_app_installations": ([], {}),
        "organization_code_mappings": ([], {}),
        "organization_audit_logs": (
            [("1", "1"), ("1", "2")],
            {"event": "team.create", "targetObject": "1"},
        ),
        "repository_commits": ([], {}),
        "release_deploys": (
            [("1", "1.0 beta", "16"), ("1", "1.0 beta", "17")],
            {"environment": "production", "dateFinished": "2026-11-24T05:43:55Z"},
        ),
        "release_commits": (
            [
                ("1", "1.0 beta", "1", "d23f0824128b2f330c5c7fd0a6a3a45000000000"),
                ("1", "1.0 beta", "1", "9531985d5d9dc9f81818e811892f902b00000000"),
            ],
            {"author": {"name": "Dev 0", "email": "dev0@example.test"}},
        ),
        "monitor_checkins": (
            [
                ("1", monitor, checkin)
                for monitor in (
                    "6dbe1424-e859-4284-91fc-347ed7d39383",
                    "e8e9fe01-1630-4653-9f6d-1fb3e95bc6cf",
                )
                for checkin in (
                    "9bc327de-7c1a-4847-8ac7-a024c3d7d743",
                    "eadb46bb-760d-47fb-b754-e1472bf807ac",
                )
            ],
            {"status": "in_progress", "duration": None},
        ),
        "team_members": (
            [("1", team, member) for team in "12" for member in "13"],
            {"teamSlug": "acme-team-1", "teamRole": None},
        ),
        "project_environments": (
            [("1", project, key) for project in "12" for key in ("9", "12")],
            {"name": "canary", "isHidden": False},
        ),
        "project_keys": (
            [
                ("1", project, key)
                for project in "12"
                for key in (
                    "ce9933fdf418b3013502df06f17b6434",
                    "ca66714d37488a0075bfea7be05fe3ef",
                )
            ],
            {"label": "key 13", "isActive": True},
        ),
        "project_service_hooks": (
            [("1", project, "e806114e3a434044b9efda3bce3d5f36") for project in "12"],
            {"events": ["event.alert"]},
        ),
        "project_ownership": ([("1", "1"), ("1", "2")], {"fallthrough": True}),
        "project_inbound_filters": (
            [
                ("1", project, key)
                for project in "12"
                for key in ("browser-extensions", "filtered-transaction")
            ],
            {"active": False},
        ),
        "project_tags": (
            [
                ("1", project, key)
                for project in "12"
                for key in ("environment", "level")
            ],
            {"name": "Environment", "uniqueValues": 2},
        ),
        "project_alert_rules": (
            [("1", project, key) for project in "12" for key in "32"],
            {"name": "Rule 2", "frequency": 30},
        ),
        "issue_activities": (
            [("1", issue, key) for issue in ("452", "454") for key in "210"],
            {"type": "note", "data": {"text": "look at this é"}},
        ),
        "issue_comments": (
            [("1", issue, "2") for issue in ("452", "454")],
            {"text": "look at this é", "mentions": None},
        ),
        "issue_tags": ([], {}),
        "issue_hashes": ([], {}),
        "issue_links": ([], {}),
    },
    GLITCHTIP: {
        "organizations": (
            [("1",)],
            {"slug": "acme", "name": "acme", "require2FA": False},
        ),
        "organization_projects": (
            [("1", key) for key in ("1", "2")],
            {"slug": "shop-0", "name": "shop 0"},
        ),
        "organization_repositories": ([], {}),
        "organization_teams": (
            [("1", "3"), ("1", "2")],
            {"slug": "acme-t2", "memberCount": 1},
        ),
        "organization_event_counts": (
            [
                ("1", "received", "1d", f"2026-11-{day}T00:00:00Z")
                for day in range(20, 28)
            ],
            {"count": 0},
        ),
        "team_projects": ([("1", "3", "2"), ("1", "2", "2")], {"slug": "shop-1"}),
        "team_event_counts": (
            [
                ("1", team, "received", "1d", f"2026-11-{day}T00:00:00Z")
                for team in "32"
                for day in range(20, 28)
            ],
            {"count": 0},
        ),
        "project_issues": (
            [("1", "478"), ("1", "239")],
            {"count": 450, "level": "debug", "lastSeen": "2026-11-27T09:32:18.608Z"},
        ),
        "project_events": (
            [
                ("1", project, event)
                for project in "12"
                for event in (
                    "9b36acdb7a5e44d3a586dcf71d2cad83",
                    "f139b3a87c354ad989de5b5cfecf57db",
                )
            ],
            {"issue_id": "379", "projectID": "1", "type": "default"},
        ),
        "project_event_entries": (
            [
                ("1", project, event, 0)
                for project in "12"
                for event in (
                    "9b36acdb7a5e44d3a586dcf71d2cad83",
                    "f139b3a87c354ad989de5b5cfecf57db",
                )
            ],
            {"issue_id": "379", "type": "exception"},
        ),
        "project_feedback": ([], {}),
        "project_users": ([], {}),
        "project_event_counts": ([], {}),
        "organization_members": (
            [("1", "1")],
            {"email": "admin@example.com", "role": "owner", "expired": None},
        ),
        "organization_environments": ([], {}),
        "organization_releases": ([], {}),
        "organization_monitors": ([], {}),
        "organization_usage": ([], {}),
        "release_health": ([], {}),
        "organization_replays": ([], {}),
        "organization_dashboards": ([], {}),
        "organization_saved_queries": ([], {}),
        "organization_detectors": ([], {}),
        "organization_workflows": ([], {}),
        "organization_metric_alert_rules": ([], {}),
        "organization_incidents": ([], {}),
        "organization_integrations": ([], {}),
        "organization_app_installations": ([], {}),
        "organization_code_mappings": ([], {}),
        "organization_audit_logs": ([], {}),
        "repository_commits": ([], {}),
        "release_deploys": ([], {}),
        "release_commits": ([], {}),
        "monitor_checkins": ([], {}),
        "team_members": (
            [("1", "3", "1"), ("1", "2", "1")],
            {"roleName": "Owner", "teamSlug": None},
        ),
        "project_environments": ([], {}),
        "project_keys": (
            [
                ("1", project, "edb4c77b-ce11-418c-96b9-9c10b986c54f")
                for project in "12"
            ],
            {"public": "edb4c77b-ce11-418c-96b9-9c10b986c54f", "isActive": None},
        ),
        "project_service_hooks": ([], {}),
        "project_ownership": ([], {}),
        "project_inbound_filters": ([], {}),
        "project_tags": ([], {}),
        "project_alert_rules": ([], {}),
        "issue_activities": ([], {}),
        "issue_tags": (
            [
                ("1", issue, key)
                for issue in ("239", "478")
                for key in ("release", "browser")
            ],
            {"totalValues": 2025, "uniqueValues": 1},
        ),
        "issue_hashes": ([], {}),
        "issue_links": ([], {}),
    },
}
#: Streams whose recorded list is served for several projects or days.
REPEATED = {
    "project_issues",
    "organization_usage",
    "issue_activities",
    "issue_comments",
    "issue_tags",
}
CASES = [(server, stream) for server in EXPECTED for stream in EXPECTED[server]]


@pytest.mark.parametrize(("server", "stream"), CASES)
def test_records_are_what_the_server_answered(server, stream):
    """Keys and columns equal those of the recordings."""
    keys, columns = EXPECTED[server][stream]
    # Beside the events, issues are visited that only the events name.
    is_alone = stream.startswith("issue_")
    output = read_recordings(server, stream) if is_alone else whole(server)
    rows = output.records(stream)
    found = output.keys(stream) if rows else []

    assert output.code == 0
    assert (list(dict.fromkeys(found)) if stream in REPEATED else found) == keys
    assert not columns or {name: rows[0].get(name) for name in columns} == columns


@pytest.mark.parametrize("server", ANSWERS)
def test_every_stream_is_expected_or_left_out(server):
    """Every stream has expected records, a test of its own, or is in `LEFT_OUT`."""
    others = {"projects", "issue_events", "issue_event_entries"}
    assert EXPECTED[server].keys() | LEFT_OUT[server] | others == STREAMS.keys()


# All columns --------------------------------------------------------------------------

#: Streams whose records are not rows of the recorded list.
DERIVED = {
    "organization_event_counts",
    "team_event_counts",
    "project_event_counts",
    "project_event_entries",
    "issue_event_entries",
}

#: How the rows of a stream follow from a recorded body that is not the list of them.
ROWS = {
    "organizations": lambda body: [body],
    "project_ownership": lambda body: [body],
    # Its figures are those of the issue's whole life.
    "project_issues": lambda body: [
        row | {k: v for k, v in row.get("lifetime", {}).items() if k != "stats"}
        for row in body
    ],
    "organization_audit_logs": lambda body: body["rows"],
    "issue_activities": lambda body: body["activity"],
    "issue_comments": lambda body: [row | row["data"] for row in body],
    "organization_usage": lambda body: [
        {
            "project_id": group["by"]["project"],
            "timestamp": body["start"],
            "quantity": group["totals"]["sum(quantity)"],
            **group["by"],
        }
        for group in body["groups"]
    ],
    "release_health": lambda body: body["groups"],
    # Without the address that has the secret in it.
    "project_keys": lambda body: [
        row | {"dsn": {k: v for k, v in row["dsn"].items() if k != "secret"}}
        for row in body
    ],
}

#: The columns that the tap adds to the rows.
IDS = {
    "organization_id",
    "project_id",
    "team_id",
    "issue_id",
    "release_version",
    "monitor_id",
    "repository_id",
}


def names_of_recordings(server: str, path: str) -> list[str]:
    """Return the names of the recordings of a path, as it is in a stream."""
    parts = {
        "organization": "acme",
        "project": "shop",
        "team": "t",
        "issue": "478",
        "release": "1.0 beta",
        "monitor": "cron-0-111",
        "repository": "2",
    }
    return [
        name
        for pattern, name in ANSWERS[server].items()
        if re.fullmatch(re.split(r"\(|\\\?", pattern)[0], path.format(**parts)[1:])
    ]


def recorded_rows(server: str, stream: SentryStream) -> list[dict[str, Any]]:
    """Return the rows of the recorded list of a stream, or of its fallback.

    Of several recordings of a path, the last is that of the default settings.
    """
    paths = [path for path in (stream.path, stream.fallback_path) if path]
    if stream.name == "organizations":
        # The setting `organizations` names it.
        paths = [f"{stream.path}{{organization}}/"]
    for name in [n for path in paths for n in names_of_recordings(server, path)[-1:]]:
        status, headers, text = recording(server, name)
        if status == 200 and "json" in headers["Content-Type"]:
            rows = ROWS.get(stream.name, lambda body: body)(json.loads(text))
            renamed = stream.renamed
            return [{renamed.get(k, k): v for k, v in row.items()} for row in rows]
    raise AssertionError(paths)


def stored(value: Any, kind: dict[str, Any]) -> Any:
    """Return a recorded value as it is in a column of this JSON schema."""
    if value is None or (value == "" and kind.get("format") == "date-time"):
        return None
    if "integer" in kind["type"]:
        return int(value)
    if "string" in kind["type"]:
        return str(value)
    if "array" in kind["type"]:
        return [stored(item, kind["items"]) for item in value]
    if kind.get("additionalProperties") is not False:
        return value
    # A user or a team; some servers send an empty string for nobody.
    kinds = kind["properties"]
    found = {k: stored(value[k], kinds[k]) for k in kinds if k in value}
    return found or None


#: For each server, the streams with a recorded list.
LISTS = [
    (server, stream)
    for server, stream in CASES
    if (EXPECTED[server][stream][0] or stream in EMPTY[server])
    and stream not in DERIVED
] + [(server, "issue_events") for server in EXPECTED]


@pytest.mark.parametrize(("server", "stream"), LISTS)
def test_every_column_is_what_the_server_sent(server, stream):
    """Every declared column of every record equals the recorded value.

    Ids become texts. Of users, the declared fields are left; secrets are left out.
    """
    tap = TapSentry(config={"auth_token": TOKEN})
    rows = recorded_rows(
        server, next(s for s in tap.sentry_streams if s.name == stream)
    )
    output = whole(server)
    records = output.records(stream)
    columns = next(
        message["schema"]["properties"]
        for message in output.messages
        if message["type"] == "SCHEMA" and message["stream"] == stream
    )

    assert (not rows) is (stream in EMPTY[server])
    assert bool(records) is bool(rows)
    # The list is served for each project, team or other parent.
    for record, row in zip(records, itertools.cycle(rows)):
        declared = columns.keys() - (IDS - row.keys())
        sent = {name: stored(row.get(name), columns[name]) for name in declared}
        assert {name: record.get(name) for name in declared} == sent


def test_a_list_that_fails_is_reported(read, caplog):
    """Sentry 24.2 failed to list replays: the run ends with an error that says so."""
    output = read(SENTRY, "organization_replays")

    assert output.code == 1
    assert output.records("organization_replays") == []
    assert "organization_replays returned no records" in caplog.messages[-1]
    assert "status 500, Internal Error" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("server", "issues", "events"),
    [
        (
            SENTRY,
            ["ACME-SHOP-0-1"],
            ["ac245d29f820f2af0ad3945290a98b00", "41da29f4dd3807567367edc41fa0832a"],
        ),
        (
            GLITCHTIP,
            [],
            ["3ce17664ac454f1dbae89e824be33efb", "53d758286d334ed586644ad0a1af1cc6"],
        ),
    ],
)
def test_events_of_an_issue_are_what_the_server_answered(read, server, issues, events):
    """The events of an issue, looked up by short id or listed, equal the recordings."""
    output = read(server, "issue_events", "issue_event_entries", issue_ids=issues)

    assert output.code == 0
    rows = output.records("issue_events")
    assert list(dict.fromkeys(row["eventID"] for row in rows)) == events
    # GlitchTip calls these `group_id`, `date_created` and so on.
    assert {row["issue_id"] for row in rows} == {"327" if server == SENTRY else "478"}
    assert all(row["dateCreated"].startswith("2026-11-27") for row in rows)
    entries = output.records("issue_event_entries")
    assert dict.fromkeys((row["event_id"], row["entry_index"]) for row in entries) == (
        dict.fromkeys((events[0], index) for index in range(3))
        if server == SENTRY
        else dict.fromkeys((event, 0) for event in events)
    )


@pytest.mark.parametrize("server", ANSWERS)
def test_all_streams_together(read, caplog, server):
    """Each record matches its schema, and each warning is expected."""
    output = read(server)
    schemas = {m["stream"]: m["schema"] for m in output.messages if "schema" in m}

    assert output.code == 0
    for message in output.messages:
        if message["type"] == "RECORD":
            schema = schemas[message["stream"]]
            Draft202012Validator(schema).validate(message["record"])
    lacking = {
        record.getMessage().partition(" ")[0]
        for record in caplog.records
        if "is missing on this server" in record.getMessage()
    }
    without = {stream for stream, (keys, _) in EXPECTED[server].items() if not keys}
    unavailable = UNAVAILABLE[server]
    assert lacking == without - EMPTY[server] - CHILDLESS[server] - unavailable
    warnings = [r.getMessage() for r in caplog.records if r.levelno > logging.INFO]
    expected = (
        "This server does not have",
        "is missing on this server",
        *(f"{stream} skipped organization acme: " for stream in unavailable),
    )
    assert all(any(part in line for part in expected) for line in warnings)


@pytest.mark.parametrize("server", ANSWERS)
def test_every_path_is_recorded_or_named(server):
    """Every path of a stream, fallbacks included, is recorded or in `NOT_RECORDED`."""
    tap = TapSentry(config={"auth_token": TOKEN})
    streams = tap.sentry_streams
    paths = {path for s in streams for path in (s.path, s.fallback_path) if path}
    recorded = {path for path in paths if names_of_recordings(server, path)}
    assert recorded | NOT_RECORDED[server].keys() == paths
    assert not recorded & NOT_RECORDED[server].keys()


# Cursors and limits -------------------------------------------------------------------


def response(server: str, name: str) -> requests.Response:
    """Return a recorded response without its body, as `requests` gives it."""
    found = recording(server, name)
    answer = requests.Response()
    answer.status_code = found.status
    answer.headers.update(found.headers)
    return answer


@pytest.mark.parametrize(
    ("server", "name", "cursor"),
    [
        (SENTRY, "issues", "1795625035000:0:0"),
        (SENTRY, "issue_events", "0:100:0"),
        (SENTRY, "organizations", None),
        (SENTRY, "repos", "100:1:0"),
        (GLITCHTIP, "projects", None),
        (
            GLITCHTIP,
            "events",
            "cD0yMDI2LTExLTI3KzA5JTNBMDUlM0E0Ny4yMzk2ODAlMkIwMCUzQTAw",
        ),
    ],
)
def test_cursors_are_read_in_each_form(server, name, cursor):
    """Cursors are read in the forms of Sentry and from GlitchTip's malformed header.

    Sentry's cursors are by time, by row and by page. GlitchTip's are opaque, in a
    header that is printed as a Python set.
    """
    found, paginator = response(server, name), SentryPaginator()

    assert paginator.has_more(found) is (cursor is not None)
    if cursor:
        assert paginator.get_next(found) == cursor


@pytest.mark.parametrize(
    ("name", "limit", "at_once"),
    [
        ("issues", 10, 999),
        ("stats_v2", 20, 999),
        ("events", 60, 1),
        ("repos", 999, 999),
    ],
)
def test_limits_are_read(name, limit, at_once):
    """Each endpoint of Sentry 24.2 has limits of its own."""
    found = read_limits(response(SENTRY, name).headers, THEN.timestamp())

    assert (found.limit, found.concurrent) == (limit, at_once)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("organizations", "organizations/"),
        ("repos", "organizations/sternwarte/repos/"),
        ("issues", "organizations/sternwarte/issues/"),
        ("stats_v2", "organizations/sternwarte/stats_v2/"),
        ("events", "projects/sternwarte/telescope/events/"),
        ("users", "projects/sternwarte/telescope/users/"),
    ],
)
def test_the_simulator_states_the_limits_that_were_recorded(name, path):
    """The limits of each endpoint of Sentry 24.2 are sent, even with a rejection."""
    sentry = SentrySimulator(flavour="self-hosted-24", rate_limits=LIMITS_OF_24)
    url = f"https://sentry.io/api/0/{path}"
    answer = sentry.answer("GET", url, {"Authorization": f"Bearer {TOKEN}"})
    stated, recorded = (
        read_limits(CaseInsensitiveDict(headers), THEN.timestamp())
        for headers in (answer.headers, recording(SENTRY, name).headers)
    )

    assert (stated.limit, stated.concurrent) == (recorded.limit, recorded.concurrent)


@pytest.mark.parametrize(
    ("query", "name"),
    [("per_page=101", "releases_per_page_101"), ("cursor=abc", "releases_bad_cursor")],
)
def test_the_simulator_refuses_what_sentry_refuses(query, name):
    """The simulator's status and body equal those of the recorded rejection."""
    sentry = SentrySimulator(flavour="self-hosted-24")
    url = f"https://sentry.io/api/0/organizations/sternwarte/teams/?{query}"
    answer = sentry.answer("GET", url, {"Authorization": f"Bearer {TOKEN}"})
    recorded = recording(SENTRY, name)

    assert answer.status == recorded.status
    assert json.loads(answer.body) == json.loads(recorded.body)


@pytest.mark.parametrize(
    ("server", "name", "text"),
    [
        (SENTRY, "releases_bad_cursor", "Invalid cursor parameter."),
        (GLITCHTIP, "bad_cursor", "Value error, Invalid cursor."),
    ],
)
def test_an_error_is_told_in_the_words_of_the_server(server, name, text):
    """Sentry's `detail` is a text, GlitchTip's a list of objects."""
    recorded = recording(server, name)
    with responses.RequestsMock() as mock:
        mock.get(URL, status=recorded.status, body=recorded.body)
        response = requests.get(URL, timeout=1)

    assert detail(response) == text


def bodies(server: str) -> list[Any]:
    """Return the bodies of the recordings that are JSON."""
    found = (recording(server, name).body for name in ANSWERS[server].values())
    return [json.loads(text) for text in found if text.startswith(("[", "{"))]


@pytest.mark.parametrize("server", ANSWERS)
def test_no_secret_is_ever_emitted(read, server):
    """No record holds a credential that was sent, or the settings of an account."""
    secrets = set().union(*map(secrets_of, bodies(server)))
    records = [m for m in read(server).messages if m["type"] == "RECORD"]
    written = {text for message in records for text, _ in texts(message["record"])}

    # Both send settings, and Sentry the secrets of two client keys and a hook.
    assert settings_in(dict(enumerate(bodies(server))))
    assert sum(SECRET in text for text in secrets) == (5 if server == SENTRY else 0)
    assert [s for s in secrets if any(s in text for text in written)] == []
    assert [m for m in records if settings_in(m["record"])] == []


def test_recordings_hold_no_secret():
    """Recordings are made with invented data and hold no tokens or other secrets."""
    for path in FOLDER.rglob("*.http"):
        text = path.read_text("utf-8")
        assert not re.search(r"sntry[us]_|bearer |@sentry\.io", text)
        if text.rpartition("\n\n")[2].startswith(("[", "{")):
            secrets = secrets_of(json.loads(text.rpartition("\n\n")[2]))
            # One is the setting of an account.
            assert {s for s in secrets if SECRET not in s} <= {"recommended"}
