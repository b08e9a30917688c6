"""The streams, run on the recorded responses of two real servers.

`tests/recorded` holds responses of Sentry 24.2.0 and of GlitchTip of December 2025.
Their lists were cut to the first rows when they were recorded, so no page has a next
one here.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
import responses
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # no types
from requests.structures import CaseInsensitiveDict

from tap_sentry.api.rate_limits import read as read_limits
from tap_sentry.sync.paginator import SentryPaginator
from tap_sentry.tap import TapSentry
from tests.conftest import catalog_of, run
from tests.sentry import LIMITS_OF_24, STREAMS, TOKEN, SentrySimulator

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
        r"organizations/acme/stats_v2/": "stats_v2",
        r"organizations/acme/issues/": "issues",
        r"organizations/acme/issues/327/": "issue_detail",
        r"organizations/acme/issues/\d+/events/\?.*full=true.*": "issue_events_full",
        r"organizations/acme/issues/\d+/events/(?!.*full=true)": "issue_events",
        r"organizations/acme/shortids/ACME-SHOP-0-1/": "shortid",
        r"projects/": "projects",
        r"projects/acme/[\w-]+/events/\?.*full=true.*": "events_full",
        r"projects/acme/[\w-]+/events/(?!.*full=true)": "events",
        r"projects/acme/[\w-]+/users/": "users",
        r"projects/acme/[\w-]+/user-feedback/": "user_feedback",
        r"projects/acme/[\w-]+/stats/": "project_stats_generated",
    },
    GLITCHTIP: {
        r"organizations/": "organizations",
        r"organizations/acme/": "organization_detail",
        r"organizations/acme/projects/": "org_projects",
        r"organizations/acme/repos/": "repos",
        r"organizations/acme/teams/": "org_teams",
        r"organizations/acme/stats_v2/\?.*interval=1d.*": "stats_v2_1d",
        r"organizations/acme/stats_v2/(?!.*interval=1d)": "stats_v2_1h",
        r"organizations/acme/stats/": "org_stats",
        r"organizations/acme/issues/": "issues",
        r"organizations/acme/issues/\d+/": "issue_detail",
        r"organizations/acme/issues/\d+/events/": "org_issue_events",
        r"organizations/acme/shortids/SHOP-0-1/": "shortid",
        r"issues/478/": "issue_detail_short",
        r"issues/\d+/events/": "issue_events",
        r"projects/": "projects",
        r"projects/acme/[\w-]+/events/": "events",
        r"projects/acme/[\w-]+/issues/": "project_issues",
        r"projects/acme/[\w-]+/users/": "users",
        r"projects/acme/[\w-]+/user-feedback/": "user_feedback",
        r"projects/acme/[\w-]+/stats/": "project_stats",
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
        "/issues/{issue}/events/": "only where the other is missing",
    },
    GLITCHTIP: {"/teams/{organization}/{team}/stats/": "stats_v2 answers"},
}

#: Streams that cannot be read from the recordings of a server.
LEFT_OUT = {SENTRY: {"team_projects", "team_event_counts"}, GLITCHTIP: set[str]()}


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
    for pattern, name in ANSWERS[server].items():
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


@pytest.fixture
def read(monkeypatch, caplog):
    """Run the tap on the recordings of a server."""
    monkeypatch.setattr("tap_sentry.tap.now", lambda: THEN)
    caplog.set_level(logging.INFO, logger="tap-sentry")

    def read(server, *streams, **settings):
        chosen = {"organizations": ["acme"], "start_date": "7d", **settings}
        config = {"auth_token": TOKEN, "api_url": URL, **chosen}
        names = streams or STREAMS.keys() - LEFT_OUT[server]
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            serve(mock, server)
            return run(config, catalog_of(*names))

    return read


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
    },
    GLITCHTIP: {
        "organizations": ([("1",)], {"slug": "acme", "name": "acme"}),
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
    },
}
CASES = [(server, stream) for server in EXPECTED for stream in EXPECTED[server]]


@pytest.mark.parametrize(("server", "stream"), CASES)
def test_records_are_what_the_server_answered(read, server, stream):
    """Keys and columns equal those of the recordings."""
    keys, columns = EXPECTED[server][stream]
    output = read(server, stream)
    rows = output.records(stream)

    assert output.code == 0
    if stream == "project_issues":
        # The recorded list is served for each project.
        assert list(dict.fromkeys(output.keys(stream))) == keys
    else:
        assert output.keys(stream) == keys
    assert not columns or {name: rows[0][name] for name in columns} == columns


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
    assert lacking == {
        stream for stream, (keys, _) in EXPECTED[server].items() if not keys
    }
    warnings = [r.getMessage() for r in caplog.records if r.levelno > logging.INFO]
    expected = ("This server does not have", "is missing on this server")
    assert all(any(part in line for part in expected) for line in warnings)


@pytest.mark.parametrize("server", ANSWERS)
def test_every_path_is_recorded_or_named(server):
    """Every path of a stream, fallbacks included, is recorded or in `NOT_RECORDED`."""
    tap = TapSentry(config={"auth_token": TOKEN})
    streams = tap.sentry_streams
    paths = {path for s in streams for path in (s.path, s.fallback_path) if path}
    parts = {"organization": "acme", "project": "shop", "team": "t", "issue": "478"}
    recorded = {
        path
        for path in paths
        if any(
            re.fullmatch(re.split(r"\(|\\\?", pattern)[0], path.format(**parts)[1:])
            for pattern in ANSWERS[server]
        )
    }
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


def test_recordings_hold_no_secret():
    """Recordings are made with invented data and hold no tokens or other secrets."""
    for path in FOLDER.rglob("*.http"):
        text = path.read_text("utf-8")
        assert not re.search(r"sntry[us]_|bearer |\"secret\": \"\w|@sentry\.io", text)
        if text.rpartition("\n\n")[2].startswith(("[", "{")):
            json.loads(text.rpartition("\n\n")[2])
