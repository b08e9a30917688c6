"""Concurrency and prefetching change the speed of a run, not its output."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_sentry.api.budget import BufferBudget
from tap_sentry.api.errors import TransientError
from tap_sentry.api.paged_list import Page, PagedList, PageSizes
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.prefetch import Prefetch, Prefetcher
from tap_sentry.api.scheduler import ATTEMPTS, RequestScheduler
from tap_sentry.tap import TapSentry
from tests.conftest import NOW, Output, catalog_of, run
from tests.sentry import SAAS_LIMITS, STREAMS, TOKEN, Limit, SentrySimulator
from tests.sentry.data import Builder, generated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tap_sentry.records.bodies import Row

#: Longer than any response of the simulator takes.
WAIT = timedelta(seconds=0.3)

FLAVOURS = ("saas", "self-hosted-24", "self-hosted-9", "glitchtip")


def read(sentry: SentrySimulator, concurrency: int, **settings: Any) -> Output:
    """Sync all streams, with the figures of ten days."""
    config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": concurrency}
    return run({"start_date": "10d", **config, **settings}, catalog_of())


def lines(output: Output) -> list[str]:
    """Return the SCHEMA and RECORD lines without their extraction times."""
    return [
        json.dumps({key: message[key] for key in message if key != "time_extracted"})
        for message in output.messages
        if message["type"] != "STATE"
    ]


def asked(sentry: SentrySimulator) -> Counter[str]:
    """Count the requests for each path and query."""
    return Counter(f"{r.path}?{sorted(r.params.items())}" for r in sentry.requests)


@pytest.fixture(params=FLAVOURS)
def server(request: pytest.FixtureRequest) -> Iterator[SentrySimulator]:
    """Serve a small Sentry of each kind on a socket."""
    page_size = None if request.param == "glitchtip" else 2
    simulator = SentrySimulator(
        clock=lambda: NOW, flavour=request.param, page_size=page_size
    )
    with simulator.served():
        yield simulator


def test_concurrency_changes_neither_output_nor_state(server: SentrySimulator) -> None:
    """Sixteen requests at once give the same lines and the same final state as one."""
    server.order = None

    one = read(server, 1)

    many = read(server, 16)

    assert lines(many) == lines(one)
    assert json.dumps(many.state) == json.dumps(one.state)
    assert (many.code, one.code) == (0, 0)


def test_concurrency_changes_nothing_where_streams_share_what_they_read() -> None:
    """Events of issues are cut into slices, and written to two streams alternately."""
    limits = {name: replace(limit, limit=10**6) for name, limit in SAAS_LIMITS.items()}
    simulator = SentrySimulator(clock=lambda: NOW, page_size=2, rate_limits=limits)
    simulator.order = None
    with simulator.served():
        one, many = read(simulator, 1), read(simulator, 16)

    assert lines(many) == lines(one)
    written = [m["stream"] for m in one.messages if m["type"] == "RECORD"]
    assert [*pairwise(written)].count(("project_events", "issue_events")) > 20


def test_nothing_is_asked_twice_in_a_run(sentry: SentrySimulator) -> None:
    """Only the lists of full events, which two streams need, are requested twice."""
    read(sentry, 16, full_events=True)

    twice = {address for address, times in asked(sentry).items() if times > 1}

    assert twice
    assert all("full" in address for address in twice)


def test_light_events_are_asked_for_once(sentry: SentrySimulator) -> None:
    """Without full events, nothing is requested twice."""
    read(sentry, 16)

    assert max(asked(sentry).values()) == 1


def test_no_more_requests_are_under_way_than_the_setting_says() -> None:
    """Requests overlap, but never more than `concurrency` allows."""
    simulator = SentrySimulator(clock=lambda: NOW, latency=0.02)
    with simulator.served():
        read(simulator, 4)

    assert max(simulator.concurrency.values()) <= 4
    assert sum(request.overlapped for request in simulator.requests) > 20


@pytest.mark.parametrize("streams", [("team_projects",), ()])
def test_counts_of_teams_are_asked_for_ahead(streams: tuple[str, ...]) -> None:
    """Team counts are prefetched even if no other stream needs the team's projects."""
    build = Builder(NOW, seed=3)
    organization = build.organization("acme", "Acme", ["code/attic"])
    for number in range(12):
        team = build.team(organization, f"team-{number}")
        build.project(organization, f"shop-{number}", "python", [team], 1)
    simulator = SentrySimulator([organization], clock=lambda: NOW, latency=0.05)
    with simulator.served():
        config = {"auth_token": TOKEN, "api_url": simulator.url}
        run(config, catalog_of("team_event_counts", *streams))

    assert simulator.concurrency["organizations/{org}/stats_v2/"] > 4
    assert simulator.concurrency["teams/{org}/{team}/projects/"] > 4
    assert max(asked(simulator).values()) == 1


def empty_response() -> requests.Response:
    """Return a response with an empty body."""
    response = requests.Response()
    response.raw = io.BytesIO()
    return response


