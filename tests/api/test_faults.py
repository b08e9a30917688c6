"""Faults of the network, of Sentry and of self-hosted servers, one at a time.

The tests use a real socket. After a transient fault the output is that of an
undisturbed run. After a permanent fault the log states the remedy and the state covers
what was written.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.api import brown_outs
from tap_sentry.api import rate_limits as limits
from tap_sentry.api.scheduler import ATTEMPTS
from tests.conftest import NOW
from tests.sentry import ENDPOINTS, FLAVOURS, TOKEN, SentrySimulator, Token
from tests.soak import PASSING, Faulty, Run, needless, quicken, sync, twice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sentry import Request

#: Seconds that a run may take at most; the delays of all runs are shortened.
PATIENCE = 20


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all delays."""
    quicken(monkeypatch)


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """Serve a small Sentry with pages of two rows on a socket.

    Events of the same second keep their order, because runs are compared line by line.
    """
    simulator = Faulty()
    simulator.order = None
    with simulator.served():
        yield simulator


def told(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> str:
    """Return the tap's log messages of at least this level."""
    records = [r for r in caplog.records if r.name == "tap-sentry"]
    return "\n".join(r.getMessage() for r in records if r.levelno >= level)


# Transient faults ---------------------------------------------------------------------

ALL: tuple[str, ...] = ()
#: The organization and the projects that most of these tests read.
#: Events are read by project: the headers of a 429 state a limit, and then they may be
#: read by issue, in another order.
ACME: dict[str, Any] = {
    "organizations": ["acme"],
    "projects": ["shop", "pay"],
    "events_by": "project",
}
#: The streams that these tests select, and the lists of at least three pages that are
#: read for them, of parents and of children.
STREAMS = (
    *("organization_projects", "organization_teams", "team_projects"),
    *("project_issues", "project_events", "project_users", "issue_events"),
)
LISTS = (
    "organizations/acme/projects/",
    "organizations/acme/teams/",
    "teams/acme/ops/projects/",
    "organizations/acme/issues/ {shop}",
    "projects/acme/shop/events/",
    "projects/acme/shop/users/",
    "organizations/acme/issues/{issue}/events/",
)


def place_of(request: Request) -> str:
    """Return the path of a request, followed by its `project` parameter if any."""
    return " ".join((request.path, *request.params.get("project", ())))


def long_lists(sentry: SentrySimulator) -> list[str]:
    """Return the places of `LISTS` in this simulator."""
    shop = sentry.project("shop")
    names = {"shop": shop.id, "issue": shop.issues[0].id}
    return [place.format_map(names) for place in LISTS]


def at(place: str) -> Callable[[Request], bool]:
    """Match requests for a page of the list at a place."""
    return lambda request: place_of(request) == place


@functools.cache
def undisturbed(
    streams: tuple[str, ...], flavour: str = "saas", *, is_acme: bool = False
) -> tuple[Run, Counter[str]]:
    """Return a run without faults, and the number of pages of each list."""
    sentry = Faulty(flavour)
    sentry.order = None
    with sentry.served():
        run = sync(sentry, *streams, **(ACME if is_acme else {}))
        assert run.is_complete or flavour != "saas"
        return run, Counter(map(place_of, sentry.requests))


def check_undisturbed(
    run: Run, streams: tuple[str, ...], *, is_acme: bool = False
) -> None:
    """Assert that records, their order and the final state are as without faults."""
    expected, _ = undisturbed(streams, is_acme=is_acme)
    assert run.code == 0
    assert not run.skipped
    assert run.missing == expected.missing
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize(
    "name",
    [name for name in PASSING if name != "refused"],
)
def test_a_fault_that_passes_leaves_no_trace(sentry, name, where, caplog):
    """A transient fault on the first, a middle or the last page changes no output."""
    kind, details = PASSING[name]
    places = long_lists(sentry)
    # Without a retry, the last page and a page that the fault adds are requested once.
    # JSON of another shape is retried only once.
    once = {"empty_page", "repeat_page", "silent_close", "not_a_list"}
    times = 1 if kind in once else 2
    for place in places:
        pages = undisturbed(STREAMS, is_acme=True)[1][place]
        assert pages >= 3
        after = {"first": 0, "middle": pages // 2, "last": pages - 1}[where]
        sentry.fault(kind, times=times, when=at(place), after=after, **details)

    start = time.monotonic()
    run = sync(sentry, *STREAMS, **ACME)

    assert sentry.injected == {kind: times * len(places)}
    check_undisturbed(run, STREAMS, is_acme=True)
    assert time.monotonic() - start < PATIENCE
    assert not told(caplog, logging.ERROR)


def test_a_request_on_a_closed_connection_counts_once(sentry, caplog):
    """The summary counts what the server has received, not what it hung up on."""
    caplog.set_level(logging.INFO)
    sentry.fault("silent_close", times=30)
    sync(sentry, "project_events", "issue_events")

    made = len(sentry.requests)
    assert logged(caplog, "total: ")[0].split(" requests")[0].endswith(f" {made}")


@pytest.mark.parametrize("name", ["500", "truncated JSON", "reset in the body"])
def test_every_list_of_every_stream_gets_over_a_fault(sentry, name):
    """Every list is read although its first two requests fail.

    Only one fails where two failures mean that the server lacks the endpoint.
    """
    kind, details = PASSING[name]
    missing = sentry.flavour.missing
    places = [p for p in undisturbed(ALL)[1] if template_of(p) not in missing]
    times = {place: 1 if has_fallback(place) and kind == 500 else 2 for place in places}
    for place in places:
        sentry.fault(kind, times=times[place], when=at(place), **details)

    run = sync(sentry)

    assert sentry.injected == {kind: sum(times.values())}
    check_undisturbed(run, ALL)


@pytest.mark.parametrize("name", ["408", "502", "reset in the body", "HTML with 200"])
def test_all_tries_but_the_last_may_fail(sentry, name):
    """A page is read if only the last of its five requests succeeds."""
    kind, details = PASSING[name]
    places = long_lists(sentry)
    for place in places:
        sentry.fault(kind, times=ATTEMPTS - 1, when=at(place), after=1, **details)

    run = sync(sentry, *STREAMS, **ACME)

    assert sentry.injected == {kind: (ATTEMPTS - 1) * len(places)}
    check_undisturbed(run, STREAMS, is_acme=True)


@pytest.mark.parametrize("after", range(0, 9, 2))
def test_a_refused_connection_is_tried_again(after):
    """A refused connection is retried, whichever request it is opened for.

    The server closes each connection after its response, so every request opens one.
    """
    streams = ("project_events",)
    sentry = Faulty()
    sentry.order = None
    sentry.flavour = replace(sentry.flavour, closes_silently=True)
    with sentry.served():
        sentry.fault("refuse", times=2, after=after)
        run = sync(sentry, *streams, concurrency=1, **ACME)

    assert sentry.injected == {"refuse": 2}
    check_undisturbed(run, streams, is_acme=True)


def test_a_server_may_come_up_late(monkeypatch):
    """A run succeeds if the server starts to listen half a second later."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 0.4)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 0.4)
    sentry = Faulty()
    port = free_port()
    sentry.url = f"http://127.0.0.1:{port}"
    is_done = threading.Event()

    def serve_late() -> None:
        time.sleep(0.5)
        with sentry.served(port):
            is_done.wait(PATIENCE)

    thread = threading.Thread(target=serve_late)
    thread.start()
    try:
        run = sync(sentry, "project_events", **ACME)
    finally:
        is_done.set()
        thread.join()

    check_undisturbed(run, ("project_events",), is_acme=True)


def test_idle_connections_may_be_closed_without_a_word(caplog):
    """A server that closes every connection (9.1.2) causes no visible retry."""
    caplog.set_level(logging.INFO)
    sentry = Faulty()
    sentry.order = None
    sentry.flavour = replace(sentry.flavour, closes_silently=True)
    with sentry.served():
        run = sync(sentry)

    check_undisturbed(run, ALL)
    assert "; try " not in told(caplog, logging.INFO)
    # How often a missing list is requested depends on when the first answer comes.
    missing = sentry.flavour.missing
    asked = Counter(map(place_of, sentry.requests))
    assert {p: n for p, n in asked.items() if template_of(p) not in missing} == {
        p: n for p, n in undisturbed(ALL)[1].items() if template_of(p) not in missing
    }


@pytest.mark.parametrize(
    ("stream", "path", "details"),
    [
        ("project_events", "projects/acme/shop/events/", {}),
        ("project_events", "projects/acme/shop/events/", {"seconds": 0.6}),
        ("project_issues", "organizations/acme/issues/", {}),
        ("project_feedback", "projects/acme/shop/user-feedback/", {}),
        ("issue_events", "organizations/acme/issues/{issue}/events/", {}),
    ],
    ids=["events, 504", "events, hangs", "issues", "feedback", "events of an issue"],
)
@pytest.mark.parametrize("where", ["first", "middle"])
def test_a_server_that_is_slow_on_large_pages_is_asked_for_less(
    stream, path, details, where
):
    """A page that is too large for a slow server is requested with fewer rows."""
    sentry = Faulty(page_size=None)
    sentry.order = None
    crowd(sentry)
    path = path.format(issue=sentry.project("shop").issues[0].id)
    with sentry.served():
        expected = sync(sentry, stream, projects=["shop"])
        sentry.fault(
            "slow_large",
            times=None,
            rows=40,
            when=lambda seen: (
                seen.path == path and ("cursor" in seen.params) == (where == "middle")
            ),
            **details,
        )
        run = sync(sentry, stream, projects=["shop"])

    assert sentry.injected["slow_large"] == ATTEMPTS
    assert run.code == 0
    assert not run.skipped
    assert len(run.rows()) >= 145
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state


def crowd(sentry: Faulty) -> None:
    """Fill a project so that its lists have more than one full page."""
    shop = sentry.project("shop")
    for number in range(145):
        date = NOW - timedelta(minutes=number, seconds=1)
        issue = sentry.add_issue("shop", f"Error: crowd {number}")
        sentry.add_event("shop", issue, date)
        sentry.add_event("shop", shop.issues[0], date)
        shop.feedback.append(
            replace(shop.feedback[0], id=f"9{number:03}", created=date)
        )


def test_the_smallest_page_may_fail_for_once_too():
    """The smallest page is tried `ATTEMPTS` times, because nothing smaller follows."""
    sentry = Faulty(page_size=None)
    crowd(sentry)
    place = "projects/acme/shop/events/"
    with sentry.served():
        expected = sync(sentry, "project_events", projects=["shop"])
        sentry.fault("slow_large", times=None, rows=5, when=at(place))
        small = lambda seen: at(place)(seen) and seen.rows == 5  # noqa: E731 - a name
        sentry.fault(502, times=ATTEMPTS - 1, when=small)
        run = sync(sentry, "project_events", projects=["shop"])

    assert (run.code, run.skipped) == (0, [])
    assert run.without_state() == expected.without_state()


def test_the_head_of_a_list_is_asked_for_in_small_pages_too():
    """The head of an issue list, which is read twice, is requested in small pages too.

    Otherwise a project whose issues were all read would be skipped in every run.
    """
    sentry = Faulty(page_size=None)
    crowd(sentry)
    with sentry.served():
        expected = sync(sentry, "project_issues", projects=["shop"])
        sentry.fault(
            "slow_large", times=None, rows=5, when=lambda seen: "issues" in seen.path
        )
        run = sync(sentry, "project_issues", projects=["shop"])

    assert (run.code, run.skipped) == (0, [])
    assert run.rows() == expected.rows()


def test_pages_that_go_round_in_a_circle_end(sentry, caplog):
    """A list whose cursors form a circle is skipped like one that fails."""
    shop = sentry.project("shop")
    cursors = {"0:2:0": "0:4:0", "0:4:0": "0:2:0"}
    for cursor, following in cursors.items():
        link = f'<https://x>; rel="next"; results="true"; cursor="{following}"'
        sentry.fault(
            200,
            times=None,
            body=[],
            headers={"Link": link},
            when=lambda seen, here=cursor: (
                at("projects/acme/shop/events/")(seen)
                and seen.params.get("cursor") == [here]
            ),
        )

    run = sync(sentry, "project_events")

    assert run.code == 0
    assert len(run.skipped) == 1
    assert "its pages go round in a circle" in told(caplog)
    state = run.last_state or {}
    entry = state["bookmarks"]["project_events"]["by_id"].get(shop.id, {})
    assert "bookmark" not in entry


# Permanent faults ---------------------------------------------------------------------

#: What servers answer for an endpoint that they do not have.
MISSING: dict[str, tuple[int | str, dict[str, Any]]] = {
    "404": (404, {"html": "<h1>Not found</h1>"}),
    "405": (405, {"html": "Method not allowed"}),
    "422": (422, {"body": {"detail": [{"msg": "Field required"}]}}),
}

#: The final message of each fault, and the number of requests before it. Events are
#: requested in smaller pages too where that may help.
STAYING = {
    "408": ("status 408, Proxied request timed out", ATTEMPTS),
    "429, no hint": ("status 429, You are attempting to use this", 9),
    "429, Retry-After": ("status 429, You are attempting to use this", 9),
    "429, reset in the past": ("status 429, You are attempting to use this", 9),
    "429, reset an hour ahead": ("status 429, You are attempting to use this", 9),
    "429, concurrency": ("status 429, You are attempting to go above", 9),
    "500": ("status 500, Internal Error (errorId ", 2 * ATTEMPTS + 1),
    "502": ("status 502", 2 * ATTEMPTS + 1),
    "503": ("status 503", 2 * ATTEMPTS + 1),
    "504": ("status 504, Query timeout", 2 * ATTEMPTS + 1),
    "reset": ("the connection failed", None),
    "reset in the body": ("the answer broke off", ATTEMPTS),
    "short body": ("the answer broke off", ATTEMPTS),
    "hang": ("no answer in time", 2 * ATTEMPTS + 1),
    "hang in the body": ("no answer in time", 2 * ATTEMPTS + 1),
    "truncated JSON": ("status 200, but the body is not the expected JSON", ATTEMPTS),
    "no list": ("status 200, but the body is not the expected JSON (app", 2),
    "HTML with 200": (
        "status 200 with an HTML page (title: Not a Sentry API)",
        ATTEMPTS,
    ),
}


@pytest.mark.parametrize(
    ("name", "after"),
    [*((name, after) for name in STAYING for after in (0, 2, 4))],
)
def test_a_fault_that_stays_costs_one_project(sentry, name, after, caplog):
    """The project is skipped and listed after bounded retries, and has no bookmark."""
    kind, details = PASSING[name]
    words, requests = STAYING[name]
    place = "projects/acme/shop/events/"
    sentry.fault(kind, times=None, when=at(place), after=after, **details)

    run = sync(sentry, "project_events", **ACME)

    assert run.code == 0
    assert run.skipped == ["project_events organization acme project shop"]
    line = told(caplog).splitlines()[-1]
    assert line.startswith("project_events skipped organization acme project shop: GET")
    assert f"{sentry.url.partition('//')[2]}/api/0/{place}: {words}" in line
    check_secrecy(caplog)
    if requests:
        assert sentry.injected == {kind: requests}
    check_covered(sentry, run, ("project_events",), is_acme=True)
    shop = run.state["bookmarks"]["project_events"]["by_id"].get(
        sentry.project("shop").id, {}
    )
    assert "bookmark" not in shop


@pytest.mark.parametrize(
    ("name", "place", "streams"),
    [
        *(
            (name, "organizations/acme/projects/", ("project_users", "project_events"))
            for name in STAYING
        ),
        ("500", "organizations/", ("project_events",)),
        ("reset in the body", "organizations/", ("project_events",)),
        ("502", "organizations/acme/teams/", ("team_projects",)),
    ],
)
def test_a_fault_that_stays_in_a_parent_ends_the_run(
    sentry, name, place, streams, caplog
):
    """The run ends with code 1 and names the parent list that cannot be read."""
    kind, details = PASSING[name]
    sentry.fault(kind, times=None, when=at(place), **details)

    run = sync(sentry, *streams)

    assert run.code == 1
    line = told(caplog).splitlines()[-1]
    assert " cannot be read: GET 127.0.0.1:" in line
    assert f"/api/0/{place}" in line
    assert STAYING[name][0] in line
    check_secrecy(caplog)
    assert sentry.injected.total() <= 60
    check_covered(sentry, run, streams)


@pytest.mark.parametrize("after", [1, 2, 4])
def test_an_endpoint_that_is_retired_in_the_middle_costs_one_project(
    sentry, after, caplog
):
    """An endpoint with a 410 after good pages is not missing, and its rows are kept."""
    place = "projects/acme/shop/events/"
    sentry.fault(410, times=None, when=at(place), after=after)

    run = sync(sentry, "project_events", **ACME)

    assert run.code == 0
    assert run.skipped == ["project_events organization acme project shop"]
    assert not run.missing
    assert f"{place}: status 410" in told(caplog)
    check_covered(sentry, run, ("project_events",), is_acme=True)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_list_of_projects_that_is_retired_ends_the_run(sentry, after, caplog):
    """A 410 for a list of projects ends the run: nothing can be read below it."""
    place = "organizations/acme/projects/"
    sentry.fault(410, times=None, when=at(place), after=after)

    run = sync(sentry, "project_events")

    assert run.code == 1
    assert "organization_projects cannot be read: " in told(caplog)
    check_covered(sentry, run, ("project_events",))


@pytest.mark.parametrize("after", [6, 9, 14])
def test_a_server_that_goes_away_loses_nothing(after, caplog):
    """When the server goes away, what was read is kept and the rest is reported."""
    sentry = Faulty()
    sentry.order = None
    sentry.flavour = replace(sentry.flavour, closes_silently=True)
    with sentry.served():
        sentry.fault("refuse", times=None, after=after)
        run = sync(sentry, "project_events", concurrency=1)

        assert run.code == 1 or run.skipped
        assert f"GET {sentry.url[7:]}/api/0/" in told(caplog)
        check_covered(sentry, run, ("project_events",))


@pytest.mark.parametrize("name", ["500", "hang", "429, no hint", "truncated JSON"])
def test_strict_stops_at_the_first_fault_that_stays(sentry, name, caplog):
    """`strict` ends the run with code 1 and a state that covers what was read."""
    kind, details = PASSING[name]
    streams = ("project_events", "project_users")
    place = "projects/acme/shop/events/"
    sentry.fault(kind, times=None, when=at(place), after=1, **details)

    run = sync(sentry, *streams, strict=True)

    assert run.code == 1
    assert "(strict is on)" in told(caplog)
    check_covered(sentry, run, streams)


def test_nothing_listens(caplog):
    """If nothing listens at the address, the message names it and `api_url`."""
    sentry = Faulty()
    sentry.url = f"http://127.0.0.1:{free_port()}"

    run = sync(sentry, "project_events")

    assert (run.code, run.messages) == (1, [])
    (line,) = told(caplog).splitlines()
    assert f"GET {sentry.url[7:]}/api/0/organizations/: nothing answers" in line
    assert "api_url" in line


def test_there_is_no_such_host(caplog):
    """If the host does not exist, the message names it and `api_url`."""
    sentry = Faulty()
    sentry.url = "http://sentry.example.invalid"

    run = sync(sentry, "project_events")

    assert (run.code, run.messages) == (1, [])
    line = told(caplog).splitlines()[-1]
    assert "GET sentry.example.invalid/api/0/organizations/: there is no such" in line
    assert "api_url" in line


@pytest.mark.parametrize("name", [*MISSING, "410", "HTML with 200", "no list"])
def test_a_server_that_is_no_sentry_ends_the_run(sentry, name, caplog):
    """A server that lacks every endpoint is not Sentry, so the run ends with code 1."""
    kind, details = (PASSING | MISSING)[name]
    sentry.fault(kind, times=None, **details)

    run = sync(sentry, "project_events")

    assert (run.code, run.rows()) == (1, {})
    assert "/api/0/organizations/" in told(caplog)
    assert "api_url" in told(caplog)


# Rate limits --------------------------------------------------------------------------


def logged(caplog, words: str) -> list[str]:
    """Return the log lines that contain these words."""
    return [line for line in told(caplog, logging.INFO).splitlines() if words in line]


@pytest.mark.parametrize(
    ("details", "least"),
    [
        ({"retry_after": 0.3}, 0.3),
        ({"retry_after": 0.3, "reset": 3600}, 0.3),
        # The headers state whole seconds.
        ({"reset": 1}, 0.7),
        ({"reset": 3600}, 1.0),
        ({"reset": -3600}, 0.1),
        ({}, 0.1),
        ({"concurrent": True}, 0.1),
    ],
)
def test_a_refusal_is_waited_out_once(sentry, caplog, monkeypatch, details, least):
    """A 429 is waited out as Sentry asks, or with backoff, and logged once."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(limits, "FIRST_DELAY", 0.2)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 0.2)
    monkeypatch.setattr(limits, "LONGEST_WINDOW", 1.0)
    place = "projects/acme/shop/events/"
    sentry.fault(429, times=1, when=at(place), after=1, **details)

    start = time.monotonic()
    run = sync(sentry, "project_events", **ACME | {"projects": ["shop"]})
    seconds = time.monotonic() - start

    assert run.code == 0
    assert len(run.rows()) == 10
    assert least <= seconds <= PATIENCE
    (line,) = logged(caplog, "limits the rate")
    assert "/projects/{organization}/{project}/events/" in line
    assert not logged(caplog, "; try ")


@pytest.mark.parametrize("status", [200, 429])
def test_a_reset_an_hour_ahead_is_waited_for_a_minute_and_no_more(monkeypatch, status):
    """A reset an hour ahead, in a 200 or a 429, delays requests for only 60 seconds."""
    monkeypatch.setattr(limits, "LONGEST_WINDOW", 60.0)
    now = NOW.timestamp()
    gate = limits.RateLimiter()
    gate.send()
    said = {"Limit": "40", "Remaining": "0", "Reset": str(now + 3600)}
    headers = {f"{limits.PREFIX}{name}": value for name, value in said.items()}
    gate.receive(limits.read(headers, now))
    if status == 429:
        gate.close(limits.read(headers, now), now)

    waits = [gate.wait(now + second) for second in (0, 20, 59, 60)]

    assert waits == [60, 40, 1, 0]


def test_refusals_that_come_together_are_told_once(caplog, monkeypatch):
    """Concurrent 429s of an endpoint are logged together, not once per request."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(limits, "FIRST_DELAY", 0.3)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 0.3)
    sentry = Faulty(latency=0.05)
    with sentry.served():
        sentry.fault(
            429, times=5, after=1, when=lambda seen: seen.path.endswith("/stats/")
        )
        run = sync(sentry, "project_event_counts", concurrency=8)

    assert sentry.injected == {429: 5}
    assert run.is_complete
    assert len(logged(caplog, "limits the rate")) < 5


def test_one_endpoint_that_is_limited_holds_up_no_other(sentry, monkeypatch):
    """While one endpoint waits for its limit, other endpoints are read."""
    monkeypatch.setattr(limits, "LONGEST_WINDOW", 1.0)
    users = "projects/{org}/{project}/users/"
    sentry.fault(429, reset=3600, when=lambda seen: seen.template == users)

    run = sync(sentry, "project_users", "project_event_counts", concurrency=1)
    asked = [seen.template for seen in sentry.requests]

    check_undisturbed(run, ("project_users", "project_event_counts"))
    # Which of the other lists are read depends on the threads; one may be under way.
    first, second = [n for n, found in enumerate(asked) if found == users][:2]
    assert len(asked[first + 1 : second]) >= 2


def test_a_reset_an_hour_ahead_is_not_believed(sentry, monkeypatch):
    """A reset an hour ahead in a 200 is cut: Sentry's windows last a minute at most."""
    monkeypatch.setattr(limits, "LONGEST_WINDOW", 0.2)
    answer = sentry.answer
    prefix = "X-Sentry-Rate-Limit-"
    ahead = {
        f"{prefix}Limit": "40",
        f"{prefix}Remaining": "0",
        f"{prefix}Reset": str(int(NOW.timestamp()) + 3600),
    }

    def limited(method: str, url: str, headers: Any) -> Any:
        found = answer(method, url, headers)
        return replace(found, headers=found.headers | ahead)

    monkeypatch.setattr(sentry, "answer", limited)
    start = time.monotonic()
    run = sync(sentry, "organization_projects")

    check_undisturbed(run, ("organization_projects",))
    assert 0.2 < time.monotonic() - start < PATIENCE


# Endpoints that are retired or missing ------------------------------------------------


@pytest.mark.parametrize("name", ["410", "HTML with 200", *MISSING])
def test_a_stream_without_its_endpoint_is_reported_once(sentry, name, caplog):
    """A missing endpoint is reported once, not per project; other streams are read."""
    caplog.set_level(logging.INFO)
    kind, details = (PASSING | MISSING)[name]
    template = "projects/{org}/{project}/users/"
    streams = ("project_users", "project_events")
    sentry.fault(
        kind, times=None, when=lambda seen: seen.template == template, **details
    )

    run = sync(sentry, *streams)

    assert run.code == 0
    path = "/projects/{organization}/{project}/users/"
    assert run.missing == [path]
    said = told(caplog, logging.INFO)
    assert said.count(f"This server does not have {path}") == 1
    assert said.count("project_users is missing on this server") == 1
    assert not run.skipped
    expected = undisturbed(streams)[0].rows()
    assert run.rows() == {
        key: row for key, row in expected.items() if key[0] == "project_events"
    }


def test_a_brown_out_is_waited_for_and_its_replacement_named(sentry, caplog):
    """A run waits for a brown-out to end and logs the endpoint's replacement once."""
    streams = ("project_events",)
    place = "projects/acme/shop/events/"
    sentry.fault(410, times=6, when=at(place), replacement="a/new/{place}/")

    run = sync(sentry, *streams)

    assert sentry.injected == {410: 6}
    check_undisturbed(run, streams)
    (line,) = told(caplog).splitlines()
    assert "retiring /projects/{organization}/{project}/events/ (410)" in line
    assert "its replacement is a/new/{place}/" in line


def test_projects_do_not_wait_for_a_brown_out(sentry, monkeypatch):
    """A 410 for `projects/` is final: the organizations' lists have the same rows."""
    monkeypatch.setattr(brown_outs, "BROWN_OUT", 60.0)
    sentry.fault(410, times=None, when=lambda seen: seen.template == "projects/")

    start = time.monotonic()
    run = sync(sentry, "projects")

    assert run.code == 0
    assert time.monotonic() - start < PATIENCE
    assert sentry.injected == {410: 1}
    expected = undisturbed(("projects",))[0]
    assert sorted(map(str, run.rows())) == sorted(map(str, expected.rows()))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_kind_of_server_gets_over_faults(flavour):
    """On every kind of server, an endpoint that fails for a while is not missing."""
    sentry = Faulty(flavour)
    sentry.order = None
    expected, places = undisturbed(ALL, flavour)
    with sentry.served():
        for number, place in enumerate(places):
            # GlitchTip refuses to count the usage of all projects.
            is_refused = flavour == "glitchtip" and place.endswith("/stats_v2/ -1")
            if template_of(place) not in sentry.flavour.missing and not is_refused:
                kind, details = PASSING[("500", "truncated JSON", "502")[number % 3]]
                times = 1 if has_fallback(place) else 2
                sentry.fault(kind, times=times, when=at(place), **details)
        run = sync(sentry)

    assert sentry.injected.total() > 50
    assert run.code == 0
    assert run.missing == expected.missing
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state


def has_fallback(place: str) -> bool:
    """Return whether another endpoint has the same rows."""
    found = template_of(place)
    return found.endswith("/stats_v2/") or found.startswith(
        ("organizations/{org}/issues/", "organizations/{org}/issues/{issue}/events/")
    )


def template_of(place: str) -> str:
    """Return the path template of a place."""
    path = place.partition(" ")[0]
    return next((e.template for e in ENDPOINTS if e.pattern.fullmatch(path)), "")


# Skip or stop -------------------------------------------------------------------------

#: The streams of a project and of its issues.
OF_PROJECTS = (
    *("project_issues", "project_events", "project_event_entries", "project_feedback"),
    *("project_users", "project_event_counts", "issue_events", "issue_event_entries"),
)


def check_skipped(
    sentry: Faulty, run: Run, words: str, streams: tuple[str, ...], caplog
) -> None:
    """Assert that one context is skipped and listed, and that the next run reads it."""
    expected = undisturbed(streams)[0]
    assert run.code == 0
    assert run.skipped
    assert all(line.endswith(words) for line in run.skipped), run.skipped
    for line in run.skipped:
        stream, _, rest = line.partition(" ")
        assert f"{stream} skipped {rest}: " in told(caplog)
    lacking = expected.rows().keys() - run.rows().keys()
    assert {key[0] for key in lacking} == {line.split()[0] for line in run.skipped}
    check_covered(sentry, run, streams)


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        (403, {}),
        (403, {"body": {"detail": "no", "error_type": "unavailable_feature"}}),
        (404, {}),
        (404, {"body": {"detail": "Project does not exist"}}),
        (400, {"body": {"detail": "Invalid date range."}}),
    ],
    ids=["forbidden", "no such feature", "deleted", "disabled", "refused"],
)
def test_one_project_that_cannot_be_read_is_skipped(sentry, kind, details, caplog):
    """A project that cannot be read is skipped without a bookmark; others are read."""
    shop = sentry.project("shop")

    def is_of_shop(seen: Request) -> bool:
        issues = {issue.id for issue in shop.issues}
        return (
            seen.path.startswith("projects/acme/shop/")
            or seen.params.get("project") == [shop.id]
            or bool(issues & set(seen.path.split("/")))
        )

    sentry.fault(kind, times=None, when=is_of_shop, **details)

    run = sync(sentry, *OF_PROJECTS)

    by_id = run.state["bookmarks"]["project_events"]["by_id"]
    assert shop.id not in by_id
    assert sentry.project("pay").id in by_id
    check_skipped(sentry, run, "organization acme project shop", OF_PROJECTS, caplog)


