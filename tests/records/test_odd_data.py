"""Rows arrive, are valid and load, whatever values Sentry sends."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped] # no stubs among the tools
import msgspec
import pytest

from tests.conftest import NOW
from tests.sentry import FLAVOURS, SentrySimulator
from tests.soak import Faulty, Run, quicken, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Settings that make the SDK inspect every value.
FLAT: dict[str, Any] = {"flattening_enabled": True, "flattening_max_depth": 2}
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
ROOT = Path(__file__).parents[2]

#: The list of each stream that gets odd rows: that of the organization acme, its
#: project shop, its team ops, or the first issue.
LISTS = {
    "organizations": "organizations/",
    "organization_projects": "organizations/acme/projects/",
    "organization_repositories": "organizations/acme/repos/",
    "organization_teams": "organizations/acme/teams/",
    "projects": "projects/",
    "team_projects": "teams/acme/ops/projects/",
    "project_issues": "organizations/acme/issues/",
    "project_events": "projects/acme/shop/events/",
    "project_event_entries": "projects/acme/shop/events/",
    "project_feedback": "projects/acme/shop/user-feedback/",
    "project_users": "projects/acme/shop/users/",
    "issue_events": "organizations/acme/issues/{issue}/events/",
    "issue_event_entries": "organizations/acme/issues/{issue}/events/",
}
#: Fields that identify a row or its parent, or date it; they keep their values.
NAMED = {"id", "eventID", "tagValue", "slug", "organization", "groupID", "dateCreated"}

#: Shapes for which the tap repairs the body before decoding it.
REPAIRED = {"NUL", "lone surrogates", "odd object", "NaN", "Infinity"}

#: Values as they appear in a body, some of them wrong for each type of column.
SHAPES = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-17",
    "fraction": "1.5",
    "past 64 bits": "123456789012345678901234567890",
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "text": '"text"',
    "empty text": '""',
    "number as text": '"12"',
    "long number as text": '"99999999999999999999"',
    "date": '"2026-11-18T09:10:11.123456Z"',
    "no date": '"0001-01-01T00:00:00"',
    "NUL": r'"a\u0000b"',
    "lone surrogates": r'"\ud83d and \udc00"',
    "pair": r'"\ud83d\udd2d"',
    "empty list": "[]",
    "texts": '["a", "b"]',
    "mixed list": '[null, "b", 3, {"a": 1}, [4], true]',
    "mixed numbers": '[3, {"b": 1}, "a", null]',
    "lists": "[[1, [2]], []]",
    "objects": '[{"key": null, "value": 5}, {"key": 7}, {}]',
    "empty object": "{}",
    "object": '{"key": null, "value": {"a": [1]}, "type": {"a": 1}, "slug": 0}',
    "odd object": r'{"a\u0000": "\udc00", "": null, "id": null, "n": 1}',
    "large numbers": '{"a": 1e300, "b": [-1E-4000], "c": 123456789012345678901234}',
    "deep list": "[" * 200 + "]" * 200,
    "deep object": '{"a":' * 200 + "1" + "}" * 200,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """Serve a small Sentry with the usual page sizes."""
    found = Faulty(page_size=None)
    with found.served():
        yield found


def rewriting(
    sentry: Faulty, stream: str, rewrite: Callable[[list[str]], list[str]]
) -> None:
    """Replace the rows of a stream's list; `rewrite` maps them as strings of JSON."""
    shop = sentry.project("shop")
    path = LISTS[stream].format(issue=shop.issues[0].id)
    project = f"project={shop.id}&" if stream == "project_issues" else ""

    def body(sent: bytes) -> bytes:
        made = rewrite([json.dumps(row) for row in json.loads(sent)])
        return f"[{', '.join(made)}]".encode("utf-8", "surrogatepass")

    answering(
        sentry,
        lambda url: f"/api/0/{path}?" in f"{url}?" and project in f"{url}&",
        body,
    )


