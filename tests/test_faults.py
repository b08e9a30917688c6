"""What a network, Sentry or a server of one's own does wrong, and what comes of it.

Each fault alone, over a real socket: where it passes, the output is that of a run in
which nothing went wrong; where it stays, the run says what to do and the state covers
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

from tap_sentry import limits
from tap_sentry.fetching import TRIES
from tests.conftest import NOW
from tests.simulator import TOKEN, SentrySimulator, Token
from tests.soak import PASSING, Faulty, Run, needless, quick, sync, twice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator import Request

#: The longest that one of these runs may take: none of them waits in earnest.
PATIENCE = 20


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """Waits are short."""
    with quick():
        yield


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """A small Sentry with pages of two rows, behind a socket."""
    with Faulty().served() as simulator:
        yield simulator


def told(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> str:
    """What the tap said, as a user sees it."""
    records = [r for r in caplog.records if r.name == "tap-sentry"]
    return "\n".join(r.getMessage() for r in records if r.levelno >= level)


# Faults that pass ---------------------------------------------------------------------

ALL: tuple[str, ...] = ()
#: For each generation: what is selected, and the lists that have at least three pages.
GENERATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "parents": (
        ("organization_projects", "organization_teams", "team_projects"),
        (
            "organizations/acme/projects/",
            "organizations/acme/teams/",
            "teams/acme/ops/projects/",
        ),
    ),
    "children": (
        ("project_issues", "project_events", "project_users", "issue_events"),
        (
            "organizations/acme/issues/ {shop}",
            "projects/acme/shop/events/",
            "projects/acme/shop/users/",
            "organizations/acme/issues/{issue}/events/",
        ),
    ),
}


def place_of(request: Request) -> str:
    """The path of a request, with the project that it names if the path does not."""
    return " ".join((request.path, *request.params.get("project", ())))


def lists_of(sentry: SentrySimulator, generation: str) -> list[str]:
    """The places of the long lists."""
    shop = sentry.project("shop")
    names = {"shop": shop.id, "issue": shop.issues[0].id}
    return [place.format_map(names) for place in GENERATIONS[generation][1]]


def at(place: str) -> Callable[[Request], bool]:
    """Whether a request is for a page of the list at a place."""
    return lambda request: place_of(request) == place


@functools.cache
def undisturbed(
    streams: tuple[str, ...], flavour: str = "saas", **options: Any
) -> tuple[Run, Counter[str]]:
    """A run in which nothing goes wrong, and how many pages each list has."""
    with Faulty(flavour, **options).served() as sentry:
        run = sync(sentry, *streams)
        assert run.is_complete or flavour != "saas"
        return run, Counter(map(place_of, sentry.requests))


def check_undisturbed(run: Run, streams: tuple[str, ...], **options: Any) -> None:
    """Records, their order and the final state are as if nothing had happened."""
    expected, _ = undisturbed(streams, **options)
    assert run.code == 0
    assert not run.skipped
    assert run.missing == expected.missing
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", [name for name in PASSING if name != "refused"])
def test_a_fault_that_passes_leaves_no_trace(sentry, name, generation, where, caplog):
    """Alone, on the first, a middle and the last page, in parents and in children."""
    kind, details = PASSING[name]
    streams = GENERATIONS[generation][0]
    places = lists_of(sentry, generation)
    # The last page is asked for once; what else is so belongs to a page that is added.
    times = 1 if kind in {"empty_page", "repeat_page", "silent_close"} else 2
    for place in places:
        pages = undisturbed(streams)[1][place]
        assert pages >= 3
        after = {"first": 0, "middle": pages // 2, "last": pages - 1}[where]
        sentry.fault(kind, times=times, when=at(place), after=after, **details)

    start = time.monotonic()
    run = sync(sentry, *streams)

    assert sentry.injected == {kind: times * len(places)}
    check_undisturbed(run, streams)
    assert time.monotonic() - start < PATIENCE
    assert not told(caplog, logging.ERROR)


@pytest.mark.parametrize("name", ["500", "truncated JSON", "reset in the body"])
def test_every_list_of_every_stream_gets_over_a_fault(sentry, name):
    """The first two requests to each place of the server go wrong."""
    kind, details = PASSING[name]
    places = undisturbed(ALL)[1]
    for place in places:
        sentry.fault(kind, times=2, when=at(place), **details)

    run = sync(sentry)

    assert sentry.injected == {kind: 2 * len(places)}
    check_undisturbed(run, ALL)


@pytest.mark.parametrize("name", ["408", "502", "reset in the body", "HTML with 200"])
def test_all_tries_but_the_last_may_fail(sentry, name):
    """The fifth request for a page is good."""
    kind, details = PASSING[name]
    streams = GENERATIONS["children"][0]
    places = lists_of(sentry, "children")
    for place in places:
        sentry.fault(kind, times=TRIES - 1, when=at(place), after=1, **details)

    run = sync(sentry, *streams)

    assert sentry.injected == {kind: (TRIES - 1) * len(places)}
    check_undisturbed(run, streams)


@pytest.mark.parametrize("after", range(0, 12, 2))
def test_a_refused_connection_is_tried_again(after):
    """Whatever it was opened for: this server closes each after its answer."""
    streams = ("project_events",)
    sentry = Faulty()
    sentry.flavour = replace(sentry.flavour, closes_silently=True)
    with sentry.served():
        sentry.fault("refuse", times=2, after=after)
        run = sync(sentry, *streams, concurrency=1)

    assert sentry.injected == {"refuse": 2}
    check_undisturbed(run, streams)


def test_a_server_may_come_up_late(monkeypatch):
    """Nothing listens when the run starts."""
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
        run = sync(sentry, "project_events")
    finally:
        is_done.set()
        thread.join()

    check_undisturbed(run, ("project_events",))


def test_idle_connections_may_be_closed_without_a_word(caplog):
    """A server that closes each after its answer costs no visible retry (9.1.2)."""
    caplog.set_level(logging.INFO)
    sentry = Faulty()
    sentry.flavour = replace(sentry.flavour, closes_silently=True)
    with sentry.served():
        run = sync(sentry)

    check_undisturbed(run, ALL)
    assert "try" not in told(caplog, logging.INFO)
    assert len(sentry.requests) == undisturbed(ALL)[1].total()


@pytest.mark.parametrize("details", [{}, {"seconds": 0.6}], ids=["504", "hangs"])
@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("project_events", "projects/acme/shop/events/"),
        ("project_issues", "organizations/acme/issues/"),
        ("project_feedback", "projects/acme/shop/user-feedback/"),
        ("issue_events", "organizations/acme/issues/{issue}/events/"),
    ],
)
@pytest.mark.parametrize("where", ["first", "middle"])
def test_a_server_that_is_slow_on_large_pages_is_asked_for_less(
    stream, path, details, where
):
    """On the first page and in the middle of a list."""
    expected, sentry = None, None
    for is_slow in (False, True):
        sentry = Faulty(page_size=None)
        crowd(sentry)
        path = path.format(issue=sentry.project("shop").issues[0].id)
        with sentry.served():
            if is_slow:
                sentry.fault(
                    "slow_large",
                    times=None,
                    rows=40,
                    when=lambda seen: (
                        seen.path == path
                        and ("cursor" in seen.params) == (where == "middle")
                    ),
                    **details,
                )
            run = sync(sentry, stream, projects=["shop"])
        expected = expected or run

    assert sentry.injected["slow_large"] == TRIES
    assert run.code == 0
    assert not run.skipped
    assert len(run.rows()) >= 150
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state


def crowd(sentry: Faulty) -> None:
    """Put so much into a project that its lists have two full pages."""
    shop = sentry.project("shop")
    for number in range(150):
        date = NOW - timedelta(minutes=number, seconds=1)
        issue = sentry.add_issue("shop", f"Error: crowd {number}")
        sentry.add_event("shop", issue, date)
        sentry.add_event("shop", shop.issues[0], date)
        shop.feedback.append(
            replace(shop.feedback[0], id=f"9{number:03}", created=date)
        )


# Faults that stay ---------------------------------------------------------------------

#: What each says of itself at the end, and after how many requests: those for events
#: are tried with smaller pages too where that may help.
STAYING = {
    "408": ("status 408, Proxied request timed out", TRIES),
    "429, no hint": ("status 429, You are attempting to use this", 9),
    "429, concurrency": ("status 429, You are attempting to go above", 9),
    "500": ("status 500, Internal Error (errorId ", TRIES + 2),
    "502": ("status 502", TRIES + 2),
    "503": ("status 503", TRIES + 2),
    "504": ("status 504, Query timeout", TRIES + 2),
    "reset": ("the connection failed", None),
    "reset in the body": ("the answer broke off", TRIES),
    "short body": ("the answer broke off", TRIES),
    "hang": ("no answer in time", TRIES + 2),
    "truncated JSON": ("the body is not the expected JSON", TRIES),
    "no list": ("the body is not the expected JSON", TRIES),
    "HTML with 200": ("the body is not the expected JSON (text/html", TRIES),
}


@pytest.mark.parametrize("after", [0, 2], ids=["first page", "third page"])
@pytest.mark.parametrize("name", STAYING)
def test_a_fault_that_stays_costs_one_project(sentry, name, after, caplog):
    """It is skipped and listed after bounded tries; the state is as if it had waited."""
    kind, details = PASSING[name]
    words, requests = STAYING[name]
    place = "projects/acme/shop/events/"
    sentry.fault(kind, times=None, when=at(place), after=after, **details)

    run = sync(sentry, "project_events")

    assert run.code == 0
    assert run.skipped == ["project_events organization acme project shop"]
    line = told(caplog).splitlines()[-1]
    assert line.startswith("project_events skipped organization acme project shop: GET")
    assert f"{sentry.url.partition('//')[2]}/api/0/{place}: {words}" in line
    check_secrecy(caplog)
    if requests:
        assert sentry.injected == {kind: requests}
    check_covered(sentry, run, ("project_events",))
    shop = run.last_state["bookmarks"]["project_events"]["by_id"].get(
        sentry.project("shop").id, {}
    )
    assert "bookmark" not in shop


@pytest.mark.parametrize("name", STAYING)
@pytest.mark.parametrize(
    "place", ["organizations/", "organizations/acme/projects/", "{slash}"]
)
def test_a_fault_that_stays_in_a_parent_ends_the_run(sentry, name, place, caplog):
    """Nothing can be read below it: the code is 1, and the message names it."""
    if place == "{slash}":
        place, streams = "organizations/acme/teams/", ("team_projects",)
    else:
        streams = ("project_users", "project_events")
    kind, details = PASSING[name]
    sentry.fault(kind, times=None, when=at(place), **details)

    run = sync(sentry, *streams)

    assert run.code == 1
    line = told(caplog).splitlines()[-1]
    assert " cannot be read: GET 127.0.0.1:" in line or "does not have" in line
    assert f"/api/0/{place}" in line
    assert STAYING[name][0] in line
    check_secrecy(caplog)
    assert sentry.injected.total() <= 60
    check_covered(sentry, run, streams)


@pytest.mark.parametrize("name", ["500", "hang", "429, no hint", "truncated JSON"])
def test_strict_stops_at_the_first_fault_that_stays(sentry, name, caplog):
    """The code is 1, and the state covers what came before."""
    kind, details = PASSING[name]
    streams = ("project_events", "project_users")
    place = "projects/acme/shop/events/"
    sentry.fault(kind, times=None, when=at(place), after=1, **details)

    run = sync(sentry, *streams, strict=True)

    assert run.code == 1
    assert "(strict is on)" in told(caplog)
    check_covered(sentry, run, streams)


def test_nothing_listens(caplog):
    """The message says where, and what to look at."""
    sentry = Faulty()
    sentry.url = f"http://127.0.0.1:{free_port()}"

    run = sync(sentry, "project_events")

    assert (run.code, run.messages) == (1, [])
    (line,) = told(caplog).splitlines()
    assert f"GET {sentry.url[7:]}/api/0/organizations/: the connection failed" in line
    assert "api_url" in line


def test_there_is_no_such_host(caplog):
    """A typing error in the address of the server."""
    sentry = Faulty()
    sentry.url = "http://sentry.example.invalid"

    run = sync(sentry, "project_events")

    assert (run.code, run.messages) == (1, [])
    assert "sentry.example.invalid" in told(caplog)
    assert told(caplog).splitlines()[-1].endswith("there is no such host: see api_url")


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("html", {}),
        (404, {"html": "<h1>Not found</h1>"}),
        (404, {"empty": True}),
        ("not_a_list", {}),
        (405, {"body": {}}),
    ],
)
def test_a_server_that_is_no_sentry_ends_the_run(sentry, kind, details, caplog):
    """Whatever it answers: all that was asked for cannot be missing."""
    sentry.fault(kind, times=None, **details)

    run = sync(sentry)

    assert (run.code, run.messages) == (1, [])
    assert "/api/0/organizations/" in told(caplog)
    assert "api_url" in told(caplog)


def check_covered(sentry: Faulty, run: Run, streams: tuple[str, ...]) -> None:
    """What a run left comes with the next one, and little of what it had written."""
    expected = undisturbed(streams)[0].rows()
    sentry.clear_faults()
    state = run.last_state

    again = sync(sentry, *streams, state=state)

    assert again.is_complete
    assert expected == run.rows() | again.rows()
    assert not twice(run)
    assert state is None or not needless(again, run.rows(), state)


def check_secrecy(caplog) -> None:
    """Neither the token nor a query stands in the log."""
    said = told(caplog, logging.INFO)
    assert TOKEN not in said
    assert "?" not in said
    assert "start=" not in said


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
