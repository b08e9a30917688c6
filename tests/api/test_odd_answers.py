"""Responses that Sentry did not send or a proxy changed, and runs that read nothing.

Proxies, firewalls and login pages stand between the tap and many servers. Their
responses are reported as theirs, headers that they remove are noticed, and a run in
which a whole stream was lost, for whatever reason, does not end with code 0.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.records import bodies
from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, TOKEN, SentrySimulator
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.sentry import Request

NOTHING: dict[str, str] = {}
ANYWHERE = at(".*")
EVENTS = at("projects/.*/events/")
LOGIN = "<html><head><title> Sign in\n to ACME &amp; Co </title></head></html>"
BETWEEN = "something between here and Sentry (proxy, firewall, login)"


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the tap's log messages above INFO."""
    return [
        line.getMessage()
        for line in caplog.records
        if line.name == "tap-sentry" and line.levelno > logging.INFO
    ]


# Nothing was read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": 400, "body": {"detail": "Invalid date range"}},
        {"kind": 403},
        {"kind": 404},
        {"kind": 500},
        {"kind": 502, "html": LOGIN},
        {"kind": 403, "html": LOGIN},
        {"kind": "reset"},
        {"kind": "hang", "seconds": 1},
        {"kind": "truncated"},
        {"kind": 302},
    ],
    ids=lambda fault: " ".join(map(str, list(fault.values())[:1] + list(fault)[1:])),
)
def test_a_stream_of_which_nothing_was_read_ends_with_code_1(
    sync, sentry, caplog, fault
):
    """The code is 1 if no part of a stream is read; the last line gives the reason."""
    sentry.fault(**fault, times=None, when=EVENTS)
    output = sync("project_events", "project_users")

    assert output.code == 1
    assert warned(caplog)[-1].startswith(
        "project_events returned no records: no part of it could be read "
        f"(organization {STERNWARTE} project telescope: "
    )
    assert not told(caplog, "project_users returned no records")
    assert set(output.keys("project_users")) == sentry.truth("project_users")


def test_parts_that_failed_beside_others_are_listed(sync, sentry, caplog):
    """If only some parts of a stream fail, they are listed and the code is 0."""
    sentry.fault(500, times=None, when=at(f"projects/.*/{PUMP}/events/"))
    output = sync("project_events")

    assert output.code == 0
    assert told(caplog, "project_events skipped", PUMP)


def test_a_project_without_records_was_read_too(sync, sentry):
    """An empty project counts as read, so the code is 0."""
    sentry.fault(500, times=None, when=at(f"projects/.*/{PUMP}/events/"))
    output = sync("project_events", projects=[PUMP, "quiet-harbour"])

    assert not output.records("project_events")
    assert output.code == 0


def test_what_came_before_a_part_broke_off_is_something(sync, sentry):
    """If records were read before a list broke off, the code is 0."""
    sentry.fault(500, times=None, after=1, when=EVENTS)
    output = sync("project_events", projects=["telescope"])

    assert output.records("project_events")
    assert output.code == 0


@pytest.mark.parametrize("status", [404, 500])
def test_issues_of_which_nothing_was_read_are_no_part_that_was(sync, sentry, status):
    """The code is 1 if no issue could be read, even though their project was."""
    sentry.fault(status, times=None, when=at("(.*/)?issues/.*/events/"))
    projects = [PUMP, "telescope"]

    assert sync("issue_events", projects=projects).code == 1
    # A project without issues counts as read: none of its issues failed.
    assert sync("issue_events", projects=[*projects, "quiet-harbour"]).code == 0


def test_a_feature_that_the_plan_lacks_is_no_failure(sync, sentry, caplog):
    """A feature that the plan does not include is not a failure of the stream."""
    body = {"detail": "no", "error_type": "unavailable_feature"}
    sentry.fault(403, body=body, times=None, when=EVENTS)

    assert sync("project_events").code == 0
    assert not told(caplog, "returned no records")


def test_an_endpoint_that_the_server_lacks_is_no_failure(sync, sentry, caplog):
    """An endpoint that the server lacks is not a failure of the stream."""
    sentry.fault(404, empty=True, times=None, when=EVENTS)

    assert sync("project_events").code == 0
    assert told(caplog, "project_events is missing on this server")


def test_the_only_project_may_go_during_the_run(sync, sentry, caplog):
    """A project that disappears during the run is a failure, in that run only.

    It cannot be distinguished from a hidden one. The next run does not list it.
    """
    sentry.fault(404, times=None, when=at("projects/.*/telescope/.*"))
    assert sync("project_events", organizations=[STERNWARTE]).code == 1
    assert told(caplog, "project_events returned no records", "does not exist")

    sentry.delete_project("telescope")
    assert sync("project_events", organizations=[STERNWARTE]).code == 0


