"""Rules that every stream keeps, and snapshots of the catalog.

`SNAPSHOTS=write pytest tests/test_catalog.py` rewrites the snapshots.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tap_sentry.streams
from tap_sentry.settings import SETTINGS
from tap_sentry.streams import STREAMS
from tap_sentry.streams.base import SentryStream
from tap_sentry.tap import TapSentry
from tests.conftest import run
from tests.live import crawler
from tests.sentry import TOKEN

ROOT = Path(__file__).parents[1]
SNAPSHOTS = Path(__file__).parent / "snapshots"

#: Streams that repeat others, or cost ten times the requests.
NOT_BY_DEFAULT = {
    "projects",
    "issue_events",
    "project_event_entries",
    "issue_event_entries",
    # Those with a request for each issue or monitor.
    "issue_activities",
    "issue_comments",
    "issue_tags",
    "issue_hashes",
    "issue_links",
    "monitor_checkins",
    # Those with a scope that few tokens have.
    "organization_members",
    "team_members",
    "organization_audit_logs",
}
TYPES = {"string", "integer", "number", "boolean", "object", "array"}
SCOPE = re.compile(
    r"(org|project|team|event|member|alerts):(read|write|integrations|ci|releases)"
)
#: A sentence, or part of one, that fits beside a column.
DESCRIPTION = re.compile(r"[A-Z0-9`].{0,98}[.]")
DOCS = re.compile(r"\s(https://docs\.sentry\.io/api/\S+/)\s")

#: Runs the tap, and exits with 99 if it tries to reach any host.
OFFLINE = """
import os, sys

