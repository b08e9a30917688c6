"""Tables that a user defines."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count

import pytest

from tap_sentry.streams.explore import ExploreTable
from tap_sentry.tap import TapSentry
from tap_sentry.windows import DAY, floor
from tests.conftest import NOW, run
from tests.conftest import catalog_of as all_streams
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.explore import MOST_ROWS, explore_rows
from tests.streams import STERNWARTE, let_pass

ERRORS = {"name": "errors", "dataset": "errors", "fields": ["title", "issue.id"]}
SPANS = {"name": "spans", "dataset": "spans", "fields": ["span.op", "span.duration"]}
LOGS = {"name": "logs", "dataset": "logs", "fields": ["message", "severity"]}
BY_CUSTOMER = {
    "name": "by_customer",
    "dataset": "spans",
    "fields": ["tags[customer,string]", "p95(span.duration)", "count()"],
    "interval": "1d",
}
BY_RELEASE = {
    "name": "by_release",
    "dataset": "errors",
    "fields": ["project", "release", "count()", "count_unique(user)"],
    "interval": "1d",
}


def catalog_of(*tables):
    """The catalog of these tables alone."""
    config = {"auth_token": TOKEN, "explore": list(tables)}
    tap = TapSentry(config=config, validate_config=False, setup_mapper=False)
    names = {f"explore_{table['name']}" for table in tables}
    streams = tap.catalog_dict["streams"]
    return {"streams": [entry for entry in streams if entry["stream"] in names]}


@pytest.fixture
def read(sentry):
    """Read tables: `read(ERRORS, state=…, start_date="10d")`."""
    sentry.page_size = None

    def read(*tables, state=None, **settings):
        config = {
            "auth_token": TOKEN,
            "api_url": sentry.url,
            "organizations": [STERNWARTE],
            "explore": list(tables),
            **settings,
        }
        return run(config, catalog_of(*tables), state)

    return read


def truth(sentry, dataset, start=None, end=NOW, **restriction):
    """What the server holds of a dataset."""
    organization = sentry.organization(STERNWARTE)
    return explore_rows(sentry, organization, dataset, start, end, **restriction)


def span(number, at, **fields):
    """A span of the telescope."""
    return {
        "id": f"{number:016x}",
        "trace": f"{number // 7:032x}",
        "timestamp": at,
        "project": "telescope",
        "span.op": "db",
        "span.duration": float(number),
        **fields,
    }


def small(monkeypatch, most):
    """Let the server send fewer rows of a list, and the tap know of it."""
    monkeypatch.setattr("tests.sentry.explore.MOST_ROWS", most)
    monkeypatch.setattr("tap_sentry.streams.explore.ExploreTable.many_rows", most)
    monkeypatch.setattr("tap_sentry.streams.explore_rows.MOST_ROWS", most)
    monkeypatch.setattr("tap_sentry.streams.explore_rows.AIM", most // 2)


@pytest.mark.parametrize(
    ("table", "key"), [(ERRORS, "id"), (SPANS, "id"), (LOGS, "sentry_item_id")]
)
def test_all_rows_arrive_with_their_columns(read, sentry, table, key):
    """A table has every row that the server holds, once, in the order of time."""
    output = read(table)
    rows = output.records(f"explore_{table['name']}")
    expected = truth(sentry, table["dataset"])
    field = {"sentry_item_id": "sentry.item_id"}.get(key, key)

    assert output.code == 0
    assert expected
    assert [row[key] for row in rows] == [row[field] for row in expected]
    for name in table["fields"]:
        column = name.replace(".", "_")
        values = [row.get(name) for row in expected]
        if column.endswith("_id"):
            values = [None if value is None else str(value) for value in values]
        assert [row[column] for row in rows] == values


def test_only_the_chosen_projects_are_read(read, sentry):
    """`projects` of the settings and of the table restrict what is asked for."""
    organization = sentry.organizations[0]
    pump, mover, *_ = organization.projects
    table = {**SPANS, "projects": [f"{pump.slug[:4]}*"]}
    where = {"organizations": [organization.slug]}
    by_table = read(table, **where)
    by_setting = read(SPANS, projects=[pump.id], **where)
    none = read(table, projects=[mover.slug], **where)
    expected = explore_rows(sentry, organization, "spans", None, NOW, projects=[pump])

    assert expected
    assert [row["id"] for row in by_table.records("explore_spans")] == [
        row["id"] for row in expected
    ]
    assert by_setting.keys("explore_spans") == by_table.keys("explore_spans")
    assert none.code == 0
    assert none.records("explore_spans") == []


def test_rows_that_arrive_while_a_list_is_read_repeat_none(read, sentry, monkeypatch):
    """A new row moves those after it to the next page, which has been read."""
    at = NOW - timedelta(hours=2)
    rows = [span(n, at + timedelta(seconds=n)) for n in range(1, 300)]
    sentry.add_explore_rows(STERNWARTE, "spans", rows)
    answer, pages = sentry.answer, count(1)

    def arriving(method, url, headers):
        found = answer(method, url, headers)
        if "sort=timestamp" in url and next(pages) == 1:
            sentry.add_explore_rows(STERNWARTE, "spans", [span(0, at)])
        return found

    monkeypatch.setattr(sentry, "answer", arriving)
    output = read(SPANS, start_date="3h", concurrency=1)
    keys = output.keys("explore_spans")

    assert len(keys) == len(set(keys)) >= len(rows)


def test_the_search_goes_to_sentry(read, sentry):
    """The server selects the rows that fit the query."""
    output = read({**SPANS, "query": "span.op:db"})
    rows = output.records("explore_spans")

    assert {row["span_op"] for row in rows} == {"db"}
    assert len(rows) == len(truth(sentry, "spans", query="span.op:db"))


def test_a_second_run_reads_what_is_new(read, sentry, monkeypatch):
    """A run goes back by `lookback`, for rows that arrive late."""
    first = read(SPANS)
    late = NOW - timedelta(minutes=50)
    sentry.add_explore_rows(STERNWARTE, "spans", [span(1, late)])
    let_pass(sentry, monkeypatch, minutes=5)
    second = read(SPANS, state=first.state)
    bound = (NOW - timedelta(hours=1)).isoformat()

    assert f"{1:016x}" in {row["id"] for row in second.records("explore_spans")}
    assert all(row["timestamp"] >= bound for row in second.records("explore_spans"))


def test_a_hot_second_is_read_whole(read, sentry):
    """Thousands of rows in one second are one list, in the order of their keys."""
    rows = [span(number, NOW - timedelta(hours=2)) for number in range(3_000)]
    sentry.add_explore_rows(STERNWARTE, "spans", rows)
    output = read(SPANS, start_date="3h")
    found = [row["id"] for row in output.records("explore_spans")]

    assert len(found) == len(set(found))
    assert set(found) >= {row["id"] for row in rows}


def test_a_second_with_more_rows_than_sentry_sends_is_read_by_project(
    read, sentry, monkeypatch, warnings
):
    """What is too much for one list may fit into one for each project."""
    small(monkeypatch, 40)
    organization = sentry.organizations[0]
    projects = [project.slug for project in organization.projects[:2]]
    at = NOW - timedelta(hours=2)
    rows = [span(number, at, project=projects[number % 2]) for number in range(70)]
    sentry.add_explore_rows(organization.slug, "spans", rows)
    output = read(SPANS, organizations=[organization.slug], start_date="3h")

    assert {row["id"] for row in output.records("explore_spans")} >= {
        row["id"] for row in rows
    }
    assert warnings() == []


def test_rows_that_sentry_does_not_send_are_told(read, sentry, monkeypatch, warnings):
    """If a project has too many rows in a second, a warning says how many come."""
    small(monkeypatch, 40)
    at = NOW - timedelta(hours=2)
    sentry.add_explore_rows(STERNWARTE, "spans", [span(n, at) for n in range(70)])
    output = read(SPANS, start_date="3h")

    assert output.code == 0
    where = "explore_spans: organization sternwarte"
    assert "; ".join(warnings()) == (
        f"{where} project telescope has more rows from 2026-11-20T10:30:15Z on than "
        "Sentry sends, some may be missing; "
        f"{where} has 40 rows from 2026-11-20T10:30:15Z to 2026-11-20T10:30:16Z, where "
        "Sentry counts 70"
    )


def test_strict_stops_at_rows_that_are_missing(read, sentry, monkeypatch):
    """With `strict` a window that lacks rows ends the run."""
    small(monkeypatch, 40)
    at = NOW - timedelta(hours=2)
    sentry.add_explore_rows(STERNWARTE, "spans", [span(n, at) for n in range(70)])

    assert read(SPANS, start_date="3h", strict=True).code == 1


def test_a_scan_of_a_part_is_cut_down_to_a_minute(read, sentry, warnings):
    """Shorter windows are exact; if a minute is not, a warning says so once."""
    sentry.explore_exact = timedelta(minutes=20)
    exact = read(SPANS, start_date="1d")
    assert len(exact.records("explore_spans")) == len(
        truth(sentry, "spans", NOW - timedelta(days=1))
    )
    assert warnings() == []

    sentry.explore_exact = timedelta(seconds=5)
    read(SPANS, start_date="1d")
    assert len(warnings()) == 1
    assert warnings()[0].startswith("explore_spans: Sentry has read only a part")


def test_what_clients_have_not_sent_is_not_counted(read, sentry, warnings):
    """Sentry counts ten spans for one, if clients send a tenth of them."""
    sentry.weight = 10
    output = read(SPANS)

    assert len(output.records("explore_spans")) == len(truth(sentry, "spans"))
    assert warnings() == []


def test_rows_without_an_id_have_a_hash(read, sentry):
    """The same row has the same hash in every run."""
    at = NOW - timedelta(hours=2)
    rows = [
        {"timestamp": at, "project": "telescope", "region": str(number), "trace": "1"}
        for number in range(3)
    ]
    sentry.add_explore_rows(STERNWARTE, "uptime_results", rows)
    table = {"name": "checks", "dataset": "uptime_results", "fields": ["region"]}
    keys = read(table, start_date="3h").keys("explore_checks")

    assert len(set(keys)) == 3
    assert read(table, start_date="3h").keys("explore_checks") == keys


# Figures ------------------------------------------------------------------------------


def test_figures_are_those_of_the_rows(read, sentry):
    """There is a record for each group and day; a group without a value is empty."""
    output = read(BY_RELEASE, start_date="20d")
    counts = Counter(
        (f"{row['timestamp']:%Y-%m-%d}", row["project"], row["release"] or "")
        for row in truth(sentry, "errors", floor(NOW - timedelta(days=20), DAY))
    )
    found = {
        (row["interval_start"][:10], row["project"], row["release"]): row["count"]
        for row in output.records("explore_by_release")
    }

    assert output.code == 0
    assert counts
    assert found == counts
    assert len(found) == len(output.records("explore_by_release"))


def test_the_newest_two_intervals_are_read_again(read, sentry, monkeypatch):
    """They were not complete when they were read."""
    first = read(BY_RELEASE, start_date="20d")
    let_pass(sentry, monkeypatch, hours=1)
    second = read(BY_RELEASE, state=first.state)
    days = {row["interval_start"] for row in second.records("explore_by_release")}

    assert days
    assert min(days) >= "2026-11-19T00:00:00Z"


def test_many_groups_are_read_by_project(read, sentry, monkeypatch):
    """Groups beyond what Sentry sends are asked for project by project."""
    small(monkeypatch, 6)
    table = {**BY_RELEASE, "fields": ["project", "title", "release", "count()"]}
    start = NOW - timedelta(days=2)
    few = read(table, start_date="2d")
    monkeypatch.undo()
    expected = {
        (row["project"], row["title"], row["release"] or "")
        for row in truth(sentry, "errors", floor(start, DAY))
    }

    assert {
        (row["project"], row["title"], row["release"])
        for row in few.records("explore_by_release")
    } == expected


def test_a_group_without_a_value_is_an_empty_text(read, sentry):
    """What a table is grouped by is its key, which must not be null."""
    rows = read(BY_CUSTOMER).records("explore_by_customer")
    counts = Counter(
        row["tags[customer,string]"] or "" for row in truth(sentry, "spans")
    )
    found: Counter[str] = Counter()
    for row in rows:
        found[row["tags_customer"]] += row["count"]

    assert counts[""]
    assert found == counts


def test_figures_can_be_grouped_by_the_id_of_the_project(read, sentry):
    """The column has the name of one that other streams get from their parent."""
    table = {**BY_RELEASE, "fields": ["project.id", "count()"]}
    rows = read(table, start_date="20d").records("explore_by_release")

    assert {row["project_id"] for row in rows} == {sentry.project("telescope").id}


def test_estimates_are_told(read, sentry, warnings):
    """Sentry estimates figures of intervals that are too long for all of its data."""
    sentry.explore_exact = timedelta(hours=1)
    read(BY_CUSTOMER, start_date="3d")

    assert len(warnings()) == 1
    assert "figures are estimates" in warnings()[0]


def test_the_tap_stops_before_sentry_does():
    """A list is split before it reaches the depth at which Sentry ends it."""
    assert ExploreTable.many_rows < MOST_ROWS


# What servers lack --------------------------------------------------------------------


def test_a_wrong_field_is_told_in_the_words_of_sentry(read, warnings):
    """The line has the name of the table and what Sentry says of the field."""
    output = read({**BY_RELEASE, "fields": ["project", "nope()"]})

    assert output.code == 1
    (line,) = warnings()
    assert line.startswith("explore_by_release skipped organization sternwarte: GET ")
    assert line.endswith("nope is not a valid function")


@pytest.mark.parametrize(("status", "code"), [(403, 1), (404, 0)])
def test_a_dataset_that_a_plan_lacks_is_told(read, sentry, warnings, status, code):
    """Sentry denies one dataset, or acts as if it had none; the others are read."""
    sentry.fault(
        status,
        empty=True,
        times=None,
        when=lambda seen: seen.params.get("dataset") == ["logs"],
    )
    output = read(LOGS, ERRORS, start_date="2d")

    assert output.code == code
    assert output.records("explore_logs") == []
    assert output.records("explore_errors")
    assert [line.partition(" ")[0] for line in warnings()] == ["explore_logs"]


@pytest.mark.parametrize(("flavour", "code"), [("self-hosted-9", 1), ("glitchtip", 0)])
def test_a_server_without_explore_is_told(flavour, code, warnings):
    """GlitchTip lacks the list, and Sentry 9.1.2 denies it; the others are read."""
    sentry = SentrySimulator(flavour=flavour, clock=lambda: NOW)
    config = {"auth_token": TOKEN, "api_url": sentry.url, "explore": [ERRORS]}
    catalog = catalog_of(ERRORS)
    catalog["streams"] += all_streams("organizations")["streams"]
    with sentry.patched():
        output = run(config, catalog)

    assert output.code == code
    assert output.records("organizations")
    assert output.records("explore_errors") == []
    assert any("explore_errors" in line for line in warnings())


def test_a_window_that_begins_too_early_is_shortened(read, sentry):
    """Sentry rejects windows that begin before what it keeps."""
    output = read(LOGS, start_date="60d")

    assert output.code == 0
    assert len(output.records("explore_logs")) == len(truth(sentry, "logs"))


@pytest.mark.parametrize(
    "tables", [(LOGS, ERRORS), (ERRORS, LOGS)], ids=["logs", "errors"]
)
def test_what_is_kept_of_a_dataset_cuts_no_other(read, sentry, tables):
    """Sentry keeps logs for less time than errors."""
    issue = sentry.project("telescope").issues[0]
    sentry.add_event("telescope", issue, NOW - timedelta(days=45))
    output = read(*tables, start_date="60d")
    expected = truth(sentry, "errors", NOW - timedelta(days=60))

    assert len(output.records("explore_errors")) == len(expected)
    assert len(output.records("explore_logs")) == len(truth(sentry, "logs"))


# In the tap ---------------------------------------------------------------------------


def test_nothing_is_asked_for_at_discovery(sentry):
    """The columns and their types follow from the setting."""
    properties = catalog_of(SPANS)["streams"][0]["schema"]["properties"]

    assert sentry.requests == []
    assert properties["span_duration"]["type"] == ["number", "null"]
    assert properties["span_duration"]["description"] == "Sentry's `span.duration`."
    assert properties["timestamp"]["format"] == "date-time"


def test_the_output_does_not_depend_on_concurrency(read, sentry, monkeypatch):
    """Windows are read side by side, and written one after the other."""
    monkeypatch.setattr("tap_sentry.streams.explore_rows.MOST_ROWS", 40)
    monkeypatch.setattr("tap_sentry.streams.explore_rows.AIM", 30)
    rows = [span(n, NOW - timedelta(seconds=11 * n)) for n in range(1, 500)]
    sentry.add_explore_rows(STERNWARTE, "spans", rows)
    one = read(SPANS, BY_RELEASE, start_date="2d", concurrency=1)
    many = read(SPANS, BY_RELEASE, start_date="2d", concurrency=16)

    records = [m for m in one.messages if m["type"] == "RECORD"]
    assert len(records) > 500
    assert [
        {**message, "time_extracted": None}
        for message in many.messages
        if message["type"] == "RECORD"
    ] == [{**message, "time_extracted": None} for message in records]
    assert many.state == one.state


def test_a_report_is_one_day_of_a_table(read, sentry):
    """With `report_date` no bookmark is read or moved."""
    output = read(ERRORS, report_date="2026-11-19")
    start = NOW.replace(day=19, hour=0, minute=0, second=0)
    expected = truth(sentry, "errors", start, start + DAY)

    assert [row["id"] for row in output.records("explore_errors")] == [
        row["id"] for row in expected
    ]
    assert not any(m.get("value", {}).get("bookmarks") for m in output.messages)
