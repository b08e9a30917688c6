"""Long lists of events are read in slices, side by side, as if they were read whole."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tap_sentry.api.budget import BufferBudget
from tap_sentry.api.client import SentryClient
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.sync.state import Scan
from tap_sentry.tap import TapSentry
from tap_sentry.windows import Window
from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, TOKEN, Limit
from tests.sentry.data import iso
from tests.streams import shops, told

EVENTS = "projects/{org}/{project}/events/"
STATS = "projects/{org}/{project}/stats/"
ISSUE_EVENTS = "organizations/{org}/issues/{issue}/events/"
MINUTE, HOUR, DAYS = 60, 3600, 86_400

#: The ages of 120 events, ten minutes apart.
STEADY = range(MINUTE, MINUTE + 120 * 600, 600)


def read(sentry, *streams, state=None, **settings):
    """Run the tap on a patched server."""
    config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": 8, **settings}
    with sentry.patched():
        return run(config, catalog_of(*(streams or ("project_events",))), state)


def lines(output):
    """Return all lines but STATE, without the times of extraction."""
    return [
        json.dumps({key: message[key] for key in message if key != "time_extracted"})
        for message in output.messages
        if message["type"] != "STATE"
    ]


def asked(sentry, template=EVENTS):
    """Return the requests for a list."""
    return [request for request in sentry.requests if request.template == template]


def is_sliced(sentry, template=EVENTS):
    """Return whether several windows were requested for one project or issue."""
    windows = {
        (r.path, *r.params["start"], *r.params["end"]) for r in asked(sentry, template)
    }
    return max(Counter(path for path, *_ in windows).values()) > 4


def assert_whole(sentry, output, stream="project_events"):
    """Check that a run has written each event once, the newest first."""
    keys = output.keys(stream)
    assert output.code == 0
    assert sorted(keys) == sorted(sentry.truth(stream))
    for project in {row["project_id"] for row in output.records(stream)}:
        dates = [
            row["dateCreated"]
            for row in output.records(stream)
            if row["project_id"] == project
        ]
        assert dates == sorted(dates, reverse=True)


def older_than(sentry, age):
    """Return the requests for windows that are wholly older than an age."""
    end = iso(NOW - age, "seconds")
    return [request for request in asked(sentry) if request.params["end"][0] <= end]


# Side by side -------------------------------------------------------------------------


def test_a_long_project_is_read_side_by_side():
    """Requests for one project overlap, are hardly more, and give the same lines."""
    slow, fast = (shops(STEADY, latency=0.005) for _ in range(2))
    one, many = read(slow, concurrency=1), read(fast)

    assert_whole(fast, many)
    assert lines(many) == lines(one)
    assert many.state == one.state
    assert len(asked(slow)) == 60
    assert len(asked(fast)) <= 1.3 * 60
    assert sum(request.overlapped for request in asked(fast)) > 45
    assert len(asked(fast, STATS)) == 1


def test_long_projects_are_read_side_by_side():
    """Slices of the next projects are requested ahead as well."""
    ages = [range(MINUTE + shop, 50 * 600, 600) for shop in range(4)]
    sentry = shops(*ages, latency=0.005)
    output = read(sentry)

    assert_whole(sentry, output)
    assert len(asked(sentry)) <= 1.3 * 4 * 25
    assert lines(output) == lines(read(shops(*ages), concurrency=1))


def test_entries_are_read_in_slices_of_the_same_count():
    """The streams of events and of entries share the count."""
    sentry = shops(STEADY)
    output = read(sentry, "project_events", "project_event_entries")

    for stream in ("project_events", "project_event_entries"):
        assert_whole(sentry, output, stream)
    assert len(asked(sentry, STATS)) == 1


@pytest.mark.parametrize("pages", [1, 4, 5])
def test_a_short_project_is_not_counted(pages):
    """A list that ends with its fourth page is neither counted nor cut."""
    sentry = shops(range(MINUTE, MINUTE + 2 * pages * HOUR, HOUR))
    assert_whole(sentry, read(sentry))

    assert len(asked(sentry, STATS)) == (pages > 4)
    # What is left begins with the second that was read last.
    assert len(asked(sentry)) == pages + (pages > 4)


def test_a_server_that_answers_one_request_at_a_time_is_asked_as_before():
    """Slices cost requests, which is in vain where none are in flight together."""
    limit = {EVENTS: Limit(limit=1000, window=60, concurrent=1)}
    sentry, plain = shops(STEADY, rate_limits=limit), shops(STEADY)
    output = read(sentry, events_by="project")
    read(plain, concurrency=1)

    assert_whole(sentry, output)
    assert [r.params for r in asked(sentry)] == [r.params for r in asked(plain)]
    assert not asked(sentry, STATS)
    assert (sentry.concurrency[EVENTS], sentry.refused) == (1, 0)


def test_long_issues_are_read_in_slices():
    """Several issues with more than 32 pages are read in slices, without a count."""
    ages = [range(MINUTE + shop, 60 * 600, 600) for shop in range(2)]
    ages.append(range(MINUTE, MINUTE + 10 * 600, 600))
    ages.append(range(MINUTE, MINUTE + 110 * 600, 600))
    sentry = shops(*ages, latency=0.003)
    sentry.order = None
    output = read(sentry, "issue_events")

    assert_whole(sentry, output, "issue_events")
    assert is_sliced(sentry, ISSUE_EVENTS)
    assert not asked(sentry, STATS)
    pages = sum(-(-len(mine) // 2) for mine in ages)
    assert len(asked(sentry, ISSUE_EVENTS)) <= 1.3 * pages
    plain = shops(*ages)
    plain.order = None
    assert lines(output) == lines(read(plain, "issue_events", concurrency=1))


# Histories of all kinds ---------------------------------------------------------------

AGES = {
    "a burst of minutes": [80 * DAYS + 2 * n for n in range(120)],
    "bursts": [10 * DAYS * (n % 9) + MINUTE + n for n in range(120)],
    "a hot second at the top": [MINUTE] * 20 + [HOUR * n for n in range(1, 90)],
    "a hot second": [HOUR * n for n in range(1, 90)] + [HOUR * 40] * 20,
    "hot seconds": [HOUR + n // 11 for n in range(120)],
    "a hot second alone": [HOUR] * 120,
    "a hot second at the end": [HOUR * n for n in range(1, 90)] + [HOUR * 90] * 20,
    "a quiet month": [*range(MINUTE, 9000, 90), *range(50 * DAYS, 50 * DAYS + 900, 30)],
    "older than the count": [MINUTE + DAYS * n for n in range(120)],
}


@pytest.mark.parametrize("stream", ["project_events", "issue_events"])
@pytest.mark.parametrize("flavour", ["saas", "self-hosted-24", "self-hosted-9"])
@pytest.mark.parametrize("ages", AGES.values(), ids=AGES)
def test_any_history_is_read_whole(ages, flavour, stream):
    """Bursts, hot seconds and quiet weeks arrive whole and in order."""
    sentry = shops(ages, flavour=flavour)
    if max(ages) > 90 * DAYS:
        sentry.flavour = replace(sentry.flavour, retention=None)
    output = read(sentry, stream, start_date="2026-01-01")

    assert output.code == 0
    assert sorted(output.keys(stream)) == sorted(sentry.truth(stream))
    assert len(asked(sentry)) <= 2.5 * 60


@pytest.mark.parametrize("stream", ["project_events", "issue_events"])
@pytest.mark.parametrize("dates", [True, False])
@pytest.mark.parametrize("together", [1, 3, 5])
def test_cursors_in_time_are_read_whole(stream, dates, together):
    """Slices begin with whole seconds, also where a page ends within one.

    Such a list is left where a page ends between events of one millisecond.
    """
    sentry = shops(HOUR + n // together * 0.3 for n in range(120))
    sentry.flavour = replace(
        FLAVOURS["saas"],
        value_cursors=True,
        precision="milliseconds",
        event_dates=dates,
        issue_event_dates=dates,
    )
    sentry.fault(404, times=None, when=lambda r: r.template == STATS)
    assert_whole(sentry, read(sentry, stream, full_events=True), stream)


# Servers that differ ------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9", "glitchtip"])
@pytest.mark.parametrize(
    "ages", [STEADY, AGES["a hot second at the top"], AGES["bursts"]]
)
def test_a_server_that_ignores_dates_goes_on(flavour, ages):
    """Where a slice has the rows of the list's top, the list that was left goes on."""
    slow, fast = (shops(ages, flavour=flavour) for _ in range(2))
    one, many = read(slow, concurrency=1), read(fast)

    assert_whole(fast, many)
    assert lines(many) == lines(one)
    assert many.state == one.state
    # A slice, its count by hour, and the count by day for the audit.
    assert len(asked(fast)) + len(asked(fast, STATS)) <= len(asked(slow)) + 3


