"""The state alone: what a run plans from it, and what it writes to it."""

from __future__ import annotations

import copy
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from tap_sentry.sync.state import Bookmarks, Scan, load, plan
from tap_sentry.windows import BEGINNING, Window

HOUR = timedelta(hours=1)
LOGGER = logging.getLogger("tap-sentry")


def at(hour, minute=0, second=0, micro=0, day=20):
    """Return an instant of 2026-11-20, or of another day of that month."""
    return datetime(2026, 11, day, hour, minute, second, micro, tzinfo=UTC)


def text(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def planned(entry, end=None, start=None, lookback=HOUR):
    return plan(entry, start=start, end=end or at(12), lookback=lookback)


def windows(entry, **bounds):
    return [(scan.window.start, scan.window.end) for scan in planned(entry, **bounds)]


def merged(new, former):
    """Merge a state into a former one key by key, as Meltano 4.4 does."""
    for key, value in new.items():
        if isinstance(value, dict):
            merged(value, former.setdefault(key, {}))
        else:
            former[key] = value
    return former


class Book(Bookmarks):
    """The bookmarks of one state, with a count of their changes."""

    def __init__(self, bookmarks=None):
        self.all = {} if bookmarks is None else bookmarks
        self.changes = 0
        super().__init__(self.all, self._count)

    def _count(self):
        self.changes += 1

    def copy(self):
        return json.loads(json.dumps(self.all))


def entry_with(scan, **values):
    """Return an entry with a running scan, as the state keeps it."""
    book = Book({"events": {"by_id": {"1": values}}})
    book.progress("events", "1", scan)
    return json.loads(json.dumps(book.entry("events", "1")))


# What a run plans ---------------------------------------------------------------------


def test_without_a_bookmark_everything_is_read():
    assert windows({}) == [(BEGINNING, at(12))]


def test_without_a_bookmark_a_start_date_is_the_start():
    assert windows({}, start=at(3)) == [(at(3), at(12))]


def test_from_a_bookmark_the_lookback_is_read_again():
    assert windows({"bookmark": text(at(9))}) == [(at(8), at(12))]


def test_the_lookback_does_not_go_before_the_start_date():
    assert windows({"bookmark": text(at(9))}, start=at(8, 30)) == [(at(8, 30), at(12))]


def test_a_start_date_after_the_bookmark_is_the_start():
    assert windows({"bookmark": text(at(9))}, start=at(11)) == [(at(11), at(12))]


@pytest.mark.parametrize("bookmark", [at(12), at(13), at(12, day=29)])
def test_what_is_read_already_is_not_read_again(bookmark):
    assert windows({"bookmark": text(bookmark)}) == []


def test_a_run_that_ends_where_it_starts_reads_nothing():
    assert windows({}, start=at(12)) == []


def test_an_interrupted_scan_is_finished_before_a_new_one_starts():
    scan = Scan(Window(at(0), at(9)), at=at(5, 30, 10, 250_000))

    rest, new = planned(entry_with(scan))

    assert rest == scan
    assert rest.end == at(5, 30, 11)
    assert new == Scan(Window(at(8), at(12)))


def test_an_interrupted_scan_is_finished_beside_an_older_bookmark():
    scan = Scan(Window(at(7), at(9)), at=at(8))

    assert planned(entry_with(scan, bookmark=text(at(8)))) == [
        scan,
        Scan(Window(at(8), at(12))),
    ]


def test_an_interrupted_scan_that_ends_with_the_run_is_all_there_is_to_read():
    scan = Scan(Window(at(0), at(12)), issue=7)

    assert planned(entry_with(scan)) == [scan]


@pytest.mark.parametrize("bookmark", [at(9), at(10)])
def test_a_scan_that_ends_at_or_before_the_bookmark_is_over(bookmark):
    """A scan that came back because Meltano merges states is not read again."""
    entry = entry_with(Scan(Window(at(0), at(9)), at=at(2)), bookmark=text(bookmark))

    assert planned(entry) == [Scan(Window(bookmark - HOUR, at(12)))]


def test_a_scan_that_ends_after_the_run_is_left_alone():
    scan = Scan(Window(at(0), at(9)), at=at(5))

    assert planned(entry_with(scan), start=at(0), end=at(7)) == [
        Scan(Window(at(0), at(7)))
    ]


def test_a_scan_that_began_before_the_start_date_is_cut_at_it():
    scan = Scan(Window(at(0), at(9)), at=at(5))

    first, second = planned(entry_with(scan), start=at(3))

    assert (first.window.start, first.end) == (at(3), at(5, 0, 1))
    assert second.window == Window(at(8), at(12))


def test_a_scan_whose_rest_lies_before_the_start_date_is_given_up():
    """A scan is dropped once a moving start date, such as `10d`, has overtaken it."""
    scan = Scan(Window(at(0), at(9)), at=at(2))

    assert planned(entry_with(scan), start=at(4)) == [Scan(Window(at(8), at(12)))]


def test_an_issue_whose_rest_lies_before_the_start_date_is_done():
    """The issue counts as complete, and the scan continues with the next one."""
    scan = Scan(Window(at(0), at(9)), at=at(2), issue=7)

    assert planned(entry_with(scan), start=at(4)) == [
        Scan(Window(at(4), at(9)), issue=8, rows=None),
        Scan(Window(at(8), at(12))),
    ]


@pytest.mark.parametrize(("start", "rows"), [(at(0), 40), (at(1), None), (at(4), None)])
def test_the_rows_of_a_scan_are_not_known_once_its_window_is_shorter(start, rows):
    """What was written is counted only if all of it lies in the window."""
    scan = Scan(Window(at(0), at(9)), at=at(2), issue=7, rows=40)
    first, *_ = planned(entry_with(scan), start=start)

    assert first.rows == rows
    assert Scan.from_state(first.to_state()).rows == rows


def test_a_scan_of_a_whole_list_counts_only_what_is_left():
    """So it does not matter how much of what was written lies in a shorter window."""
    (first, *_) = planned(entry_with(Scan(Window(at(0), at(9)), at=at(5))), start=at(1))

    assert first.rows == 0
    assert "rows" not in first.to_state()[0]


def test_a_scan_that_lies_before_the_start_date_is_given_up():
    entry = entry_with(Scan(Window(at(0), at(9)), at=at(5)))

    assert planned(entry, start=at(10)) == [Scan(Window(at(10), at(12)))]


@pytest.mark.parametrize(
    "entry",
    [
        {"bookmark": None},
        {"bookmark": None, "scan": None},
        {"scan": None},
        {"bookmark": ""},
    ],
)
def test_nulls_are_as_good_as_nothing(entry):
    assert windows(entry) == [(BEGINNING, at(12))]


def test_a_plan_changes_nothing():
    entry = entry_with(Scan(Window(at(0), at(9)), at=at(5)), bookmark=text(at(1)))
    former = copy.deepcopy(entry)

    planned(entry)

    assert entry == former


# Progress of a scan -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reached", "end"),
    [
        (at(5), at(5, 0, 1)),
        (at(5, 0, 0, 1), at(5, 0, 1)),
        (at(5, 59, 59, 999_999), at(6)),
        (at(8, 59, 59, 500_000), at(9)),
        (at(11), at(9)),
        (None, at(9)),
    ],
)
def test_a_scan_goes_on_one_second_above_the_oldest_date(reached, end):
    """Ties of one second are read twice, not lost; `end` never exceeds the window."""
    assert Scan(Window(at(0), at(9)), at=reached).end == end