# No `Link` ----------------------------------------------------------------------------


def strip(
    monkeypatch: pytest.MonkeyPatch,
    sentry: SentrySimulator,
    *,
    when: Callable[[Request], bool] = ANYWHERE,
    times: int | None = None,
    more: Mapping[str, str] = NOTHING,
) -> list[str]:
    """Remove `Link` from up to `times` responses; return the paths of these."""
    answer = sentry.answer
    paths: list[str] = []

    def stripped(method: str, url: str, headers: Any) -> Any:
        found = answer(method, url, headers)
        seen = sentry.requests[-1]
        if "Link" not in found.headers or not when(seen) or len(paths) == times:
            return found
        paths.append(seen.path)
        kept = {name: text for name, text in found.headers.items() if name != "Link"}
        return replace(found, headers=kept | dict(more))

    monkeypatch.setattr(sentry, "answer", stripped)
    return paths


def test_a_proxy_that_removes_link_is_named(sync, sentry, monkeypatch, caplog):
    """A missing `Link` header is an error: later pages would be lost silently."""
    paths = strip(monkeypatch, sentry)
    output = sync("project_events")

    assert (output.code, output.records("project_events")) == (1, [])
    # The failure may be temporary, so the request is repeated once.
    assert paths == ["organizations/", "organizations/"]
    assert warned(caplog)[-1].startswith(
        "organizations cannot be read: GET sentry.io/api/0/organizations/: the answer "
        "has no Link header, which names the next page: a proxy between here and "
        "Sentry removes it"
    )


def test_only_the_list_without_link_is_given_up(sync, sentry, monkeypatch, caplog):
    """Only the list without `Link` is skipped; all other lists are read."""
    strip(monkeypatch, sentry, when=at(f"projects/.*/{PUMP}/events/"))
    output = sync("project_events")

    pump = sentry.project(PUMP).id
    assert output.code == 0
    assert told(caplog, "project_events skipped", PUMP, "has no Link header")
    assert set(output.keys("project_events")) == {
        key for key in sentry.truth("project_events") if key[1] != pump
    }
    assert pump not in output.state["bookmarks"]["project_events"]["by_id"]


def test_a_stream_that_never_has_link_ends_with_code_1(sync, sentry, monkeypatch):
    """A stream whose pages all lack `Link` ends the run with code 1."""
    strip(monkeypatch, sentry, when=at("projects/.*/events/"))

    assert sync("project_events", projects=[PUMP, "telescope"]).code == 1


def test_a_short_page_without_link_is_an_error_too(sync, sentry, monkeypatch, caplog):
    """A short page needs `Link` too: Sentry filters rows after cutting the page."""
    sentry.page_size = None
    strip(monkeypatch, sentry, when=at("projects/.*/users/"))

    assert sync("project_users", organizations=[STERNWARTE]).code == 1
    assert told(caplog, "project_users", "has no Link header")


def test_a_proxy_may_remove_link_once(sync, sentry, monkeypatch, caplog):
    """A single response without `Link` is requested again and changes nothing."""
    paths = strip(monkeypatch, sentry, when=EVENTS, times=1)
    output = sync("project_events")

    assert (output.code, len(paths), warned(caplog)) == (0, 1, [])
    assert set(output.keys("project_events")) == sentry.truth("project_events")


def test_an_empty_page_needs_no_link(sync, sentry, monkeypatch):
    """An empty page without `Link` ends its list."""
    paths = strip(monkeypatch, sentry, when=at("projects/.*/quiet-harbour/events/"))

    assert sync("project_events", projects=["quiet-harbour"]).code == 0
    assert paths


def test_an_issue_that_the_query_names_comes_without_link(sync, sentry, monkeypatch):
    """A direct hit for a short id, which a header marks, needs no `Link`."""
    issue = sentry.project("telescope").issues[0]
    direct = {"X-Sentry-Direct-Hit": "1"}
    strip(monkeypatch, sentry, when=at("organizations/.*/issues/"), more=direct)
    query = {"issue_query": f"issue:{issue.short_id}", "projects": ["telescope"]}
    output = sync("project_issues", **query)

    assert output.code == 0
    assert [row["id"] for row in output.records("project_issues")] == [issue.id]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_lists_without_pages_have_no_link(flavour, caplog):
    """Lists that are not paged, on any kind of server, need no `Link`."""
    sentry = SentrySimulator(flavour=flavour, clock=lambda: NOW, page_size=2)
    with sentry.patched():
        config = {"auth_token": TOKEN, "api_url": sentry.url, "start_date": "10d"}
        output = run(config, catalog_of())

    assert output.code == 0
    assert not told(caplog, "no Link header")