def test_a_project_that_is_forbidden_later_keeps_its_bookmarks(sentry):
    """A project that is forbidden later keeps its bookmarks, to resume from them."""
    first = sync(sentry, *OF_PROJECTS)
    shop = sentry.project("shop")
    sentry.forbid("shop")

    second = sync(
        sentry, *OF_PROJECTS, state=first.last_state, lookback="1h", issue_refresh="0s"
    )

    assert second.code == 0
    of_shop = [
        {
            stream: found["by_id"][shop.id].get("bookmark")
            for stream, found in run.state["bookmarks"].items()
        }
        for run in (first, second)
    ]
    assert of_shop[0] == of_shop[1]
    assert "project_users organization acme project shop" in second.skipped
    assert shop.forbidden


@pytest.mark.parametrize("change", ["delete_project", "forbid"])
def test_a_project_may_go_while_it_is_read(sentry, monkeypatch, change):
    """A project that is deleted or forbidden midway is skipped; others are read."""
    meanwhile(
        monkeypatch,
        sentry,
        lambda seen: seen.path == "projects/acme/shop/events/",
        lambda: getattr(sentry, change)("shop"),
    )

    run = sync(sentry, "project_events", "project_users", concurrency=1)

    assert run.code == 0
    assert "project_events organization acme project shop" in run.skipped
    assert set(run.rows()) > {
        key
        for key in undisturbed(("project_events", "project_users"))[0].rows()
        if key[2] != "24"
    }


