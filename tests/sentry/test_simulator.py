"""Tests that the simulator is as strict as Sentry."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import pairwise

import pytest
import requests

from tests.sentry import (
    FLAVOURS,
    SAAS_LIMITS,
    STREAMS,
    TOKEN,
    Limit,
    SentrySimulator,
    Token,
)
from tests.sentry.data import generated, uneven
from tests.sentry.truth import has

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
ORG = "organizations/the-interstellar-jurisdiction/"
PUMP = "projects/the-interstellar-jurisdiction/pump-station/"
NEXT = 'rel="next"; results="true"; cursor="([^"]+)"'


def simulated(flavour="saas", **options):
    return SentrySimulator(flavour=flavour, clock=lambda: NOW, **options)


def ask(sentry, path, *, token=TOKEN, session=requests, **params):
    return session.get(
        f"{sentry.url}/api/0/{path}",
        params=params,
        headers={"Authorization": f"Bearer {token}"},
        allow_redirects=False,
        timeout=5,
    )


def crawl(sentry, path, **params):
    rows = []
    while True:
        response = ask(sentry, path, **params)
        assert response.status_code == 200, response.text
        rows += response.json()
        following = re.search(NEXT, response.headers["Link"])
        if not following:
            return rows
        params["cursor"] = following[1]


@pytest.fixture(params=["patched", "served"])
def sentry(request):
    simulator = simulated(page_size=7)
    with getattr(simulator, request.param)():
        yield simulator


@pytest.fixture
def patched():
    with simulated().patched() as simulator:
        yield simulator


def status_and_detail(response):
    return response.status_code, response.json()["detail"]


def test_every_page_is_found_and_both_doors_give_the_same(sentry):
    project = sentry.project("pump-station")
    found = {
        (row["groupID"], row["eventID"])
        for row in crawl(
            sentry,
            f"{PUMP}events/",
            start="2010-01-01T00:00:00Z",
            end="2026-11-23T12:30:00Z",
        )
    }
    key = (project.organization.id, project.id)
    assert {(*key, event) for _, event in found} == {
        row for row in sentry.truth("project_events") if row[:2] == key
    }
    assert sentry.counts["projects/{org}/{project}/events/"] == len(sentry.requests)


def test_the_events_of_the_listed_issues_are_the_true_ones(patched):
    organization = patched.organization("sternwarte")
    issues = crawl(patched, "organizations/sternwarte/issues/", query="", project="-1")
    found = {
        (organization.id, row["projectID"], row["eventID"])
        for issue in issues
        for row in crawl(
            patched, f"organizations/sternwarte/issues/{issue['id']}/events/"
        )
    }
    truth = patched.truth("issue_events")
    assert found == {row for row in truth if row[0] == organization.id}


def test_the_next_page_is_always_named_and_results_tells_the_end(sentry):
    response = ask(sentry, f"{PUMP}events/", cursor="0:100000:0")
    assert response.json() == []
    assert response.links["next"]["results"] == "false"
    assert response.links["next"]["cursor"] == "0:100007:0"
    assert response.links["previous"]["results"] == "true"


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("wrong", "Invalid token"),
        ("old", "Token expired"),
        (None, "Authentication credentials were not provided."),
    ],
)
def test_only_a_good_token_is_let_in(patched, token, detail):
    patched.tokens["old"] = Token(expired=True)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{patched.url}/api/0/organizations/"
    response = requests.get(url, headers=headers, timeout=5)
    assert status_and_detail(response) == (401, detail)


def test_a_token_reads_what_its_scopes_and_organizations_allow(patched):
    patched.tokens["few"] = Token(
        frozenset({"org:read", "project:read"}), organizations=frozenset({"sternwarte"})
    )
    issues = ask(patched, "organizations/sternwarte/issues/", token="few", query="")
    other = ask(patched, ORG, token="few")
    assert (issues.status_code, other.status_code) == (403, 403)
    assert ask(patched, "projects/sternwarte/telescope/events/", token="few").ok
    assert len(ask(patched, "organizations/", token="few").json()) == 1
    scopes = ask(patched, "", token="few").json()["auth"]["scopes"]
    assert scopes == ["org:read", "project:read"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        (f"{PUMP}events/", {"cursor": "bogus"}, 400),
        (f"{PUMP}events/", {"per_page": "101"}, 400),
        (f"{PUMP}events/", {"start": "2026-11-01T00:00:00Z"}, 400),
        (f"{PUMP}events/", {"limit": "10"}, 400),
        (f"{PUMP}users/", {"per_page": "0"}, 400),
        (f"{PUMP}user-feedback/", {"status": "resolved"}, 400),
        (f"{PUMP}stats/", {"resolution": "5m"}, 400),
        (f"{PUMP}stats/", {"stat": "seen"}, 500),
        (f"{PUMP}stats/", {"since": "2026-11-01"}, 400),
        (f"{PUMP}stats/", {"since": "1795000000", "until": "1790000000"}, 400),
        (f"{ORG}stats/", {"stat": "generated"}, 500),
        (f"{ORG}issues/", {"project": "pump-station"}, 400),
        (f"{ORG}issues/", {"project": "1"}, 403),
        (f"{ORG}issues/", {"query": "colour:red"}, 400),
        (f"{ORG}issues/", {"qeury": ""}, 400),
        (f"{ORG}issues/12/events/", {}, 404),
        (f"{ORG}projects", {}, 404),
        ("organizations/nowhere/projects/", {}, 404),
        ("nothing/", {}, 404),
    ],
)
def test_what_sentry_refuses_is_refused(patched, path, params, status):
    assert ask(patched, path, **params).status_code == status


def test_a_missing_thing_says_so_and_a_missing_route_says_nothing(patched):
    missing = ask(patched, "projects/sternwarte/nothing/events/")
    assert missing.json() == {"detail": "The requested resource does not exist"}
    assert ask(patched, "organizations/sternwarte/nothing/").content == b""


def test_only_get_is_allowed(patched):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{patched.url}/api/0/organizations/"
    assert requests.head(url, headers=headers, timeout=5).status_code == 403
    assert requests.post(url, headers=headers, timeout=5).status_code == 405


def test_lists_hide_what_they_hide_by_default(patched):
    def number(path, **params):
        return len(ask(patched, path, **params).json())

    assert number(f"{ORG}issues/", project="-1") == 10
    assert number(f"{ORG}issues/", project="-1", query="") == 13
    assert number(f"{ORG}issues/", query="") == 12  # one project is not the user's
    assert number(f"{PUMP}user-feedback/") == 5
    assert number(f"{PUMP}user-feedback/", status="") == 7
    assert number(f"{ORG}repos/") == 2
    assert number(f"{ORG}repos/", status="") == 3


def test_windows_are_half_open_and_the_figures_of_issues_are_theirs(patched):
    issue = patched.add_issue("telescope", "Error: new")
    day = datetime(2026, 11, 1, tzinfo=UTC)
    for hours in (-1, 0, 23, 24):
        patched.add_event("telescope", issue, day + timedelta(hours=hours))
    window = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z"}
    path = f"organizations/sternwarte/issues/{issue.id}/"
    assert len(ask(patched, f"{path}events/", **window).json()) == 2
    (row,) = (
        row
        for row in ask(patched, "organizations/sternwarte/issues/", **window).json()
        if row["id"] == issue.id
    )
    assert (row["count"], row["lifetime"]["count"]) == ("2", "4")
    assert row["lastSeen"] == "2026-11-01T23:00:00Z"
    assert ask(patched, path).json()["project"]["slug"] == "telescope"


def test_issues_read_limit_and_events_read_per_page():
    with SentrySimulator(generated(now=NOW), clock=lambda: NOW).patched() as sentry:
        issues = "organizations/organization-1/issues/"
        assert len(ask(sentry, issues, query="", limit="500").json()) == 100
        assert len(ask(sentry, issues, query="", per_page="1").json()) == 100
        events = "projects/organization-1/project-1/events/"
        assert len(ask(sentry, events).json()) == 100
        assert len(ask(sentry, events, full="true").json()) == 10


def test_old_and_new_counts_agree(patched):
    project = patched.project("pump-station")
    window = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-21T00:00:00Z"}
    new = ask(
        patched,
        f"{ORG}stats_v2/",
        field="sum(quantity)",
        groupBy="outcome",
        category="error",
        outcome=["accepted", "filtered", "rate_limited"],
        interval="1d",
        project=project.id,
        **window,
    ).json()
    sums = [
        sum(day)
        for day in zip(
            *(group["series"]["sum(quantity)"] for group in new["groups"]), strict=True
        )
    ]
    old = ask(
        patched,
        f"{PUMP}stats/",
        since=datetime(2026, 11, 1, tzinfo=UTC).timestamp(),
        until=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
        resolution="1d",
    ).json()
    assert [count for _, count in old] == sums
    truth = patched.records(
        "project_event_counts",
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 21, tzinfo=UTC),
    )
    mine = [row for key, row in truth.items() if key[1] == project.id]
    assert [row["count"] for row in mine] == sums


def epoch(date):
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("resolution", "since", "until", "first", "number"),
    [
        # On boundaries both ends are counted: one more than the period has intervals.
        ("1d", "2026-11-01", "2026-11-03", "2026-11-01", 3),
        # Later in its day than `until`, so that the day of `since` is missing.
        ("1d", "2026-11-01T09:00", "2026-11-03T08:00", "2026-11-02", 2),
        # Earlier in its day, so that the day of `since` is there, and counted whole.
        ("1d", "2026-11-01T07:00", "2026-11-03T08:00", "2026-11-01", 3),
        # The last second of a day.
        ("1d", "2026-11-01", "2026-11-02T23:59:59", "2026-11-01", 2),
        ("1h", "2026-11-01T07:30", "2026-11-01T09:10", "2026-11-01T08:00", 2),
        ("10s", "2026-11-01T07:00:03", "2026-11-01T07:05:03", "2026-11-01T07:00", 31),
        # Shorter than an interval: that of `until` alone.
        ("1d", "2026-11-01T23:00", "2026-11-02T01:00", "2026-11-02", 1),
    ],
)
def test_counts_step_back_from_until(  # noqa: PLR0913, PLR0917 - dates
    patched, resolution, since, until, first, number
):
    pairs = ask(
        patched,
        f"{PUMP}stats/",
        stat="generated",
        resolution=resolution,
        since=epoch(since),
        until=epoch(until),
    ).json()
    step = {"10s": 10, "1h": 3600, "1d": 86400}[resolution]
    assert [at for at, _ in pairs] == [epoch(first) + step * n for n in range(number)]


def test_counts_of_the_past_day_are_those_of_today(patched):
    """As recorded: the default period is a day but for a second."""
    pairs = ask(patched, f"{PUMP}stats/", stat="generated", resolution="1d").json()
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    events = patched.project("pump-station").events.newest(midnight, NOW)
    assert pairs == [[midnight.timestamp(), len(events)]]


def test_generated_are_the_stored_errors_by_their_own_date(patched):
    project = patched.project("pump-station")
    issue = project.issues[0]

    def counted():
        since = (NOW - timedelta(days=91)).timestamp()
        until = (NOW + timedelta(days=1)).timestamp()
        params = {"stat": "generated", "resolution": "1d"}
        path = f"{PUMP}stats/"
        pairs = ask(patched, path, since=since, until=until, **params).json()
        return {datetime.fromtimestamp(at, UTC): count for at, count in pairs}

    def listed():
        window = {"start": "2010-01-01", "end": "2026-11-25"}
        return len(crawl(patched, f"{PUMP}events/", **window))

    before = counted()
    assert sum(before.values()) == listed() < len(project.events)
    late = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    patched.add_event("pump-station", issue, late, received=NOW)
    # On the day when the oldest events are deleted, that is in the middle of one.
    kept = NOW - timedelta(days=90)
    for seconds in (-1, 0):
        patched.add_event("pump-station", issue, kept + timedelta(seconds=seconds))
    after = counted()
    midnight = late.replace(hour=0, minute=0, second=0)
    oldest = kept.replace(hour=0, minute=0)
    assert after[midnight] == before[midnight] + 1
    assert after[oldest] == before[oldest] + 1
    assert sum(after.values()) == sum(before.values()) + 2 == listed()
    patched.delete_issue(issue)
    assert sum(counted().values()) == listed()
    assert listed() < sum(before.values())
    assert ask(patched, f"{ORG}issues/{issue.id}/events/").status_code == 404


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-24"])
def test_lists_of_project_events_may_end_after_some_days(flavour):
    with simulated(flavour).patched() as sentry:
        sentry.project_event_days = 7
        project = sentry.project("pump-station")
        kept = NOW - timedelta(days=7)
        window = {"start": "2026-10-01T00:00:00", "end": "2026-11-30T00:00:00"}
        rows = crawl(sentry, f"{PUMP}events/", **window)
        assert len(rows) == len(project.events.newest(kept)) < len(project.events)
        issue = project.issues[0]
        rows = crawl(sentry, f"{ORG}issues/{issue.id}/events/", **window)
        assert len(rows) == len(issue.events)  # these are not cut
        if sentry.flavour.event_dates:
            old = {"start": "2026-11-01T00:00:00", "end": "2026-11-02T00:00:00"}
            assert not ask(sentry, f"{PUMP}events/", **old).json()


@pytest.mark.parametrize(
    "params",
    [
        {"field": "sum(quantity)", "groupBy": "outcome"},
        {"groupBy": "outcome", "category": "error"},
        {"field": "sum(quantity)", "groupBy": "outcome", "category": "errors"},
        {
            "field": "sum(quantity)",
            "groupBy": "outcome",
            "category": "error",
            "interval": "1h",
        },
    ],
)
def test_counts_need_what_sentry_needs(patched, params):
    assert ask(patched, f"{ORG}stats_v2/", **params).status_code == 400


def test_counts_by_project_have_no_series(patched):
    params = {"field": "sum(quantity)", "category": "error", "statsPeriod": "14d"}
    response = ask(patched, f"{ORG}stats_v2/", groupBy="project", **params)
    assert response.json()["groups"]
    assert all("series" not in group for group in response.json()["groups"])


def test_a_renamed_project_redirects_and_a_deleted_one_is_gone(sentry):
    sentry.rename_project("prime-mover", "second-mover")
    response = ask(
        sentry, "projects/the-interstellar-jurisdiction/prime-mover/events/", full="1"
    )
    assert response.status_code == 302
    assert response.headers["Location"].endswith("/second-mover/events/?full=1")
    sentry.delete_project("second-mover")
    assert "second-mover" not in ask(sentry, f"{ORG}projects/").text
    sentry.forbid("pump-station")
    assert ask(sentry, f"{PUMP}events/").status_code == 403
    sentry.forbid("sternwarte")
    assert ask(sentry, "organizations/sternwarte/").status_code == 403


def test_odd_texts_and_shapes_are_there(patched):
    body = ask(patched, f"{PUMP}events/", per_page="100").content
    titles = ask(patched, f"{ORG}issues/", query="").content
    assert b"\\ud83d surrogate" in titles
    assert b"\\u0000" in titles
    assert b'"key": null' in body
    assert b'"groupID": null' in body
    slow = next(
        issue
        for issue in patched.project("pump-station").issues
        if issue.category == "performance"
    )
    (first, *_) = ask(patched, f"{ORG}issues/{slow.id}/events/", full="true").json()
    assert "dateCreated" not in first
    assert isinstance(first["entries"][0]["data"], list)
    assert None in {row["tagValue"] for row in crawl(patched, f"{PUMP}users/")}


def test_links_may_name_another_host(patched):
    patched.link_base = "https://elsewhere.example.com"
    url = ask(patched, "organizations/").links["next"]["url"]
    assert url.startswith("https://elsewhere.example.com/api/0/organizations/")


@pytest.mark.parametrize("status", [302, 403, 404, 408, 410, 429, 500, 502, 503, 504])
def test_a_status_is_given_as_often_as_asked(sentry, status):
    sentry.fault(status, times=2, after=1)
    statuses = [ask(sentry, "organizations/").status_code for _ in range(4)]
    assert statuses == [200, status, status, 200]
    assert sentry.refused == (2 if status == 429 else 0)


def test_a_429_says_when_to_come_back(patched):
    patched.fault(429, reset=30, retry_after=7)
    headers = ask(patched, "organizations/").headers
    assert int(headers["X-Sentry-Rate-Limit-Reset"]) == NOW.timestamp() + 30
    assert headers["X-Sentry-Rate-Limit-Remaining"] == "0"
    assert headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("kind", "details", "error"),
    [
        ("refuse", {}, requests.ConnectionError),
        ("reset", {}, requests.ConnectionError),
        (
            "reset",
            {"where": "middle"},
            (requests.exceptions.ChunkedEncodingError, requests.ConnectionError),
        ),
        ("short", {}, requests.exceptions.ChunkedEncodingError),
        ("hang", {"seconds": 1}, requests.ReadTimeout),
        ("truncated", {}, requests.JSONDecodeError),
        ("html", {}, requests.JSONDecodeError),
    ],
)
def test_connections_and_bodies_break(sentry, kind, details, error):
    sentry.fault(kind, **details)
    url = f"{sentry.url}/api/0/organizations/"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with pytest.raises(error):
        requests.get(url, headers=headers, timeout=0.3).json()
    assert ask(sentry, "organizations/").ok


@pytest.mark.parametrize("path", ["events/", "users/", "issues/?query="])
@pytest.mark.parametrize("flavour", ["saas", "self-hosted-9"])
def test_an_empty_and_a_repeated_page_change_nothing(flavour, path):
    path, _, query = path.partition("?")
    params = {"query": ""} if query else {}
    with simulated(flavour, page_size=3).patched() as sentry:
        whole = crawl(sentry, PUMP + path, **params)
        sentry.fault("empty_page", times=2)
        sentry.fault("empty_page", after=1)
        assert crawl(sentry, PUMP + path, **params) == whole
        sentry.fault("repeat_page", after=1)
        assert len(crawl(sentry, PUMP + path, **params)) == len(whole) + 3


def test_a_fault_can_wait_for_its_request(sentry):
    sentry.fault(
        "not_a_list", times=None, when=lambda request: request.path.endswith("/teams/")
    )
    assert isinstance(ask(sentry, f"{ORG}projects/").json(), list)
    assert isinstance(ask(sentry, f"{ORG}teams/").json(), dict)
    assert sentry.asked(f"{ORG}teams/$") == [{}]


def test_large_pages_can_be_too_slow(patched):
    patched.fault("slow_large", times=None, rows=20)
    statuses = [
        ask(patched, f"{PUMP}events/", per_page=str(rows)).status_code
        for rows in (100, 50, 20)
    ]
    assert statuses == [504, 504, 200]


def test_rate_limits_are_told_and_kept():
    with simulated(rate_limits=SAAS_LIMITS | {"*": Limit(3, 60)}).patched() as sentry:
        answers = [ask(sentry, "organizations/") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        left = [row.headers["X-Sentry-Rate-Limit-Remaining"] for row in answers]
        assert left == ["2", "1", "0", "0"]
        assert ask(sentry, f"{PUMP}events/").ok  # has a limit of its own
        sentry.clock = lambda: NOW + timedelta(minutes=1)
        assert ask(sentry, "organizations/").ok
        assert sentry.refused == 1


def test_endpoints_without_a_limit_of_their_own_share_one():
    with simulated(rate_limits=SAAS_LIMITS | {"*": Limit(3, 60)}).patched() as sentry:
        issue = sentry.project("pump-station").issues[0]
        paths = [f"{ORG}issues/", f"{ORG}issues/{issue.id}/events/", f"{ORG}teams/"]
        assert all(ask(sentry, path).ok for path in paths)
        assert ask(sentry, f"{ORG}issues/").status_code == 429
        assert ask(sentry, f"{PUMP}stats/").ok  # has a limit of its own


def test_requests_at_once_are_counted_and_limited():
    template = "projects/{org}/{project}/events/"
    sentry = simulated(latency=0.1, rate_limits={template: Limit(60, 60, 1)})
    statuses = []
    with sentry.served():
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    ask(sentry, f"{PUMP}events/").status_code
                )
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 429 in statuses
    assert sentry.concurrency[template] > 1
    assert any(request.overlapped for request in sentry.requests)


def test_sentry_9_is_old():
    with simulated("self-hosted-9").patched() as sentry:
        project = sentry.project("pump-station")
        assert ask(sentry, f"{ORG}stats_v2/").content == b""
        assert ask(sentry, f"{ORG}issues/").status_code == 400
        assert ask(sentry, f"{ORG}issues/", project=project.id).status_code == 500
        assert ask(sentry, f"{ORG}issues/", project="-1").status_code == 403
        assert ask(sentry, f"{PUMP}events/", per_page="101").status_code == 500
        assert ask(sentry, f"{PUMP}events/", cursor="bogus").status_code == 500
        numeric = f"projects/{project.organization.id}/{project.id}/events/"
        assert ask(sentry, numeric).status_code == 404
        (stamp, _), *_ = ask(sentry, f"{PUMP}stats/").json()
        assert isinstance(stamp, float)
        (event, *_) = ask(sentry, f"{PUMP}events/", start="2030-01-01").json()
        assert "entries" in event
        assert event["id"] != event["eventID"]
        dates = [row["dateCreated"] for row in crawl(sentry, f"{PUMP}events/")]
        assert all(newer >= older for newer, older in pairwise(dates))
        assert len(dates) == len(project.events)


def test_a_server_of_2024_ignores_dates_of_project_events():
    with simulated("self-hosted-24").patched() as sentry:
        window = {"start": "2026-11-01", "end": "2026-11-02"}
        rows = ask(sentry, f"{PUMP}events/", full="true", **window).json()
        assert len(rows) == 100


def test_glitchtip_is_another_program():
    with simulated("glitchtip").patched() as sentry:
        project = sentry.project("pump-station")
        link = ask(sentry, f"{PUMP}events/").headers["Link"]
        assert link.startswith("{'<")
        assert link.endswith("\"'}")
        rows = crawl(sentry, f"{PUMP}events/")
        assert [row["dateReceived"] for row in rows] == sorted(
            (row["dateReceived"] for row in rows), reverse=True
        )
        assert len(rows) == len(project.events)
        issue = project.issues[0].id
        assert "event_id" in ask(sentry, f"issues/{issue}/events/").json()[0]
        assert ask(sentry, f"{ORG}issues/{issue}/").status_code == 405
        assert ask(sentry, f"{ORG}stats_v2/").status_code == 422
        assert ask(sentry, f"{PUMP}events/", cursor="0:50:0").status_code == 422
        assert len(ask(sentry, f"{ORG}repos/").content) == 73_000
        users = ask(sentry, f"{PUMP}users/")
        assert (users.status_code, users.headers["Content-Type"][:9]) == (
            200,
            "text/html",
        )
        assert ask(sentry, f"{ORG}issues/", project="-1").json() == []


def test_sentry_9_closes_connections_without_saying_so():
    with (
        simulated("self-hosted-9").served() as old,
        simulated().served() as new,
        simulated().served() as broken,
    ):
        broken.fault("silent_close")
        for sentry, closed in ((old, True), (new, False), (broken, True)):
            connection = HTTPConnection(sentry.url.removeprefix("http://"))
            connection.request("GET", "/api/0/")
            response = connection.getresponse()
            assert response.read()
            assert response.headers["Connection"] is None
            connection.sock.settimeout(0.2)
            if closed:
                assert connection.sock.recv(1) == b""
            else:
                with pytest.raises(TimeoutError):
                    connection.sock.recv(1)
            connection.close()


#: The streams that kinds of servers lack.
LACKING = {
    "saas": "organization_metric_alert_rules project_alert_rules",
    "self-hosted-24": (
        "organization_app_installations organization_detectors organization_workflows"
    ),
    "self-hosted-9": (
        "issue_links monitor_checkins organization_app_installations "
        "organization_code_mappings organization_detectors organization_incidents "
        "organization_metric_alert_rules organization_monitors organization_replays "
        "organization_saved_queries organization_usage organization_workflows "
        "project_service_hooks release_health"
    ),
    "glitchtip": (
        "issue_activities issue_links monitor_checkins "
        "organization_app_installations organization_audit_logs "
        "organization_code_mappings organization_dashboards organization_detectors "
        "organization_incidents organization_integrations "
        "organization_metric_alert_rules organization_replays "
        "organization_repositories organization_saved_queries organization_usage "
        "organization_workflows project_alert_rules project_event_counts "
        "project_feedback project_inbound_filters project_ownership "
        "project_service_hooks project_tags project_users release_commits "
        "release_deploys release_health repository_commits"
    ),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_stream_has_a_truth(flavour):
    sentry = simulated(flavour)
    for stream in STREAMS:
        keys = sentry.truth(stream)
        assert keys == set(sentry.records(stream))
        assert bool(keys) is has(sentry, stream)
    lacking = {stream for stream in STREAMS if not has(sentry, stream)}
    assert lacking == set(LACKING[flavour].split())


def test_generated_data_are_as_many_as_asked_for_and_the_same_each_time():
    def small():
        built = generated(now=NOW, projects=6, issues=30, events=500, oddities=False)
        return simulated(organizations=built)

    first, second = small(), small()
    assert first.records("issue_events") == second.records("issue_events")
    assert len(first.truth("project_events")) == 500
    assert len(first.truth("project_issues")) == 30


def test_uneven_data_are_as_many_as_asked_for_and_few_make_the_most():
    (built,) = uneven(now=NOW, projects=5, issues=50, events=5000)
    sizes = [len(project.events) for project in built.projects]
    issues = [issue for project in built.projects for issue in project.issues]
    counts = sorted(len(issue.events) for issue in issues)
    assert (sum(sizes), len(issues), sum(counts)) == (5000, 50, 5000)
    assert sizes[0] > 4 * sizes[-1]
    assert 1 <= counts[0] < counts[-1] / 10
    times = [time for project in built.projects for time in project.events.times]
    assert timedelta(days=80) < NOW - min(times) < timedelta(days=89)
    (even,) = uneven(now=NOW, projects=5, issues=50, events=5000, skew=0)
    assert {len(project.events) for project in even.projects} == {1000}
    (again,) = uneven(now=NOW, projects=5, issues=50, events=5000)
    assert [row.id for row in again.projects[0].events] == [
        row.id for row in built.projects[0].events
    ]


def test_it_runs_as_a_process_of_its_own():
    command = [sys.executable, "-m", "tests.sentry", "--size", "small"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            headers = {"Authorization": f"Bearer {TOKEN}"}
            path = f"{url}/api/0/organizations/"
            assert len(requests.get(path, headers=headers, timeout=5).json()) == 2
        finally:
            process.terminate()