# Web pages instead of JSON ------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("place", ["organizations/", "projects/.*/events/"])
def test_a_refusal_that_is_no_json_is_not_sentrys(sync, sentry, caplog, status, place):
    """A rejection that is not JSON is attributed to a proxy, not to the token."""
    server = {"Server": f"BigIP {TOKEN}"}
    sentry.fault(status, html=LOGIN, headers=server, times=None, when=at(place))
    output = sync("project_events")

    assert output.code == 1
    said = (
        f"status {status} with an HTML page (title: Sign in to ACME & Co; "
        f"server: BigIP [token]): {BETWEEN} refuses the request"
    )
    assert said in warned(caplog)[-1]
    assert not any(
        word in line for line in warned(caplog) for word in ("the scope", "auth_token")
    )


@pytest.mark.parametrize("status", [502, 503])
def test_a_failure_that_is_no_json_is_not_sentrys(sync, sentry, caplog, status):
    """A 5xx that is not JSON is retried as often as any and attributed to a proxy."""
    here = at("projects/.*/telescope/users/")
    sentry.fault(status, html=LOGIN, times=None, when=here)
    sync("project_users")

    assert len(sentry.asked("projects/.*/telescope/users/")) == ATTEMPTS
    assert told(
        caplog,
        "project_users skipped",
        f"status {status} with an HTML page (title: Sign in to ACME & Co): {BETWEEN} "
        "answers in its place",
    )


def test_a_login_page_that_is_said_to_be_all_right_is_described(sync, sentry, caplog):
    """A web page with status 200 is described in the error message."""
    sentry.fault(200, html=LOGIN, headers={"Server": "sso"}, times=None)

    assert sync("project_events").code == 1
    assert told(
        caplog,
        "status 200 with an HTML page (title: Sign in to ACME & Co; server: sso) "
        "instead of JSON",
        "check that api_url is the address of a Sentry server",
    )


def test_a_firewall_is_asked_once_more(sync, sentry):
    """A 403 with a web page is retried only once, because it rarely passes."""
    sentry.fault(403, html=LOGIN, when=at("projects/.*/telescope/users/"))
    output = sync("project_users", projects=["telescope"])

    assert output.code == 0
    assert output.records("project_users")

    sentry.fault(403, html=LOGIN, times=None, when=at("projects/.*/telescope/users/"))
    before = len(sentry.asked("projects/.*/telescope/users/"))
    sync("project_users", projects=["telescope"])
    assert len(sentry.asked("projects/.*/telescope/users/")) - before == 2


@pytest.mark.parametrize(
    "fault", [{"kind": 403, "html": LOGIN}, {"kind": 404, "html": "page not found"}]
)
def test_an_issue_that_a_proxy_hides_is_read_by_the_next_run(sync, sentry, fault):
    """An issue hidden by a proxy is read by the next run, unlike a deleted one."""
    # Not the first issue: the endpoint must have answered before.
    ids = [int(issue.id) for issue in sentry.project("telescope").issues]
    hidden = {f"/{max(ids)}/"}
    sentry.fault(
        **fault,
        times=None,
        when=lambda seen: any(issue in seen.path for issue in hidden),
    )
    first = sync("issue_events", projects=["telescope"])
    lost = sentry.truth("issue_events") - set(first.keys("issue_events"))
    mine = {key for key in lost if key[1] == sentry.project("telescope").id}
    assert mine

    hidden.clear()
    second = sync("issue_events", projects=["telescope"], state=first.state)
    assert mine <= set(second.keys("issue_events"))


def test_an_empty_answer_to_an_unknown_path_is_a_missing_endpoint(sync, sentry, caplog):
    """A 404 with an empty body or a web page means that the endpoint is missing.

    9.1.2 and current Sentry send the former, GlitchTip the latter.
    """
    faults: list[dict[str, Any]] = [{"empty": True}, {"html": LOGIN}]
    for number, fault in enumerate(faults):
        sentry.fault(404, **fault, times=None, when=at("projects/.*/users/"))
        assert sync("project_users").code == 0
        assert (
            len(told(caplog, "project_users is missing on this server")) == number + 1
        )
    assert not told(caplog, BETWEEN)