def answering(
    sentry: Faulty, when: Callable[[str], bool], body: Callable[[bytes], bytes]
) -> None:
    """Replace the bodies of successful responses to the URLs that `when` selects."""
    answer = sentry.answer

    def rewritten(method: str, url: str, headers: Any) -> Any:
        found = answer(method, url, headers)
        if found.status != HTTPStatus.OK or not when(url):
            return found
        made = body(found.body)
        length = {"Content-Length": str(len(made))}
        return replace(found, body=made, headers=found.headers | length)

    sentry.answer = rewritten  # type: ignore[method-assign] # for this one server


def with_values(row: str, **values: str) -> str:
    """Return a row with some values replaced; `values` are JSON."""
    sent = json.loads(row)
    parts = [
        f"{json.dumps(name)}: {json.dumps(value)}"
        for name, value in sent.items()
        if name not in values
    ]
    parts += [f"{json.dumps(name)}: {value}" for name, value in values.items()]
    return "{" + ", ".join(parts) + "}"


def finite(text: str) -> float:
    """Parse a number that loaders can store; NaN and infinities are not JSON."""
    number = float(text)
    assert math.isfinite(number), text
    return number


def check(run: Run) -> None:
    """Check that lines are UTF-8 JSON that databases store, and that rows are valid."""
    validators: dict[str, Any] = {}
    for line in run.lines.splitlines():
        text = line.decode()
        message = json.loads(text, parse_constant=finite, parse_float=finite)
        msgspec.json.decode(line)
        assert not re.search(
            "[\0\ud800-\udfff]", json.dumps(message, ensure_ascii=False)
        )
        assert "\\u0000" not in text
        if message["type"] == "SCHEMA":
            jsonschema.Draft7Validator.check_schema(message["schema"])
            validator = jsonschema.Draft7Validator(message["schema"])
            validators[message["stream"]] = validator
        elif message["type"] == "RECORD":
            validator = validators[message["stream"]]
            errors = [
                (message["stream"], *error.path, error.message[:200])
                for error in validator.iter_errors(message["record"])
            ]
            assert not errors
            check_columns(validator.schema["properties"], message["record"])


def check_columns(properties: dict[str, Any], record: dict[str, Any]) -> None:
    """Check what validators do not: that dates parse and integers fit 64 bits."""
    for name, value in record.items():
        if value is None:
            continue
        if properties[name].get("format") == "date-time":
            datetime.fromisoformat(value)
        if "integer" in properties[name]["type"]:
            assert -(2**63) <= value < 2**63


@pytest.fixture(scope="module")
def target() -> str:
    """Return the path of the target-jsonl command, which has its own environment."""
    found = os.environ.get("TARGET_JSONL") or ROOT / ".venv-target/bin/target-jsonl"
    if not Path(found).exists():
        pytest.fail(f"target-jsonl is not at {found}: see TARGET_JSONL", pytrace=False)
    return str(found)


