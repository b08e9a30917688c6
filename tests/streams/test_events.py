"""Events and their entries."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, TOKEN
from tests.sentry.data import Entries, iso
from tests.streams import PUMP, at, let_pass, told, true_keys

EVENTS = ("project_events", "issue_events")
ENTRIES = ("project_event_entries", "issue_event_entries")
HERE = {"projects": ["telescope"]}
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


def performance_issue(sentry):
    """Return the issue whose events are transactions."""
    return next(
        issue
        for issue in sentry.project(PUMP).issues
        if issue.category == "performance"
    )


# Requests -----------------------------------------------------------------------------


def asked_for_full(sentry):
    return {
        request.params.get("full", [None])[0]
        for request in sentry.requests
        if request.path.endswith("/events/")
    }


@pytest.mark.parametrize("stream", EVENTS)
def test_light_events_are_asked_for_by_default(sync, sentry, stream):
    """`full` is not sent by default.

    Full events come ten to a page, and some servers read any value of `full` as true.
    """
    sync(stream, **HERE)

    assert asked_for_full(sentry) == {None}


@pytest.mark.parametrize("stream", ENTRIES)
def test_entries_need_full_events(sync, sentry, stream):
    """Streams of entries request full events, since light ones have no entries."""
    sync(stream, **HERE)

    assert asked_for_full(sentry) == {"true"}


@pytest.mark.parametrize("stream", EVENTS)
def test_full_events_have_more_columns(sync, stream):
    """Only full events have columns such as contexts, sdk and errors."""
    light, full = (
        sync(stream, full_events=value, **HERE).records(stream)[0]
        for value in (False, True)
    )

    more = {"contexts", "sdk", "errors", "fingerprints", "dateReceived", "size"}
    assert (light.keys() & more, full.keys() & more) == (set(), more)


def test_a_window_is_asked_for_with_both_of_its_ends(sync, sentry):
    """The window is in whole seconds, as some servers require, and excludes its end."""
    sync("project_events", start_date="2026-11-01", end_date="2026-11-03", **HERE)

    windows = {(query["start"], query["end"]) for query in sentry.asked(".*/events/")}
    assert windows == {("2026-11-01T00:00:00Z", "2026-11-04T00:00:00Z")}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_just_the_events_of_a_window_arrive(sync, sentry, flavour):
    """Only events of the window arrive, even from servers that ignore its dates."""
    sentry.flavour = FLAVOURS[flavour]
    sentry.page_size = 10
    output = sync("project_events", start_date="2026-11-01", end_date="2026-11-10")

    start, end = MIDNIGHT.replace(day=1), MIDNIGHT.replace(day=11)
    assert sorted(output.keys("project_events")) == sorted(
        sentry.truth("project_events", start, end)
    )


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9", "glitchtip"])
def test_servers_without_dates_are_not_read_to_their_end(sync, sentry, flavour):
    """Reading stops at a page whose events are all older than the window."""
    sentry.flavour = FLAVOURS[flavour]
    sync("project_events", start_date="1d", **HERE)

    every = len(sentry.project("telescope").events) / 2
    assert 0 < len(sentry.asked("projects/.*/events/")) < every / 2


def test_dates_outside_the_window_are_counted(sync, sentry, caplog):
    """Events that wrong clocks date outside the window are left out and counted."""
    caplog.set_level("INFO")
    sentry.flavour = FLAVOURS["self-hosted-24"]
    sync("project_events", end_date="2026-11-09", **HERE)

    end = MIDNIGHT.replace(day=10)
    later = [e for e in sentry.project("telescope").events if e.created >= end]
    assert told(caplog, f"project_events: left out {len(later)} records dated outside")


# Records ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", EVENTS)
@pytest.mark.parametrize("full_events", [False, True])
def test_light_and_full_events_name_their_type_alike(sync, stream, full_events):
    """`type` is read from `event.type` of light events and from `type` of full ones."""
    rows = sync(stream, full_events=full_events, **HERE).records(stream)

    assert {row["type"] for row in rows} == {"error"}


@pytest.mark.parametrize("stream", [*EVENTS, *ENTRIES])
def test_an_event_knows_its_issue(sync, sentry, stream):
    """`issue_id` is the `groupID` that Sentry sends."""
    rows = sync(stream, **HERE).records(stream)

    issues = {event.id: event.issue.id for event in sentry.project("telescope").events}
    assert [row["issue_id"] for row in rows] == [
        issues[row.get("eventID") or row["event_id"]] for row in rows
    ]
    assert {row["issue_id"] for row in rows} == {*issues.values()}


def test_an_event_may_have_no_issue(sync, sentry):
    """`issue_id` is null for an event without an issue."""
    sentry.page_size = 50
    rows = sync("project_events", projects=[PUMP]).records("project_events")
    without = {event.id for event in sentry.project(PUMP).events if not event.issue}

    assert (
        {row["eventID"] for row in rows if row["issue_id"] is None}
        == {
            event.id
            for event in sentry.project(PUMP).events.newest(
                NOW - timedelta(days=90), NOW
            )
            if event.id in without
        }
        != set()
    )


@pytest.mark.parametrize("stream", EVENTS)
def test_names_of_glitchtip_are_those_of_sentry(sync, sentry, stream):
    """GlitchTip's `snake_case` columns and numeric ids are converted to Sentry's."""
    sentry.flavour = FLAVOURS["glitchtip"]
    (row, *_) = sync(stream, **HERE).records(stream)
    event = next(
        e for e in sentry.project("telescope").events if e.id == row["eventID"]
    )

    ids = ("project_id", "groupID", "issue_id")
    dates = ("dateCreated", "dateReceived")
    assert [row[name] for name in ids + dates] == [
        event.project.id,
        event.issue.id,
        event.issue.id,
        iso(event.created, "microseconds"),
        iso(event.received, "microseconds"),
    ]


@pytest.mark.parametrize("stream", ENTRIES)
def test_entries_are_numbered_in_the_order_of_sentry(sync, sentry, stream):
    """All entries arrive with their data, numbered in Sentry's order."""
    output = sync(stream, **HERE)

    assert {
        key: (row["type"], row["data"])
        for key, row in zip(output.keys(stream), output.records(stream), strict=True)
    } == {
        key: (entry["type"], entry["data"])
        for key, entry in sentry.records(stream).items()
        if key[1] == sentry.project("telescope").id
    }