class Meeting:
    """Answers requests only once `parties` of them are in flight."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=10)

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Wait for the others, unless this is the first request."""
        if request.url != "https://sentry.io/first":
            self.barrier.wait()
        return empty_response()


def test_idle_projects_are_counted_ahead() -> None:
    """In a first run, the list of an idle project may be one that the server cuts."""
    build = Builder(NOW, seed=3)
    organization = build.organization("acme", "Acme", ["code/attic"])
    team = build.team(organization, "ops")
    for number in range(12):
        build.project(organization, f"shop-{number}", "python", [team], 0)
    simulator = SentrySimulator([organization], clock=lambda: NOW, latency=0.02)
    with simulator.served():
        config = {"auth_token": TOKEN, "api_url": simulator.url, "concurrency": 8}
        run(config, catalog_of("project_events"))

    counts = [r for r in simulator.requests if r.path.endswith("/stats/")]
    assert len(counts) == 12
    assert sum(request.overlapped for request in counts) > 6


def test_calls_that_come_together_are_sent_together() -> None:
    """Requests submitted together are sent together, despite an idle thread."""
    fetcher = RequestScheduler(
        4,
        logging.getLogger(__name__),
        send=Meeting(4).send,
        waiting=contextlib.nullcontext,
    )

    def submit(name: str) -> Future[bool]:
        request = requests.Request("GET", f"https://sentry.io/{name}").prepare()
        return fetcher.submit(PendingRequest("s", name, request, lambda _: True))

    fetcher.result(submit("first"))
    futures = [submit(name) for name in "abcd"]

    assert [fetcher.result(future) for future in futures] == [True] * 4
    fetcher.close()


def test_limits_that_headers_state_are_never_run_into() -> None:
    """Limits in headers, here 20 per window and one at a time, are never exceeded."""
    template = "projects/{org}/{project}/events/"
    simulator = SentrySimulator(
        generated(organizations=1, projects=4, issues=8, events=200, now=NOW),
        page_size=5,
        rate_limits={template: Limit(limit=20, window=1, concurrent=1)},
    )
    with simulator.served():
        output = read(simulator, 16, start_date="2026-01-01", events_by="project")

    assert output.code == 0
    assert simulator.refused == 0
    assert simulator.counts[template] > 40
    assert simulator.concurrency[template] == 1


def test_an_error_of_a_proxy_does_not_undo_what_is_known_of_a_limit() -> None:
    """After a 502, which states no limits, the limits of earlier responses apply."""
    template = "projects/{org}/{project}/events/"
    simulator = SentrySimulator(
        generated(organizations=1, projects=12, issues=12, events=60, now=NOW),
        latency=0.02,
        rate_limits={template: Limit(limit=1000, window=60, concurrent=1)},
    )
    simulator.fault(502, times=4, after=2, when=lambda r: r.template == template)
    with simulator.served():
        config = {"auth_token": TOKEN, "api_url": simulator.url}
        output = run(config, catalog_of("project_events"))

    assert output.code == 0
    assert simulator.refused == 0
    assert simulator.concurrency[template] == 1


def test_a_wait_for_a_limit_holds_no_place_of_other_requests() -> None:
    """While project events wait for their limit, other lists are read."""
    template = "projects/{org}/{project}/events/"
    simulator = SentrySimulator(
        generated(organizations=1, projects=3, issues=6, events=60, now=NOW),
        page_size=5,
        rate_limits={template: Limit(limit=4, window=1, concurrent=1)},
    )
    with simulator.served():
        read(simulator, 2, start_date="2026-01-01")

    waited = [r.time for r in simulator.requests if r.template == template]
    gaps = [pair for pair in pairwise(waited) if pair[1] - pair[0] > WAIT]
    others = [r for r in simulator.requests for a, b in gaps if a < r.time < b]

    assert gaps
    assert others