def test_a_project_may_be_renamed_while_it_is_read(sentry, monkeypatch):
    """A project renamed midway is read to its end through Sentry's redirects."""
    meanwhile(
        monkeypatch,
        sentry,
        lambda seen: seen.path == "projects/acme/shop/events/",
        lambda: sentry.rename_project("shop", "store"),
    )

    run = sync(sentry, "project_events", "project_users", concurrency=1)

    check_undisturbed(run, ("project_events", "project_users"))
    assert any(seen.status == 302 for seen in sentry.requests)


def meanwhile(
    monkeypatch: pytest.MonkeyPatch,
    sentry: Faulty,
    when: Callable[[Request], bool],
    act: Callable[[], object],
) -> None:
    """Call `act` once, right after the server has answered a matching request."""
    answer = sentry.answer
    done: list[object] = []

    def acting(method: str, url: str, headers: Any) -> Any:
        found = answer(method, url, headers)
        if not done and any(map(when, sentry.requests)):
            done.append(act())
        return found

    monkeypatch.setattr(sentry, "answer", acting)


@pytest.mark.parametrize("status", [403, 404])
def test_one_team_that_cannot_be_read_is_skipped(sentry, status, caplog):
    """A team that cannot be read is skipped, with the counts that need its projects."""
    streams = ("team_projects", "team_event_counts")
    sentry.fault(
        status, times=None, when=lambda seen: seen.path.startswith("teams/acme/qa/")
    )

    run = sync(sentry, *streams)

    check_skipped(sentry, run, "organization acme team qa", streams, caplog)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_one_issue_that_cannot_be_read_is_skipped(sentry, status, caplog):
    """A skipped issue is read by the next run, unless it is gone or merged (404)."""
    streams = ("issue_events", "issue_event_entries")
    issue = sentry.project("shop").issues[1].id
    sentry.fault(status, times=None, when=lambda seen: f"/{issue}/" in seen.path)

    run = sync(sentry, *streams)

    assert run.code == 0
    slice_ = f"organization acme project shop issue {issue}"
    assert run.skipped == [f"{stream} {slice_}" for stream in streams]
    assert told(caplog).count(f"skipped {slice_}: ") == 2
    expected = undisturbed(streams)[0].rows()
    lacking = {key for key, row in expected.items() if row["issue_id"] == issue}
    assert run.rows().keys() == expected.keys() - lacking
    sentry.clear_faults()
    again = sync(sentry, *streams, state=run.last_state)
    # An issue that is gone is not requested again; one that failed or was denied is.
    assert again.is_complete
    assert (again.rows().keys() >= lacking) == (status != 404)


