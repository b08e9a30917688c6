"""Every record of every server arrives once and matches its schema."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from jsonschema import (  # type: ignore[import-untyped] # it has no types
    Draft202012Validator,
    FormatChecker,
)

from tap_sentry.api import rate_limits as limits
from tests.conftest import NOW, Output, catalog_of, run
from tests.sentry import FLAVOURS, STREAMS, TOKEN, SentrySimulator
from tests.sentry.data import generated
from tests.sentry.people import SECRET
from tests.streams import STERNWARTE
from tests.streams.redaction import settings_in, texts
from tests.test_catalog import NOT_BY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

DATES = FormatChecker(formats=())


@DATES.checks("date-time", ValueError)
def is_date(value):
    """Accept strings that Python parses as a date, and values of other types."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


class Whole(NamedTuple):
    """A server and the output of a run of all streams."""

    sentry: SentrySimulator
    output: Output


@pytest.fixture(scope="module", params=FLAVOURS)
def whole(request) -> Iterator[Whole]:
    """Run all streams on each kind of server, in pages of three rows."""
    sentry = SentrySimulator(flavour=request.param, clock=lambda: NOW, page_size=3)
    with pytest.MonkeyPatch.context() as patch, sentry.patched():
        patch.setattr("tap_sentry.tap.now", lambda: NOW)
        patch.setattr(limits, "FIRST_DELAY", 0.001)
        patch.setattr(limits, "LONGEST_DELAY", 0.01)
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        yield Whole(sentry, run(config, catalog_of()))


def arrived(output):
    """Return the keys of all streams, duplicates included."""
    return {stream: sorted(output.keys(stream)) for stream in STREAMS}


def expected(sentry):
    """Return the keys that all streams must have."""
    return {stream: sorted(sentry.truth(stream)) for stream in STREAMS}


def test_every_record_of_every_server_arrives_once(whole):
    """Each of the fifty streams has exactly the records that the server holds."""
    assert arrived(whole.output) == expected(whole.sentry)


def test_every_record_fits_its_schema(whole):
    """Every column has its declared type, whatever shape a server sends."""
    validators = {
        message["stream"]: Draft202012Validator(message["schema"], format_checker=DATES)
        for message in whole.output.messages
        if message["type"] == "SCHEMA"
    }
    wrong = {
        (stream, error.json_path, error.message)
        for stream, validator in validators.items()
        for record in whole.output.records(stream)
        for error in validator.iter_errors(record)
    }
    assert wrong == set()


def test_no_secret_is_ever_emitted(whole):
    """No record holds a credential, or the settings of an account."""
    held = {
        stream
        for stream in ("organization_members", "project_keys")
        for row in whole.sentry.records(stream).values()
        if any(SECRET in text for text, _ in texts(row))
    }
    records = [m for m in whole.output.messages if m["type"] == "RECORD"]

    assert held == {"organization_members", "project_keys"}
    assert [
        message
        for message in records
        if any(SECRET in text for text, _ in texts(message["record"]))
        or settings_in(message["record"])
    ] == []


def test_every_stream_is_described_once(whole):
    """Each stream has one SCHEMA, however many projects and issues there are.

    A stream whose parent has no rows has one too, so that its table exists.
    """
    schemas = Counter(
        message["stream"]
        for message in whole.output.messages
        if message["type"] == "SCHEMA"
    )
    assert schemas == dict.fromkeys(STREAMS, 1)


def test_what_a_server_lacks_is_no_failure(whole):
    """A run exits with 0 if it read everything that the server has."""
    assert whole.output.code == 0


def test_nothing_is_asked_for_twice(whole):
    """No successful request is repeated with the same path and parameters."""
    asked = Counter(
        (request.path, repr(request.params))
        for request in whole.sentry.requests
        if request.status == 200
        and request.template not in whole.sentry.flavour.missing
    )
    assert [address for address, times in asked.items() if times > 1] == []


def test_a_large_sentry_arrives_whole():
    """Thousands of events arrive, in pages of the default size."""
    organizations = generated(
        organizations=2,
        teams=5,
        projects=12,
        issues=300,
        events=3000,
        now=NOW,
        full_kilobytes=0,
    )
    sentry = SentrySimulator(organizations, clock=lambda: NOW)
    with sentry.patched():
        output = run({"auth_token": TOKEN, "api_url": sentry.url}, catalog_of())
    assert arrived(output) == expected(sentry)


def test_concurrency_changes_nothing(sync):
    """Eight concurrent requests give the same records, order and state as one."""
    fast, slow = (
        sync(concurrency=number, organizations=[STERNWARTE]) for number in (8, 1)
    )

    def rows(output):
        return [
            (message["stream"], message["record"])
            for message in output.messages
            if message["type"] == "RECORD"
        ]

    assert (rows(fast), fast.state) == (rows(slow), slow.state)


def test_heavy_streams_wait_until_they_are_selected(sentry):
    """Without a catalog, streams that repeat others or cost the most are left out."""
    config = {"auth_token": TOKEN, "api_url": sentry.url, "organizations": [STERNWARTE]}
    output = run(config)
    described = {m["stream"] for m in output.messages if m["type"] == "SCHEMA"}
    assert described == STREAMS.keys() - NOT_BY_DEFAULT
