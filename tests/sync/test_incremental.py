"""Consecutive runs: what they read, the state they leave and what they log."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import re
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from click.testing import CliRunner

from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.cli.command import TapCommand
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, Window
from tests.conftest import NOW, Output, catalog_of, run
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.data import Builder, Event, Feedback, generated

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

#: The streams that resume within a project, each with its date column.
SCANNED = {
    "project_events": "dateCreated",
    "project_event_entries": "dateCreated",
    "issue_events": "dateCreated",
    "issue_event_entries": "dateCreated",
    "project_feedback": "dateCreated",
}
COUNTS = ("organization_event_counts", "team_event_counts", "project_event_counts")
INCREMENTAL = ("project_issues", *SCANNED, *COUNTS)
EVENTS = [stream for stream in SCANNED if "event" in stream]
FLAVOURS = ["saas", "self-hosted-24", "self-hosted-9", "glitchtip"]
#: Servers that ignore dates in the list of a project's events.
UNDATED = FLAVOURS[1:]

PROJECT_EVENTS = r"projects/[^/]+/[^/]+/events/"
ISSUE_EVENTS = r"(organizations/[^/]+/)?issues/\d+/events/"
ISSUES = r"(organizations/[^/]+|projects/[^/]+/[^/]+)/issues/$"


def text(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(value):
    return datetime.fromisoformat(value)


class Clock:
    """The time of the server and of the tap."""

    now = NOW

    def __call__(self):
        return self.now

    def go(self, **duration):
        self.now += timedelta(**duration)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """Leave signals alone, and log warnings only.

    Capturing the log lines of hundreds of contexts would take longer than the runs.
    """
    monkeypatch.setattr("signal.signal", lambda *_: None)
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tap_sentry.tap.now", clock)
    return clock


@pytest.fixture
def serve(clock):
    """Start a simulated server: `serve(flavour, organizations=…, page_size=…)`."""
    with contextlib.ExitStack() as stack:

        def serve(flavour="saas", organizations=None, page_size=10):
            simulator = SentrySimulator(
                organizations, flavour=flavour, clock=clock, page_size=page_size
            )
            return stack.enter_context(simulator.patched())

        yield serve


@pytest.fixture
def small(serve):
    """Start a server with one organization and a number of empty projects."""

    def small(flavour="saas", projects=1, page_size=2):
        build = Builder(NOW, seed=3, kilobytes=0.1)
        organization = build.organization("acme", "Acme", ["code/attic"])
        team = build.team(organization, "ops")
        for number in range(projects):
            build.project(organization, f"shop-{number}", "python", [team], 1)
        return serve(flavour, [organization], page_size)

    return small


def tap(*streams, state=None, catalog=None, **settings):
    """Run the tap once."""
    config = {"auth_token": TOKEN, **settings}
    return run(config, catalog or catalog_of(*streams), state)


def states(output):
    return [m["value"] for m in output.messages if m["type"] == "STATE"]


def tidy(state):
    """Return a state without its nulls, as the tap loads it."""
    if not isinstance(state, dict):
        return state
    return {name: tidy(value) for name, value in state.items() if value is not None}


def entries(state, stream):
    return state["bookmarks"][stream]["by_id"]


def bookmarks(state):
    """Return the bookmarks of all streams except the event counts."""
    return {
        entry["bookmark"]
        for stream, found in state["bookmarks"].items()
        for entry in found.get("by_id", {}).values()
        if stream not in COUNTS
    }


def read(*outputs, stream):
    return {
        key
        for output in outputs
        if output.records(stream)
        for key in output.keys(stream)
    }


def fill(sentry, dates, project="shop-0", issue=None):
    """Add an event of one issue at each of these dates."""
    issue = issue or sentry.add_issue(project, "Error: one")
    return [sentry.add_event(project, issue, date, received=date) for date in dates]


# One upper bound ----------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_end_date_is_the_bound_of_all_and_the_bookmark(flavour, serve):
    sentry, end = serve(flavour), NOW - 5 * DAY

    output = tap(*SCANNED, end_date=text(end), start_date="25d")

    for stream, column in SCANNED.items():
        start = (NOW - 25 * DAY).replace(hour=0, minute=0, second=0)
        assert read(output, stream=stream) == sentry.truth(stream, start, end)
        assert all(moment(row[column]) < end for row in output.records(stream))
    assert output.code == 0
    if flavour != "glitchtip":
        assert bookmarks(output.state) == {text(end)}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_follows_an_end_date_is_read_by_the_next_run(flavour, serve):
    sentry = serve(flavour)

    first = tap(*SCANNED, "project_issues", end_date=text(NOW - 5 * DAY))
    second = tap(*SCANNED, "project_issues", state=first.state)

    for stream in (*SCANNED, "project_issues"):
        assert read(first, second, stream=stream) == sentry.truth(stream), stream


def test_the_bound_stands_still_while_the_clock_goes_on(clock, serve):
    sentry = serve()
    sentry.clock = lambda: clock.go(seconds=30) or clock.now

    output = tap(*SCANNED, "project_issues")

    assert clock.now > NOW + HOUR
    assert {asked["end"] for asked in sentry.asked(ISSUES)} == {text(NOW)}
    # After a page that ends within a second, a list continues from an earlier `end`.
    assert max(asked["end"] for asked in sentry.asked(PROJECT_EVENTS)) == text(NOW)
    assert max(asked["end"] for asked in sentry.asked(ISSUE_EVENTS)) == text(NOW)
    assert bookmarks(output.state) == {text(NOW)}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_report_is_one_day_and_leaves_the_bookmarks_alone(flavour, clock, serve):
    sentry = serve(flavour)
    former = tap(*INCREMENTAL).state
    clock.go(days=2)
    day = (NOW - 6 * DAY).replace(hour=0, minute=0, second=0)

    output = tap(*INCREMENTAL, state=former, report_date="2026-11-14")

    for stream in INCREMENTAL:
        assert read(output, stream=stream) == sentry.truth(stream, day, day + DAY)
    assert all(tidy(state) == tidy(former) for state in states(output))


def test_a_report_without_a_state_leaves_none(serve):
    serve()

    assert states(tap(*INCREMENTAL, report_date="2026-11-14")) == []


@pytest.mark.parametrize("streams", [("organizations",), ("projects", *INCREMENTAL)])
def test_the_state_is_the_last_line_whatever_was_read(streams, serve):
    """The last line is a STATE: Singer's target template drops one before a record."""
    serve()
    former = tap(*INCREMENTAL).state

    output = tap(*streams, state=former, report_date="2026-11-14")

    assert output.messages[-1]["type"] == "STATE"
    assert tidy(output.state) == tidy(former)