def load(target: str, folder: Path, lines: bytes) -> dict[str, list[dict[str, Any]]]:
    """Load lines into a folder, and return the rows of each stream."""
    config = folder / "target.json"
    config.write_text(
        json.dumps({"destination_path": str(folder), "do_timestamp_file": False})
    )
    ended = subprocess.run(  # noqa: S603 - our own
        [target, "--config", str(config)],
        input=lines,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    return {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in folder.glob("*.jsonl")
    }


# Every column of every stream ---------------------------------------------------------


def numbered(row: str, number: int) -> str:
    """Return a row with another id and slug."""
    named = {
        "id": str(700_000 + number),
        "eventID": f"{number:032x}",
        "tagValue": f"id:{number}",
        "slug": f"odd-{number}",
    }
    sent = json.loads(row)
    return json.dumps(sent | {name: named[name] for name in named if name in sent})


def check_loaded(run: Run, stream: str, target: str, folder: Path) -> None:
    """Check that nothing was skipped and that all rows are valid and load."""
    assert run.code == 0
    assert not run.skipped
    assert not run.missing
    check(run)
    loaded = load(target, folder, run.lines)
    assert len(loaded[stream]) == len(run.rows()) == len(run.records(stream))


@pytest.mark.parametrize("are_plain", [True, False], ids=["plain", "all"])
@pytest.mark.parametrize("stream", LISTS)
def test_odd_values_in_every_column_arrive(sentry, stream, are_plain, target, tmp_path):
    """Rows arrive with one odd value in all columns but those that identify them.

    The case `plain` leaves out the shapes for which the tap repairs the body.
    """
    shapes = [
        shape for name, shape in SHAPES.items() if not (are_plain and name in REPAIRED)
    ]

    def odd(rows: list[str]) -> list[str]:
        names = json.loads(rows[0]).keys() - NAMED
        made = [
            with_values(numbered(rows[0], number), **dict.fromkeys(names, shape))
            for number, shape in enumerate(shapes)
        ]
        return [*made, *rows]

    expected = len(sync(sentry, stream).rows())
    rewriting(sentry, stream, odd)
    run = sync(sentry, stream)

    check_loaded(run, stream, target, tmp_path)
    if not stream.endswith("_entries"):
        assert len(run.rows()) == expected + len(shapes)


ODD_NAMES = {
    "a number": ("1234567", "1234567"),
    "a long number": ("12345678901234567890123", "12345678901234567890123"),
    "a text": ('"x7"', "x7"),
    "with NUL": (r'"7\u0000"', "7\N{REPLACEMENT CHARACTER}"),
}


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        (stream, name)
        for stream in LISTS
        if not stream.endswith("_entries")
        for name in ODD_NAMES
        # Ids of issues are numbers: their events are read in that order.
        if stream != "project_issues" or "number" in name
    ],
)
def test_ids_are_texts_whatever_is_sent(sentry, stream, name, target, tmp_path):
    """Ids are text, also if a server sends numbers."""
    key = {"project_users": "tagValue", "project_events": "eventID"}.get(stream, "id")
    key = "eventID" if stream == "issue_events" else key
    sent, kept = ODD_NAMES[name]
    rewriting(sentry, stream, lambda rows: [with_values(rows[0], **{key: sent})])

    run = sync(sentry, stream)

    check_loaded(run, stream, target, tmp_path)
    assert kept in {row[key] for row in run.records(stream)}


@pytest.mark.parametrize("sent", [None, "null"], ids=["missing", "null"])
@pytest.mark.parametrize(
    "stream", [stream for stream in LISTS if stream != "project_users"]
)
def test_rows_without_an_id_are_left_out_and_told(sentry, stream, sent, caplog):
    """Rows without an id have no key: only these are left out, and the log says so."""
    check_nameless(sentry, stream, sent, caplog)


def test_users_without_any_name_are_left_out_and_told(sentry, caplog):
    """Users with neither a `tagValue` nor a hash are left out and logged."""
    check_nameless(sentry, "project_users", None, caplog)


def test_users_with_a_null_hash_are_left_out_and_told(sentry, caplog):
    """Users whose `tagValue` and hash are null are left out and logged."""
    check_nameless(sentry, "project_users", "null", caplog)