def test_sentrys_refusals_for_the_rate_call_themselves_html(sync, sentry, caplog):
    """Sentry's 429 is JSON with the media type of HTML, and is waited out."""
    caplog.set_level(logging.INFO)
    headers = {"Content-Type": "text/html; charset=utf-8"}
    body = {"detail": "You are attempting to use this endpoint too frequently."}
    sentry.fault(429, body=body, headers=headers, when=EVENTS)

    assert sync("project_events").code == 0
    assert told(caplog, "Sentry limits the rate")
    assert not told(caplog, BETWEEN)


def test_json_that_calls_itself_html_is_sentrys(sync, sentry, caplog):
    """The body, not the media type, decides whether a response is Sentry's."""
    headers = {"Content-Type": "text/html; charset=utf-8"}
    body = {"detail": "You do not have permission"}
    here = at("projects/.*/telescope/events/")
    sentry.fault(403, body=body, headers=headers, times=None, when=here)
    sync("project_events")

    assert told(caplog, "project_events skipped", "status 403, You do not have permiss")
    assert not told(caplog, "HTML page")


# Old servers --------------------------------------------------------------------------

ISSUES = "organizations/.*/issues/"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_or_a_busy_server_says_is_tried_as_often_as_ever(
    sync, sentry, caplog, status
):
    """A 502, 503 or 504 is retried without the fallback; old servers fail with 500."""
    caplog.set_level(logging.INFO)
    sentry.fault(status, times=2, when=at(ISSUES))
    output = sync("project_issues", projects=["telescope"], concurrency=1)

    assert len(sentry.asked(ISSUES)) >= 3
    assert not sentry.asked("projects/.*/issues/")
    assert not told(caplog, "This server does not have")
    assert all(row["isUnhandled"] is False for row in output.records("project_issues"))


def test_a_server_that_fails_for_good_has_the_fallback_only(sync, sentry, caplog):
    """A permanent 500 is recognized with three requests and logged in one INFO line."""
    caplog.set_level(logging.INFO)
    sentry.fault(500, times=None, when=at(ISSUES))
    output = sync("project_issues", projects=["telescope"])

    assert len(sentry.asked(ISSUES)) == 2
    # The smallest request possible, without the parameters that may cause the 500.
    assert sentry.asked(ISSUES)[1] == {
        "sort": "date",
        "groupStatsPeriod": "",
        "query": "",
        "project": sentry.project("telescope").id,
        "limit": "1",
    }
    (line,) = told(caplog, "This server does not have")
    assert "/projects/{organization}/{project}/issues/ is read instead" in line
    assert (output.code, warned(caplog)) == (0, [])
    assert not told(caplog, "; try ")
    assert output.records("project_issues")


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("project_issues", ISSUES),
        ("issue_events", "organizations/.*/issues/.*/events/"),
        ("organization_event_counts", "organizations/.*/stats_v2/"),
        ("team_event_counts", "organizations/.*/stats_v2/"),
    ],
)
def test_a_server_that_fails_at_first_has_everything(
    sync, sentry, caplog, stream, path
):
    """After a single 500 the fallback is not used, though it would answer too."""
    caplog.set_level(logging.INFO)
    sentry.fault(500, when=at(path))
    output = sync(stream)

    assert output.code == 0
    assert not told(caplog, "This server does not have")
    expected = sync(stream)
    assert output.records(stream) == expected.records(stream)


def test_a_server_that_fails_altogether_at_first_is_tried_as_often_as_any(
    sync, sentry, caplog
):
    """If the fallback fails too, the endpoint is retried as often as any other."""
    caplog.set_level(logging.INFO)
    sentry.fault(500, times=ATTEMPTS, when=at("organizations/.*/issues/"))
    sentry.fault(500, times=1, when=at("projects/.*/issues/"))
    output = sync("project_issues", projects=["telescope"])

    assert output.code == 0
    assert not told(caplog, "This server does not have")
    assert len(sentry.asked("projects/.*/issues/")) == 1
    assert output.records("project_issues")


def test_a_failure_of_the_dates_alone_is_no_missing_endpoint(sync, sentry, caplog):
    """An endpoint that fails only with date parameters is not missing."""
    caplog.set_level(logging.INFO)
    sentry.fault(
        500, times=None, when=lambda seen: at(ISSUES)(seen) and "start" in seen.params
    )
    output = sync("project_issues", projects=["telescope"])

    assert output.code == 1
    assert not told(caplog, "This server does not have")


def test_an_endpoint_that_refuses_the_least_is_there(sync, sentry, caplog):
    """A 400 for counts without `field` shows that the endpoint exists."""
    caplog.set_level(logging.INFO)
    path = "organizations/.*/stats_v2/"
    sentry.fault(
        500, times=None, when=lambda seen: at(path)(seen) and "field" in seen.params
    )
    output = sync("organization_event_counts", organizations=[STERNWARTE])

    assert output.code == 1
    assert {} in sentry.asked(path)
    assert not told(caplog, "This server does not have")
    assert len(sentry.asked("organizations/.*/stats/")) == 1