@pytest.mark.parametrize(
    "scan",
    [
        Scan(Window(at(0), at(9))),
        Scan(Window(at(0), at(9)), at=at(5, 0, 0, 123_456)),
        Scan(Window(at(0), at(9)), cursor="1763640000000:3:0"),
        Scan(Window(at(0), at(9)), issue=1889724436),
        Scan(Window(at(0), at(9)), at=at(5), issue=7),
    ],
)
def test_a_scan_survives_the_state(scan):
    assert planned(entry_with(scan))[0] == scan


def test_a_cursor_in_time_is_kept():
    scan = Scan(Window(at(0), at(9)), at=at(5), issue=7)

    kept = scan.resumable("1763640000000:3:0")

    assert kept == Scan(Window(at(0), at(9)), cursor="1763640000000:3:0", issue=7)


@pytest.mark.parametrize("cursor", ["0:100:0", "100:1:0"])
def test_a_cursor_that_counts_rows_gives_way_to_the_date(cursor):
    scan = Scan(Window(at(0), at(9)), at=at(5), issue=7)

    assert scan.resumable(cursor) == scan


@pytest.mark.parametrize("cursor", ["eyJvIjogMTAwfQ==", "cD0yMDI2", "a:b:c"])
def test_an_opaque_cursor_means_from_the_top(cursor):
    scan = Scan(Window(at(0), at(9)), at=at(5), cursor="1763640000000:3:0", issue=7)

    assert scan.resumable(cursor) == Scan(Window(at(0), at(9)), issue=7)