def test_entries_that_are_arrays_are_wrapped(sync, sentry):
    """Data that Sentry sends as an array, such as spans, is wrapped in an object."""
    issue = performance_issue(sentry)
    output = sync("issue_event_entries", issue_ids=[issue.id])

    spans = {"values": [{"op": "db", "span_id": "a1"}]}
    rows = output.records("issue_event_entries")
    assert [row["data"] for row in rows] == [spans] * len(issue.events)


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        ([], {"values": []}),
        (None, None),
        ("text", {"value": "text"}),
        ({"values": []}, {"values": []}),
        ({"k\0": "\0"}, {"k\ufffd": "\ufffd"}),
    ],
)
def test_data_of_any_shape_become_an_object(sync, sentry, sent, data):
    """`data` is an object or null, so that the column has one type."""
    entries = Entries([{"type": "odd", "data": sent}])
    sentry.add_event("quiet-harbour", date=NOW - timedelta(hours=1), entries=entries)
    rows = sync("project_event_entries", projects=["quiet-harbour"]).records(
        "project_event_entries"
    )

    assert [row["data"] for row in rows] == [data]


@pytest.mark.parametrize("full_events", [False, True])
def test_transactions_have_a_date(sync, sentry, full_events):
    """Transactions have a `dateCreated`, although full ones only have an end time."""
    issue = performance_issue(sentry)
    rows = sync("issue_events", full_events=full_events, issue_ids=[issue.id]).records(
        "issue_events"
    )

    assert [row["dateCreated"] for row in rows] == [
        iso(event.created, "seconds") for event in issue.events.newest()
    ]


