"""Tables of the setting `explore` in PostgreSQL, after one run and after two."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.windows import DAY, floor
from tests.conftest import NOW
from tests.sentry import SentrySimulator
from tests.sentry.data import iso
from tests.sentry.explore import explore_rows
from tests.streams import STERNWARTE
from tests.streams.test_explore import span

if TYPE_CHECKING:
    from tests.warehouse.conftest import Database, Loaded

pytestmark = pytest.mark.end_to_end

START = floor(NOW, DAY) - 20 * DAY
#: The end of the second run, and a date for rows that arrive before it.
LATER, LATE = NOW + timedelta(hours=1), NOW - timedelta(minutes=50)
DATE = "timestamp without time zone"

#: The columns of each table: Sentry's field, and the type in PostgreSQL.
COLUMNS = {
    "spans": {
        "organization_id": ("organization_id", "text"),
        "trace": ("trace", "text"),
        "id": ("id", "text"),
        "timestamp": ("timestamp", DATE),
        "project": ("project", "text"),
        "span_op": ("span.op", "text"),
        "span_duration": ("span.duration", "numeric"),
        "tags_customer": ("tags[customer,string]", "text"),
        "tags_retries": ("tags[retries,number]", "numeric"),
    },
    "logs": {
        "organization_id": ("organization_id", "text"),
        "sentry_item_id": ("sentry.item_id", "text"),
        "timestamp": ("timestamp", DATE),
        "project": ("project", "text"),
        "message": ("message", "text"),
        "severity_number": ("severity_number", "bigint"),
        "span_id": ("span_id", "text"),
    },
    "errors": {
        "organization_id": ("organization_id", "text"),
        "interval_start": ("interval_start", DATE),
        "project": ("project", "text"),
        "release": ("release", "text"),
        "count": ("count()", "bigint"),
        "count_unique_user": ("count_unique(user)", "bigint"),
    },
}
KEYS = {
    "spans": ["organization_id", "trace", "id"],
    "logs": ["organization_id", "sentry_item_id"],
    "errors": ["organization_id", "interval_start", "project", "release"],
}
#: The columns that the tap adds by itself.
ADDED = {"organization_id", "interval_start", "timestamp", "trace", "id"}
TABLES = [
    {
        "name": name,
        "dataset": name,
        "fields": [field for field, _ in columns.values() if field not in ADDED],
        "interval": "1d" if name == "errors" else None,
    }
    for name, columns in COLUMNS.items()
]


def in_table(database: Database, name: str) -> list[dict[str, Any]]:
    """The rows of a table, with their dates in UTC, in the order of their keys."""
    columns = COLUMNS[name]
    names = ", ".join(f'"{column}"' for column in columns)
    rows = database.rows(f"select {names} from sentry.explore_{name}")  # noqa: S608 - a test's query
    for row in rows:
        for column, (_, kind) in columns.items():
            if kind == DATE:
                row[column] = datetime.fromisoformat(row[column]).replace(tzinfo=UTC)
    return in_order(name, rows)


def on_server(
    sentry: SentrySimulator, name: str, end: datetime
) -> list[dict[str, Any]]:
    """The rows that a table shall have, in the order of their keys."""
    sent = [
        row | {"organization_id": organization.id}
        for organization in sentry.organizations
        for row in explore_rows(sentry, organization, name, START, end)
    ]
    columns = COLUMNS[name].items()
    rows = [{column: row.get(field) for column, (field, _) in columns} for row in sent]
    return in_order(name, figures(sent) if name == "errors" else rows)


def figures(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The errors and users of each day, project and release."""
    groups = defaultdict(list)
    for error in errors:
        day = floor(error["timestamp"], DAY)
        release = error["release"] or ""
        groups[error["organization_id"], day, error["project"], release].append(error)
    return [
        dict(zip(KEYS["errors"], key, strict=True))
        | {
            "count": len(group),
            "count_unique_user": len({error["user"] for error in group} - {None}),
        }
        for key, group in groups.items()
    ]


