"""Tests that Explore refuses what Sentry refuses, and answers in its form."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.sentry import LIMITS_OF_24, SAAS_LIMITS, Token
from tests.sentry.explore_client import (
    NOW,
    ORG,
    SECOND,
    ask,
    body_of,
    detail_of,
    iso,
    rows_of,
    send,
    simulated,
    span,
    truth,
)

DAY = timedelta(days=1)
RECORDED = Path(__file__).parents[1] / "recorded" / "sentry-24.2"
BAD_REQUESTS = [
    "explore_21_fields",
    "explore_bad_field",
    "explore_old",
    "explore_per_page_101",
    "explore_spans",
]
GOOD_REQUESTS = [
    "explore_errors",
    "explore_errors_count",
    "explore_offset_9900",
    "explore_offset_20000",
]


@pytest.fixture
def sentry():
    return simulated()


# What was recorded --------------------------------------------------------------------


def recording(name):
    """Return the query, the status, the headers and the body of a recording."""
    text = (RECORDED / f"{name}.http").read_text("utf-8")
    request, top, body = text.split("\n\n", 2)
    status, *lines = top.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return request.partition("?")[2], int(status), headers, json.loads(body)


def replayed(name, **options):
    """Send a recorded query to a simulator of the server that answered it."""
    sentry = simulated("self-hosted-24", **options)
    for number in range(6):
        sentry.add_event("pump-station", date=SECOND, release=f"shop@0.{number}.0")
    return send(sentry, recording(name)[0])


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_what_sentry_refused_is_refused_in_its_words(name):
    _, status, _, body = recording(name)
    answer = replayed(name)

    assert (answer.status, json.loads(answer.body)) == (status, body)
    assert status == 400


@pytest.mark.parametrize("name", GOOD_REQUESTS)
def test_an_answer_has_the_form_of_the_recorded_one(name):
    """Rows have the recorded columns and types; the description is the same."""
    recorded, found = recording(name)[3], body_of(replayed(name))

    assert found["meta"] == recorded["meta"]
    assert found.keys() == recorded.keys()
    assert len(found["data"]) == len(recorded["data"])
    for row, example in zip(found["data"], recorded["data"], strict=True):
        assert row.keys() == example.keys()
        for column in row.keys() - {"user.email"}:
            assert type(row[column]) is type(example[column])
    if name == "explore_errors":
        stamps = [
            re.sub(r"\d", "0", row["timestamp"])
            for row in found["data"] + recorded["data"]
        ]
        assert stamps == ["0000-00-00T00:00:00+00:00"] * 10


@pytest.mark.parametrize("name", GOOD_REQUESTS)
def test_cursors_are_the_recorded_ones(name):
    """The links are the same but for the server and the organization."""
    recorded = recording(name)[2]["Link"]
    recorded = recorded.replace("https://sentry.example.com", "https://sentry.io")
    recorded = recorded.replace("/acme/", f"/{ORG}/")

    assert replayed(name).headers["Link"] == recorded


@pytest.mark.parametrize("name", [*BAD_REQUESTS, *GOOD_REQUESTS])
def test_limits_are_the_recorded_ones(name):
    """Answers and refusals tell the limits of this endpoint."""
    answer = replayed(name, rate_limits=LIMITS_OF_24)
    told = {key.lower(): value for key, value in answer.headers.items()}
    recorded = {key.lower(): value for key, value in recording(name)[2].items()}
    prefix = "x-sentry-rate-limit-"

    assert told.keys() - {"date", "content-length"} == recorded.keys()
    for part in ("limit", "concurrentlimit", "concurrentremaining"):
        assert told[prefix + part] == recorded[prefix + part]
    saas = simulated(rate_limits=SAAS_LIMITS)
    statuses = [ask(saas, field="id").status for _ in range(31)]
    assert Counter(statuses) == {200: 30, 429: 1}


# What is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"field": None}, "No columns selected"),
        ({"dataset": None}, "dataset must be one of: errors, spans, logs, tracemet"),
        ({"dataset": "discover"}, "dataset must be one of: errors, spans, logs"),
        ({"sort": "title"}, "Cannot sort by a field that is not selected"),
        ({"sort": ["id", "-title"]}, "Cannot sort by a field that is not selected"),
        ({"field": "nope(id)"}, "nope is not a valid function"),
        ({"field": "p95()"}, "p95: expected 1 argument(s)"),
        ({"field": "avg(title)"}, "avg(title): column argument invalid: title is not"),
        ({"field": "equation|count() * 2"}, "Not simulated: the equation"),
        ({"field": [f"tags[{n}]" for n in range(21)]}, "You can view up to 20 fields"),
        ({"per_page": 0}, "Invalid per_page value. Must be between 1 and 100."),
        ({"cursor": "next"}, "Invalid cursor parameter."),
        ({"start": "2026-11-20T00:00:00"}, "start and end are both required"),
        (
            {"start": "2026-11-20T00:00:00.5", "end": "2026-11-21T00:00:00"},
            "Invalid date range: start has a fraction",
        ),
        (
            {"start": "2026-11-20T00:00:00", "end": "2026-11-21T00:00:00.000"},
            "Invalid date range: end has a fraction",
        ),
        (
            {"start": "2026-11-21T00:00:00", "end": "2026-11-21T00:00:00"},
            "start must be before end",
        ),
        ({"statsPeriod": "soon"}, "Invalid date range: soon"),
        ({"project": "pump-station"}, "Invalid project parameter."),
        ({"query": "!level:error"}, "Error parsing search query"),
        ({"query": "level:error OR level:info"}, "Error parsing search query"),
        ({"query": "release:1*"}, "Error parsing search query"),
        ({"query": "timestamp:2026-11-20"}, "Error parsing search query"),
        ({"query": ["level:error", "level:info"]}, "Not simulated: 'query' more than"),
        ({"sampling": "NORMAL"}, "Not simulated: the parameter 'sampling'"),
    ],
)
def test_what_is_wrong_is_refused(sentry, params, detail):
    status, text = detail_of(ask(sentry, **({"field": "id"} | params)))

    assert status == 400
    assert text.startswith(detail)


def test_sentry_24_has_no_spans_and_other_datasets_are_not_simulated():
    sentry = simulated("self-hosted-24")
    for dataset in ("spansIndexed", "discover"):
        answer = ask(sentry, dataset, field="id")
        assert detail_of(answer) == (400, f"Not simulated: the dataset '{dataset}'")


def test_older_servers_and_glitchtip_lack_it():
    old = ask(simulated("self-hosted-9"), field="id")
    denied = "You do not have permission to perform this action."
    assert detail_of(old) == (403, denied)
    other = ask(simulated("glitchtip"), field="id")
    assert other.status == 404
    assert b"<html>" in other.body


def test_a_token_needs_the_scope_and_the_organization(sentry):
    sentry.tokens["few"] = Token(frozenset({"event:read", "project:read"}))
    assert send(sentry, "dataset=errors&field=id", token="few").status == 403
    sentry.tokens["one"] = Token(frozenset({"org:read"}))
    assert send(sentry, "dataset=errors&field=id", token="one").status == 200
    sentry.forbid(ORG)
    assert send(sentry, "dataset=errors&field=id", token="one").status == 403


# Windows ------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "days"), [("errors", 90), ("logs", 30)])
def test_a_start_before_what_is_kept_is_refused(sentry, dataset, days):
    """A period is cut to what is kept; a start is refused even if the end is kept."""
    oldest = NOW - timedelta(days=days)
    too_early = (400, "Invalid date range. Please try a more recent date range.")
    params = {"field": "timestamp", "end": iso(NOW)}
    early = ask(sentry, dataset, start=iso(oldest - timedelta(seconds=1)), **params)
    assert detail_of(early) == too_early
    assert ask(sentry, dataset, start=iso(oldest), **params).status == 200

    sentry.add_event("pump-station", date=oldest - DAY)
    row = span(1, oldest - DAY)
    sentry.add_explore_rows(ORG, "logs", [row | {"sentry.item_id": "1"}])
    counted = rows_of(sentry, dataset, field="count()", statsPeriod="400d")
    rows = truth(sentry, dataset)
    assert counted == [{"count()": len(rows)}]
    assert min(row["timestamp"] for row in rows) >= oldest


@pytest.mark.parametrize("status", [400, 500])
def test_the_refusal_of_the_world_is_honoured(sentry, status):
    sentry.refusal = (7 * DAY, status)
    sentry.refusing = f"organizations/{ORG}/events/"
    early, late = (
        ask(sentry, field="id", start=iso(NOW - days * DAY), end=iso(NOW))
        for days in (8, 7)
    )
    text = "Invalid date range. Please try a more recent date range."
    assert detail_of(early) == (status, text if status == 400 else "Internal Error")
    assert late.status == 200


def test_the_end_of_a_window_is_not_in_it(sentry):
    sentry.explore["spans"].clear()
    rows = [
        span(number, SECOND + timedelta(seconds=number, microseconds=micro))
        for number, micro in ((0, 0), (1, 999_999), (2, 0), (3, 1))
    ]
    sentry.add_explore_rows(ORG, "spans", rows)
    start, end = SECOND + timedelta(seconds=1), SECOND + timedelta(seconds=2)
    found = rows_of(sentry, "spans", field="id", start=iso(start), end=iso(end))
    assert found == [{"id": f"{1:016x}"}]
    assert [row["id"] for row in truth(sentry, "spans", start, end)] == [found[0]["id"]]
