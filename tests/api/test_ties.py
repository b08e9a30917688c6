"""No record is lost where two pages of a list meet within a second."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tap_sentry.api import ties
from tap_sentry.api.ties import Place
from tests import IS_SOAK, hot
from tests.conftest import NOW
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.data import Builder, Entries
from tests.soak import sync

#: The first seed; `make hot` uses other seeds.
FIRST = 100_000

TOP = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ago(seconds):
    return TOP - timedelta(seconds=seconds)


def next_place(place, dated, cursor, *, is_cut):
    """Call `ties.next_place` for a place that is not None."""
    assert place is not None
    return ties.next_place(place, dated, cursor, is_cut=is_cut)


def rows(*seconds):
    """Return rows numbered in order, each dated some seconds before `TOP`."""
    return [(number, ago(second)) for number, second in enumerate(seconds)]


# The whole tap ------------------------------------------------------------------------


def test_hot_issues_are_read_whole():
    """No event of hot issues is lost, even if runs break off; `make hot` reads 300."""
    figures = hot.try_out(20 if IS_SOAK else 6, first=FIRST)

    assert figures.events > 900 * figures.seeds
    assert (figures.lost, figures.twice) == (0, 0), figures.notes


def test_hot_seconds_cost_few_requests():
    """Hot seconds cost at most a tenth more requests where a page holds several.

    A second that fills more than a page is read until it is complete. Each response
    holds random rows of it, so two pages of such a second take about six requests.
    """
    figures = hot.Figures()
    for seed in range(8):
        hot.read(replace(hot.Case.of(seed), broken=None), figures)

    assert figures.share(100) <= hot.MOST
    assert figures.share(10) <= 2.5


def test_a_second_with_thousands_of_events_is_written_once():
    """A second with 2500 events is written once, though it is read many times."""
    sentry = crowded([1] * 50 + [2500] + [1] * 50, page_size=100)
    with sentry.patched():
        keys = sync(sentry, "issue_events").keys("issue_events")

    assert len(keys) == len(set(keys)) == 2600


@pytest.mark.parametrize(
    "change",
    [
        {"issue_event_dates": False},
        {"value_cursors": True, "precision": "milliseconds"},
        {
            "value_cursors": True,
            "precision": "milliseconds",
            "issue_event_dates": False,
        },
    ],
    ids=["no dates", "cursors in time", "cursors in time, no dates"],
)
def test_hot_issues_are_read_whole_from_other_servers(monkeypatch, change):
    """No event is lost on servers that ignore `end` or have dates in their cursors."""
    sentry = hot.Case.sentry

    def other(case):
        simulator = sentry(case)
        simulator.flavour = replace(simulator.flavour, **change)
        return simulator

    monkeypatch.setattr(hot.Case, "sentry", other)
    figures = hot.try_out(6, first=FIRST)

    assert (figures.lost, figures.twice) == (0, 0), figures.notes


def crowded(sizes, flavour="saas", page_size=10, projects=("shop",)):
    """Simulate projects with one issue each and `sizes[n]` events in second n."""
    build = Builder(NOW, seed=4, kilobytes=0.1)
    acme = build.organization("acme", "Acme", ["code/attic"])
    team = build.team(acme, "ops")
    entries = Entries([{"type": "message", "data": {}}])
    for slug in projects:
        project = build.project(acme, slug, "python", [team], 1)
        issue = build.issue(project, f"Error: {slug} is hot")
        build.file(
            build.event(
                project,
                issue,
                NOW - timedelta(hours=1, seconds=second),
                entries=entries,
            )
            for second, size in enumerate(sizes)
            for _ in range(size)
        )
    return SentrySimulator(
        [acme], flavour=flavour, clock=lambda: NOW, page_size=page_size
    )


@pytest.mark.parametrize("stream", ["issue_events", "project_events"])
def test_a_list_of_one_page_is_asked_for_once(stream):
    """A list of one page is requested once, even if seconds have several events."""
    sentry = crowded([5, 4, 1])
    with sentry.patched():
        sync(sentry, stream)

    assert len(sentry.asked(".*/events/")) == 1


def test_a_quiet_list_goes_on_by_its_cursors():
    """A list with one event per second is read by its cursors alone."""
    sentry = crowded([1] * 40)
    with sentry.patched():
        output = sync(sentry, "issue_events")

    assert len(output.records("issue_events")) == 40
    assert [query.get("cursor") for query in sentry.asked(".*/events/")] == [
        None,
        *("0:10:0", "0:20:0", "0:30:0"),
    ]


def test_a_page_that_ends_inside_a_second_is_followed_by_an_earlier_end():
    """The second in which a page ends is requested again, through an earlier `end`."""
    sentry = crowded([3, 3, 3, 3, 3])
    with sentry.patched():
        output = sync(sentry, "issue_events")

    last = NOW - timedelta(hours=1, seconds=3)
    assert len(output.keys("issue_events")) == len(set(output.keys("issue_events")))
    assert len(output.records("issue_events")) == 15
    assert [
        (query.get("cursor"), query["end"]) for query in sentry.asked(".*/events/")
    ] == [
        (None, "2026-11-20T12:30:15Z"),
        (None, (last + SECOND).strftime("%Y-%m-%dT%H:%M:%SZ")),
    ]


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9", "glitchtip"])
def test_a_server_that_ignores_dates_is_asked_for_an_end_once(flavour):
    """A server that ignores `end` is sent an earlier one at most once."""
    sentry = crowded([3] * 40, flavour, projects=("shop", "till"))
    with sentry.patched():
        output = sync(sentry, "project_events", concurrency=1)

    keys = output.keys("project_events")
    assert len(keys) == len(set(keys)) == 240
    ends = {query["end"] for query in sentry.asked("projects/.*/events/")}
    earlier = [
        query
        for query in sentry.asked("projects/.*/events/")
        if query["end"] < max(ends)
    ]
    assert len(earlier) == (flavour == "self-hosted-24")


def test_a_run_that_is_broken_off_in_a_hot_second_begins_with_it_again():
    """A run that breaks off in a hot second resumes at its start and loses nothing.

    Older events may have been written before the second was complete.
    """
    broken = lost = 0
    for after in range(2, 14):
        sentry = crowded([1, 1, 1, 1, 1, 1, 1, 20, 1, 1, 1, 1, 20, 1])
        sentry.order = after
        sentry.fault(401, times=1, after=after, when=lambda at: "/events/" in at.path)
        with sentry.patched():
            first = sync(sentry, "issue_events", concurrency=1)
            second = sync(sentry, "issue_events", concurrency=1, state=first.last_state)
        keys = {*first.keys("issue_events"), *second.keys("issue_events")}
        lost += len(sentry.project("shop").events) - len(keys)
        broken += first.code

    assert broken > 5
    assert lost == 0


def test_a_hot_second_at_the_start_of_the_window_is_read_whole():
    """A hot second at the start of the window is read completely.

    The next page has older events only, which ends the list of a server without dates.
    """
    sentry = crowded([1] * 10 + [20] + [1] * 30)
    sentry.flavour = replace(sentry.flavour, issue_event_dates=False)
    start = NOW - timedelta(hours=1, seconds=10)
    with sentry.patched():
        output = sync(
            sentry, "issue_events", start_date=start.strftime("%Y-%m-%dT%H:%M:%SZ")
        )

    assert len(set(output.keys("issue_events"))) == 30


def test_what_a_server_leaves_out_for_good_is_said(caplog, monkeypatch):
    """If opaque cursors prevent a second reading, the missing records are logged."""
    caplog.set_level("WARNING")
    monkeypatch.setattr(ties, "row_cursor", lambda *_: None)
    sentry = crowded([1, 1, 1, 1, 1, 1, 1, 20, 1, 1])
    sentry.flavour = replace(sentry.flavour, issue_event_dates=False)
    with sentry.patched():
        output = sync(sentry, "issue_events")

    lost = 29 - len(set(output.keys("issue_events")))
    assert lost > 0
    assert f"issue_events: {lost} records may be missing" in caplog.text


# One page -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "cursor", "is_cut", "expected"),
    [
        # Every second has the same number of rows.
        ((1, 2, 3), "0:3:0", True, Place("0:3:0")),
        ((1, 1, 2, 2), "0:4:0", True, Place("0:4:0")),
        # One second alone.
        ((1, 1, 1), "0:3:0", True, Place("0:3:0")),
        # The page ends inside a second.
        ((1, 1, 2), "0:3:0", True, Place(end=ago(1))),
        ((1, 2, 2), "100:1:0", True, Place(end=ago(1))),
        # The server ignores `end`.
        ((1, 2, 2), "0:3:0", False, Place("0:3:0")),
        # A time cursor at the start of an instant, and two within one.
        ((1, 2, 2), "1795176000000:0:0", True, Place("1795176000000:0:0")),
        ((1, 2, 2), "1795176000000:2:0", False, Place("1795176000000:2:0")),
        ((2, 2, 2), "1795176000000:3:0", False, Place("1795176000000:3:0")),
        # An opaque cursor; rows in another order; no rows; the last page.
        ((1, 2, 2), "eyJvIjogMX0=", True, Place("eyJvIjogMX0=")),
        ((2, 1, 1), "0:3:0", True, Place("0:3:0")),
        ((), "0:3:0", True, Place("0:3:0")),
        ((1, 2, 2), None, True, None),
    ],
)
def test_how_a_list_goes_on(seconds, cursor, is_cut, expected):
    """A list continues by its cursor or from the end of the page's last second."""
    assert next_place(Place(), rows(*seconds), cursor, is_cut=is_cut).place == expected