# Writing bookmarks --------------------------------------------------------------------


def test_the_end_of_a_complete_scan_is_the_bookmark():
    book = Book()

    book.finish("events", "1", Scan(Window(at(0), at(9))))

    assert book.all == {"events": {"by_id": {"1": {"bookmark": text(at(9))}}}}
    assert book.changes == 1


def test_the_bookmark_never_moves_back():
    book = Book()
    for end in (at(9), at(5), at(9), at(12), at(1)):
        book.finish("events", "1", Scan(Window(at(0), end)))

    assert book.entry("events", "1") == {"bookmark": text(at(12))}


def test_a_running_scan_leaves_the_bookmark_as_it_is():
    entry = entry_with(Scan(Window(at(8), at(12)), at=at(9)), bookmark=text(at(9)))

    assert entry["bookmark"] == text(at(9))
    assert entry["scan"]


def test_null_is_written_over_an_ended_scan():
    """An ended scan is set to null; if it were absent, a merge would restore it."""
    book = Book()
    scan = Scan(Window(at(0), at(9)), at=at(5))
    book.progress("events", "1", scan)
    book.finish("events", "1", scan)

    assert book.entry("events", "1") == {"bookmark": text(at(9)), "scan": None}
    assert windows(book.entry("events", "1")) == [(at(8), at(12))]


def test_a_scan_that_never_was_in_the_state_costs_no_null():
    book = Book({"events": {"by_id": {"1": {"bookmark": text(at(8))}}}})

    book.finish("events", "1", Scan(Window(at(7), at(9))))

    assert book.entry("events", "1") == {"bookmark": text(at(9))}


SCANS = [
    Scan(Window(at(0), at(9)), at=at(3), issue=5),
    Scan(Window(at(0), at(9)), at=at(3)),
    Scan(Window(at(0), at(9)), cursor="1763640000000:3:0", issue=5),
    Scan(Window(at(0), at(9)), issue=5),
    Scan(Window(at(0), at(9))),
]


@pytest.mark.parametrize("former", SCANS)
@pytest.mark.parametrize("later", SCANS)
def test_a_scan_is_not_mixed_with_a_former_one(former, later):
    """Meltano's merge does not mix the position in one issue with that in another."""
    before, after = Book(), Book()
    before.progress("events", "1", former)
    after.progress("events", "1", later)

    state = merged(after.copy(), before.copy())

    assert planned(state["events"]["by_id"]["1"])[0] == later


def test_a_scan_can_follow_the_null_over_a_former_one():
    """A scan can replace null, though Meltano cannot merge an object into null."""
    book = Book()
    first, second = (Scan(Window(at(0), end), at=at(1)) for end in (at(9), at(11)))
    book.progress("events", "1", first)
    book.finish("events", "1", first)
    former = book.copy()
    book.progress("events", "1", second)

    state = merged(book.copy(), former)

    assert planned(state["events"]["by_id"]["1"])[0] == second