def test_nine_is_read_without_a_line_that_frightens(caplog):
    """A run on 9.1.2 has one warning for each stream it lacks, and repeats no request.

    A stream with a fallback causes none.
    """
    caplog.set_level(logging.INFO)
    sentry = SentrySimulator(flavour="self-hosted-9", clock=lambda: NOW)
    with sentry.patched():
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        output = run(config, catalog_of())

    lacking = [line.split()[0] for line in warned(caplog) if "more, not" not in line]
    assert output.code == 0
    assert sorted(lacking) == sorted(set(lacking))
    assert set(lacking) == {
        "issue_links",
        "organization_app_installations",
        "organization_code_mappings",
        "organization_detectors",
        "organization_incidents",
        "organization_monitors",
        "organization_replays",
        "organization_saved_queries",
        "organization_usage",
        "organization_workflows",
        "project_service_hooks",
        "release_health",
    }
    assert not told(caplog, "; try ")


# JSON of another shape ----------------------------------------------------------------


def test_an_object_without_any_column_is_no_row(sync, sentry):
    """JSON of another shape is requested again where a response is a single row."""
    sentry.fault("not_a_list", when=at("projects/.*/ownership/"))
    output = sync("project_ownership")

    assert set(output.keys("project_ownership")) == sentry.truth("project_ownership")
    assert all("fallthrough" in row for row in output.records("project_ownership"))


@pytest.mark.parametrize("body", [b'{"a": 1}', b"3", b'"text"', b"[1, 2]", b"null"])
def test_whole_json_of_another_shape_is_told_from_damage(body):
    """Valid JSON of another shape is distinguished from a damaged body."""
    with pytest.raises(bodies.UnexpectedShapeError):
        bodies.decode_rows(body)


@pytest.mark.parametrize("body", [b'[{"a": 1}, ', b"", b"<html>", b"[{'a': 1}]"])
def test_damaged_json_is_of_no_shape(body):
    """Damaged JSON counts as an incomplete response, not as another shape."""
    with pytest.raises(bodies.DamagedBodyError) as caught:
        bodies.decode_rows(body)
    assert not isinstance(caught.value, bodies.UnexpectedShapeError)


def test_an_endpoint_that_is_not_understood_is_given_up_once(sync, sentry, caplog):
    """An endpoint of an unexpected shape is reported once, and the code is 1."""
    caplog.set_level(logging.INFO)
    sentry.fault("not_a_list", times=None, when=at("projects/.*/users/"))
    output = sync("project_users", "project_events")

    # The lists of some projects are requested concurrently.
    asked = filter(at("projects/.*/users/"), sentry.requests)
    assert set(Counter(seen.path for seen in asked).values()) == {2}
    path = "/projects/{organization}/{project}/users/"
    assert len(told(caplog, f"The answers of {path} are not understood")) == 1
    assert output.code == 1
    assert warned(caplog)[-1].startswith(
        "project_users returned no records: no part of it could be read (the answers "
        f"of {path} are not understood (GET "
    )
    assert not told(caplog, "project_users skipped")
    assert set(output.keys("project_events")) == sentry.truth("project_events")


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("organization_event_counts", "organizations/.*/stats_v2/"),
        ("project_issues", ISSUES),
    ],
)
def test_what_is_not_understood_has_a_fallback(sync, sentry, caplog, stream, path):
    """Where JSON has another shape, the fallback is read and one INFO line logged."""
    caplog.set_level(logging.INFO)
    body = {"intervals": ["2026-11-20T00:00:00Z"], "sums": []}
    sentry.fault("not_a_list", body=body, times=None, when=at(path))
    output = sync(stream, organizations=[JURISDICTION])

    assert len(sentry.asked(path)) == 2
    assert len(told(caplog, "are not understood", "is read instead")) == 1
    assert (output.code, warned(caplog)) == (0, [])
    assert output.records(stream)


def test_one_project_that_is_not_understood_is_skipped_alone(sync, sentry, caplog):
    """A project with JSON of another shape is skipped if others were answered."""
    sentry.fault("not_a_list", times=None, when=at(f"projects/.*/{PUMP}/users/"))
    output = sync("project_users")

    assert output.code == 0
    assert len(sentry.asked(f"projects/.*/{PUMP}/users/")) == 2
    assert told(caplog, "project_users skipped", PUMP)