@pytest.mark.parametrize(
    ("stream", "path", "kind"),
    [
        ("project_events", "projects/acme/shop/events/", 403),
        ("project_events", "projects/acme/shop/events/", 404),
        ("project_events", "projects/acme/shop/events/", 500),
        ("team_projects", "teams/acme/qa/projects/", 404),
        ("organization_repositories", "organizations/acme/repos/", 403),
        ("organization_event_counts", "organizations/acme/stats_v2/", 400),
        ("issue_events", "organizations/acme/issues/{issue}/events/", 404),
    ],
)
def test_strict_stops_where_one_would_be_skipped(sentry, stream, path, kind, caplog):
    """With `strict`, a context that cannot be read ends the run and is named."""
    path = path.format(issue=sentry.project("shop").issues[0].id)
    sentry.fault(kind, times=None, when=lambda seen: seen.path == path)

    run = sync(sentry, stream, strict=True)

    assert run.code == 1
    line = told(caplog).splitlines()[-1]
    assert f"{stream} cannot read organization acme" in line
    assert line.endswith("(strict is on)")
    check_covered(sentry, run, (stream,))


@pytest.mark.parametrize(
    ("stream", "scope"),
    [
        ("organizations", "org:read"),
        ("organization_teams", "org:read"),
        ("organization_event_counts", "org:read"),
        ("team_projects", "project:read"),
        ("project_events", "project:read"),
        ("project_users", "project:read"),
        ("project_issues", "event:read"),
        ("issue_events", "event:read"),
    ],
)
def test_a_missing_scope_stops_at_once_and_is_named(sentry, stream, scope, caplog):
    """A missing scope ends the run before any record, and the message names it."""
    scopes = {"event:read", "org:read", "project:read", "team:read"}
    sentry.tokens[TOKEN] = Token(frozenset(scopes - {scope}))

    run = sync(sentry, stream, concurrency=1)

    assert run.code == 1
    assert not run.rows()
    line = told(caplog).splitlines()[-1]
    assert f"needs a token with the scope {scope}" in line
    assert "this one has " in line
    assert "/settings/account/api/auth-tokens/" in line