def test_single_issues_need_no_list_and_move_no_bookmark(clock, serve):
    sentry = serve()
    former = tap(*EVENTS).state
    clock.go(hours=3)
    issue = sentry.project("pump-station").issues[1]
    sentry.requests.clear()

    output = tap(
        "issue_events", "issue_event_entries", state=former, issue_ids=[issue.id]
    )

    assert {row["issue_id"] for row in output.records("issue_events")} == {issue.id}
    assert len(read(output, stream="issue_events")) == len(issue.events)
    assert sentry.asked(ISSUES) == []
    assert all(tidy(state) == tidy(former) for state in states(output))


# Bookmarks ----------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_bookmark_is_the_bound_of_the_complete_scan(flavour, serve):
    sentry = serve(flavour)

    output = tap(*INCREMENTAL)

    projects = {project.id for org in sentry.organizations for project in org.projects}
    missing = set()
    if flavour == "glitchtip":
        missing = {"project_feedback", "project_event_counts"}
    for stream in (*SCANNED, "project_issues"):
        if stream not in missing:
            found = entries(output.state, stream)
            assert found.keys() == projects
            assert all(not entry.get("scan") for entry in found.values())
    assert bookmarks(output.state) == {text(NOW)}
    assert missing.isdisjoint(output.state["bookmarks"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_wrong_dates_do_not_move_the_bookmark(flavour, clock, small):
    """Events that a wrong clock dates 2020 or 2031 do not move the bookmark."""
    sentry = small(flavour)
    issue = sentry.add_issue("shop-0", "Error: one")
    for year in (2020, 2026, 2031):
        date = NOW.replace(year=year) - 2 * HOUR
        sentry.add_event("shop-0", issue, date)

    first = tap(*EVENTS)
    clock.go(hours=3)
    added = fill(sentry, [clock.now - HOUR, clock.now - 2 * HOUR], issue=issue)
    second = tap(*EVENTS, state=first.state)

    assert bookmarks(first.state) == {text(NOW)}
    assert bookmarks(second.state) == {text(clock.now)}
    for stream in EVENTS:
        assert read(first, second, stream=stream) == sentry.truth(stream)
        assert len({row["dateCreated"] for row in second.records(stream)}) == len(added)


@pytest.mark.parametrize("stream", ["project_events", "issue_events"])
def test_a_scan_that_sentry_has_forgotten_the_rest_of_does_not_stay(stream, small):
    """A scan whose rest is older than Sentry keeps would always fail; it is dropped."""
    sentry = small()
    issue = sentry.add_issue("shop-0", "Error: one")
    fill(sentry, [NOW - n * DAY for n in (1, 40, 85)], issue=issue)
    scan = Scan(
        Window(BEGINNING, NOW - 2 * DAY),
        at=NOW - 91 * DAY,
        issue=int(issue.id) if stream == "issue_events" else None,
    )
    project = sentry.project("shop-0").id
    state = {"bookmarks": {stream: {"by_id": {project: {"scan": scan.to_state()}}}}}

    output = tap(stream, state=state)

    assert len(output.records(stream)) == 1
    assert tidy(entries(output.state, stream)[project]) == {"bookmark": text(NOW)}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_comes_late_within_the_lookback_arrives(flavour, clock, small):
    sentry = small(flavour)
    issue = sentry.add_issue("shop-0", "Error: one")
    fill(sentry, [NOW - n * HOUR for n in range(1, 9)], issue=issue)
    first = tap(*EVENTS)
    clock.go(seconds=20)
    late = sentry.add_event("shop-0", issue, NOW - timedelta(minutes=59))
    clock.go(hours=5)

    second = tap(*EVENTS, state=first.state)

    for stream in EVENTS:
        assert late.id in {key[2] for key in second.keys(stream)}


def test_the_lookback_is_a_setting(clock, small):
    sentry = small()
    fill(sentry, [NOW - n * HOUR for n in range(1, 9)])
    first = tap("project_events")
    clock.go(hours=1)

    second = tap("project_events", state=first.state, lookback="3h")

    assert len(second.records("project_events")) == 3
    assert sentry.asked(PROJECT_EVENTS)[-1]["start"] == text(NOW - 3 * HOUR)


def test_a_renamed_project_keeps_its_place(clock, small):
    sentry = small()
    fill(sentry, [NOW - n * HOUR for n in range(2, 9)])
    first = tap(*SCANNED, "project_issues", *COUNTS)
    sentry.rename_project("shop-0", "bazaar")
    clock.go(hours=1)
    fill(sentry, [clock.now - timedelta(minutes=5)], "bazaar")

    second = tap(*SCANNED, "project_issues", *COUNTS, state=first.state)

    assert len(second.records("project_events")) == 1
    assert entries(first.state, "project_events").keys() == (
        entries(second.state, "project_events").keys()
    )


def test_a_second_run_with_nothing_new_asks_once_for_each_project_and_stream(
    clock, serve
):
    organizations = generated(
        teams=20,
        projects=100,
        issues=300,
        events=1500,
        now=NOW - 2 * HOUR,
        full_kilobytes=0.5,
        oddities=False,
    )
    sentry = serve(organizations=organizations, page_size=None)
    first = tap(*INCREMENTAL)
    clock.go(minutes=10)
    sentry.requests.clear()

    second = tap(*INCREMENTAL, state=first.state)

    asked = Counter(request.path for request in sentry.requests)
    most = defaultdict(lambda: 1)
    # Two streams read the events of a project.
    most["events"] = 2
    # The issues of all projects share one path, and so do the counts of all teams.
    for organization in sentry.organizations:
        slug = organization.slug
        most[f"organizations/{slug}/issues/"] = len(organization.projects)
        most[f"organizations/{slug}/stats_v2/"] = 1 + len(organization.teams)
    for path, number in asked.items():
        kind = "events" if path.endswith("/events/") else path
        assert number <= most[kind], path
    assert sentry.asked(ISSUE_EVENTS) == []
    for asked in (*sentry.asked(PROJECT_EVENTS), *sentry.asked(ISSUES)):
        assert asked["start"] == text(NOW - HOUR)
    for stream in (*SCANNED, "project_issues"):
        assert second.records(stream) == []


def test_a_second_run_does_not_grow_with_releases_or_monitors(clock, serve):
    """By default, old releases, issues and monitors cost pages of their lists only."""
    asked = []
    for number in (100, 300):
        sentry = serve(
            organizations=generated(
                organizations=1,
                projects=3,
                issues=3 + number,
                events=400,
                now=NOW - 2 * HOUR,
                full_kilobytes=0.5,
                oddities=False,
            ),
            page_size=None,
        )
        sentry.old_releases = sentry.more_monitors = number
        default = run({"auth_token": TOKEN, "api_url": sentry.url})
        clock.go(minutes=10)
        sentry.requests.clear()
        run({"auth_token": TOKEN, "api_url": sentry.url}, state=default.state)
        # How often a missing list is requested depends on when the first answer comes.
        missing = sentry.flavour.missing
        templates = (request.template for request in sentry.requests)
        asked.append(Counter(name for name in templates if name not in missing))
        clock.go(minutes=-10)

    small, large = asked
    assert {template: large[template] - small[template] for template in large} == {
        template: 2 if template.endswith(("/releases/", "/monitors/")) else 0
        for template in large
    }


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_bodies_beyond_the_lookback_are_not_written_again(flavour, clock, serve):
    sentry = serve(flavour)
    first = tap(*SCANNED)
    clock.go(minutes=10)

    second = tap(*SCANNED, state=first.state)

    for stream, column in SCANNED.items():
        assert all(
            moment(row[column]) >= NOW - HOUR for row in second.records(stream)
        ), stream
    assert sentry.requests


# Issues -------------------------------------------------------------------------------


@pytest.fixture(params=FLAVOURS)
def resolved(request, clock, small):
    """Read an issue with old events, resolve it ten minutes later; return the state."""
    sentry = small(request.param)
    issue = sentry.add_issue("shop-0", "Error: one")
    fill(sentry, [NOW - 9 * DAY, NOW - 8 * DAY], issue=issue)
    first = tap("project_issues")
    assert [row["status"] for row in first.records("project_issues")] == ["unresolved"]
    clock.go(minutes=10)
    sentry.set_issue_status(issue, "resolved")
    return first.state


def test_a_change_of_status_arrives_after_issue_refresh(resolved, clock):
    state = resolved
    found = []
    for hours in (1, 12, 10, 2, 1):
        clock.go(hours=hours)
        output = tap("project_issues", state=state)
        found.append([row["status"] for row in output.records("project_issues")])
        state = output.state

    assert found == [[], [], [], ["resolved"], []]


def test_a_change_of_status_arrives_at_once_without_issue_refresh(resolved, clock):
    state = resolved
    for _ in range(2):
        clock.go(minutes=5)
        output = tap("project_issues", state=state, issue_refresh="0s")
        state = output.state
        assert [row["status"] for row in output.records("project_issues")] == [
            "resolved"
        ]


def test_a_sweep_that_was_cut_short_is_made_again(clock, small):
    sentry = small(projects=3)
    for number in range(3):
        fill(sentry, [NOW - 9 * DAY], f"shop-{number}")
    first = tap("project_issues")
    clock.go(days=2)
    sentry.fault(401, when=lambda request: "issues" in request.path, after=2)

    broken = tap("project_issues", state=first.state)
    clock.go(minutes=1)
    second = tap("project_issues", state=broken.state)
    clock.go(minutes=1)
    third = tap("project_issues", state=second.state)

    assert broken.code == 1
    found = [len(output.records("project_issues")) for output in (broken, second)]
    assert found == [2, 3]
    assert third.records("project_issues") == []


def test_a_sweep_that_missed_a_project_is_made_again(clock, small):
    """A sweep that missed a project is repeated in the next run, not a day later."""
    sentry = small(projects=3)
    for number in range(3):
        fill(sentry, [NOW - 9 * DAY], f"shop-{number}")
    first = tap("project_issues")
    clock.go(days=2)
    missed = sentry.project("shop-1").id
    sentry.fault(
        "short", times=ATTEMPTS, when=lambda r: missed in r.params.get("project", ())
    )

    broken = tap("project_issues", state=first.state)
    clock.go(minutes=1)
    second = tap("project_issues", state=broken.state)
    clock.go(minutes=1)
    third = tap("project_issues", state=second.state)

    assert broken.code == 0
    found = [len(output.records("project_issues")) for output in (broken, second)]
    assert found == [2, 3]
    assert third.records("project_issues") == []


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("child", ["issue_events", "issue_event_entries"])
def test_a_child_selected_later_starts_from_the_beginning(flavour, child, clock, serve):
    sentry = serve(flavour)
    first = tap("project_issues")
    clock.go(hours=2)

    second = tap("project_issues", child, state=first.state)

    assert read(second, stream=child) == sentry.truth(child)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_last_seen_does_not_leave_out_an_issue_with_newer_events(flavour, clock, small):
    sentry = small(flavour)
    stale = sentry.add_issue("shop-0", "Error: stale")
    fill(sentry, [NOW - 9 * DAY], issue=stale)
    stale.last_seen = NOW - 9 * DAY
    for number in range(5):
        issue = sentry.add_issue("shop-0", f"Error: {number}")
        fill(sentry, [NOW - DAY - number * HOUR], issue=issue)
    first = tap("issue_events")
    clock.go(hours=5)
    added = sentry.add_event("shop-0", stale, clock.now - HOUR)
    stale.last_seen = NOW - 9 * DAY

    second = tap("issue_events", state=first.state)

    assert added.id in {key[2] for key in second.keys("issue_events")}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_issues_of_a_past_window_are_found_below_newer_ones(flavour, small):
    """Old servers list all issues, so whole pages may be newer than the window."""
    sentry = small(flavour)
    for number in range(8):
        issue = sentry.add_issue("shop-0", f"Error: {number}")
        fill(sentry, [NOW - number * DAY - HOUR], issue=issue)

    output = tap("project_issues", report_date="2026-11-15")

    start = (NOW - 5 * DAY).replace(hour=0, minute=0, second=0)
    assert read(output, stream="project_issues") == sentry.truth(
        "project_issues", start, start + DAY
    )
    assert output.records("project_issues")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("step", "page", "late"),
    [(DAY, 2, HOUR / 2), (HOUR / 12, 3, HOUR / 4 + HOUR / 24)],
    ids=["to the top", "to the middle"],
)
def test_an_issue_that_moves_up_while_the_list_is_read_is_not_lost(  # noqa: PLR0913, PLR0917 - three values and three fixtures
    flavour, step, page, late, clock, small
):
    """An issue that a new event moves up to a page already read is not lost.

    It moves to the place of the date of that event, which may be late.
    """
    sentry = small(flavour)
    for number in range(8):
        issue = sentry.add_issue("shop-0", f"Error: {number}")
        newest = NOW - (number + 1) * step
        fill(sentry, [newest - (number == 7) * 5 * HOUR, NOW - 9 * DAY], issue=issue)
    moving, answer = issue, sentry.answer
    pages = itertools.count(1)
    added: list[Event] = []

    def answered(method, url, headers):
        if "/issues/?" in url and not added and next(pages) == page:
            added.append(sentry.add_event("shop-0", moving, NOW - late))
        return answer(method, url, headers)

    sentry.answer = answered
    first = tap("project_issues", "issue_events", concurrency=1)
    clock.go(hours=2)
    second = tap("project_issues", "issue_events", state=first.state)

    assert added
    for stream in ("project_issues", "issue_events"):
        assert read(first, second, stream=stream) == sentry.truth(stream)


# Counts -------------------------------------------------------------------------------


def stamps(output, stream, stat="received"):
    return [r["timestamp"] for r in output.records(stream) if r["stat"] == stat]


@pytest.mark.parametrize("flavour", FLAVOURS[:3])
@pytest.mark.parametrize(("resolution", "bucket"), [("1d", DAY), ("1h", HOUR)])
def test_the_newest_two_buckets_are_read_again(
    flavour, resolution, bucket, clock, serve
):
    sentry = serve(flavour)
    settings = {"stats_resolution": resolution, "start_date": "3d"}
    first = tap(*COUNTS, **settings)
    clock.go(minutes=5)
    sentry.add_event("pump-station")

    second = tap(*COUNTS, state=first.state, **settings)

    floor = NOW.replace(minute=0, second=0, hour=0 if bucket == DAY else NOW.hour)
    for stream in COUNTS:
        # Old servers count only `generated` events for teams.
        stat = second.records(stream)[0]["stat"]
        assert set(stamps(second, stream, stat)) == {text(floor - bucket), text(floor)}
    changed = [
        row["count"]
        for output in (first, second)
        for row in output.records("project_event_counts")
        if row["timestamp"] == text(floor)
        and row["project_id"] == sentry.project("pump-station").id
    ]
    assert changed[1] == changed[0] + 1


def test_counts_have_a_bookmark_for_each_stat_and_resolution(clock, serve):
    sentry = serve()
    state = tap(*COUNTS, start_date="5d", stats=["received"]).state
    clock.go(minutes=5)

    more = tap(*COUNTS, start_date="5d", stats=["received", "rejected"], state=state)
    hours = tap(
        "project_event_counts",
        start_date="5d",
        stats=["received"],
        stats_resolution="1h",
        state=more.state,
    )

    start = (NOW - 5 * DAY).replace(hour=0, minute=0, second=0)
    for stream in COUNTS:
        assert len(set(stamps(more, stream))) == 2
        assert len(set(stamps(more, stream, "rejected"))) == 6
    assert read(hours, stream="project_event_counts") == sentry.truth(
        "project_event_counts", start, resolution="1h"
    )
    found = next(iter(entries(hours.state, "project_event_counts").values()))
    assert found.keys() == {"received.1d", "rejected.1d", "received.1h"}


def test_a_long_window_of_counts_is_cut(serve):
    sentry = serve()
    start = (NOW - 60 * DAY).replace(hour=0, minute=0, second=0)

    output = tap(*COUNTS, start_date="60d", stats_resolution="1h")

    for stream in COUNTS:
        truth = sentry.truth(stream, start, resolution="1h")
        assert read(output, stream=stream) == truth
    pump = f"{sentry.project('pump-station').organization.slug}/stats_v2/"
    spans = [
        (moment(asked["end"]) - moment(asked["start"])) / HOUR
        for asked in sentry.asked(f"organizations/{pump}")
        if "project" not in asked
    ]
    assert len(spans) == 2
    assert max(spans) <= 1000


# Servers that ignore dates ------------------------------------------------------------


@pytest.mark.parametrize("flavour", UNDATED)
@pytest.mark.parametrize("stream", ["project_events", "project_event_entries"])
def test_a_list_without_dates_is_read_just_as_far_as_needed(flavour, stream, small):
    """Two pages of the window are read, and one page that is older than the window."""
    sentry = small(flavour)
    dates = [NOW - n * HOUR for n in range(1, 21)]
    fill(sentry, dates)
    start = NOW - 4.5 * HOUR

    output = tap(stream, start_date=text(start), concurrency=1)

    assert read(output, stream=stream) == sentry.truth(stream, start)
    assert len(sentry.asked(PROJECT_EVENTS)) == 3


@pytest.mark.parametrize("flavour", UNDATED)
@pytest.mark.parametrize("stream", ["project_events", "project_event_entries"])
def test_a_past_window_is_read_from_the_top_to_its_end(flavour, stream, small):
    sentry = small(flavour)
    fill(sentry, [NOW - n * HOUR for n in range(1, 21)])
    start, end = NOW - 9.5 * HOUR, NOW - 6.5 * HOUR

    output = tap(stream, start_date=text(start), end_date=text(end), concurrency=1)

    assert read(output, stream=stream) == sentry.truth(stream, start, end)
    # Rows 1 to 9, newer than the window or in it, take five pages; one more is older.
    assert len(sentry.asked(PROJECT_EVENTS)) == 6


@pytest.mark.parametrize("flavour", UNDATED)
def test_older_rows_that_came_late_are_not_the_end(flavour, small):
    """GlitchTip orders by arrival: a page of old rows that came late is not the end."""
    sentry = small(flavour)
    issue = sentry.add_issue("shop-0", "Error: one")
    for number in range(1, 9):
        fill(sentry, [NOW - number * HOUR], issue=issue)
        for minute in range(3):
            received = NOW - number * HOUR - timedelta(minutes=minute + 1)
            sentry.add_event("shop-0", issue, NOW - 30 * DAY, received=received)

    output = tap(*EVENTS, start_date=text(NOW - DAY))

    for stream in EVENTS:
        assert read(output, stream=stream) == sentry.truth(stream, NOW - DAY)


@pytest.mark.parametrize("flavour", FLAVOURS[:3])
def test_feedback_is_read_just_as_far_as_needed(flavour, small):
    sentry = small(flavour)
    issue = sentry.add_issue("shop-0", "Error: one")
    project = sentry.project("shop-0")
    for number in range(1, 21):
        created = NOW - number * HOUR
        project.feedback.append(
            Feedback(
                id=str(number),
                event_id="0" * 32,
                created=created,
                comments="",
                issue=issue,
            )
        )

    output = tap("project_feedback", start_date=text(NOW - 4.5 * HOUR), concurrency=1)

    assert {row["id"] for row in output.records("project_feedback")} == set("1234")
    assert len(sentry.asked(r"projects/[^/]+/[^/]+/user-feedback/")) == 3


# Selections, catalogs, and states from elsewhere --------------------------------------


def test_the_state_of_one_selection_works_with_another(clock, serve):
    sentry = serve()
    outputs = []
    state = None
    for streams in (
        ("project_events", "project_event_counts"),
        ("issue_events", "project_issues"),
        INCREMENTAL,
        ("project_feedback",),
        INCREMENTAL,
    ):
        outputs.append(tap(*streams, state=state))
        former, state = state, outputs[-1].state
        if former:
            assert former["bookmarks"].keys() <= state["bookmarks"].keys()
        clock.go(hours=2)
        fill(sentry, [clock.now - HOUR / 2], "pump-station")

    for stream in (*SCANNED, "project_issues"):
        end = clock.now - 2 * HOUR
        assert read(*outputs, stream=stream) == sentry.truth(stream, end=end)
    assert bookmarks(state) == {text(clock.now - 2 * HOUR)}


def test_a_catalog_can_force_full_tables(clock, serve):
    sentry = serve()
    former = tap(*INCREMENTAL).state
    clock.go(hours=2)
    catalog = catalog_of(*INCREMENTAL)
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] in INCREMENTAL:
            entry["replication_method"] = "FULL_TABLE"
            for item in entry["metadata"]:
                if not item["breadcrumb"]:
                    item["metadata"]["forced-replication-method"] = "FULL_TABLE"

    output = tap(catalog=catalog, state=former)

    for stream in INCREMENTAL:
        assert read(output, stream=stream) == sentry.truth(stream), stream
    assert all(tidy(state) == tidy(former) for state in states(output))


