"""Unknown settings, environment variables and streams in `stream_maps`."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from tap_sentry.cli.command import TapCommand
from tap_sentry.settings.unknown import unknown_variables
from tap_sentry.tap import TapSentry
from tests.conftest import catalog_of, run
from tests.sentry import TOKEN
from tests.streams import STERNWARTE

# Settings -----------------------------------------------------------------------------


def test_an_unknown_setting_is_a_warning_with_the_nearest_name(sync, warnings):
    """Unknown settings are warned about, with the nearest name if one is near."""
    output = sync("organizations", organisation=["acme"], project=["shop"], zzz=1)

    assert output.code == 0
    assert warnings() == [
        "unknown setting organisation: do you mean organizations?",
        "unknown setting project: do you mean projects?",
        "unknown setting zzz",
    ]


def test_settings_of_the_sdk_are_known(sync, warnings):
    """The SDK's settings, which `--about` lists, cause no warning."""
    schema: dict[str, dict[str, object]] = {"properties": {}}
    TapSentry.append_builtin_config(schema)
    others = {"stream_maps": {}, "flattening_enabled": False, "faker_config": {}}
    assert others.keys() <= schema["properties"].keys()
    sync("organizations", **others, stream_map_config={}, flattening_max_depth=2)

    assert warnings() == []


@pytest.mark.parametrize(
    ("variable", "lines"),
    [
        (
            "TAP_SENTRY_PROJECT",
            ["unknown variable TAP_SENTRY_PROJECT: do you mean TAP_SENTRY_PROJECTS?"],
        ),
        ("TAP_SENTRY_QQQ", ["unknown variable TAP_SENTRY_QQQ"]),
        ("TAP_SENTRY_PROJECTS", []),
        ("TAP_SENTRY_STREAM_MAPS", []),
        ("TAP_SENTRY_LOGLEVEL", []),
        ("TAP_SENTRY__SELECT_FILTER", []),
        ("SENTRY_PROJECT", []),
    ],
)
def test_variables_are_compared_too(variable, lines):
    """Variables with the prefix of the tap are checked, except for Meltano's own."""
    names = TapSentry.setting_names()

    assert list(unknown_variables([variable], "tap-sentry", names)) == lines


@pytest.mark.parametrize("is_read", [True, False])
def test_the_environment_counts_where_it_is_read(
    sentry, tmp_path, monkeypatch, warnings, is_read
):
    """Variables are checked only with `--config=ENV`."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auth_token": TOKEN, "api_url": sentry.url}))
    options = ["--config", str(file), *(["--config", "ENV"] if is_read else [])]
    CliRunner().invoke(
        TapCommand.get_singer_command(),
        [*options, "--test"],
        env={"TAP_SENTRY_TEAM": "[]"},
    )

    line = "unknown variable TAP_SENTRY_TEAM: do you mean TAP_SENTRY_TEAMS?"
    assert (line in warnings()) is is_read


# Catalogs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_selected", "lines"),
    [
        (True, ["catalog: there is no stream project: do you mean projects?"]),
        (False, []),
    ],
)
def test_a_selected_stream_of_no_tap_is_a_warning(sentry, warnings, is_selected, lines):
    """The catalog of another version may have streams that this one lacks."""
    catalog = catalog_of("organizations")
    [entry] = catalog["streams"]
    metadata = [{"breadcrumb": [], "metadata": {"selected": is_selected}}]
    other = {**entry, "tap_stream_id": "project", "stream": "project"}
    catalog["streams"].append({**other, "metadata": metadata})

    output = run({"auth_token": TOKEN, "api_url": sentry.url}, catalog)

    assert output.code == 0
    assert output.records("organizations")
    assert warnings() == lines


def test_a_catalog_may_leave_out_the_parents_of_its_streams(sentry):
    """A catalog that is written by hand may name a child stream alone."""
    config = {"auth_token": TOKEN, "api_url": sentry.url}
    output = run(config, catalog_of("project_tags"))

    assert output.code == 0
    assert output.records("project_tags")
    assert {m["stream"] for m in output.messages if m["type"] == "SCHEMA"} == {
        "project_tags"
    }


# Stream maps --------------------------------------------------------------------------


def read(sentry, *streams, **maps):
    """Run the tap with stream maps."""
    config = {
        "auth_token": TOKEN,
        "api_url": sentry.url,
        "organizations": [STERNWARTE],
        "stream_maps": maps,
    }
    return run(config, catalog_of(*streams))


@pytest.mark.parametrize("key", ["issue_events", "issue_*", "*"])
def test_maps_of_streams_that_are_not_selected_are_ignored(sentry, warnings, key):
    """One configuration can be used with many catalogs."""
    output = read(sentry, "organizations", "organization_teams", **{key: {"x": "'y'"}})

    assert output.code == 0
    assert warnings() == []
    has_map = {row.get("x") for row in output.records("organization_teams")}
    assert has_map == ({"y"} if key == "*" else {None})


def test_maps_of_selected_streams_hold(sentry):
    """A map applies below parents that are not selected, which `*` matches too."""
    output = read(sentry, "project_events", **{"*": {"x": "'y'"}})

    assert {row["x"] for row in output.records("project_events")} == {"y"}
    assert {m["stream"] for m in output.messages if m["type"] == "RECORD"} == {
        "project_events"
    }


def test_a_map_can_make_a_stream_of_another(sentry, warnings):
    """A stream that a map creates is not reported as unknown."""
    copy = {"__source__": "organization_teams", "slug": "slug"}
    output = read(sentry, "organization_teams", crews=copy)

    assert output.records("crews")
    assert warnings() == []


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        (
            {"issue_event": {"x": "1"}},
            "stream_maps: there is no stream issue_event: do you mean issue_events?",
        ),
        ({"qqqq": None}, "stream_maps: there is no stream qqqq"),
        (
            {"copy": {"__source__": "project"}},
            "stream_maps: there is no stream project: do you mean projects?",
        ),
    ],
)
def test_a_map_of_no_stream_is_a_warning(sentry, warnings, maps, line):
    """A map of an unknown stream does not fail the run."""
    output = read(sentry, "organizations", **maps)

    assert output.code == 0
    assert warnings() == [line]


def test_unmapped_streams_can_be_left_out(sentry, warnings):
    """`__else__` is not reported as an unknown stream."""
    output = read(sentry, "organizations", __else__=None, organizations={})

    assert output.code == 0
    assert warnings() == []