def forbid(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        os.write(2, f"{event} {arguments}".encode())
        os._exit(99)

sys.addaudithook(forbid)
from tap_sentry.cli.command import TapCommand
TapCommand.cli()
"""

NAMES = [vars(stream)["name"] for stream in STREAMS]

each_stream = pytest.mark.parametrize("stream", STREAMS, ids=NAMES)


def offline(*arguments):
    """What the tap prints without a network, settings or a home directory."""
    unset = {"HOME", "REQUESTS_CA_BUNDLE"}
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in unset and not name.startswith("TAP_SENTRY_")
    }
    return subprocess.run(  # noqa: S603 - it is our own program
        [sys.executable, "-c", OFFLINE, *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    ).stdout


@pytest.fixture(scope="module")
def catalog():
    """The catalog that `--discover` prints, by stream."""
    entries = json.loads(offline("--discover"))["streams"]
    return {entry["stream"]: entry for entry in entries}


@pytest.fixture(scope="module")
def tap():
    return TapSentry(config={}, validate_config=False, setup_mapper=False)


def properties(stream):
    return stream.schema["properties"]


def type_of(schema):
    """The only type of a column besides null, or a list if it has none or several."""
    types = schema.get("type")
    types = [types] if isinstance(types, str) else types or []
    kinds = [name for name in types if name != "null"]
    return kinds[0] if len(kinds) == 1 else kinds


def untyped(schema, path):
    """The paths of columns without a single type, and of objects without properties."""
    kind = type_of(schema)
    if kind not in TYPES or "anyOf" in schema or "oneOf" in schema:
        yield path
    elif kind == "array":
        yield from untyped(schema.get("items", {}), f"{path}[]")
    elif kind == "object":
        if (
            not schema.get("properties")
            and schema.get("additionalProperties") is not True
        ):
            yield path
        for name, inner in schema.get("properties", {}).items():
            yield from untyped(inner, f"{path}.{name}")


def columns_of(schema, path=""):
    """Every column with its path, and the fields that an object in it declares."""
    for name, column in schema.get("properties", {}).items():
        yield f"{path}{name}", column
        yield from columns_of(column.get("items", column), f"{path}{name}.")


# The registry -------------------------------------------------------------------------


def test_every_stream_is_registered():
    """`STREAMS` has every stream class, as others would never be synced."""
    found = {
        kind
        for module in pkgutil.iter_modules(tap_sentry.streams.__path__)
        for kind in vars(
            importlib.import_module(f"tap_sentry.streams.{module.name}")
        ).values()
        if isinstance(kind, type)
        and issubclass(kind, SentryStream)
        and isinstance(vars(kind).get("name"), str)
    }

    assert found == set(STREAMS)


def test_there_are_fifty_streams_of_different_names():
    """There are fifty streams, and their names differ in more than case."""
    assert len({name.lower() for name in NAMES}) == len(STREAMS) == 50


def test_every_stream_is_compared_with_a_real_server():
    """The second reader of the live tests lists every stream."""
    assert list(crawler.STREAMS) == NAMES


def test_parents_come_before_their_children():
    """`STREAMS` has every parent before its children."""
    order: list[object] = [None, *STREAMS]

    for stream in STREAMS:
        assert order.index(stream.parent_stream_type) < order.index(stream)


# Rules for streams --------------------------------------------------------------------


@each_stream
def test_keys_are_required_columns(stream):
    """The columns of the primary key, and no others, are required."""
    assert stream.primary_keys
    assert set(stream.schema["required"]) == set(stream.primary_keys)
    assert set(stream.primary_keys) <= set(properties(stream))


@each_stream
def test_keys_are_never_null(stream):
    """The columns of a primary key are strings or integers, and never null."""
    kinds = {
        json.dumps(properties(stream)[name]["type"]) for name in stream.primary_keys
    }

    assert kinds <= {'["string"]', '["integer"]', '"string"', '"integer"'}


@each_stream
def test_keys_name_the_organization_first(stream):
    """Keys start with the organization, as other ids may be unique only within it."""
    expected = "id" if stream.name == "organizations" else "organization_id"

    assert stream.primary_keys[0] == expected


@each_stream
def test_replication_goes_by_a_date(tap, stream):
    """Incremental streams have a date-time as their key; all others are full-table."""
    instance = tap.streams[stream.name]
    key = instance.replication_key
    expected = "FULL_TABLE" if key is None else "INCREMENTAL"

    assert instance.replication_method == expected
    assert key is None or properties(stream)[key]["format"] == "date-time"


@each_stream
def test_paths_start_and_end_with_a_slash(stream):
    """Every path starts and ends with a slash, as Sentry redirects any other."""
    for path in (stream.path, stream.fallback_path or stream.path):
        assert re.fullmatch(r"(/([a-z_0-9-]+|\{[a-z]+\}))+/", path)


@each_stream
def test_every_column_has_one_type(stream):
    """Every column has one type, so that a loader has nothing to guess."""
    assert not [
        place
        for name, schema in properties(stream).items()
        for place in untyped(schema, name)
    ]


@each_stream
def test_every_column_is_described(stream):
    """Loaders and dbt show what a column holds, its unit, and when it is null."""
    found = dict(columns_of(stream.schema))
    texts = {path: column.get("description", "") for path, column in found.items()}

    assert set(properties(stream)) <= set(texts)
    assert not {
        path: text for path, text in texts.items() if not DESCRIPTION.fullmatch(text)
    }


@each_stream
def test_columns_differ_in_more_than_case(stream):
    """Column names differ in more than case, which many databases ignore."""
    names = [name.lower() for name in properties(stream)]

    assert len(set(names)) == len(names)


@each_stream
def test_columns_that_the_tap_adds_are_texts(stream):
    """Ids are strings everywhere, even where a server sends a number."""
    for name, schema in properties(stream).items():
        if name == "id" or name.endswith(("_id", "ID")):
            assert type_of(schema) == "string"


@each_stream
def test_the_documentation_of_sentry_is_linked(stream):
    """A stream's docstring describes one record and links Sentry's documentation."""
    text = vars(stream)["__doc__"] + "\n"

    assert re.fullmatch(r"(An?|The) .*[.]", text.splitlines()[0])
    assert DOCS.search(text)


@each_stream
def test_the_scopes_that_a_token_needs_are_known(stream):
    """Every stream lists its scopes, for the message when one is missing."""
    assert stream.scopes
    assert all(SCOPE.fullmatch(scope) for scope in stream.scopes)
    assert all(SCOPE.fullmatch(scope) for scope in stream.fallback_scopes)
    assert stream.fallback_path or not stream.fallback_scopes


def test_a_stream_needs_the_scopes_of_the_path_in_use():
    """A stream needs the scopes of its fallback path where that is in use."""
    tap = TapSentry(config={"auth_token": TOKEN})
    counts = next(s for s in tap.sentry_streams if s.name == "team_event_counts")

    assert counts.needed_scopes == ("org:read",)

    tap.run.client.endpoints.missing.add(counts.path)
    assert counts.needed_scopes == ("team:read",)


# The catalog --------------------------------------------------------------------------


def test_discovery_needs_neither_network_nor_settings(catalog):
    """`--discover` prints every stream without a network or settings."""
    assert set(catalog) == set(NAMES)


@each_stream
def test_the_catalog_is_as_it_was_reviewed(catalog, stream):
    """The catalog equals its snapshots, so that a review shows every change."""
    snapshot = SNAPSHOTS / f"{stream.name}.json"
    if os.environ.get("SNAPSHOTS") == "write":
        text = json.dumps(catalog[stream.name], indent=2, ensure_ascii=False)
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(text + "\n", encoding="utf-8")

    assert catalog[stream.name] == json.loads(snapshot.read_text(encoding="utf-8"))


def test_there_is_no_snapshot_of_a_stream_that_is_gone():
    """The snapshots are exactly those of the streams in the catalog."""
    names = {path.name for path in SNAPSHOTS.iterdir()}

    assert names == {f"{name}.json" for name in NAMES}


def test_streams_that_repeat_others_are_not_selected_by_default(catalog):
    """Streams that repeat others or cost many requests have to be selected by name."""
    left_out = {
        name
        for name, entry in catalog.items()
        for item in entry["metadata"]
        if not item["breadcrumb"] and not item["metadata"]["selected"]
    }

    assert left_out == NOT_BY_DEFAULT


def test_a_run_without_a_catalog_reads_what_is_selected_by_default(sentry):
    """A run without a catalog syncs the streams that are selected by default."""
    output = run(
        {
            "auth_token": TOKEN,
            "api_url": sentry.url,
            "organizations": ["sternwarte"],
            "start_date": "2d",
        }
    )
    written = {m["stream"] for m in output.messages if m["type"] == "SCHEMA"}

    assert output.code == 0
    assert written == set(NAMES) - NOT_BY_DEFAULT


def test_the_settings_are_described_without_a_network():
    """`--about --format=markdown` lists every setting and whether it is required."""
    text = offline("--about", "--format=markdown")
    required = dict(re.findall(r"^\| (\w+) \| (True|False) \|", text, re.MULTILINE))

    assert text.startswith("# `tap-sentry`")
    for name in SETTINGS.to_dict()["properties"]:
        assert required[name] == str(name == "auth_token")