def test_a_stream_that_is_refused_everywhere_ends_with_code_1(sentry, caplog):
    """Every denied context is listed, other streams are read, and the code is 1."""
    sentry.fault(403, times=None, when=lambda seen: seen.path.endswith("/users/"))

    run = sync(sentry, "project_users", "project_events")

    assert run.code == 1
    assert len(run.skipped) == 6
    assert (
        told(caplog)
        .splitlines()[-1]
        .startswith("project_users returned no records: no part of it could be read (")
    )
    assert run.rows() == undisturbed(("project_events",))[0].rows()


@pytest.mark.parametrize("after", [0, 9])
def test_a_token_that_is_refused_stops_the_run(sentry, after, caplog):
    """A token that is rejected at the start or midway ends the run."""
    sentry.fault(401, times=None, after=after)

    run = sync(sentry, "project_events", concurrency=1)

    assert run.code == 1
    host = sentry.url.partition("//")[2]
    line = told(caplog).splitlines()[-1]
    assert f"{host} refuses the auth_token (Invalid token)" in line
    check_covered(sentry, run, ("project_events",))


@pytest.mark.parametrize("times", [6, 12, None])
def test_redirects_without_an_end_are_tried_again(sentry, times, caplog):
    """An endless redirect is retried, by the next run too: the issue is not gone."""
    streams = ("issue_events", "issue_event_entries")
    issue = sentry.project("shop").issues[1].id
    sentry.fault(302, times=times, when=lambda seen: f"/{issue}/" in seen.path)

    run = sync(sentry, *streams)

    if times is None:
        assert len(run.skipped) == 2
        assert "its redirects do not end" in told(caplog)
        check_covered(sentry, run, streams)
    else:
        check_undisturbed(run, streams)