def test_a_row_that_comes_twice_has_its_second_read_again():
    """A repeated row means that another is missing, so its second is read again."""
    first = next_place(Place(), rows(1, 2, 3), "0:3:0", is_cut=True)
    second = next_place(
        first.place, [(2, ago(3)), (7, ago(4)), (8, ago(5))], "0:6:0", is_cut=True
    )

    assert (second.place.start, second.place.end) == (ago(3), ago(2))
    whole = next_place(second.place, [(2, ago(3)), (6, ago(3))], None, is_cut=True)
    assert (whole.place, whole.missed) == (Place("0:6:0"), 0)


def test_a_server_that_ignores_dates_is_read_from_a_row_before_the_second():
    """Without dates, a second is read again from the row before it, by row cursor."""
    first = next_place(Place(), rows(1, 2, 3, 3), "0:4:0", is_cut=False)
    second = next_place(
        first.place, [(3, ago(3)), (7, ago(4)), (8, ago(5))], "0:7:0", is_cut=False
    )

    assert second.place.cursor == "0:1:0"
    whole = next_place(
        second.place,
        [(1, ago(2)), (2, ago(3)), (3, ago(3)), (4, ago(3)), (7, ago(4))],
        "0:6:0",
        is_cut=False,
    )
    assert whole.place == Place("0:7:0")


