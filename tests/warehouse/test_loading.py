"""Tables, types and rows in PostgreSQL, after one run and after two."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from scripts.draw_tables import TYPES, references
from tap_sentry.records.bodies import REPLACEMENT
from tap_sentry.records.columns import type_name
from tap_sentry.streams import STREAMS
from tests.conftest import NOW
from tests.sentry import SentrySimulator
from tests.sentry.data import Event, demo, iso
from tests.warehouse.conftest import SINCE, STATS, Database, Loaded

pytestmark = pytest.mark.end_to_end

NAMES = [vars(stream)["name"] for stream in STREAMS]
KEYS = {vars(stream)["name"]: stream.primary_keys for stream in STREAMS}


def keys(database: Database, stream: str):
    """The keys in the table of a stream, sorted, with dates as Sentry writes them."""
    names = ", ".join(
        f"""to_char({name}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as {name}"""
        if name in {"timestamp", "interval_start"}
        else f'"{name}"'
        for name in KEYS[stream]
    )
    return sorted(database.values(f"select {names} from sentry.{stream}"))  # noqa: S608 - a test's query


# One run ------------------------------------------------------------------------------


def test_tap_and_target_end_well(warehouse):
    """Tap and target end with 0, and the log has no warnings."""
    assert warehouse.loaded.codes == (0, 0), warehouse.loaded.log
    assert " | WARNING " not in warehouse.loaded.log


def test_every_row_of_the_server_is_in_its_table(warehouse):
    """Each of the fifty tables has every key of the server, once."""
    stats: dict[str, Any] = {
        name: {"stats": STATS} for name in NAMES if "counts" in name
    }
    truth = {
        name: sorted(warehouse.sentry.truth(name, SINCE, **stats.get(name, {})))
        for name in NAMES
    }

    assert {name: keys(warehouse.database, name) for name in NAMES} == truth
    # sentry.io has retired these two.
    assert {name for name, found in truth.items() if not found} == {
        "organization_metric_alert_rules",
        "project_alert_rules",
    }


def test_columns_have_the_types_that_are_drawn(warehouse):
    """Every column of the catalog has the type that is drawn for its schema."""
    columns = warehouse.database.values(
        """
        select relname, attname, format_type(atttypid, null)
        from pg_attribute join pg_class on pg_class.oid = attrelid
        where relnamespace = 'sentry'::regnamespace and relkind = 'r'
          and attnum > 0 and attname not like '\\_sdc\\_%'
        """
    )

    assert {
        (table, column, found.removesuffix(" without time zone"))
        for table, column, found in columns
    } == {
        (vars(stream)["name"], column, TYPES[type_name(schema)])
        for stream in STREAMS
        for column, schema in vars(stream)["schema"]["properties"].items()
    }


def test_tables_are_keyed_as_the_catalog_says(warehouse):
    """Each table has its stream's key, so a repeated row replaces the old one."""
    found = warehouse.database.values(
        """
        select relname, json_agg(attname order by attname)
        from pg_index
          join pg_class on pg_class.oid = indrelid
          join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where relnamespace = 'sentry'::regnamespace and indisprimary
        group by relname
        """
    )

    assert dict(found) == {name: sorted(names) for name, names in KEYS.items()}


@pytest.mark.parametrize("stream", STREAMS, ids=NAMES)
def test_what_is_drawn_as_a_reference_leads_to_a_row(warehouse, stream):
    """Every reference that is not null leads to a row of the same organization."""
    for column, other in references(stream).items():
        conditions = [f'other."{other.primary_keys[-1]}" = one."{column}"']
        if "organization_id" in other.primary_keys:
            conditions.append("other.organization_id = one.organization_id")
        lost = warehouse.database.values(
            f"""
            select "{column}" from sentry.{stream.name} as one
            where "{column}" is not null and not exists (
              select from sentry.{other.name} as other where {" and ".join(conditions)}
            )
            """  # noqa: S608 - a test's
        )
        assert lost == []


def test_dates_are_utc_whatever_the_zone_of_the_server(warehouse):
    """Dates are stored as UTC, without a zone, by a server in another time zone."""
    found = warehouse.database.values(
        """select "eventID", "dateCreated" from sentry.project_events"""
    )
    events = warehouse.sentry.records("project_events")

    assert {key: f"{date}Z" for key, date in found} == {
        event["eventID"]: event["dateCreated"] for event in events.values()
    }


def test_values_are_those_of_the_server(warehouse):
    """One row, with a column of each type, has the values of the server."""
    (found,) = warehouse.database.rows(
        """
        select * from sentry.project_issues
        where "shortId" = 'PUMP-STATION-1'
        """
    )
    issue = warehouse.sentry.project("pump-station").issues[0].record()

    assert found["lastSeen"] + "Z" == issue["lastSeen"].replace("000Z", "Z")
    assert found["count"] == int(issue["count"]) == 120
    assert found["assignedTo"] == issue["assignedTo"]
    assert found["isBookmarked"] is False
    for column in ("id", "title", "status", "metadata", "annotations", "platform"):
        assert found[column] == issue[column]


def test_text_that_no_database_stores_is_replaced(warehouse):
    """NUL and lone surrogates are replaced; other unusual characters are kept."""
    titles = warehouse.database.values(
        "select title from sentry.project_issues where title ~ 'Unicode|Value'"
    )

    assert sorted(titles) == [
        (f"UnicodeError: lone {REPLACEMENT} surrogate {REPLACEMENT} here",),
        (f"ValueError: null{REPLACEMENT}byte ☃ in “message”",),
    ]


def test_tags_without_a_key_or_a_value_arrive(warehouse):
    """Tags are stored as an array of JSON objects, each as Sentry sent it."""
    (found, *_) = warehouse.database.values(
        "select tags from sentry.project_events where title like 'Unicode%'"
    )

    assert {"key": None, "value": "no key"} in found[0]
    assert {"key": "novalue", "value": None} in found[0]


# Two runs -----------------------------------------------------------------------------


@dataclass
class Again:
    """A copy of the first run's database, after a second run."""

    sentry: SentrySimulator
    database: Database
    loaded: Loaded


@pytest.fixture(scope="module")
def again(server, loader, warehouse) -> Again:
    """A run an hour later, after one new event and one issue resolved without one."""
    database = server.database("twice", template="demo")
    sentry = SentrySimulator(clock=lambda: NOW)
    later = NOW + timedelta(hours=1)
    sentry.clock = lambda: later
    mirror, dome = sentry.project("telescope").issues
    sentry.add_event("telescope", mirror, NOW + timedelta(minutes=30))
    sentry.set_issue_status(dome, "resolved")
    loaded = loader.load(
        sentry,
        database,
        state=warehouse.loaded.state,
        now=later + timedelta(seconds=1),
        stats=STATS,
        start_date=iso(SINCE),
        issue_refresh="0s",
    )
    return Again(sentry, database, loaded)


def test_rows_that_come_again_replace_those_that_are_there(warehouse, again):
    """A second run adds only what is new; other rows are replaced."""
    more = Counter(
        {
            name: len(keys(again.database, name)) - len(keys(warehouse.database, name))
            for name in NAMES
        }
    )
    (event,) = set(again.sentry.truth("project_events")) - set(
        warehouse.sentry.truth("project_events")
    )

    assert again.loaded.codes == (0, 0)
    assert event in keys(again.database, "project_events")
    assert +more == {
        "project_events": 1,
        "issue_events": 1,
        "project_event_entries": more["issue_event_entries"],
        "issue_event_entries": more["project_event_entries"],
        # One issue was resolved.
        "issue_activities": 1,
        # The entries of the very instant at which the first run ended.
        "organization_audit_logs": 2,
    }


def test_a_changed_issue_is_changed_in_its_row(again):
    """An issue with a new event and one with a new status are updated."""
    issues = again.database.values(
        """
        select title, status, count from sentry.project_issues
        where "shortId" like 'TELESCOPE-%'
        order by title
        """
    )

    assert issues == [
        ("IllegalStateException: dome is closed", "resolved", 6),
        ("NullPointerException: mirror", "unresolved", 36),
    ]


def test_the_newest_counts_are_those_of_the_second_run(again):
    """The count of an interval that was still growing is overwritten."""
    (count,) = again.database.values(
        """
        select count from sentry.project_event_counts
        join sentry.organization_projects
          using (organization_id)
        where slug = 'telescope' and organization_projects.id = project_id
          and stat = 'generated' and timestamp = '2026-11-20'
        """
    )
    day = NOW.replace(hour=0, minute=0, second=0)
    events = again.sentry.project("telescope").events.newest(day)

    assert count == (len(events),)


# Other servers ------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9", "glitchtip"])
def test_other_servers_load_as_well(server, loader, flavour):
    """Numeric ids, dates of other precision and fewer columns load as well."""
    sentry = SentrySimulator(
        demo(NOW)[1:], flavour=flavour, clock=lambda: NOW, page_size=100
    )
    database = server.database(flavour.replace("-", "_"))
    loaded = loader.load(sentry, database)

    assert loaded.codes == (0, 0)
    assert {name: keys(database, name) for name in NAMES} == {
        name: sorted(sentry.truth(name)) for name in NAMES
    }


# Odd data -----------------------------------------------------------------------------

#: Malformed columns of a full event, and the value that the database gets.
ODD = {
    "NUL in a key": (
        '"contexts": {"a\\u0000": "\\u0000"}',
        {f"a{REPLACEMENT}": REPLACEMENT},
    ),
    "lone surrogate": ('"contexts": {"a": "\\ud800"}', {"a": REPLACEMENT}),
    "a pair": ('"contexts": {"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    "long number": (
        '"contexts": {"a": 123456789012345678901}',
        {"a": 123456789012345678901},
    ),
    "infinite": ('"contexts": {"a": 1e400}', {"a": None}),
    "not a number": ('"contexts": {"a": NaN}', {"a": None}),
    "deep": (
        f'"contexts": {{"a": {"[" * 200}{"]" * 200}}}',
        {"a": json.loads("[" * 200 + "]" * 200)},
    ),
    "no object": ('"contexts": [[1]]', {"values": [[1]]}),
    "largest integer": ('"size": 9223372036854775807', 9223372036854775807),
    "larger": ('"size": 9223372036854775808', None),
    "smaller": ('"size": -9223372036854775809', None),
    "larger as text": ('"size": "9223372036854775808"', None),
    "larger as fraction": ('"size": 1e300', None),
    "infinite integer": ('"size": 1e400', None),
    "infinite fraction": ('"startTimestamp": 1e400', None),
    "no date": ('"dateReceived": "yesterday"', None),
    "empty date": ('"dateReceived": ""', None),
    "a date that is none": ('"dateReceived": "2026-02-30T00:00:00Z"', None),
    "far date": ('"dateReceived": "+275760-09-13T00:00:00Z"', None),
    "date as number": ('"dateReceived": 1700000000.25', "2023-11-14T22:13:20.25"),
    "zone": ('"dateReceived": "2026-11-01T10:00:00+02:00"', "2026-11-01T08:00:00"),
    "no zone": ('"dateReceived": "2026-11-01T10:00:00.5"', "2026-11-01T10:00:00.5"),
    "tags of pairs": (
        '"tags": [{"key": "a"}, ["b", "c"], null]',
        [{"key": "a"}, {"values": ["b", "c"]}, None],
    ),
    "mixed texts": ('"fingerprints": ["a", 1, null, ["b"]]', ["a", "1", None, '["b"]']),
    "user by number": ('"user": {"id": 7, "email": null}', {"id": "7", "email": None}),
    "user in name only": ('"user": "me"', {"value": "me"}),
    "text that is none": ('"message": {"a": 1}', '{"a": 1}'),
}


def with_odd_column(event: Event, body: bytes) -> bytes:
    """Add an odd column to each of the first events, in the order of `ODD`."""
    if event.number >= len(ODD):
        return body
    column, _ = list(ODD.values())[event.number]
    # If an object has two columns of one name, the last counts.
    return body[:-1] + b", " + column.encode() + b"}"


def test_odd_data_arrives(server, loader):
    """A value that does not fit its column is converted or null; its row is kept."""
    sentry = SentrySimulator(demo(NOW)[1:], clock=lambda: NOW)
    sentry.rewrite = with_odd_column
    events = list(sentry.project("telescope").events)
    for number, event in enumerate(events):
        event.number = number
    database = server.database("odd")
    loaded = loader.load(sentry, database, "project_events", full_events=True)
    rows = {
        row["eventID"]: row
        for row in database.rows("select * from sentry.project_events")
    }

    assert loaded.codes == (0, 0)
    assert len(rows) == len(events) > len(ODD)
    assert {
        name: rows[event.id][column.split('"')[1]]
        for event, (name, (column, _)) in zip(events, ODD.items(), strict=False)
    } == {name: kept for name, (_, kept) in ODD.items()}
