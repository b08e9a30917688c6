"""The client's requests, and the metrics of the SDK."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from typing import Any

import pytest
from singer_sdk.streams.rest import HTTPRequest

from tap_sentry.api.urls import query_string, quote_part
from tests.conftest import NOW, catalog_of, run
from tests.sentry import TOKEN, SentrySimulator

#: The streams read to sync `projects`, `project_issues` and `project_events`.
READ = {
    *("organizations", "organization_projects"),
    *("projects", "project_issues", "project_events"),
}


def test_a_request_says_who_asks(sync, sentry):
    """The user agent of every request is the tap's name and version."""
    sync("organizations")

    agents = {request.user_agent for request in sentry.requests}
    assert agents == {f"tap-sentry/{version('tap-sentry')}"}


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    """Every request goes to the proxy in `http_proxy` and names Sentry's host."""
    proxy = SentrySimulator(clock=lambda: NOW)
    with proxy.served():
        monkeypatch.setenv("http_proxy", proxy.url)
        config = {"auth_token": TOKEN, "api_url": "http://sentry.invalid"}
        output = run(config, catalog_of("projects"))

    assert output.records("projects")
    assert {request.host for request in proxy.requests} == {"sentry.invalid"}


def test_hosts_may_be_kept_from_the_proxy(monkeypatch: pytest.MonkeyPatch):
    """Hosts in `no_proxy` are requested without the proxy."""
    sentry = SentrySimulator(clock=lambda: NOW)
    with sentry.served():
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        output = run(config, catalog_of("projects"))

    assert output.records("projects")


def test_the_log_does_not_grow_with_the_projects(sync, caplog):
    """The SDK's metrics are logged once per stream, as totals."""
    caplog.set_level(logging.INFO)

    output = sync("projects", "project_issues", "project_events")

    points = [
        json.loads(record.getMessage().partition(": ")[2])
        for record in caplog.records
        if "METRIC" in record.getMessage()
    ]
    for stream in ("project_issues", "project_events"):
        found = {
            point["metric"]: point["value"]
            for point in points
            if point["tags"]["stream"] == stream
        }
        assert found["record_count"] == len(output.records(stream)) > 0
        assert found["sync_duration"] > 0
    assert {point["tags"]["stream"] for point in points} == READ
    names = [(point["tags"]["stream"], point["metric"]) for point in points]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"cursor": None, "full": "true"},
        {"cursor": "1700000000000:0:0", "per_page": 100, "query": ""},
        {"project": ["1", "22"], "field": ("sum(quantity)",)},
        {"query": "is:unresolved äöü & more=+ /~", "start": "2026-11-01T00:00:00Z"},
    ],
)
def test_parameters_are_written_as_the_sdk_writes_them(params: dict[str, Any]):
    """`query_string` encodes parameters exactly as the SDK's `HTTPRequest` does."""
    assert query_string(params) == HTTPRequest("", params=params).encode_params()


def test_a_name_stands_in_a_path_as_one_part_of_it():
    """A slug is quoted as one part of a path, so it cannot lead to another path."""
    assert quote_part("a/../b?c#d é%") == "a%2F..%2Fb%3Fc%23d%20%C3%A9%25"