def test_a_server_that_ignores_dates_shows_it_once():
    """After one slice, no other project is cut, and none is counted for slices."""
    ages = [range(MINUTE + shop, 60 * 600, 600) for shop in range(6)]
    slow, fast = (
        shops(*ages, flavour="self-hosted-24", latency=0.002) for _ in range(2)
    )
    read(slow, concurrency=1)
    assert_whole(fast, read(fast))

    # A slice of the list that is read, and of the first one that is left; their counts
    # by hour, and those by day for the audit.
    assert len(asked(fast)) <= len(asked(slow)) + 2
    assert len(asked(fast, STATS)) <= 2 + len(ages)


@pytest.mark.parametrize(
    "fault",
    [
        (404, {}),
        (403, {}),
        (500, {}),
        (400, {}),
        ("html", {}),
        ("not_a_list", {}),
        ("reset", {}),
        ("truncated", {}),
    ],
    ids=lambda fault: str(fault[0]),
)
def test_a_server_that_does_not_count_is_read_in_guessed_slices(fault):
    """Without a count, each project is read whole, after one request for the count.

    A web page shows that no project is counted; the request for the count of the next
    one may be on its way then.
    """
    kind, details = fault
    sentry = shops(STEADY, [HOUR * n for n in range(1, 90)])
    sentry.fault(kind, times=None, when=lambda r: r.template == STATS, **details)
    with sentry.served():
        config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": 8}
        output = run(config, catalog_of("project_events"))

    assert_whole(sentry, output)
    assert is_sliced(sentry)
    closed = 20 if kind == "reset" else 0
    least = 1 if kind == "html" else 2
    assert least <= len(asked(sentry, STATS)) <= 2 + 2 * closed