def test_entries_of_transactions_have_a_date_too(sync, sentry):
    """Entries of transactions have the `dateCreated` that marks a scan's progress."""
    issue = performance_issue(sentry)
    output = sync("issue_event_entries", issue_ids=[issue.id])

    assert [row["dateCreated"] for row in output.records("issue_event_entries")] == [
        iso(event.created, "seconds") for event in issue.events.newest()
    ]


def test_text_that_no_loader_can_store_is_replaced(sync, sentry):
    """NUL and lone surrogates become U+FFFD."""
    sentry.page_size = 50
    output = sync("project_issues", "project_events", projects=[PUMP])
    titles = {row["title"] for row in output.records("project_issues")}
    keys = {
        tag["key"] for row in output.records("project_events") for tag in row["tags"]
    }

    expected = {
        "UnicodeError: lone \ufffd surrogate \ufffd here",
        "ValueError: null\ufffdbyte \N{SNOWMAN} in “message”",
    }
    assert expected <= titles
    assert {f"tag {title}" for title in expected} <= keys


def test_other_text_passes_unchanged(sync, sentry):
    """Emoji, escapes and backslashes before `u0000` pass unchanged."""
    text = 'ok \N{TELESCOPE} " \\u0000 \\ud83d </script> \x01\x7f\u2028'
    sentry.add_event("quiet-harbour", date=NOW - timedelta(hours=1), message=text)
    rows = sync("project_events", projects=["quiet-harbour"]).records("project_events")

    assert [row["message"] for row in rows] == [text]


def test_a_body_with_numbers_that_json_has_not_is_read(sync, sentry):
    """NaN, which Python servers write although JSON has none, is read as null."""
    entries = Entries([{"type": "odd", "data": {"nan": float("nan"), "one": 1}}])
    sentry.add_event("quiet-harbour", date=NOW - timedelta(hours=1), entries=entries)
    rows = sync("project_event_entries", projects=["quiet-harbour"]).records(
        "project_event_entries"
    )

    assert [row["data"] for row in rows] == [{"nan": None, "one": 1}]


# Pages --------------------------------------------------------------------------------


def test_an_empty_page_is_not_the_end(sync, sentry):
    """Only `results` of the `Link` header marks the end of a list."""
    sentry.fault("empty_page", times=2, after=1, when=at(".*/events/"))
    keys = sync("project_events", **HERE).keys("project_events")

    assert sorted(keys) == true_keys(sentry, "project_events", "telescope")


def test_a_page_that_is_sent_again_is_written_once(sync, sentry):
    """Pages overlap when a list changes while it is read; each row is written once."""
    sentry.fault("repeat_page", after=2, when=at(".*/events/"))
    keys = sync("project_events", **HERE).keys("project_events")

    assert sorted(keys) == true_keys(sentry, "project_events", "telescope")


def test_pages_that_are_too_large_are_asked_for_smaller(sync, sentry):
    """Smaller pages are requested when a server times out at a hundred rows."""
    sentry.page_size = None
    sentry.fault("slow_large", times=None, rows=30)
    output = sync("project_events", projects=[PUMP])

    sizes = [query["per_page"] for query in sentry.asked(".*/events/")]
    assert (sizes[0], sizes[-1]) == ("100", "25")
    keys = sorted(output.keys("project_events"))
    assert keys == true_keys(sentry, "project_events", PUMP)