def check_nameless(
    sentry: Faulty, stream: str, sent: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Check that a row without an id before the others is left out and logged."""
    keys = {"id", "eventID", "tagValue", "hash"}

    def nameless(rows: list[str]) -> list[str]:
        kept = {k: v for k, v in json.loads(rows[0]).items() if k not in keys}
        nulls = {} if sent is None else dict.fromkeys(keys, "null")
        return [with_values(json.dumps(kept), **nulls), *rows]

    expected = sync(sentry, stream)
    rewriting(sentry, stream, nameless)
    run = sync(sentry, stream)

    assert run.code == 0
    assert not run.skipped
    assert run.rows() == expected.rows()
    check(run)
    assert f"{stream}: left out 1 record without an id" in caplog.text


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("null", None), ("77", "77"), ('"77"', "77"), (None, None), ('""', "")],
    ids=["null", "number", "text", "missing", "empty"],
)
@pytest.mark.parametrize("stream", ["project_events", "project_event_entries"])
def test_the_issue_of_an_event_may_be_null_or_a_number(sentry, stream, sent, kept):
    """`issue_id` is text or null, whatever `groupID` is."""

    def ungrouped(rows: list[str]) -> list[str]:
        row = {k: v for k, v in json.loads(rows[0]).items() if k != "groupID"}
        values = {} if sent is None else {"groupID": sent}
        return [with_values(json.dumps(row), **values)]

    rewriting(sentry, stream, ungrouped)
    run = sync(sentry, stream, projects=["shop"])

    assert run.code == 0
    check(run)
    assert {row["issue_id"] for row in run.records(stream)} == {kept}


@pytest.mark.parametrize(
    "sent", [*(SHAPES[name] for name in SHAPES if "deep" not in name), None]
)
@pytest.mark.parametrize("stream", ["project_events", "project_event_entries"])
def test_an_event_may_have_any_date(sentry, stream, sent):
    """Rows without a valid date are kept; those outside the window are left out."""

    def dated(rows: list[str]) -> list[str]:
        row = {
            k: v
            for k, v in json.loads(rows[0]).items()
            if k not in {"dateCreated", "dateReceived"}
        }
        values = {} if sent is None else {"dateCreated": sent}
        return [with_values(numbered(json.dumps(row), 1), **values), *rows]

    rewriting(sentry, stream, dated)
    run = sync(sentry, stream, projects=["shop"])

    assert run.code == 0
    assert not run.skipped
    check(run)
    assert len({key[3] for key in run.rows()}) >= 10


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"id": 5, "name": ["x"], "email": null}', {"id": "5", "name": '["x"]'}),
        ('{"id": 12345678901234567890123}', {"id": "12345678901234567890123"}),
        (
            '{"geo": "AT", "data": [1]}',
            {"geo": {"value": "AT"}, "data": {"values": [1]}},
        ),
        ('{"id": 1e4, "species": 3}', {"id": "1e4", "species": 3}),
        ('{"id": "5", "species": {"name": "cat"}}', None),
        ("7", {"value": 7}),
        ("[7]", {"values": [7]}),
    ],
)
def test_a_user_may_have_a_number_for_an_id(sentry, sent, kept):
    """Some servers send numeric user ids; declared fields get the SCHEMA's type."""
    rewriting(sentry, "project_events", lambda rows: [with_values(rows[0], user=sent)])

    run = sync(sentry, "project_events", projects=["shop"])

    assert run.code == 0
    check(run)
    (row,) = run.records("project_events")
    expected = json.loads(sent) if kept is None else kept
    assert {k: v for k, v in row["user"].items() if v is not None} == {
        k: v for k, v in expected.items() if v is not None
    }


def test_null_keys_of_tags_arrive(sentry, target, tmp_path):
    """Tags without a key or without a value, as Sentry has them, arrive as sent."""
    tags = '[{"key": null, "value": "no key"}, {"key": "no value", "value": null}, {}]'
    rewriting(sentry, "project_events", lambda rows: [with_values(rows[0], tags=tags)])

    run = sync(sentry, "project_events", projects=["shop"])

    check_loaded(run, "project_events", target, tmp_path)
    assert run.records("project_events")[0]["tags"] == json.loads(tags)


def test_fields_of_tomorrow_do_no_harm(sentry, target, tmp_path):
    """Unknown fields of a row are dropped; those within an object are kept."""
    sent = {
        "tomorrow": SHAPES["odd object"],
        "dateOfTomorrow": "1e400",
        "user": '{"id": "1", "species": {"name": "cat"}}',
    }
    rewriting(sentry, "project_events", lambda rows: [with_values(rows[0], **sent)])

    run = sync(sentry, "project_events", projects=["shop"])

    check_loaded(run, "project_events", target, tmp_path)
    (row,) = run.records("project_events")
    assert not row.keys() & {"tomorrow", "dateOfTomorrow"}


@pytest.mark.parametrize("depth", [50, 500, 900, 1_000, 5_000, 100_000])
@pytest.mark.parametrize("column", ["context", "tags", "user", "tomorrow"])
@pytest.mark.parametrize("options", [{}, FLAT], ids=["", "flat"])
def test_deep_nesting_arrives(sentry, column, depth, options, caplog):
    """Levels too deep for libraries become a string of JSON; nothing is lost."""
    deep = '{"a":' * depth + r'"]\"{\\"' + "}" * depth
    sent = {column: f"[{deep}]" if column == "tags" else deep}
    rewriting(
        sentry,
        "project_events",
        lambda rows: [with_values(rows[0], **sent), *rows[1:]],
    )

    run = sync(sentry, "project_events", projects=["shop"], full_events=True, **options)

    assert (run.code, run.skipped) == (0, []), caplog.text[-500:]
    assert len(run.rows()) == 10
    if column in run.records("project_events")[0] and not options:
        assert depth == max(
            levels(row[column]) for row in run.records("project_events")
        )
    for line in run.lines.splitlines():
        json.loads(line)


@pytest.mark.parametrize("depth", [900, 5_000])
def test_deep_entries_arrive(sentry, depth):
    """Deep entries lose nothing, and the entries beside them are unchanged."""
    deep = '{"a":' * depth + "1" + "}" * depth
    entries = (
        f'[{{"type": "message", "data": {{"formatted": "x"}}}}, {{"data": {deep}}}]'
    )
    rewriting(
        sentry,
        "project_event_entries",
        lambda rows: [with_values(rows[0], entries=entries)],
    )

    run = sync(sentry, "project_event_entries", projects=["shop"])

    assert (run.code, run.skipped) == (0, [])
    first, second = run.records("project_event_entries")
    assert first["data"] == {"formatted": "x"}
    assert levels(second["data"]) == depth


def levels(value: Any) -> int:
    """Return how deep a value is nested, including levels in a string of JSON."""
    found = 0
    value = value[0] if isinstance(value, list) else value
    while isinstance(value, dict) and "a" in value:
        value = value["a"]
        found += 1
    if value == '"]"{\\"'[1:-1]:
        return found
    return found + (value.count('{"a":') if isinstance(value, str) else 0)


@pytest.mark.parametrize("stream", ["project_events", "project_event_entries"])
def test_a_large_event_arrives(sentry, stream, target, tmp_path):
    """A row of 10 MB arrives and loads."""
    big = json.dumps("ü" * 5_000_000, ensure_ascii=False)
    values = {
        "context": f'{{"big": {big}}}',
        "entries": f'[{{"type": "message", "data": {{"formatted": {big}}}}}]',
    }
    rewriting(sentry, stream, lambda rows: [with_values(rows[0], **values), *rows[1:]])

    run = sync(sentry, stream, projects=["shop"], full_events=True)

    assert max(map(len, run.lines.splitlines())) > 10_000_000
    assert run.code == 0
    check(run)
    assert load(target, tmp_path, run.lines)[stream]


# The event counts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        "null",
        "[[1795089600, null]]",
        '[["x", 1]]',
        "[[1795089600]]",
        "[[1e400, 1]]",
        "[[NaN, 1]]",
        "[[1795089600, 1e400]]",
        pytest.param("[[1e300, 1]]"),
        pytest.param("[[-1e18, 1]]"),
        '[{"a": 1}]',
        '"text"',
    ],
)
def test_odd_counts_cost_one_project(sentry, body):
    """Invalid or empty counts of one project do not affect the other projects."""
    path = "projects/acme/shop/stats/?"
    answering(sentry, lambda url: path in url, lambda _: body.encode())

    run = sync(sentry, "project_event_counts")

    assert run.code == 0
    check(run)
    shop = sentry.project("shop").id
    owners = {row["project_id"] for row in run.records("project_event_counts")}
    assert len(owners - {shop}) == 5
    assert run.skipped in ([], ["project_event_counts organization acme project shop"])


# What the servers send ----------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True], ids=["light", "full"])
@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_every_stream_of_every_server_is_valid_and_loads(
    flavour, full, target, tmp_path
):
    """Light and full rows of current Sentry, 9.1.2 and GlitchTip are valid and load."""
    sentry = SentrySimulator(clock=lambda: NOW, flavour=flavour)
    with sentry.served():
        run = sync(sentry, full_events=full, start_date="10d")

    assert run.code == 0
    check(run)
    loaded = load(target, tmp_path, run.lines)
    for stream in {
        message["stream"] for message in run.messages if "stream" in message
    }:
        assert len(loaded.get(stream, [])) == len(run.records(stream))
    assert len(run.rows()) == sum(map(len, loaded.values()))