def in_order(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows by their keys."""
    return sorted(rows, key=lambda row: [row[column] for column in KEYS[name]])


@dataclass
class Explored:
    """A database after two runs, between which rows arrived."""

    sentry: SentrySimulator
    database: Database
    runs: tuple[Loaded, Loaded]
    #: For each table: its rows after the first run, and those it should have.
    first: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def explored(server, loader) -> Explored:
    """Load, add rows that are late and a new error, and load an hour later."""
    database = server.database("explore")
    sentry = SentrySimulator(clock=lambda: NOW)
    mirror, _ = sentry.project("telescope").issues
    for days in (0, 1, 1, 9):
        date = NOW - timedelta(days=days, hours=2)
        sentry.add_event("telescope", mirror, date, release=None)
    settings = {"explore": TABLES, "start_date": iso(START)}
    once = loader.load(sentry, database, "organizations", **settings)
    first = {
        name: (in_table(database, name), on_server(sentry, name, NOW))
        for name in COLUMNS
    }
    sentry.add_explore_rows(STERNWARTE, "spans", [span(1, LATE)])
    line = span(1, LATE, **{"sentry.item_id": f"{1:032x}", "severity_number": 9})
    sentry.add_explore_rows(STERNWARTE, "logs", [line])
    sentry.clock = lambda: LATER
    for date in (NOW - DAY, NOW + timedelta(minutes=30)):
        sentry.add_event("telescope", mirror, date, release=None)
    again = loader.load(
        sentry,
        database,
        "organizations",
        state=once.state,
        now=LATER + timedelta(seconds=1),
        **settings,
    )
    return Explored(sentry, database, (once, again), first)


def test_tap_and_target_end_well(explored):
    """Both runs end with 0, and their logs have no warnings."""
    for loaded in explored.runs:
        assert loaded.codes == (0, 0), loaded.log
        assert " | WARNING " not in loaded.log


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_has_the_rows_of_the_server(explored, name):
    """After each run there is every row, once, with the values of the server."""
    found, expected = explored.first[name]
    assert expected
    assert found == expected

    found = in_table(explored.database, name)
    assert found == on_server(explored.sentry, name, LATER)
    # Of errors, two groups have grown, and no group is new.
    assert len(found) - len(expected) == (0 if name == "errors" else 1)


@pytest.mark.parametrize(("name", "key"), KEYS.items(), ids=KEYS)
def test_a_row_that_comes_again_replaces_the_one_that_is_there(explored, name, key):
    """The second run loads rows of the first once more, and no key is listed twice."""
    rows = explored.database.rows(f"select * from sentry.explore_{name}")  # noqa: S608 - a test's query
    batches = [row["_sdc_batched_at"] for row in rows]
    new = len(rows) - len(explored.first[name][0])

    assert len({tuple(row[column] for column in key) for row in rows}) == len(rows)
    assert len(set(batches)) == 2
    assert batches.count(max(batches)) > new


def test_columns_have_the_types_of_their_fields(explored):
    """Every column has the type that the setting says or that Sentry documents."""
    found = explored.database.values(
        """
        select relname, attname, format_type(atttypid, null)
        from pg_attribute join pg_class on pg_class.oid = attrelid
        where relname like 'explore\\_%' and relkind = 'r'
          and attnum > 0 and attname not like '\\_sdc\\_%'
        """
    )

    assert {(table, column): kind for table, column, kind in found} == {
        (f"explore_{name}", column): kind
        for name, columns in COLUMNS.items()
        for column, (_, kind) in columns.items()
    }


def test_tables_are_keyed(explored):
    """Each table has the key of its dataset, or that of its groups."""
    found = explored.database.values(
        """
        select relname, json_agg(attname order by array_position(indkey, attnum))
        from pg_index
          join pg_class on pg_class.oid = indrelid
          join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where relname like 'explore\\_%' and indisprimary
        group by relname
        """
    )

    assert dict(found) == {f"explore_{name}": key for name, key in KEYS.items()}


def test_what_a_row_lacks_is_null(explored):
    """Columns of rows are null where Sentry has no value, and never empty."""
    (found,) = explored.database.values(
        """
        select
          count(*) filter (where tags_customer is null) as customers,
          count(*) filter (where tags_retries is null) as retries,
          count(*) filter (where tags_customer = '') as empty
        from sentry.explore_spans
        """
    )
    spans = on_server(explored.sentry, "spans", LATER)
    customers = sum(row["tags_customer"] is None for row in spans)

    assert customers > 1
    assert found == (customers, 1, 0)


def test_a_group_without_a_release_has_an_empty_text(explored):
    """What figures are grouped by is part of the key, and thus never null."""
    found = explored.database.values(
        """
        select interval_start::date, count from sentry.explore_errors
        where release = '' order by interval_start
        """
    )

    assert found == [("2026-11-11", 1), ("2026-11-19", 3), ("2026-11-20", 2)]