# Later runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [*EVENTS, *ENTRIES])
def test_the_next_run_reads_what_is_new_and_the_lookback(
    sync, sentry, monkeypatch, stream
):
    """The next run rereads the lookback, so that late events are not missed."""
    issue = sentry.project("telescope").issues[0]
    state = sync(stream, **HERE).state
    let_pass(sentry, monkeypatch, hours=5)
    new = sentry.add_event("telescope", issue, NOW + timedelta(hours=1))
    late = sentry.add_event("telescope", issue, NOW - timedelta(hours=2))
    later = sentry.add_event("telescope", issue, NOW - timedelta(hours=4))
    keys = sync(stream, state=state, lookback="3h", **HERE).keys(stream)

    events = {key[2] for key in keys}
    start = NOW - timedelta(hours=3)
    assert sorted(keys) == true_keys(sentry, stream, "telescope", start)
    assert ({new.id, late.id} <= events, later.id in events) == (True, False)


def test_a_report_of_one_day_leaves_the_bookmarks_alone(sync, sentry):
    """A `report_date` run reads that day and neither uses nor moves bookmarks."""
    key = sentry.project("telescope").id
    entry = {"bookmark": "2026-11-20T00:00:00Z"}
    state = {"bookmarks": {"project_events": {"by_id": {key: entry}}}}
    output = sync("project_events", state=state, report_date="2026-11-05", **HERE)

    day = MIDNIGHT.replace(day=5), MIDNIGHT.replace(day=6)
    truth = true_keys(sentry, "project_events", "telescope", *day)
    assert sorted(output.keys("project_events")) == truth != []
    assert output.state["bookmarks"]["project_events"]["by_id"] == {key: entry}


# Issues that no list shows yet --------------------------------------------------------


def hidden_issue(sentry):
    """Return an issue with a new event that no page of the issue list shows."""
    issue = sentry.project("telescope").issues[1]
    sentry.add_event("telescope", issue, NOW - timedelta(minutes=30))
    sentry.unlisted.add(issue.id)
    return issue


@pytest.mark.parametrize("events", ["project_events", "project_event_entries"])
@pytest.mark.parametrize("stream", ["issue_events", "issue_event_entries"])
def test_issues_that_events_name_are_read_though_no_list_shows_them(
    sync, sentry, stream, events
):
    """An issue that the list does not show yet is found by the project's events."""
    hidden = hidden_issue(sentry)
    output = sync(stream, events, **HERE)

    keys = output.keys(stream)
    assert hidden.id in {row["issue_id"] for row in output.records(stream)}
    assert sorted(keys) == true_keys(sentry, stream, "telescope")
    issues = [int(row["issue_id"]) for row in output.records(stream)]
    assert issues == sorted(issues)


def test_an_issue_that_is_filtered_out_is_not_read(sync, sentry):
    """With an `issue_query`, issues that are missing from the list are not read."""
    hidden = hidden_issue(sentry)
    query = {"issue_query": "is:unresolved"}
    output = sync("issue_events", "project_events", **query, **HERE)

    issues = {row["issue_id"] for row in output.records("issue_events")}
    assert issues
    assert hidden.id not in issues