def test_a_count_of_nothing_is_no_count():
    """Slices are cut again where a server counts none of the rows that it has."""
    sentry = shops(STEADY)
    empty = [[NOW.timestamp() // HOUR * HOUR, 0]]
    sentry.fault(
        "not_a_list", body=empty, times=None, when=lambda r: r.template == STATS
    )
    assert_whole(sentry, read(sentry))

    assert is_sliced(sentry)


# What is no longer kept ---------------------------------------------------------------

OLD = [DAYS * day + 2 * HOUR + 30 * n for day in range(1, 80) for n in range(4)]
MONTH = timedelta(days=30)


@pytest.fixture(autouse=True)
def _without_audit(monkeypatch):
    """Leave out the audit, which asks for further counts and has tests of its own."""
    monkeypatch.setattr(EventsOfProjects, "_check", lambda *_, **__: iter(()))


@pytest.mark.parametrize("refusal", [None, (MONTH, 400), (MONTH, 500)])
def test_no_slice_is_older_than_what_is_kept(refusal, caplog):
    """Sentry fails where it keeps no part of a window, so no slice is such a one."""
    sentry = shops(OLD, refusal=refusal)
    sentry.flavour = replace(FLAVOURS["saas"], retention=MONTH)
    output = read(sentry)

    assert output.code == 0
    assert sorted(output.keys("project_events")) == sorted(
        sentry.truth("project_events", NOW - MONTH)
    )
    assert not older_than(sentry, MONTH)
    assert is_sliced(sentry)
    assert not told(caplog, "skipped")


@pytest.mark.parametrize("days", [7, 14, 30])
@pytest.mark.parametrize("is_counted", [False, True])
@pytest.mark.parametrize("status", [400, 500])
def test_slices_that_are_no_longer_kept_are_read_with_the_rest(
    days, is_counted, status, caplog
):
    """A server that counts what it no longer keeps, or not at all, is read whole."""
    sentry = shops(OLD)
    period = timedelta(days=days)
    sentry.flavour = replace(FLAVOURS["saas"], retention=period)
    end = iso(NOW - period, "seconds")
    if status == 400:
        sentry.fault(
            400,
            times=None,
            when=lambda r: r.template == EVENTS and r.params["end"][0] <= end,
        )
    if not is_counted:
        sentry.fault(404, times=None, when=lambda r: r.template == STATS)
    output = read(sentry)

    assert output.code == 0
    assert sorted(output.keys("project_events")) == sorted(
        sentry.truth("project_events", NOW - period)
    )
    assert not told(caplog, "skipped")
    entry = output.state["bookmarks"]["project_events"]["by_id"]
    assert [one["bookmark"] for one in entry.values()] == [iso(NOW, "seconds")]


# Faults -------------------------------------------------------------------------------


def in_slices(number=3):
    """Return a predicate for requests for a slice that is not the first."""
    first = iso(NOW, "seconds")
    seen = []

    def is_later(request):
        if request.template != EVENTS or request.params["end"][0] == first:
            return False
        if request.params["end"][0] not in seen:
            seen.append(request.params["end"][0])
        return seen.index(request.params["end"][0]) >= number

    return is_later


@pytest.mark.parametrize("kind", [500, 502, 400, 403, 404, "html"])
def test_a_slice_that_fails_for_good_is_said(kind, caplog):
    """The project is skipped with a warning, and the next run reads what is left."""
    caplog.set_level(logging.WARNING)
    sentry = shops(STEADY, STEADY)
    fails = in_slices()
    sentry.fault(kind, times=None, when=lambda r: "shop-0" in r.path and fails(r))
    first = read(sentry)

    shop, other = (sentry.project(f"shop-{number}").id for number in (0, 1))
    assert told(caplog, "project_events", "skipped")
    entries = first.state["bookmarks"]["project_events"]["by_id"]
    assert entries[other] == {"bookmark": iso(NOW, "seconds"), "scan": None}
    assert "bookmark" not in entries[shop]
    (scan,) = entries[shop]["scan"]
    assert scan["at"]

    sentry.faults.clear()
    second = read(sentry, state=first.state)
    keys = [*first.keys("project_events"), *second.keys("project_events")]
    assert {*keys} == sentry.truth("project_events")
    assert len(keys) - len({*keys}) <= 4
    assert second.code == 0


@pytest.mark.parametrize("kind", [500, 429, 502, "reset", "truncated", "html"])
def test_a_fault_that_passes_costs_nothing(kind):
    """Faults in slices that pass leave no trace in the output."""
    sentry = shops(STEADY, latency=0.001)
    sentry.fault(kind, times=4, after=6, when=lambda r: r.template == EVENTS)
    with sentry.served():
        config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": 8}
        output = run(config, catalog_of("project_events"))

    assert_whole(sentry, output)
    assert lines(output) == lines(read(shops(STEADY), concurrency=1))


@pytest.mark.parametrize("seconds", [None, 5])
def test_pages_that_are_too_large_are_smaller_in_all_slices(seconds, monkeypatch):
    """A size that fails in one slice is requested by no later one."""
    monkeypatch.setattr(SentryClient, "timeout", (5, 0.3))
    sentry = shops([MINUTE * n for n in range(1, 1200)], page_size=None)
    details = {"rows": 30} | ({"seconds": seconds} if seconds else {})
    sentry.fault("slow_large", times=None, **details)
    with sentry.served():
        config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": 4}
        output = run(config, catalog_of("project_events"))

    assert_whole(sentry, output)
    large = [r for r in asked(sentry) if r.params["per_page"] == ["100"]]
    assert 0 < len(large) <= 8
    assert is_sliced(sentry)


@pytest.mark.parametrize("stream", ["project_events", "issue_events"])
def test_a_row_that_is_dated_outside_of_its_slice_changes_nothing(stream):
    """A row with a wrong date does not end the slices: none of them is left early."""
    sentry = shops([600 * n for n in range(1, 220)])
    wrong = [*sentry.project("shop-0").events][60]
    right, later = (
        iso(wrong.created + timedelta(hours=hours), "seconds").encode()
        for hours in (0, 20)
    )
    sentry.rewrite = lambda event, body: (
        body.replace(right, later) if event is wrong else body
    )
    output = read(sentry, stream)

    assert output.code == 0
    assert sorted(output.keys(stream)) == sorted(sentry.truth(stream))
    assert sum("/events/" in r.path for r in sentry.requests) <= 1.3 * 110


def test_a_row_that_is_dated_too_early_leaves_no_slice_out(monkeypatch):
    """The state stays above the slices that follow, whatever a row is dated."""
    monkeypatch.setattr("tap_sentry.sync.writer.STATE_SHARE", 0)
    monkeypatch.setattr("tap_sentry.sync.writer.STATE_SECONDS", math.inf)
    sentry = shops(STEADY)
    read(sentry)
    starts = sorted({r.params["start"][0] for r in asked(sentry)}, reverse=True)
    start = datetime.fromisoformat(starts[len(starts) // 2])
    events = [*sentry.project("shop-0").events]
    wrong = min((e for e in events if e.created >= start), key=lambda e: e.created)
    right, early = (
        iso(wrong.created - timedelta(hours=hours), "seconds").encode()
        for hours in (0, 5)
    )
    sentry.rewrite = lambda event, body: (
        body.replace(right, early) if event is wrong else body
    )
    output = read(sentry)

    written: set[str] = set()
    states = 0
    for message in output.messages:
        if message["type"] == "RECORD":
            written.add(message["record"]["eventID"])
        for entry in message.get("value", {"bookmarks": {}})["bookmarks"].values():
            for scan in [
                e["scan"][0] for e in entry["by_id"].values() if e.get("scan")
            ]:
                reached = datetime.fromisoformat(scan["at"])
                states += 1
                assert {e.id for e in events if e.created > reached} <= written
    assert states > 50


def test_an_empty_page_proves_nothing():
    """A server that ignores dates may begin with an empty page."""
    sentry = shops(STEADY, flavour="self-hosted-24")
    end = iso(NOW, "seconds")
    sentry.fault(
        "empty_page",
        when=lambda r: r.template == EVENTS and r.params["end"][0] != end,
    )
    output = read(sentry)

    assert_whole(sentry, output)
    assert len(asked(sentry)) <= 60 + 5


def test_a_list_that_is_left_at_two_places_is_cut_at_the_second():
    """A list that is requested again, now in smaller pages, has slices of its own.

    While the first project finds out what the server keeps, the list of the second has
    been left, and its slices are known.
    """
    sentry = shops([MINUTE], [600 * n for n in range(1, 900)], page_size=None)
    answer, beginning = sentry.answer, "2010-01-01T00:00:00Z"

    def slow(method, url, headers):
        time.sleep(0.2 * ("shop-0/events" in url))
        return answer(method, url, headers)

    sentry.answer = slow  # type: ignore[method-assign] # for this test
    sentry.fault(
        400,
        times=None,
        when=lambda r: "shop-0/e" in r.path and r.params["start"] == [beginning],
    )
    sentry.fault(
        "slow_large",
        times=None,
        rows=30,
        when=lambda r: "shop-1/e" in r.path and r.params["start"] != [beginning],
    )
    assert_whole(sentry, read(sentry))

    firsts = [
        r for r in asked(sentry) if "shop-1" in r.path and not r.params.get("cursor")
    ]
    tops = [r for r in firsts if r.params["end"] == [iso(NOW, "seconds")]]
    assert {r.params["per_page"][0] for r in tops} == {"100", "25"}


# Interruptions ------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(4, 70, 5))
def test_an_interrupted_run_goes_on_within_a_slice(after):
    """A run that breaks off goes on where it was: two pages are read again at most."""
    sentry = shops(STEADY, latency=0.001)
    sentry.fault(401, times=None, after=after, when=lambda r: r.template == EVENTS)
    first = read(sentry)
    sentry.faults.clear()
    sentry.requests.clear()
    second = read(sentry, state=first.state)

    keys, again = ({*output.keys("project_events")} for output in (first, second))
    assert (first.code, second.code) == (1 if after < 60 else first.code, 0)
    assert keys | again == sentry.truth("project_events")
    assert len(keys & again) <= 4
    if first.code:
        assert len(asked(sentry)) <= 1.4 * (120 - len(keys)) / 2 + 4


@pytest.mark.parametrize("after", range(8, 18))
def test_slices_of_one_page_count_as_read(after):
    """A run that breaks off after slices of a single row each does not repeat them."""
    sentry = shops(
        [MINUTE + n for n in range(8)] + [MINUTE + 9 + 5 * n for n in range(40)]
    )
    sentry.fault(404, times=None, when=lambda r: r.template == STATS)
    sentry.fault(401, times=None, after=after, when=lambda r: r.template == EVENTS)
    first = read(sentry)
    sentry.faults.clear()
    second = read(sentry, state=first.state)

    keys, again = ({*output.keys("project_events")} for output in (first, second))
    assert (first.code, second.code) == (1, 0)
    assert keys | again == sentry.truth("project_events")
    assert len(keys & again) <= 2


# Memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["project_events", "issue_events"])
def test_no_more_is_held_than_the_budget_allows(stream, monkeypatch):
    """Pages that are held or reserved exceed the budget by one list at most."""
    budgets: list[BufferBudget] = []
    most: Counter[str] = Counter()

    class Watched(BufferBudget):
        def __init__(self, concurrency):
            super().__init__(concurrency)
            self.max_pages = 12
            budgets.append(self)

        def watch(self):
            most["all"] = max(most["all"], self.pages + self.reserved)
            most["reserved"] = max(most["reserved"], self.reserved)
            assert self.reserved >= 0

        def hold(self, pages, size):
            super().hold(pages, size)
            self.watch()

        def reserve(self, pages):
            super().reserve(pages)
            self.watch()

    monkeypatch.setattr("tap_sentry.api.scheduler.BufferBudget", Watched)
    sentry = shops(*[[300 * n for n in range(1, 160)]] * 3, latency=0.001)
    assert_whole(sentry, read(sentry, stream), stream)

    # The list that is being read is requested in any case.
    assert 12 <= most["all"] <= 12 + 2 * 4
    assert most["reserved"] > 3
    assert [(one.pages, one.size, one.reserved) for one in budgets] == [(0, 0, 0)]


def test_a_scan_that_has_been_read_is_not_prefetched():
    """A plan whose list was read before its turn came ends, so that others go on."""
    sentry = shops(STEADY)
    config = {"auth_token": TOKEN, "api_url": sentry.url}
    stream = TapSentry(config=config).streams["issue_events"]
    assert isinstance(stream, WindowedStream)
    ids = {"organization_id": "1", "project_id": "2", "issue_id": "3"}
    scan = Scan(Window(NOW - timedelta(days=9), NOW), issue=3)
    before = [*itertools.islice(stream.scan_prefetches(ids, scan), 2)]
    stream.end_slices(ids, scan)

    assert before[0] is not None
    assert [*itertools.islice(stream.scan_prefetches(ids, scan), 2)] == []
    stream.forget_scans()
    assert [*itertools.islice(stream.scan_prefetches(ids, scan), 1)] != []