@pytest.mark.parametrize("location", ["http://[::1", "http://e.org:99999/"])
def test_a_redirect_to_no_address_costs_one_project(sentry, location, caplog):
    """A redirect to an invalid URL is treated like any other meaningless response."""
    place = "projects/acme/shop/events/"
    sentry.fault(302, times=None, when=at(place), location=location)

    run = sync(sentry, "project_events")

    assert run.code == 0
    assert len(run.skipped) == 1
    assert "it redirects without an address" in told(caplog)
    check_covered(sentry, run, ("project_events",))


def test_a_password_in_a_redirect_is_not_shown(sentry, caplog):
    """The message about a redirect omits the user name and password of its URL."""
    location = "https://user:hunter2@login.example.com/sso"
    sentry.fault(302, times=None, location=location)

    run = sync(sentry, "organizations")

    assert run.code == 1
    assert "redirects to https://login.example.com, which" in told(caplog)
    assert "hunter2" not in told(caplog)


@pytest.mark.parametrize("location", ["https://login.example.com/sso?a=b", "//e.org"])
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(
    "place", ["projects/acme/shop/events/", "organizations/acme/projects/"]
)
def test_a_redirect_to_another_origin_ends_the_run(
    sentry, place, after, location, caplog
):
    """A redirect to another origin ends the run; the message names it and `api_url`."""
    sentry.fault(302, times=None, when=at(place), after=after, location=location)

    run = sync(sentry, "project_events")

    assert run.code == 1
    line = told(caplog).splitlines()[-1]
    assert f"/api/0/{place} redirects to " in line
    assert "set api_url to the address of Sentry itself" in line
    check_covered(sentry, run, ("project_events",))


# Checks -------------------------------------------------------------------------------


def check_covered(
    sentry: Faulty, run: Run, streams: tuple[str, ...], *, is_acme: bool = False
) -> None:
    """Assert that the next run reads what is left, and little of what was written."""
    expected = undisturbed(streams, is_acme=is_acme)[0].rows()
    sentry.clear_faults()
    state = run.last_state

    again = sync(sentry, *streams, state=state, **(ACME if is_acme else {}))

    assert again.is_complete
    assert expected == run.rows() | again.rows()
    assert not twice(run)
    assert state is None or not needless(again, run.rows(), state)


def check_secrecy(caplog) -> None:
    """Assert that the log contains neither the token nor a query string."""
    said = told(caplog, logging.INFO)
    assert TOKEN not in said
    assert "?" not in said
    assert "start=" not in said


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