def test_an_issue_whose_events_are_older_than_the_window_is_not_asked_for(sync, sentry):
    """The events of an unlisted issue are not requested if they precede the window.

    Each stream has its own window; the events of another may reach further back.
    """
    hidden = sentry.project("telescope").issues[1]
    sentry.unlisted.add(hidden.id)
    key = sentry.project("telescope").id
    entry = {"bookmark": (NOW - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    state = {"bookmarks": {"issue_events": {"by_id": {key: entry}}}}
    sync("issue_events", "project_events", state=state, lookback="0s", **HERE)

    assert not sentry.asked(f".*/issues/{hidden.id}/events/")


def test_a_run_that_is_broken_off_goes_on_with_unlisted_issues(sync, sentry):
    """An interrupted run resumes even if an unlisted issue is listed by then.

    Unlisted issues are read by ascending id, together with all others.
    """
    hidden = hidden_issue(sentry)
    streams = ("issue_events", "project_events")
    whole = sync(*streams, concurrency=1, **HERE)
    pages = len(sentry.asked(".*/issues/.*/events/"))
    for after in range(1, pages, 7):
        sentry.fault(401, after=after, when=at(".*/issues/.*/events/"))
        sentry.unlisted.add(hidden.id)
        first = sync(*streams, concurrency=1, **HERE)
        sentry.unlisted.clear()
        second = sync(*streams, state=first.state, concurrency=1, **HERE)

        assert (first.code, second.code) == (1, 0)
        keys = {*first.keys("issue_events"), *second.keys("issue_events")}
        assert keys == set(whole.keys("issue_events"))


def test_an_issue_that_its_list_shows_later_arrives_with_the_next_run(
    sync, sentry, monkeypatch
):
    """An issue that is listed late arrives if its events are within the lookback.

    This holds even if the events of the project are not selected.
    """
    hidden = hidden_issue(sentry)
    first = sync("issue_events", **HERE)
    new = hidden.events.newest()[0]
    assert new.id not in {key[2] for key in first.keys("issue_events")}

    sentry.unlisted.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync("issue_events", state=first.state, **HERE)

    assert new.id in {key[2] for key in second.keys("issue_events")}


# Events of the year 1 -----------------------------------------------------------------

NO_CLOCK = datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("flavour", "streams"),
    # Other servers cut the list at the earliest date that a request can have.
    [("self-hosted-9", ["project_events"]), ("glitchtip", EVENTS)],
)
def test_an_event_without_a_clock_is_kept_with_its_date(sync, sentry, flavour, streams):
    """Without a `start_date` there is no lower bound, so an event of year 1 is kept."""
    sentry.flavour = FLAVOURS[flavour]
    issue = sentry.project("telescope").issues[0]
    odd = sentry.add_event("telescope", issue, NO_CLOCK)
    for stream in streams:
        output = sync(stream, **HERE)

        rows = {row["eventID"]: row for row in output.records(stream)}
        assert rows[odd.id]["dateCreated"].startswith("0001-01-01T00:00:00")
        assert sorted(output.keys(stream)) == true_keys(sentry, stream, "telescope")
        key = sentry.project("telescope").id
        entry = output.state["bookmarks"][stream]["by_id"][key]
        assert entry["bookmark"] == "2026-11-20T12:30:15Z"


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9", "glitchtip"])
def test_dates_without_a_clock_do_not_end_a_list_nor_move_a_scan(sync, sentry, flavour):
    """Events of the year 1 neither end a list nor affect where a scan resumes."""
    sentry.flavour = replace(FLAVOURS[flavour], retention=None, issue_event_dates=False)
    sentry.page_size = 2
    issue = sentry.project("telescope").issues[0]
    for _ in range(5):
        sentry.add_event("telescope", issue, NO_CLOCK)
    expected = true_keys(sentry, "project_events", "telescope")
    whole = sync("project_events", **HERE)
    assert sorted(whole.keys("project_events")) == expected

    pages = len(sentry.asked(".*/events/"))
    for after in (pages - 1, pages - 2, pages - 3, pages // 2):
        sentry.fault(401, after=after, when=at(".*/events/"))
        first = sync("project_events", **HERE)
        second = sync("project_events", state=first.state, **HERE)

        assert (first.code, second.code) == (1, 0)
        scans = first.state["bookmarks"]["project_events"]["by_id"].values()
        assert all(
            scan.get("at", "2026") > "2010" for entry in scans for scan in entry["scan"]
        )
        keys = {*first.keys("project_events"), *second.keys("project_events")}
        assert sorted(keys) == expected


def test_a_start_date_leaves_out_what_is_dated_before_it(sync, sentry, caplog):
    """Servers without dates list older events; leaving these out is logged at INFO."""
    caplog.set_level("INFO")
    sentry.flavour = FLAVOURS["self-hosted-9"]
    issue = sentry.project("telescope").issues[0]
    odd = sentry.add_event("telescope", issue, NO_CLOCK)
    sentry.page_size = 100
    output = sync("project_events", start_date="20d", **HERE)

    assert odd.id not in {key[2] for key in output.keys("project_events")}
    levels = {
        record.levelname
        for record in caplog.records
        if "dated outside the window" in record.getMessage()
    }
    assert levels == {"INFO"}


@pytest.mark.parametrize("flavour", ["self-hosted-9", "glitchtip"])
def test_an_issue_without_a_clock_is_kept(sync, sentry, flavour):
    """An issue is kept although its dates, those of its events, are of the year 1."""
    sentry.flavour = FLAVOURS[flavour]
    issue = sentry.add_issue("telescope", "Error: no clock")
    sentry.add_event("telescope", issue, NO_CLOCK)
    output = sync("project_issues", **HERE)

    assert issue.id in {row["id"] for row in output.records("project_issues")}


# Stream maps, flattening and selection ------------------------------------------------


def read(sentry, stream, catalog=None, **settings):
    """Return the records of a stream, read with a given catalog."""
    config = {"auth_token": TOKEN, "api_url": sentry.url, **HERE, **settings}
    return run(config, catalog or catalog_of(stream)).records(stream)


def test_stream_maps_see_values(sentry):
    """Stream maps get decoded values, although unmapped rows are copied undecoded."""
    maps = {
        "project_events": {
            "loud": "title.upper()",
            "kind": "metadata['type']",
            "browser": "tags[0]['value']",
            "tags": None,
        }
    }
    sentry.page_size = 100
    rows = read(sentry, "project_events", stream_maps=maps)

    issues = {issue.title: issue for issue in sentry.project("telescope").issues}
    assert len(rows) == len(sentry.project("telescope").events)
    assert all(
        (row["loud"], row["kind"], row["browser"], "tags" in row)
        == (
            row["title"].upper(),
            issues[row["title"]].metadata["type"],
            "Chrome 60.0",
            False,
        )
        for row in rows
    )


def test_stream_maps_can_filter(sentry):
    """`__filter__` can use values inside of objects."""
    maps = {"project_events": {"__filter__": "user and user['id']"}}
    rows = read(sentry, "project_events", stream_maps=maps)

    assert {row["eventID"] for row in rows} == {
        event.id
        for event in sentry.project("telescope").events
        if event.user and event.user.id
    }


def test_objects_can_be_flattened(sentry):
    """Objects are flattened for loaders without nested columns."""
    (row, *_) = read(
        sentry, "project_events", flattening_enabled=True, flattening_max_depth=1
    )
    event = next(
        e for e in sentry.project("telescope").events if e.id == row["eventID"]
    )

    assert json.loads(row["tags"]) == event.tags()
    assert row["user__username"] == (event.user.username if event.user else None)


def test_a_column_can_be_left_out(sentry):
    """A column that the catalog deselects is left out."""
    catalog = catalog_of("project_events")
    deselect(catalog, "project_events", "properties", "tags")
    rows = read(sentry, "project_events", catalog)

    assert rows
    assert all("tags" not in row and "user" in row for row in rows)


def test_a_part_of_a_column_can_be_left_out(sentry):
    """A property inside a column, such as an email address, can be deselected."""
    catalog = catalog_of("project_events")
    deselect(catalog, "project_events", "properties", "user", "properties", "email")
    rows = read(sentry, "project_events", catalog)

    users = [row["user"] for row in rows if row["user"]]
    assert users
    assert all("email" not in user and "username" in user for user in users)


def deselect(catalog, stream, *breadcrumb):
    """Deselect the property at a breadcrumb of a stream's schema."""
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if entry["stream"] == stream and list(item["breadcrumb"]) == list(
                breadcrumb
            ):
                item["metadata"]["selected"] = False