def test_an_ended_scan_does_not_come_back():
    book = Book()
    scan = Scan(Window(at(0), at(9)), at=at(5))
    book.progress("events", "1", scan)
    former = book.copy()
    book.finish("events", "1", scan)

    state = merged(book.copy(), former)

    assert windows(state["events"]["by_id"]["1"]) == [(at(8), at(12))]


def test_to_look_creates_nothing():
    book = Book()

    assert book.entry("events", "1") == {}
    assert book.refreshed("project_issues", "9") is None
    assert (book.all, book.changes) == ({}, 0)


def test_the_state_keeps_when_all_issues_were_read():
    book = Book()
    book.finish("project_issues", "1", Scan(Window(at(0), at(9))))

    book.refresh("project_issues", "9", at(9))

    assert book.refreshed("project_issues", "9") == at(9)
    assert book.refreshed("project_issues", "8") is None
    assert book.changes == 2


def test_an_idle_project_takes_at_most_60_bytes():
    """An idle project with a 16-digit id takes up to 60 bytes a stream in a STATE."""
    sizes = []
    for number in (100, 200):
        book = Book()
        for key in range(number):
            scan = Scan(Window(at(0), at(9)))
            book.finish("project_events", str(10**15 + key), scan)
        sizes.append(len(json.dumps(book.all, separators=(",", ":"))))

    assert (sizes[1] - sizes[0]) / 100 <= 60


def test_a_project_that_was_busy_is_idle_in_the_next_run():
    book = Book()
    scan = Scan(Window(at(0), at(9)), at=at(5))
    book.progress("events", "1", scan)
    book.finish("events", "1", scan)

    loaded = load({"bookmarks": book.copy()}, LOGGER, latest=at(12))

    assert loaded["events"]["by_id"]["1"] == {"bookmark": text(at(9))}


# Loading a state ----------------------------------------------------------------------


@pytest.fixture
def loading(caplog):
    """Load a state; return the bookmarks that are kept and the log messages."""

    def loading(state):
        caplog.clear()
        kept = load(state, LOGGER, latest=at(13))
        return kept, [record.getMessage() for record in caplog.records]

    return loading


def test_a_good_state_is_taken_as_it_is_without_a_word(loading):
    scan = Scan(Window(at(0), at(9)), at=at(5), issue=7)
    bookmarks = {
        "issue_events": {"by_id": {"1": entry_with(scan, bookmark=text(at(1)))}},
        "project_issues": {
            "by_id": {"1": {"bookmark": text(at(9))}},
            "refreshed": {"9": text(at(9))},
        },
        "project_event_counts": {"by_id": {"1": {"received.1d": text(at(9))}}},
    }

    assert loading({"bookmarks": bookmarks}) == (bookmarks, [])


def test_the_state_of_an_organization_without_projects_is_good(loading):
    refreshed = {"9": text(at(9))}

    kept, said = loading({"bookmarks": {"project_issues": {"refreshed": refreshed}}})

    assert kept["project_issues"]["refreshed"] == refreshed
    assert said == []


@pytest.mark.parametrize("state", [{}, {"bookmarks": {}}])
def test_an_empty_state_is_nothing_to_talk_about(loading, state):
    assert loading(state) == ({}, [])


@pytest.mark.parametrize(
    "state", [{"bookmarks": None}, {"bookmarks": []}, {"value": {"bookmarks": {}}}]
)
def test_a_state_without_bookmarks_is_told(loading, state):
    kept, said = loading(state)

    assert kept == {}
    assert said == ["The state has no bookmarks: everything is read again"]