@pytest.mark.parametrize("stream", ["project_feedback", "project_events"])
def test_a_cursor_that_is_refused_is_not_used_again(stream, small):
    """After a rejected cursor, a list is read from its top, not skipped for good."""
    sentry = small()
    fill(sentry, [NOW - n * DAY for n in (1, 2, 3)])
    scan = Scan(
        Window(NOW - 9 * DAY, NOW - timedelta(hours=1)), cursor="1794000000000:0:0"
    )
    project = sentry.project("shop-0").id
    state = {"bookmarks": {stream: {"by_id": {project: {"scan": scan.to_state()}}}}}
    sentry.fault(
        400,
        times=None,
        body={"detail": "Invalid cursor parameter."},
        when=lambda request: request.params.get("cursor") == [scan.cursor],
    )

    output = tap(stream, state=state)

    assert set(output.keys(stream)) == sentry.truth(stream)
    assert tidy(entries(output.state, stream)[project]) == {"bookmark": text(NOW)}


def test_a_catalog_can_call_every_stream_incremental(serve):
    """Meltano's `"*": {replication-method: INCREMENTAL}` works for every stream."""
    sentry = serve()
    catalog = catalog_of()
    for entry in catalog["streams"]:
        entry["replication_method"] = "INCREMENTAL"

    output = tap(catalog=catalog)

    assert output.code == 0
    for stream in ("organization_teams", "project_users", "project_events"):
        assert read(output, stream=stream) == sentry.truth(stream), stream


