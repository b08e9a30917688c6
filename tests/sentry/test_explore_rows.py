"""Tests that Explore gives the rows, the pages and the figures that Sentry would."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from statistics import fmean

import pytest

from tests.sentry.explore_client import (
    NOW,
    ORG,
    SECOND,
    ask,
    body_of,
    crawl,
    iso,
    links_of,
    rows_of,
    simulated,
    span,
    truth,
)


@pytest.fixture
def sentry():
    return simulated()


# Rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "key", "fields"),
    [
        ("errors", "id", "title issue issue.id user.email tags[browser] level"),
        ("spans", "id", "trace span.op span.duration tags[customer,string]"),
        ("logs", "sentry.item_id", "trace severity message span_id project.id"),
    ],
)
def test_every_page_is_found_and_the_rows_are_the_true_ones(
    sentry, dataset, key, fields
):
    """Pages by two columns, of which one is unique, have every row exactly once."""
    names = [key, "timestamp", "project.name", *fields.split()]
    found = crawl(sentry, dataset, field=names, sort=["-timestamp", key], per_page=37)
    digits = "seconds" if dataset == "errors" else "microseconds"
    true = {
        row[key]: {name: row.get(name) for name in names}
        | {"timestamp": row["timestamp"].isoformat(timespec=digits)}
        for row in truth(sentry, dataset)
    }
    assert {row[key]: row for row in found} == true
    assert len(found) == len(true) > 20
    assert [row["timestamp"] for row in found] == sorted(
        (row["timestamp"] for row in found), reverse=True
    )


def test_only_rows_of_errors_have_columns_that_were_not_asked_for(sentry):
    assert rows_of(sentry, field="level")[0].keys() == {"level", "id", "project.name"}
    assert rows_of(sentry, field=["level", "count()"])[0].keys() == {"level", "count()"}
    for dataset in ("spans", "logs"):
        assert rows_of(sentry, dataset, field="trace")[0].keys() == {"trace"}


def test_a_field_that_a_dataset_lacks_is_null(sentry):
    body = body_of(ask(sentry, "spans", field=["id", "nothing", "organization"]))
    assert {(row["nothing"], row["organization"]) for row in body["data"]} == {
        (None, None)
    }
    assert body["meta"]["fields"]["nothing"] == "string"


def test_the_types_of_columns_are_told(sentry):
    row = {"flag": True, "list": ["a"], "size": 5, "tags[n,number]": None}
    sentry.add_explore_rows(ORG, "uptime_results", [span(1, **row)])
    fields = [*row, "timestamp", "span.duration", "p95(span.duration)", "id"]
    fields += ["max(size)", "count_unique(id)", "project.id"]
    meta = body_of(ask(sentry, "uptime_results", field=fields))["meta"]
    assert [*meta["fields"].values()] == [
        *("boolean", "array", "number", "number", "date", "duration", "duration"),
        *("string", "number", "integer", "integer"),
    ]
    assert {name for name, unit in meta["units"].items() if unit} == {
        "span.duration",
        "p95(span.duration)",
    }


def test_empty_values_come_last_in_either_order(sentry):
    for sort in ("user.email", "-user.email"):
        found = crawl(sentry, "errors", field="user.email", sort=sort)
        values = [row["user.email"] for row in found]
        filled = [value for value in values if value]
        assert filled == sorted(filled, reverse=sort.startswith("-"))
        assert values == filled + [None] * (len(values) - len(filled))
        assert len(values) > len(filled) > 0


def test_equal_rows_come_in_another_order_with_every_request(sentry):
    """Pages of one second overlap and miss rows; a sort by id as well does not."""
    sentry.add_explore_rows(ORG, "spans", [span(number) for number in range(300)])
    window = {"start": iso(SECOND), "end": iso(SECOND + timedelta(seconds=1))}
    for sort in ("timestamp", None):
        params = window | {"field": ["id", "timestamp"], "sort": sort}
        orders = [tuple(map(str, rows_of(sentry, "spans", **params))) for _ in range(5)]
        assert len(set(orders)) == 5
        rows = crawl(sentry, "spans", **params)
        assert len(rows) == 300 > len({row["id"] for row in rows})
    both = window | {"field": ["id", "timestamp"], "sort": ["timestamp", "-id"]}
    rows = crawl(sentry, "spans", **both)
    assert [int(row["id"], 16) for row in rows] == [*range(300)][::-1]

    sentry.order = None
    assert rows_of(sentry, "spans", **params) == rows_of(sentry, "spans", **params)


def test_rows_beyond_ten_thousand_are_missing_without_a_word(sentry):
    sentry.explore["spans"].clear()
    rows = [
        span(number, SECOND + timedelta(microseconds=number))
        for number in range(10_050)
    ]
    sentry.add_explore_rows(ORG, "spans", rows)
    params = {"field": "id", "sort": "id"}
    last = ask(sentry, "spans", cursor="0:9950:0", **params)
    assert len(body_of(last)["data"]) == 50
    assert links_of(last.headers["Link"])["next"]["results"] == "false"
    before = ask(sentry, "spans", cursor="0:9899:0", **params)
    assert len(body_of(before)["data"]) == 100
    assert links_of(before.headers["Link"])["next"]["results"] == "true"
    assert rows_of(sentry, "spans", cursor="0:10000:0", **params) == []
    assert rows_of(sentry, "spans", field="count()") == [{"count()": 10_050}]


def test_projects_environments_and_terms_select_rows(sentry):
    pump, mover = sentry.project("pump-station"), sentry.project("prime-mover")
    fields = ["project", "environment", "level", "user.email"]
    for params, is_selected in (
        ({"project": [pump.id, mover.id]}, lambda row: row["project"] != "the-spoi"),
        ({"project": pump.id}, lambda row: row["project"] == pump.slug),
        ({"environment": "staging"}, lambda row: row["environment"] == "staging"),
        ({"query": "environment:staging"}, lambda row: row["environment"] == "staging"),
        (
            {"query": f'environment:"staging" project:{mover.slug}'},
            lambda row: (row["environment"], row["project"]) == ("staging", mover.slug),
        ),
        ({"query": 'user.email:""'}, lambda row: row["user.email"] is None),
        ({"query": "tags[level]:info"}, lambda row: row["level"] == "info"),
        ({"query": " "}, lambda _: True),
    ):
        wanted = {pump.slug, mover.slug, "the-spoiled-yoghurt", "quiet-harbour"}
        if len(params.get("project", [])) == 2:
            wanted = {pump.slug, mover.slug}
        rows = [row for row in truth(sentry) if row["project"] in wanted]
        true = Counter(row["id"] for row in rows if is_selected(row))
        found = crawl(sentry, "errors", field=[*fields, "id"], sort="id", **params)
        assert Counter(row["id"] for row in found) == true, params
        if query := params.get("query"):
            queried = truth(sentry, "errors", None, NOW, query)
            assert {row["id"] for row in queried} == true.keys()


def test_without_projects_only_those_of_the_user_are_read(sentry):
    found = crawl(sentry, "spans", field=["id", "project"], sort="id", project=None)
    slugs = {row["project"] for row in found}
    assert slugs == {"pump-station", "prime-mover", "quiet-harbour"}
    for project in sentry.organization(ORG).projects:
        project.forbidden = True
    assert truth(sentry, "spans") == []
    answer = ask(sentry, "spans", field="id")
    assert body_of(answer) == {
        "data": [],
        "meta": {
            "tips": {
                "query": "Need at least one valid project to query.",
                "columns": None,
            }
        },
    }
    assert "Link" not in answer.headers


def test_rows_belong_to_one_organization_and_follow_their_project(sentry):
    sentry.add_explore_rows("sternwarte", "spans", [span(1, project="telescope")])
    others = rows_of(sentry, "spans", field="project", organization="sternwarte")
    assert {row["project"] for row in others} == {"telescope"}
    assert len(others) == 13
    sentry.add_explore_rows("sternwarte", "spans", [span(2)])
    assert rows_of(sentry, "spans", field="count()") == [{"count()": 4 * 12}]
    sentry.rename_project("pump-station", "pump-house")
    found = crawl(sentry, "spans", field="project", sort="project")
    assert "pump-house" in {row["project"] for row in found}
    assert len(found) == 4 * 12


# Functions ----------------------------------------------------------------------------


def test_functions_are_grouped_by_the_plain_fields(sentry):
    """The figures are those that the true rows give; no value is a group, too."""
    column = "span.duration"
    functions = [f"{name}({column})" for name in ("avg", "sum", "p95", "count_unique")]
    fields = ["tags[customer,string]", "count()", *functions]
    found = crawl(sentry, "spans", field=fields, sort="-count()", per_page=2)
    groups: dict[str | None, list[float]] = {}
    for row in truth(sentry, "spans"):
        groups.setdefault(row["tags[customer,string]"], []).append(row[column])
    assert {row["tags[customer,string]"]: [*row.values()][1:] for row in found} == {
        name: [
            len(values),
            pytest.approx(fmean(values)),
            sum(values),
            sorted(values)[-(len(values) // 20) - 1],
            len(set(values)),
        ]
        for name, values in groups.items()
    }
    assert None in groups
    assert len(found) == len(groups) == 3


def test_percentiles_are_values_of_the_rows(sentry):
    """So many percent of the values are not above a percentile."""
    rows = [span(number, duration=number) for number in range(1, 101)]
    sentry.add_explore_rows(ORG, "tracemetrics", rows)
    shares = {50, 75, 95, 99}
    fields = [f"p{share}(duration)" for share in shares]
    found = rows_of(sentry, "tracemetrics", field=fields)
    assert found == [{f"p{share}(duration)": share for share in shares}]


def test_errors_of_one_second_have_the_same_time(sentry):
    for micro in (0, 1, 999_999):
        sentry.add_event("pump-station", date=SECOND + timedelta(microseconds=micro))
    start, end = iso(SECOND), iso(SECOND + timedelta(seconds=1))
    found = rows_of(sentry, field=["timestamp", "count()"], start=start, end=end)
    assert found == [{"timestamp": f"{start}+00:00", "count()": 3}]


def test_a_count_without_fields_is_one_row_even_of_nothing(sentry):
    fields = ["count()", "count_unique(user)", "avg(issue.id)"]
    users = {row["user"] for row in truth(sentry)} - {None}
    (row,) = rows_of(sentry, field=fields)
    assert row["count()"] == len(truth(sentry))
    assert row["count_unique(user)"] == len(users)
    nothing = {"count()": 0, "count_unique(user)": 0, "avg(issue.id)": None}
    assert rows_of(sentry, field=fields, query="level:never") == [nothing]
    assert rows_of(sentry, field=["level", "count()"], query="level:never") == []


# Scans --------------------------------------------------------------------------------


def test_a_long_window_is_scanned_in_part(sentry):
    """Every second row is missing, and counts are estimated."""
    sentry.explore["spans"].clear()
    sentry.add_explore_rows(ORG, "spans", [span(number) for number in range(9)])
    sentry.explore_exact = timedelta(hours=1)
    answers = {}
    for hours in (1, 2):
        params = {"start": iso(NOW - timedelta(hours=hours)), "end": iso(NOW)}
        rows = body_of(ask(sentry, "spans", field="id", **params))
        count = body_of(ask(sentry, "spans", field="count()", **params))
        scanned = {body["meta"]["dataScanned"] for body in (rows, count)}
        answers[hours] = (scanned, len(rows["data"]), count["data"][0]["count()"])
    assert answers == {1: ({"full"}, 9, 9), 2: ({"partial"}, 5, 10)}
    assert len(truth(sentry, "spans")) == 9

    errors = body_of(ask(sentry, field="count()"))
    assert errors["meta"]["dataScanned"] == "full"
    sentry.explore_exact = None
    spans = body_of(ask(sentry, "spans", field="count()"))
    assert spans["meta"]["dataScanned"] == "full"


def test_the_default_rows_are_the_same_each_time_and_share_seconds():
    first, second = simulated().explore, simulated().explore
    assert first == second
    assert simulated(organizations=[]).explore == {}
    for dataset in ("spans", "logs"):
        dates = Counter((row["project"], row["timestamp"]) for row in first[dataset])
        seconds = Counter(
            (slug, date.replace(microsecond=0)) for slug, date in dates.elements()
        )
        assert set(dates.values()) == {2}
        assert set(seconds.values()) == {4}
        assert any(None in row.values() for row in first[dataset])