def test_lists_that_break_off_give_their_place_back(
    sentry: SentrySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that fails releases its budget; otherwise prefetching would soon stop."""
    budgets: list[BufferBudget] = []

    def budget(concurrency: int) -> BufferBudget:
        budgets.append(BufferBudget(concurrency))
        return budgets[0]

    monkeypatch.setattr("tap_sentry.api.scheduler.BufferBudget", budget)
    sentry.fault(403, times=None, when=lambda r: "user-feedback" in r.path)
    with sentry.served():
        read(sentry, 2)

    assert [(budget.pages, budget.size) for budget in budgets] == [(0, 0)]


def test_a_list_that_failed_holds_no_bytes() -> None:
    """Lists that a server lacks are often read last; others have room until then."""

    def send(request: requests.PreparedRequest) -> requests.Response:
        raise requests.ConnectionError(request=request)

    fetcher = RequestScheduler(
        1,
        logging.getLogger(__name__),
        send=send,
        waiting=contextlib.nullcontext,
    )
    pending = Pages().ask("a", None, 1)
    pending.attempts = ATTEMPTS
    paged_list = PagedList(fetcher, lambda *_: pending, page_sizes=PageSizes((1,)))
    paged_list.start()
    with pytest.raises(TransientError):
        fetcher.result(pending.future)

    assert (fetcher.budget.pages, fetcher.budget.size) == (1, 0)
    with pytest.raises(TransientError):
        next(iter(paged_list))
    assert (fetcher.budget.pages, fetcher.budget.size) == (0, 0)
    fetcher.close()


def test_a_list_that_is_dropped_and_fails_gives_its_room_back_once() -> None:
    """A request that is in flight when its list is dropped may fail afterwards."""
    is_dropped = threading.Event()

    def send(request: requests.PreparedRequest) -> requests.Response:
        is_dropped.wait()
        raise requests.ConnectionError(request=request)

    fetcher = RequestScheduler(
        1, logging.getLogger(__name__), send=send, waiting=contextlib.nullcontext
    )
    pending = Pages().ask("a", None, 1)
    pending.attempts = ATTEMPTS
    paged_list = PagedList(fetcher, lambda *_: pending, page_sizes=PageSizes((1,)))
    paged_list.start().drop()
    is_dropped.set()
    with pytest.raises(TransientError):
        fetcher.result(pending.future)
    fetcher.close()

    assert (fetcher.budget.pages, fetcher.budget.size) == (0, 0)


class Pages:
    """Makes lists of three pages and records the paths that are requested."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Record the request and answer at once."""
        assert request.url
        self.asked.append(request.url.removeprefix("https://sentry.io/"))
        return empty_response()

    def ask(
        self, name: str, cursor: str | None, page_size: int
    ) -> PendingRequest[Page]:
        """Return the request for a page."""
        number = int(cursor or "0")
        following = str(number + 1) if number < 2 else None
        url = f"https://sentry.io/{name}{number}"
        request = requests.Request("GET", url).prepare()
        return PendingRequest(
            name, name, request, lambda _: Page([], following, page_size)
        )


def test_a_list_that_had_no_room_goes_on_when_there_is() -> None:
    """A list that stopped for lack of room goes on when the budget has room again."""
    source = Pages()
    fetcher = RequestScheduler(
        1,
        logging.getLogger(__name__),
        send=source.send,
        waiting=contextlib.nullcontext,
    )
    fetcher.budget.max_pages = 4
    ahead = Prefetcher(fetcher.budget)

    def want(name: str) -> Prefetch:
        ask = functools.partial(source.ask, name)
        return Prefetch(
            name, lambda: PagedList(fetcher, ask, page_sizes=PageSizes((1,)))
        )

    def wait_for(asked: set[str]) -> None:
        for _ in range(200):
            if set(source.asked) == asked:
                break
            time.sleep(0.01)
        assert set(source.asked) == asked

    with ahead.over([[iter([want("a"), want("b")])]]):
        ahead.top_up()
        wait_for({"a0", "b0"})
        for _ in ahead.take(want("a")):
            pass
        ahead.top_up()
        wait_for({"a0", "a1", "a2", "b0", "b1"})
    fetcher.close()


def test_what_is_held_is_counted_as_it_is_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The budget counts decompressed bodies; compressed they are a tenth of that."""
    sizes: list[int] = []

    def page(rows: list[Row], cursor: str | None, size: int) -> Page:
        sizes.append(size)
        return Page(rows, cursor, size)

    monkeypatch.setattr("tap_sentry.api.reader.Page", page)
    outputs = []
    for is_compressing in (False, True):
        simulator = SentrySimulator(
            generated(organizations=1, projects=1, issues=4, events=90, now=NOW),
            clock=lambda: NOW,
            is_compressing=is_compressing,
        )
        with simulator.served():
            config = {"auth_token": TOKEN, "api_url": simulator.url, "concurrency": 1}
            outputs.append(run(config, catalog_of("project_events")))

    half = len(sizes) // 2
    assert len(outputs[0].records("project_events")) > 50
    assert sizes[:half] == sizes[half:]


def test_a_path_that_a_server_may_lack_is_tried_once() -> None:
    """A path with a fallback gets one request until it is known to exist."""
    simulator = SentrySimulator(
        generated(organizations=1, projects=8, issues=24, events=60, now=NOW),
        clock=lambda: NOW,
        flavour="self-hosted-9",
        latency=0.02,
    )
    # The usage reads a path of others and has no fallback.
    names = STREAMS.keys() - {"organization_usage"}
    with simulator.served():
        config = {"auth_token": TOKEN, "api_url": simulator.url, "concurrency": 8}
        output = run(config | {"start_date": "2026-01-01"}, catalog_of(*names))
    streams = TapSentry(config={"auth_token": TOKEN}).sentry_streams
    with_fallback = {stream.path for stream in streams if stream.fallback_path}
    missing = {
        template
        for template in simulator.flavour.missing
        if f"/{template}".replace("{org}", "{organization}") in with_fallback
    }
    lacking = Counter(r.template for r in simulator.requests if r.template in missing)

    assert output.code == 0
    assert set(lacking.values()) == {1}