def test_a_list_that_has_moved_on_is_not_read_again():
    """New rows at the top shift a list without a gap, so nothing is read again."""
    first = next_place(Place(), rows(1, 2, 3), "0:3:0", is_cut=False)
    second = next_place(
        first.place, [(1, ago(2)), (2, ago(3)), (3, ago(4))], "0:6:0", is_cut=False
    )

    assert second.place == Place("0:6:0")


def test_a_second_that_never_comes_whole_is_given_up():
    """After `FRUITLESS` readings a second is given up and its missing rows counted."""
    first = next_place(Place(), rows(1, 2, 3), "0:3:0", is_cut=True)
    step = next_place(first.place, [(2, ago(3)), (7, ago(4))], "0:5:0", is_cut=True)
    readings = 0
    while step.place != Place("0:5:0"):
        step = next_place(step.place, [(2, ago(3)), (2, ago(3))], None, is_cut=True)
        readings += 1

    assert (readings, step.missed) == (ties.FRUITLESS, 1)


@pytest.mark.parametrize(
    ("cursor", "kept"),
    [
        ("1795176000000:20:0", "1795176000000:0:0"),
        ("0:100:0", "0:100:0"),
        ("eyJvIjogMX0=", "eyJvIjogMX0="),
        (None, None),
    ],
)
def test_a_run_goes_on_at_the_first_row_of_an_instant(cursor, kept):
    """A run resumes at the first row of an instant.

    The state does not record which rows of the instant were read.
    """
    assert Place(cursor).kept_cursor == kept


def test_a_second_is_read_again_in_pages_of_another_size():
    """Each reading of a second has another page size.

    If the order of equal dates is stable, the same pages would hold the same rows.
    """
    sizes = [ties.page_size(100, Place(reading=reading)) for reading in range(7)]

    assert len(set(sizes)) == len(sizes)
    assert (sizes[0], min(sizes) > 50) == (100, True)
    assert [ties.page_size(1, Place(reading=reading)) for reading in (0, 3)] == [1, 1]


def test_a_second_is_as_large_as_its_last_reading():
    """A row that was deleted since the first reading does not count as missing."""
    first = next_place(Place(), rows(1, 2, 3), "0:3:0", is_cut=True)
    step = next_place(first.place, [(2, ago(3)), (7, ago(4))], "0:5:0", is_cut=True)
    step = next_place(step.place, [(2, ago(3))], None, is_cut=True)

    assert (step.place, step.missed) == (Place("0:5:0"), 0)


def test_the_simulator_orders_by_second():
    """Within a second, project events are ordered by id and issue events at random."""
    sentry = crowded([1, 6, 1], "self-hosted-24", page_size=100)
    issue = sentry.project("shop").issues[0]

    def asked(path):
        url = f"{sentry.url}/api/0/{path}"
        answer = sentry.answer("GET", url, {"Authorization": f"Bearer {TOKEN}"})
        return [row["eventID"] for row in json.loads(answer.body)]

    project, again = (asked("projects/acme/shop/events/") for _ in range(2))
    orders = [asked(f"issues/{issue.id}/events/") for _ in range(5)]

    assert project == again
    assert project[1:7] == sorted(project[1:7], reverse=True)
    assert len({*map(tuple, orders)}) == 5
    assert {order[0] for order in orders} == {project[0]}
    assert {frozenset(order[1:7]) for order in orders} == {frozenset(project[1:7])}