@pytest.mark.parametrize(
    "entry",
    [
        {"partitions": [{"context": {"project_id": "1"}}]},
        {"replication_key": "dateCreated", "replication_key_value": text(at(9))},
        {"starting_replication_value": None},
    ],
)
def test_a_state_of_the_usual_layout_is_told(loading, entry):
    kept, said = loading({"bookmarks": {"project_events": entry}})

    assert kept == {"project_events": {}}
    assert len(said) == 1
    assert "project_events has another layout" in said[0]


@pytest.mark.parametrize(
    "entry", [None, [], {"by_id": None}, {"by_id": {"1": None}}, {"by_id": {"1": []}}]
)
def test_nothing_usable_is_nothing(loading, entry):
    kept, _ = loading({"bookmarks": {"project_events": entry}})
    book = Book(kept)

    assert book.entry("project_events", "1") == {}
    book.finish("project_events", "1", Scan(Window(at(0), at(9))))
    assert book.entry("project_events", "1") == {"bookmark": text(at(9))}


def test_nulls_in_an_entry_are_dropped(loading):
    entry = {"bookmark": text(at(9)), "scan": None}

    kept, said = loading({"bookmarks": {"project_events": {"by_id": {"1": entry}}}})

    assert kept["project_events"]["by_id"]["1"] == {"bookmark": text(at(9))}
    assert said == []


def test_unknown_streams_and_keys_do_no_harm(loading):
    entry = {"bookmark": text(at(9)), "version": 7, "note": "by hand"}
    state = {"bookmarks": {"a_new_stream": {"by_id": {"1": entry}}}, "extra": [1]}

    kept, said = loading(state)

    assert planned(kept["a_new_stream"]["by_id"]["1"]) == planned(
        {"bookmark": text(at(9))}
    )
    assert all("is not a date" in line for line in said)


@pytest.mark.parametrize("bookmark", ["yesterday", 7, {}, [], True, "2026-13-01"])
def test_a_bookmark_that_is_no_date_is_not_used(loading, bookmark):
    state = {"bookmarks": {"events": {"by_id": {"1": {"bookmark": bookmark}}}}}

    kept, said = loading(state)

    assert windows(kept["events"]["by_id"].get("1", {})) == [(BEGINNING, at(12))]
    assert len(said) == 1
    assert "is not a date" in said[0]


@pytest.mark.parametrize(
    "scan", ["x", 7, {}, [], ["x"], [{}], [{"start": "x", "end": "y"}], [None]]
)
def test_a_scan_that_is_none_is_not_used(loading, scan):
    entry = {"bookmark": text(at(9)), "scan": scan}

    kept, said = loading({"bookmarks": {"events": {"by_id": {"1": entry}}}})

    assert windows(kept["events"]["by_id"]["1"]) == [(at(8), at(12))]
    assert len(said) == 1


def test_a_bookmark_in_the_future_is_told_and_not_used(loading):
    state = {
        "bookmarks": {
            "events": {
                "by_id": {
                    "1": {"bookmark": text(at(12, day=29))},
                    "2": {"bookmark": text(at(9))},
                }
            }
        }
    }

    kept, said = loading(state)

    assert windows(kept["events"]["by_id"].get("1", {})) == [(BEGINNING, at(12))]
    assert windows(kept["events"]["by_id"]["2"]) == [(at(8), at(12))]
    assert len(said) == 1
    assert "in the future (events of 1, 2026-11-29T12:00:00Z)" in said[0]


def test_a_bookmark_without_a_zone_is_utc(loading):
    entry = {"bookmark": "2026-11-20T09:00:00"}

    kept, said = loading({"bookmarks": {"events": {"by_id": {"1": entry}}}})

    assert windows(kept["events"]["by_id"]["1"]) == [(at(8), at(12))]
    assert said == []


def test_what_was_passed_in_is_not_changed(loading):
    entry = {"bookmark": text(at(9))}
    state = {"bookmarks": {"events": {"by_id": {"1": entry}}}}
    former = copy.deepcopy(state)

    book = Book(loading(state)[0])
    book.finish("events", "1", Scan(Window(at(0), at(12))))

    assert state == former
