"""The setting `explore`: tables that a user defines."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tap_sentry.settings.explore import column_of, parse_queries
from tests.sentry import TOKEN

SPANS = {
    "name": "slow_spans",
    "dataset": "spans",
    "fields": ["project", "span.op", "span.duration", "tags[customer,string]"],
    "query": "span.duration:>1s",
    "projects": ["shop-*", "!shop-old"],
}
ERRORS = {
    "name": "errors_by_release",
    "dataset": "errors",
    "fields": ["project", "release", "count()", "count_unique(user)"],
    "interval": "1d",
}

#: Wrong definitions, each with the line that names the mistake.
NAME = "name must be up to 40 of a-z, 0-9 and _, and begin with a letter"
DATASETS = "errors, spans, logs, tracemetrics, uptime_results, profile_functions"
WRONG = [
    ("slow", "'slow' is not of type 'array', 'null' in config['explore']"),
    (
        {"name": "x"},
        "{'name': 'x'} is not of type 'array', 'null' in config['explore']",
    ),
    (7, "7 is not of type 'array', 'null' in config['explore']"),
    (["slow"], "explore: table 1 must be an object"),
    ([SPANS, None], "explore: table 2 must be an object"),
    ([[SPANS]], "explore: table 1 must be an object"),
    ([{**SPANS, "name": None}], f"explore: 1: {NAME}"),
    ([{**SPANS, "name": ""}], f"explore: 1: {NAME}"),
    ([{**SPANS, "name": 4}], f"explore: 1: {NAME}"),
    ([{**SPANS, "name": "Slow"}], f"explore: Slow: {NAME}"),
    ([{**SPANS, "name": "4slow"}], f"explore: 4slow: {NAME}"),
    ([{**SPANS, "name": "slow-spans"}], f"explore: slow-spans: {NAME}"),
    ([{**SPANS, "name": "_slow"}], f"explore: _slow: {NAME}"),
    ([{**SPANS, "name": "s" * 41}], f"explore: {'s' * 41}: {NAME}"),
    ([SPANS, SPANS], "explore: slow_spans is listed twice"),
    (
        [{k: v for k, v in SPANS.items() if k != "dataset"}],
        f"explore: slow_spans: dataset must be one of {DATASETS}, not None",
    ),
    (
        [{**SPANS, "dataset": "span"}],
        f"explore: slow_spans: dataset must be one of {DATASETS}, not 'span'",
    ),
    (
        [{**SPANS, "dataset": ["spans"]}],
        f"explore: slow_spans: dataset must be one of {DATASETS}, not ['spans']",
    ),
    ([{**SPANS, "fields": None}], "explore: slow_spans: fields must name at least one"),
    ([{**SPANS, "fields": []}], "explore: slow_spans: fields must name at least one"),
    ([{**SPANS, "fields": "id"}], "explore: slow_spans: fields must be a list"),
    ([{**SPANS, "fields": {"id": 1}}], "explore: slow_spans: fields must be a list"),
    ([{**SPANS, "fields": [1]}], "explore: slow_spans: fields must contain"),
    ([{**SPANS, "fields": [" "]}], "explore: slow_spans: fields must contain"),
    ([{**SPANS, "fields": ["a b"]}], "explore: slow_spans: 'a b' is not a field"),
    ([{**SPANS, "fields": ["tags[]"]}], "explore: slow_spans: 'tags[]' is not a field"),
    ([{**SPANS, "fields": ["count("]}], "explore: slow_spans: 'count(' is not a field"),
    (
        [{**SPANS, "fields": ["tags[a,date]"]}],
        "explore: slow_spans: 'tags[a,date]' is not a field",
    ),
    (
        [{**SPANS, "fields": ["span.op", "span.op"]}],
        "explore: slow_spans: span.op is listed twice",
    ),
    (
        [{**SPANS, "fields": ["span.op", "span_op"]}],
        "explore: slow_spans: the column span_op of span_op is taken by span.op",
    ),
    (
        [{**SPANS, "fields": ["organization_id"]}],
        "explore: slow_spans: the column organization_id of organization_id is taken",
    ),
    (
        [{**SPANS, "fields": [f"tags[t{n}]" for n in range(18)]}],
        "explore: slow_spans: Sentry returns at most 20 fields; these are 21 with",
    ),
    (
        [{**SPANS, "query": 4}],
        "explore: slow_spans: query must be a string",
    ),
    (
        [{**SPANS, "query": "timestamp:>2026-01-01"}],
        "explore: slow_spans: query must not contain timestamp: use the setting",
    ),
    (
        [{**SPANS, "query": "span.op:db project:shop"}],
        "explore: slow_spans: query must not contain project: use the setting projects",
    ),
    (
        [{**SPANS, "query": "!project.id:4"}],
        "explore: slow_spans: query must not contain project.id: use the setting",
    ),
    ([{**SPANS, "projects": "shop"}], "explore: slow_spans: projects must be a list"),
    ([{**SPANS, "projects": [""]}], "explore: slow_spans: projects must contain"),
    (
        [{**SPANS, "interval": "1d"}],
        "explore: slow_spans: interval needs a function in the fields",
    ),
    (
        [{**SPANS, "filter": "x"}],
        "explore: slow_spans: there is no 'filter'",
    ),
    (
        [{**SPANS, "project": ["x"]}],
        "explore: slow_spans: there is no 'project': do you mean projects?",
    ),
    (
        [{k: v for k, v in ERRORS.items() if k != "interval"}],
        "explore: errors_by_release: count() needs an interval, 1h or 1d",
    ),
    (
        [{**ERRORS, "interval": "5m"}],
        "explore: errors_by_release: interval must be one of 1h, 1d, not '5m'",
    ),
    (
        [{**ERRORS, "interval": ["1d"]}],
        "explore: errors_by_release: interval must be one of 1h, 1d, not ['1d']",
    ),
    (
        [{**ERRORS, "interval": 1}],
        "explore: errors_by_release: interval must be one of 1h, 1d, not 1",
    ),
    (
        [{**ERRORS, "fields": ["count()", "timestamp"]}],
        "explore: errors_by_release: timestamp cannot be used with count()",
    ),
    (
        [{**ERRORS, "fields": ["count()", "interval_start"]}],
        "explore: errors_by_release: the column interval_start of interval_start",
    ),
]


@pytest.mark.parametrize(("wrong", "line"), WRONG, ids=map(str, range(len(WRONG))))
def test_a_wrong_definition_is_told_in_a_line(command, sentry, wrong, line):
    """The line names the table; nothing is requested or written."""
    exit_code, lines, everything = command({"auth_token": TOKEN, "explore": wrong})

    assert exit_code == 1
    assert sentry.requests == []
    assert len(lines) == 1
    assert lines[0].startswith(line)
    assert "Traceback" not in everything
    assert '"type":' not in everything


def test_every_mistake_is_told(command):
    """A definition with several mistakes gets a line for each."""
    wrong = [{**SPANS, "dataset": "x", "query": 1}, {**ERRORS, "interval": None}]
    _, lines, _ = command({"auth_token": TOKEN, "explore": wrong})

    assert len(lines) == 3


def test_a_definition_becomes_a_table():
    """Rows have their key and their time, which a user need not name."""
    (spans, errors), mistakes = parse_queries([SPANS, ERRORS])

    assert mistakes == []
    assert [column.name for column in spans.columns] == [
        *("trace", "id", "timestamp"),
        *("project", "span_op", "span_duration", "tags_customer"),
    ]
    assert spans.keys == ("organization_id", "trace", "id")
    assert spans.search == "span.duration:>1s"
    assert spans.projects.match("shop-1")
    assert not spans.projects.match("shop-old")
    assert errors.interval == timedelta(days=1)
    assert errors.keys == ("organization_id", "interval_start", "project", "release")


def test_rows_without_an_id_are_known_by_a_hash():
    """Sentry gives no id to metrics, uptime checks and functions of profiles."""
    (query,), _ = parse_queries(
        [{"name": "checks", "dataset": "uptime_results", "fields": ["region"]}]
    )

    assert query.keys == ("organization_id", "row_hash")


@pytest.mark.parametrize(
    ("field", "name", "kind"),
    [
        ("span.op", "span_op", "string"),
        ("span.duration", "span_duration", "number"),
        ("measurements.lcp", "measurements_lcp", "number"),
        ("timestamp", "timestamp", "date-time"),
        ("tags[Customer Name]", "tags_customer_name", "string"),
        ("tags[size,number]", "tags_size", "number"),
        ("tags[is_new, boolean]", "tags_is_new", "boolean"),
        ("count()", "count", "integer"),
        ("count_unique(user)", "count_unique_user", "integer"),
        ("p95(span.duration)", "p95_span_duration", "number"),
        ("count_if(span.op,equals,db)", "count_if_span_op_equals_db", "integer"),
        ("max(timestamp)", "max_timestamp", "date-time"),
        ("last_seen()", "last_seen", "date-time"),
        ("issue.id", "issue_id", "string"),
    ],
)
def test_a_field_becomes_a_column(field, name, kind):
    """Names fit into a warehouse, and types are known without asking Sentry."""
    column = column_of(field)

    assert (column.name, column.type) == (name, kind)
    assert column.field == field


def test_the_setting_can_be_in_the_environment(command, sentry):
    """The variable holds a list in JSON, as those of other lists do."""
    text = json.dumps([{**SPANS, "dataset": "x"}])
    exit_code, lines, _ = command(
        {"auth_token": TOKEN}, "--config=ENV", TAP_SENTRY_EXPLORE=text
    )

    assert (exit_code, sentry.requests) == (1, [])
    assert lines[0].startswith("explore: slow_spans: dataset must be one of")