SDK_LAYOUT = {
    "partitions": [
        {
            "context": {"organization_id": "2", "project_id": "3"},
            "replication_key": "dateCreated",
            "replication_key_value": "2026-11-19T00:00:00Z",
        }
    ]
}
DAMAGED = {
    "null": (None, ""),
    "no bookmarks": ({"bookmarks": None}, "everything is read again"),
    "of another program": ({"version": 3}, "everything is read again"),
    "null streams": ({"bookmarks": dict.fromkeys(INCREMENTAL)}, ""),
    "null entries": (
        {"bookmarks": {s: {"by_id": dict.fromkeys("23456789")} for s in INCREMENTAL}},
        "",
    ),
    "unknown keys": (
        {
            "bookmarks": {
                "project_events": {"by_id": {"9": {"x": 1}}, "y": [2]},
                "an_old_stream": {"z": None},
            },
            "more": {},
        },
        "",
    ),
    "dates of no use": (
        {
            "bookmarks": {
                "project_events": {
                    "by_id": {
                        "9": {"bookmark": "0001-01-01T00:00:00Z"},
                        "8": {
                            "scan": [
                                {
                                    "start": "2026-11-01T00:00:00Z",
                                    "end": "2026-11-02T00:00:00Z",
                                    "at": "9999-12-31T23:59:59.999Z",
                                }
                            ]
                        },
                        "7": {
                            "scan": [
                                {
                                    "start": "0001-01-01T00:00:00Z",
                                    "end": "0001-01-02T00:00:00Z",
                                }
                            ]
                        },
                        "6": {"scan": [{"start": "x", "issue": float("inf")}]},
                    }
                }
            }
        },
        "",
    ),
    "usual layout": (
        {"bookmarks": dict.fromkeys(INCREMENTAL, SDK_LAYOUT)},
        "has another layout",
    ),
    "usual layout of whole streams": (
        {
            "bookmarks": {
                stream: {
                    "replication_key": "dateCreated",
                    "replication_key_value": "2026-11-19T00:00:00Z",
                }
                for stream in INCREMENTAL
            }
        },
        "has another layout",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_state_that_is_of_no_use_loses_nothing(damage, serve, caplog):
    sentry = serve()
    state, words = DAMAGED[damage]

    output = tap(*INCREMENTAL, state=state)

    for stream in INCREMENTAL:
        assert read(output, stream=stream) == sentry.truth(stream), stream
    assert output.code == 0
    assert words in caplog.text
    assert bookmarks(output.state) == {text(NOW)}


def test_bookmarks_in_the_future_are_told_and_lose_nothing(clock, serve, caplog):
    sentry = serve()
    clock.go(days=9)
    future = tap(*INCREMENTAL).state
    clock.now = NOW

    output = tap(*INCREMENTAL, state=future)

    for stream in INCREMENTAL:
        assert read(output, stream=stream) == sentry.truth(stream), stream
    assert "bookmark in the future" in caplog.text
    assert bookmarks(output.state) == {text(NOW)}


@pytest.mark.parametrize("content", ["", " \n", "{}"])
def test_an_empty_state_file_is_a_first_run(content, serve, tmp_path):
    sentry = serve()
    names = ("config", "catalog", "state")
    files = {name: tmp_path / f"{name}.json" for name in names}
    files["config"].write_text(json.dumps({"auth_token": TOKEN}))
    files["catalog"].write_text(json.dumps(catalog_of("project_events")))
    files["state"].write_text(content)
    arguments = [part for name in names for part in (f"--{name}", str(files[name]))]

    result = CliRunner().invoke(TapCommand.cli, arguments)

    assert result.exit_code == 0, result.output
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    found = Output(messages, result.exit_code)
    assert read(found, stream="project_events") == sentry.truth("project_events")


# STATE lines --------------------------------------------------------------------------


@pytest.fixture
def unhurried(monkeypatch):
    """Make STATE lines due by bytes alone, also on a slow machine."""
    monkeypatch.setattr("tap_sentry.sync.writer.STATE_SECONDS", 1e9)


def lines(output):
    """Return the messages as lines of JSON."""
    return [
        json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        for message in output.messages
    ]


def test_a_state_is_due_after_each_page(monkeypatch, small):
    """With a `STATE_SHARE` of 0, a STATE follows each page and records its progress."""
    monkeypatch.setattr("tap_sentry.sync.writer.STATE_SHARE", 0)
    sentry = small()
    fill(sentry, [NOW - n * HOUR for n in range(1, 10)])

    output = tap("project_events")

    reached, places = None, []
    for message in output.messages:
        if message["type"] == "RECORD":
            reached = message["record"]["dateCreated"]
        elif reached:
            (entry,) = entries(message["value"], "project_events").values()
            places.append((entry["scan"] or [{"at": None}])[0]["at"])
            if places[-1]:
                assert places[-1] == reached
    assert [place is None for place in places] == [False] * 4 + [True]


@pytest.mark.usefixtures("unhurried")
def test_state_lines_are_far_apart(serve):
    serve()

    output = tap(*INCREMENTAL)

    sizes = [
        (message["type"], len(line))
        for message, line in zip(output.messages, lines(output), strict=True)
    ]
    at = [index for index, (kind, _) in enumerate(sizes) if kind == "STATE"]
    assert len(at) > 5
    # The last STATE is always written. The tap's count includes the whitespace that
    # Sentry sends in rows; this one does not.
    for first, second in list(pairwise(at))[:-1]:
        between = sum(size for _, size in sizes[first + 1 : second])
        assert between >= 36 * sizes[first][1]


@pytest.mark.usefixtures("unhurried")
def test_the_state_grows_with_the_projects_and_with_nothing_else():
    """STATE bytes and run time grow linearly; the time is given a wide margin."""
    found = {}
    for number in (100, 300, 1000):
        organizations = generated(
            organizations=1,
            teams=1,
            projects=number,
            issues=number,
            events=4 * number,
            now=NOW,
            full_kilobytes=0.1,
            oddities=False,
        )
        with SentrySimulator(organizations, clock=lambda: NOW).patched():
            started = time.process_time()
            output = tap("project_events")
            seconds = time.process_time() - started
        sizes = list(zip(output.messages, map(len, lines(output)), strict=True))
        state = [size for message, size in sizes if message["type"] == "STATE"]
        every = sum(size for _, size in sizes)
        found[number] = state[-1] / number, sum(state) / every, seconds / number
        print(  # noqa: T201 - with `pytest -s`
            f"{number} projects: STATE {state[-1] / number:.1f} bytes a project, "
            f"{len(state)} lines, {100 * sum(state) / every:.1f} % of the bytes, "
            f"{1000 * seconds / number:.2f} ms a project"
        )

    for share in (share for _, share, _ in found.values()):
        assert share <= 0.05
    assert found[1000][0] <= min(60, 1.1 * found[100][0])
    assert found[1000][2] <= 3 * found[100][2]


def test_the_state_does_not_grow_with_events_or_issues():
    sizes = []
    for number in (1, 10):
        organizations = generated(
            organizations=1,
            projects=5,
            issues=10 * number,
            events=100 * number,
            now=NOW,
            full_kilobytes=0.1,
            oddities=False,
        )
        with SentrySimulator(organizations, clock=lambda: NOW).patched():
            output = tap(*INCREMENTAL)
        sizes.append(len(json.dumps(output.state)))

    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_identical_runs_have_identical_output(flavour, serve):
    serve(flavour).order = None

    first, second, alone = (
        tap(*INCREMENTAL, concurrency=number) for number in (8, 8, 1)
    )

    assert lines(first)[-1] == lines(second)[-1] == lines(alone)[-1]
    records = [
        [m["record"] for m in output.messages if m["type"] == "RECORD"]
        for output in (first, second, alone)
    ]
    assert records[0] == records[1] == records[2]


# A start that is moved back -----------------------------------------------------------


def test_a_start_that_is_moved_back_is_said_once(serve, caplog):
    """The state wins over an earlier start, and one log line names the streams."""
    caplog.set_level(logging.INFO)
    serve("saas")
    state = tap("project_events", "organization_event_counts", start_date="10d").state
    begin = text((NOW - 10 * DAY).replace(hour=0, minute=0, second=0))
    found = state["bookmarks"]
    assert {part["since"] for part in found.values()} == {begin}

    caplog.clear()
    later = tap(
        "project_events", "organization_event_counts", state=state, start_date="20d"
    )

    lines = [line for line in caplog.messages if "earlier than the first sync" in line]
    assert len(lines) == 1
    assert "project_events" in lines[0]
    assert "organization_event_counts" in lines[0]
    assert all(row["dateCreated"] > begin for row in later.records("project_events"))
    assert {part["since"] for part in later.state["bookmarks"].values()} == {begin}


@pytest.mark.parametrize("start", [{}, {"start_date": "10d"}, {"start_date": "5d"}])
def test_a_start_that_is_not_moved_back_is_not_mentioned(serve, caplog, start):
    """No line is logged, even if the state lacks the date of the first sync."""
    caplog.set_level(logging.INFO)
    serve("saas")
    state = tap("project_events", start_date="10d").state
    tap("project_events", state=state, **start)
    del state["bookmarks"]["project_events"]["since"]
    tap("project_events", state=state, start_date="20d")

    assert not any("earlier than the first sync" in line for line in caplog.messages)


def test_a_stream_without_its_entry_is_read_from_the_new_start(serve):
    """A stream without its entry is read from the new start, as syncing.md says."""
    sentry = serve("saas")
    state = tap("project_events", "project_feedback", start_date="10d").state
    del state["bookmarks"]["project_events"]
    output = tap("project_events", "project_feedback", state=state, start_date="30d")

    start = (NOW - 30 * DAY).replace(hour=0, minute=0, second=0)
    assert read(output, stream="project_events") == sentry.truth(
        "project_events", start
    )
    assert output.state["bookmarks"]["project_events"]["since"] == text(start)


@pytest.mark.parametrize("body", [{"detail": "Welcome to the proxy"}, None])
def test_a_list_that_looks_missing_keeps_its_bookmark(serve, body):
    """A later run reads all of a list that looked missing: it may have been a proxy."""
    sentry = serve("saas")
    for path in ("organizations/.*/issues/.*/events/", "issues/.*/events/"):
        sentry.fault(
            200 if body else 404,
            times=None,
            when=lambda seen, path=path: bool(re.fullmatch(path, seen.path)),
            **({"body": body} if body else {"empty": True}),
        )
    first = tap("issue_events")
    assert not first.records("issue_events")

    second_sentry = serve("saas")
    output = tap("issue_events", state=first.state)

    assert read(output, stream="issue_events") == second_sentry.truth("issue_events")
