"""Settings: copies agree, wrong values are reported, right values are applied."""

from __future__ import annotations

import itertools
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from tap_sentry import settings
from tap_sentry.cli.execution import Execution
from tap_sentry.settings import SETTINGS, BadSettings, Names, resolve
from tap_sentry.settings.names import name_in_url
from tap_sentry.tap import TapSentry
from tests.conftest import NOW, catalog_of
from tests.sentry import TOKEN, SentrySimulator

ROOT = Path(__file__).parents[2]
PROPERTIES = SETTINGS.to_dict()["properties"]
SECRET = "sntryu_0123456789abcdef"
DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)

URL = "https://acme.sentry.io"


@pytest.fixture(scope="module")
def extractor():
    """The definition of the tap in meltano.yml."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    return next(
        plugin
        for plugin in project["plugins"]["extractors"]
        if plugin["name"] == "tap-sentry"
    )


@pytest.fixture(scope="module")
def tap():
    return TapSentry(config={}, validate_config=False, setup_mapper=False)


def table_of(page, *header):
    """Return the rows of the table with this header on a page of the documentation."""
    lines = iter((ROOT / page).read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line == f"| {' | '.join(header)} |":
            break
    assert next(lines) == f"| {' | '.join('---' for _ in header)} |"

    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [dict(zip(header, row[2:-2].split(" | "), strict=True)) for row in rows]


def code(cell):
    """Return the texts in backticks in a cell."""
    return re.findall(r"`([^`]*)`", cell)


# Copies -------------------------------------------------------------------------------


def kind_of(schema):
    """Return the kind of a setting as Meltano names it."""
    if schema.get("secret"):
        return "password"
    if "enum" in schema:
        return "options"
    names = {"string", "array", "integer", "boolean"} & set(schema["type"])
    assert len(names) == 1

    return names.pop()


def test_meltano_knows_every_setting(extractor):
    """`meltano.yml` has the settings of the tap, in the same order."""
    assert [item["name"] for item in extractor["settings"]] == list(PROPERTIES)


@pytest.mark.parametrize("name", PROPERTIES)
def test_meltano_knows_what_a_setting_is(extractor, name):
    """Each setting has the kind, options and title of the tap, and a description."""
    schema = PROPERTIES[name]
    (copy,) = [item for item in extractor["settings"] if item["name"] == name]
    options = [option["value"] for option in copy.get("options", [])]

    assert copy["kind"] == kind_of(schema)
    assert options == list(schema.get("enum", []))
    assert copy["label"] == schema["title"]
    assert copy["description"].endswith(".")


@pytest.mark.parametrize("name", PROPERTIES)
def test_meltano_leaves_defaults_to_the_tap(extractor, name):
    """`meltano.yml` sets no values, and a placeholder equals the tap's default."""
    (copy,) = [item for item in extractor["settings"] if item["name"] == name]

    assert "value" not in copy
    assert copy.get("placeholder") in {None, str(PROPERTIES[name].get("default"))}


def test_meltano_hides_every_secret(extractor):
    """Exactly the secret settings are `sensitive`."""
    hidden = {item["name"] for item in extractor["settings"] if item.get("sensitive")}

    assert hidden == {name for name in PROPERTIES if PROPERTIES[name].get("secret")}
    assert hidden == {"auth_token"}


def test_meltano_asks_for_what_is_required(extractor):
    """`meltano.yml` requires what the tap does; a run without it would fail later."""
    assert extractor["settings_group_validation"] == [SETTINGS.to_dict()["required"]]


def test_meltano_is_told_what_the_tap_can_do(extractor):
    """`meltano.yml` lists capabilities of the tap; Meltano uses no others."""
    capabilities = {str(item.value) for item in TapSentry.capabilities}

    assert set(extractor["capabilities"]) <= capabilities
    assert {"catalog", "discover", "state", "about"} <= set(extractor["capabilities"])


def test_meltano_leaves_out_what_the_tap_does_not_select(extractor, tap):
    """`meltano.yml` repeats the tap's default selection, which Meltano ignores."""
    left_out = {
        f"!{stream.name}.*"
        for stream in tap.streams.values()
        if not stream.selected_by_default
    }

    assert extractor["select"][0] == "*.*"
    assert len(extractor["select"]) == 1 + len(left_out)
    assert set(extractor["select"][1:]) == left_out


def test_the_page_lists_every_setting():
    """The page has all settings in the tap's order and marks the required ones."""
    rows = table_of("docs/settings.md", "setting", "default", "meaning")

    assert [code(row["setting"]) for row in rows] == [[name] for name in PROPERTIES]
    assert [row["default"] == "required" for row in rows] == [
        name in SETTINGS.to_dict()["required"] for name in PROPERTIES
    ]


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_page_has_the_default_of_a_setting(name):
    """A default is written as JSON; a setting without one has words instead."""
    rows = table_of("docs/settings.md", "setting", "default", "meaning")
    (found,) = [code(row["default"]) for row in rows if code(row["setting"]) == [name]]
    default = PROPERTIES[name].get("default")
    is_word = isinstance(default, str) and default

    assert found == (
        [] if default is None else [default if is_word else json.dumps(default)]
    )


def test_the_readme_has_ten_settings_of_the_page():
    """The rows of the README are ten of the page, in its order, with its links."""
    header = ("setting", "default", "meaning")
    rows = table_of("README.md", *header)
    page = table_of("docs/settings.md", *header)
    as_on_page = [
        {key: cell.replace("](docs/", "](") for key, cell in row.items()}
        for row in rows
    ]

    assert as_on_page == [row for row in page if row in as_on_page]
    assert len(rows) == 10


def test_the_readme_leaves_out_what_meltano_yml_leaves_out(extractor):
    """The quick start has the same selection as `meltano.yml`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert (
        re.findall(r'^ *- "(!?[*a-z_]+\.\*)"$', text, re.MULTILINE)
        == (extractor["select"])
    )


def test_every_setting_is_described():
    """Each setting has a title and full sentences, for `--about` and Meltano."""
    for schema in PROPERTIES.values():
        assert re.fullmatch(r"[A-Z].*\.", schema["description"])
        assert re.fullmatch(r"[A-Z][A-Za-z ]+", schema["title"])


# Wrong settings -----------------------------------------------------------------------

TOKENS = [
    *(None, 8675309, 8675.309, True, [SECRET], {"token": SECRET}, "", "   ", "\t\n"),
    *(f"{SECRET[:9]}\n{SECRET[9:]}", f"{SECRET} {SECRET}", f"{SECRET}é", f"\0{SECRET}"),
    f"Bearer {SECRET}",
]

WRONG = [
    # Addresses
    *[
        ({"api_url": value}, "api_url")
        for value in (
            *(5, True, [URL], {"url": URL}, "", "  ", "sentry.io", "//sentry.io"),
            *("ftp://sentry.io", "https://", "https:///api/0/", "https://:443"),
            *("https://user:password@sentry.io", "https://user@sentry.io"),
            *("https://sentry.io?a=1", "https://sentry.io/#top", "https://sentry.io:0"),
            *("https://sentry.io:99999", "https://sentry.io:x", "https://[::1"),
            "https://sentry.io:80\nX-Header: 1",
        )
    ],
    # Names
    *[
        ({name: value}, name)
        for name in ("organizations", "projects", "teams", "issue_ids")
        for value in ("one", 5, {"a": 1}, [" "], ["!"], [5], [None])
    ],
    ({"organizations": ["!acme"]}, "organizations: '!acme'"),
    ({"organizations": ["ac*"]}, "organizations: 'ac*'"),
    ({"organizations": ["https://sentry.io/"]}, "organizations: there is no"),
    (
        {"organizations": ["https://de.sentry.io/settings/"]},
        "organizations: there is no",
    ),
    ({"projects": ["https://acme.sentry.io/issues/5/"]}, "projects: there is no"),
    ({"projects": ["!https://acme.sentry.io/"]}, "projects: there is no"),
    ({"teams": ["https://acme.sentry.io/projects/shop/"]}, "teams: there is no"),
    ({"issue_ids": ["SHOP-"]}, "issue_ids: 'SHOP-'"),
    ({"issue_ids": ["SHOP"]}, "issue_ids: 'SHOP'"),
    ({"issue_ids": ["5-1"]}, "issue_ids: '5-1'"),
    ({"issue_ids": ["9" * 20]}, "issue_ids: '999"),
    ({"issue_ids": ["1.5"]}, "issue_ids: '1.5'"),
    ({"issue_ids": ["-1"]}, "issue_ids: '-1'"),
    ({"issue_ids": ["1", "*"]}, "issue_ids: '*'"),
    ({"issue_ids": ["!5"]}, "issue_ids: '!5'"),
    ({"issue_ids": ["https://acme.sentry.io/issues/"]}, "issue_ids: there is no"),
    *[({"issue_query": value}, "issue_query") for value in (5, True, ["is:new"])],
    # Counts
    *[
        ({"stats": value}, "stats")
        for value in ("received", 5, ["sent"], ["received", "sent"], [""], ["Received"])
    ],
    *[
        ({"stats_resolution": value}, "stats_resolution")
        for value in ("", "1m", "10s", "1D", "day", 1, ["1d"])
    ],
    # Dates
    *[
        ({"start_date": value}, "start_date")
        for value in (
            *(20261101, True, ["1d"], "", " ", "yesterday", "10", "-1d", "1.5d", "1D"),
            *("2026-13-01", "2026-11", "01.11.2026", "999999d", "2026-11-01T25:00:00Z"),
        )
    ],
    *[
        ({name: value}, name)
        for name in ("end_date", "report_date")
        for value in (5, {"a": 1}, "", "tomorrow", "2026-02-30", "999999d", "1d2h")
    ],
    ({"start_date": "2026-11-21"}, "start_date is in the future"),
    ({"start_date": "2027-01-01"}, "start_date is in the future"),
    ({"start_date": "2026-11-20T12:30:16Z"}, "start_date is in the future"),
    ({"start_date": "2026-11-20T13:00:00-01:00"}, "start_date is in the future"),
    ({"report_date": "2026-11-21"}, "report_date is in the future"),
    ({"report_date": "2026-11-01T00:00:00Z"}, "report_date: '2026-11-01T00:00:00Z'"),
    ({"report_date": "36h"}, "report_date: '36h'"),
    ({"start_date": "5d", "end_date": "10d"}, "end_date"),
    ({"start_date": "36h", "end_date": "48h"}, "end_date"),
    ({"start_date": "2026-11-10", "end_date": "2026-11-09"}, "end_date"),
    (
        {"start_date": "2026-11-10T00:00:00Z", "end_date": "2026-11-10T00:00:00Z"},
        "end_date (2026-11-10T00:00:00Z) is not after start_date",
    ),
    (
        {"end_date": "2009-12-31"},
        "end_date (2010-01-01T00:00:00Z) is older than all that Sentry keeps",
    ),
    ({"end_date": "1999-12-31T12:00:00Z"}, "end_date"),
    ({"report_date": "1d", "start_date": "5d"}, "report_date and start_date cannot"),
    ({"report_date": "1d", "end_date": "1d"}, "report_date and end_date cannot"),
    # Durations
    *[
        ({name: value}, name)
        for name in ("lookback", "issue_refresh")
        for value in (60, ["1h"], "", "never", "-1h", "1.5h", "1h30m", "PT1H", "60")
    ],
    # Switches and numbers
    *[
        ({name: value}, name)
        for name in ("full_events", "strict")
        for value in ("true", "", 0, 1, [True])
    ],
    *[
        ({name: value}, name)
        for name in ("concurrency", "request_timeout")
        for value in (0, -1, "8", "", 8.5, True, [8])
    ],
    ({"concurrency": 33}, "concurrency must be from 1 to 32, not 33"),
    ({"request_timeout": 3601}, "request_timeout must be from 1 to 3600"),
    # Stream maps
    *[
        ({"stream_maps": {"organizations": wrong}}, "stream_maps")
        for wrong in (
            *({"a": "int(("}, {"__filter__": "x y"}, {"__key_properties__": ["a"]}),
            *(5, {"a": 5}),
        )
    ],
    # Files
    *[({"ca_bundle": value}, "ca_bundle") for value in (5, True, "", " ")],
    ({"ca_bundle": "~no-such-user/a.pem"}, "ca_bundle: there is no file"),
    ({"ca_bundle": "no/such/file.pem"}, "ca_bundle: there is no file no/such/file.pem"),
]


@pytest.fixture(scope="module")
def server():
    """Serve one Sentry to all tests, most of which never reach it."""
    with SentrySimulator(clock=lambda: NOW).patched() as simulator:
        yield simulator


@pytest.fixture
def sentry(server):
    """The server, without any request so far."""
    server.requests.clear()
    return server


@pytest.mark.parametrize("value", TOKENS, ids=repr)
def test_a_wrong_token_is_told_and_never_shown(command, sentry, caplog, value):
    """A wrong token is reported, and no part of it is printed or logged."""
    caplog.set_level(logging.DEBUG)
    exit_code, lines, everything = command({"auth_token": value})

    assert exit_code == 1
    assert len(lines) == 1
    assert "auth_token" in lines[0]
    assert sentry.requests == []
    for part in (SECRET, SECRET[:9], SECRET[9:], "8675309", "8675.309"):
        assert part not in everything


def test_a_missing_token_is_told(command, sentry):
    """A missing `auth_token`, the one required setting, is reported."""
    exit_code, lines, _ = command({"api_url": sentry.url})

    assert (exit_code, sentry.requests) == (1, [])
    assert "'auth_token' is a required property" in lines


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=map(repr, [w for w, _ in WRONG]))
def test_a_wrong_setting_is_told_in_a_line(command, sentry, monkeypatch, wrong, said):
    """A wrong setting exits with 1 before any request or output; a line states why."""
    # A run with a wrong setting, such as a concurrency of 0, might never end.
    monkeypatch.setattr(Execution, "run", lambda *_: 0)
    exit_code, lines, everything = command({"auth_token": SECRET, **wrong})

    assert exit_code == 1
    assert sentry.requests == []
    assert any(said in line for line in lines)
    assert 1 <= len(lines) <= 2
    assert all(any(name in line for name in wrong) for line in lines)
    assert SECRET not in everything
    assert "Traceback" not in everything
    assert '"type":' not in everything


def test_a_password_in_the_address_is_not_shown(command):
    """A password in `api_url` is rejected without being printed."""
    _, lines, everything = command(
        {"auth_token": SECRET, "api_url": "https://user:hunter2@sentry.io"}
    )

    assert "api_url: the address must not contain a user or password" in lines
    assert "hunter2" not in everything


def test_all_wrong_settings_are_told_at_once(command):
    """Each wrong setting has one line, so that a user can fix all of them."""
    _, lines, _ = command(
        {
            "auth_token": SECRET,
            "concurrency": 0,
            "lookback": "?",
            "report_date": "1d",
            "start_date": "5d",
            "api_url": "sentry.io",
        }
    )

    for name in ("concurrency", "lookback", "report_date", "api_url"):
        assert sum(line.startswith(name) for line in lines) == 1
    assert len(lines) == 4


@pytest.mark.parametrize("option", ["state", "catalog"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("\0", "is not JSON"),
        ('{"streams": [}', "is not JSON"),
        ("[]", "does not contain a JSON object"),
        ("5", "does not contain a JSON object"),
        ("null", "does not contain a JSON object"),
        ('"bookmarks"', "does not contain a JSON object"),
        ('{"a":' * 100_000, "is not JSON that can be read"),
    ],
    ids=lambda text: text[:20],
)
def test_a_malformed_file_is_told(  # noqa: PLR0913, PLR0917 - the cases and three fixtures
    command, sentry, tmp_path, option, text, said
):
    """A malformed catalog or state ends the run with a line that names the file."""
    file = tmp_path / f"{option}.json"
    file.write_text(text, encoding="utf-8")
    exit_code, lines, everything = command(
        {"auth_token": SECRET}, f"--{option}", str(file)
    )

    assert exit_code == 1
    assert sentry.requests == []
    assert lines[0].startswith(f"The {option} file {file} {said}")
    assert len(lines) == 1
    assert "Traceback" not in everything


@pytest.mark.parametrize(
    "text",
    [
        '{"streams": 5}',
        '{"streams": null}',
        '{"streams": [5]}',
        '{"streams": [{"tap_stream_id": "projects", "schema": []}]}',
        '{"streams": [{"tap_stream_id": "a", "schema": {}, "metadata": 5}]}',
        '{"streams": [{"tap_stream_id": "a", "schema": {}, "metadata": [{}]}]}',
    ],
)
def test_a_file_that_is_no_catalog_is_told(command, sentry, tmp_path, text):
    """JSON that is no catalog ends the run with a line that suggests `--discover`."""
    file = tmp_path / "catalog.json"
    file.write_text(text, encoding="utf-8")
    exit_code, lines, everything = command(
        {"auth_token": SECRET}, "--catalog", str(file)
    )

    assert exit_code == 1
    assert sentry.requests == []
    assert "catalog" in lines[0]
    assert "--discover" in lines[0]
    assert len(lines) == 1
    assert "Traceback" not in everything


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"5", b'"x"', b"null", b"\xff\xfe"]
)
def test_a_malformed_config_file_is_told(command, sentry, tmp_path, body):
    """A malformed config file, the first that a user writes, is a one-line error."""
    file = tmp_path / "bad.json"
    file.write_bytes(body)
    exit_code, lines, everything = command({}, "--config", str(file))

    assert exit_code == 1
    assert sentry.requests == []
    assert len(lines) == 1
    assert lines[0].startswith("The config file cannot be read")
    assert "Traceback" not in everything


@pytest.mark.parametrize(
    "schema", [{}, {"properties": None}, {"properties": {"slug": {"type": "string"}}}]
)
def test_a_catalog_without_the_keys_is_told(command, sentry, tmp_path, schema):
    """A catalog must have the keys, which identify rows and lead to their children."""
    selected = ["projects", "team_projects"]
    # Their parent, and a stream that none of them needs.
    deselected = ["organizations", "project_issues"]
    catalog = catalog_of(*selected, *deselected)
    for entry in catalog["streams"][len(selected) :]:
        entry["schema"] = schema
        entry["metadata"] = [{"breadcrumb": [], "metadata": {"selected": False}}]
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog), encoding="utf-8")
    exit_code, lines, everything = command(
        {"auth_token": SECRET}, "--catalog", str(file)
    )

    assert (exit_code, sentry.requests) == (1, [])
    assert lines[0].startswith("The catalog lacks the key of organizations (id)")
    assert len(lines) == 1
    assert "Traceback" not in everything


def test_a_config_file_that_is_not_there_is_told(command, sentry):
    """A missing config file is reported by name."""
    exit_code, lines, _ = command({}, "--config", "no/such/config.json")

    assert (exit_code, sentry.requests) == (1, [])
    assert len(lines) == 1
    assert "no/such/config.json" in lines[0]


@pytest.mark.parametrize("option", ["state", "catalog"])
@pytest.mark.parametrize("is_folder", [False, True], ids=["missing", "folder"])
def test_a_file_that_cannot_be_opened_is_told(
    command, sentry, tmp_path, option, is_folder
):
    """An unreadable file is reported by name, with code 1 as for a config file."""
    file = tmp_path if is_folder else tmp_path / "nothing.json"
    exit_code, lines, everything = command(
        {"auth_token": SECRET}, f"--{option}", str(file)
    )

    assert (exit_code, sentry.requests) == (1, [])
    assert len(lines) == 1
    assert lines[0].startswith(f"The {option} file cannot be read: '{file}'")
    assert "Usage" not in everything


@pytest.mark.parametrize("text", ["", "\n", "{}"])
def test_an_empty_state_is_a_first_run(command, sentry, tmp_path, text):
    """An empty state, as orchestrators create it before the first run, is accepted."""
    state, catalog = tmp_path / "state.json", tmp_path / "catalog.json"
    state.write_text(text, encoding="utf-8")
    catalog.write_text(json.dumps(catalog_of("organizations")), encoding="utf-8")
    files = ("--state", str(state), "--catalog", str(catalog))
    exit_code, lines, everything = command(
        {"auth_token": TOKEN, "api_url": sentry.url}, *files
    )

    assert (exit_code, lines) == (0, [])
    assert everything.count('"type":"RECORD","stream":"organizations"') == 2


def test_settings_come_from_the_environment(command, sentry, tmp_path):
    """`--config=ENV` adds TAP_SENTRY_… to a config file, with lists as JSON."""
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps(catalog_of("organizations")), encoding="utf-8")
    exit_code, lines, everything = command(
        {"api_url": sentry.url},
        *("--config", "ENV", "--catalog", str(catalog)),
        TAP_SENTRY_AUTH_TOKEN=TOKEN,
        TAP_SENTRY_ORGANIZATIONS='["sternwarte"]',
        TAP_SENTRY_CONCURRENCY="2",
        TAP_SENTRY_STRICT="true",
    )

    assert (exit_code, lines) == (0, [])
    assert [request.path for request in sentry.requests] == [
        "organizations/sternwarte/"
    ]
    assert everything.count('"type":"RECORD"') == 1
    assert TOKEN not in everything


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STRICT", "maybe", "true or false, not 'maybe'"),
        ("STRICT", "", "true or false, not ''"),
        ("FULL_EVENTS", "2", "true or false, not '2'"),
        ("FLATTENING_ENABLED", "x", "true or false, not 'x'"),
        ("CONCURRENCY", "eight", "a whole number, not 'eight'"),
        ("REQUEST_TIMEOUT", "1.5", "a whole number, not '1.5'"),
        ("STREAM_MAPS", "x", "an object in JSON, not 'x'"),
    ],
)
def test_a_wrong_variable_of_the_environment_is_named(
    command, sentry, variable, value, said
):
    """A wrong value is an error that names the variable.

    The SDK reads any other value than true as false, and does not name variables.
    """
    exit_code, lines, everything = command(
        {"auth_token": SECRET},
        *("--config", "ENV"),
        **{f"TAP_SENTRY_{variable}": value},
    )

    assert (exit_code, sentry.requests) == (1, [])
    assert lines[0] == f"TAP_SENTRY_{variable} must be {said}"
    assert len(lines) == 1
    assert "Traceback" not in everything


@pytest.mark.parametrize("value", ["TRUE", "on", "1", "yes", "False", "no", "OFF", "0"])
def test_switches_of_the_environment_may_be_written_in_many_ways(
    command, monkeypatch, value
):
    """Every spelling of true that the SDK reads is accepted, and its opposite."""
    monkeypatch.setattr(Execution, "run", lambda *_: 0)
    exit_code, lines, _ = command(
        {"auth_token": SECRET}, "--config", "ENV", TAP_SENTRY_STRICT=value
    )

    assert (exit_code, lines) == (0, [])


def test_wrong_settings_of_the_environment_are_told(command, sentry):
    """Settings of the environment are checked like those of a file."""
    exit_code, lines, _ = command(
        {},
        *("--config", "ENV"),
        TAP_SENTRY_AUTH_TOKEN=SECRET,
        TAP_SENTRY_STATS='["sent"]',
    )

    assert (exit_code, sentry.requests) == (1, [])
    assert any("stats" in line for line in lines)


# Right settings -----------------------------------------------------------------------


def resolved(**config):
    return resolve({"auth_token": SECRET, **config}, NOW)


def test_without_settings_all_is_read_up_to_now():
    """With a token alone, everything up to now is read."""
    found = resolved()

    assert found.auth_token == SECRET
    assert found.api_url == "https://sentry.io"
    assert (found.start, found.end, found.is_report) == (None, NOW, False)
    assert (found.organizations, found.issue_ids) == ((), ())
    assert (found.projects, found.teams) == (Names(), Names())
    assert (found.stats, found.stats_resolution) == (("received",), "1d")
    assert (found.lookback, found.issue_refresh) == (timedelta(hours=1), DAY)
    assert (found.issue_query, found.full_events, found.strict) == ("", False, False)
    assert (found.concurrency, found.request_timeout) == (8, 60)


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name != "auth_token"])
def test_null_is_no_setting(name):
    """Null, which orchestrators pass for unset settings, means the default."""
    assert resolved(**{name: None}) == resolved()


def test_a_token_that_was_pasted_with_spaces_is_trimmed():
    """Spaces and line breaks around a token are not part of it."""
    assert resolved(auth_token=f" {SECRET}\n").auth_token == SECRET


def test_the_token_is_not_part_of_what_is_printed():
    """The token is not in the `repr` of the settings, which may be logged."""
    assert SECRET not in repr(resolved())


@pytest.mark.parametrize(
    ("dates", "start", "end"),
    [
        ({"start_date": "2026-11-01"}, "2026-11-01T00:00:00", None),
        ({"start_date": "2026-11-01T12:00:00Z"}, "2026-11-01T12:00:00", None),
        ({"start_date": "2026-11-01T12:00:00+01:00"}, "2026-11-01T11:00:00", None),
        ({"start_date": "10d"}, "2026-11-10T00:00:00", None),
        ({"start_date": "2w"}, "2026-11-06T00:00:00", None),
        ({"start_date": "36h"}, "2026-11-19T00:30:15", None),
        ({"start_date": "0d"}, "2026-11-20T00:00:00", None),
        ({"start_date": "2026-11-20"}, "2026-11-20T00:00:00", None),
        ({"start_date": "1999-12-31"}, "1999-12-31T00:00:00", None),
        ({"end_date": "2026-11-10"}, None, "2026-11-11T00:00:00"),
        ({"end_date": "5d"}, None, "2026-11-16T00:00:00"),
        ({"end_date": "1w"}, None, "2026-11-14T00:00:00"),
        ({"end_date": "2026-11-10T00:00:00Z"}, None, "2026-11-10T00:00:00"),
        ({"end_date": "12h"}, None, "2026-11-20T00:30:15"),
        # An end that is later than now is cut to now.
        ({"end_date": "2026-11-20"}, None, None),
        ({"end_date": "0d"}, None, None),
        ({"end_date": "2030-01-01"}, None, None),
        (
            {"start_date": "10d", "end_date": "5d"},
            "2026-11-10T00:00:00",
            "2026-11-16T00:00:00",
        ),
        (
            {"start_date": "2026-11-10", "end_date": "2026-11-10"},
            "2026-11-10T00:00:00",
            "2026-11-11T00:00:00",
        ),
        (
            {"start_date": "2026-11-10", "end_date": "2026-11-12T06:00:00Z"},
            "2026-11-10T00:00:00",
            "2026-11-12T06:00:00",
        ),
    ],
)
def test_dates_are_days_or_instants_or_how_long_ago(dates, start, end):
    """A day as an end is included, an instant is excluded."""
    found = resolved(**dates)

    assert found.start == (start and datetime.fromisoformat(f"{start}Z"))
    assert found.end == (datetime.fromisoformat(f"{end}Z") if end else NOW)
    assert not found.is_report


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("1d", MIDNIGHT - DAY),
        ("1w", MIDNIGHT - 7 * DAY),
    ],
)
def test_a_report_is_for_exactly_one_day(text, start):
    """A report is from midnight to midnight UTC."""
    found = resolved(report_date=text)

    assert (found.start, found.end, found.is_report) == (start, start + DAY, True)


def test_a_report_for_today_ends_now():
    """A report for today ends now: the rest of the day is not requested."""
    found = resolved(report_date="0d")

    assert (found.start, found.end, found.is_report) == (MIDNIGHT, NOW, True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://sentry.io", "https://sentry.io"),
        ("https://sentry.io/", "https://sentry.io"),
        ("https://sentry.io/api/0/", "https://sentry.io"),
        ("https://sentry.io/api/0", "https://sentry.io"),
        ("https://de.sentry.io", "https://de.sentry.io"),
        (" https://sentry.io \n", "https://sentry.io"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("https://example.com/sentry", "https://example.com/sentry"),
        ("https://example.com/sentry/", "https://example.com/sentry"),
        ("https://example.com:8443/a/b/api/0/", "https://example.com:8443/a/b"),
        ("https://example.com/api/0/api/0/", "https://example.com/api/0"),
    ],
)
def test_the_address_may_end_as_it_was_pasted(given, meant):
    """A port and a path prefix are kept; a trailing / or /api/0/ is removed."""
    assert resolved(api_url=given).api_url == meant


@pytest.mark.parametrize(
    ("setting", "given", "meant"),
    [
        ("organizations", "acme", "acme"),
        ("organizations", "4711", "4711"),
        ("organizations", " acme ", "acme"),
        ("organizations", "https://sentry.io/organizations/acme/", "acme"),
        ("organizations", "https://sentry.io/organizations/acme/issues/?a=b", "acme"),
        ("organizations", "https://acme.sentry.io/", "acme"),
        ("organizations", "https://acme.sentry.io/projects/shop/", "acme"),
        ("organizations", "acme.sentry.io/issues", "acme"),
        (
            "organizations",
            "https://sentry.example.com/sentry/organizations/acme/",
            "acme",
        ),
        ("organizations", "https://sentry.io/api/0/organizations/acme/teams/", "acme"),
        ("issue_ids", "12345", "12345"),
        ("issue_ids", "https://acme.sentry.io/issues/12345/?project=1", "12345"),
        (
            "issue_ids",
            "https://sentry.io/organizations/acme/issues/12345/events/",
            "12345",
        ),
    ],
)
def test_a_pasted_url_stands_for_the_name_in_it(setting, given, meant):
    """A URL that is copied from the browser means the same as the slug or id."""
    assert getattr(resolved(**{setting: [given]}), setting) == (meant,)


@pytest.mark.parametrize(
    ("setting", "given", "meant"),
    [
        ("projects", "https://acme.sentry.io/projects/shop/", "shop"),
        ("projects", "https://acme.sentry.io/projects/shop/?project=1", "shop"),
        ("projects", "https://acme.sentry.io/issues/?project=4711", "4711"),
        ("projects", "https://acme.sentry.io/settings/projects/shop/keys/", "shop"),
        ("teams", "https://acme.sentry.io/settings/acme/teams/ops/members/", "ops"),
    ],
)
def test_projects_and_teams_are_pasted_too(setting, given, meant):
    """A URL names a project or team, also after an exclamation mark."""
    found = getattr(resolved(**{setting: [given, f"!{given}"]}), setting)

    assert found == Names((meant,), (meant,))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://sentry.io/", "organizations"),
        ("https://www.sentry.io/", "organizations"),
        ("https://us.sentry.io/settings/", "organizations"),
        ("https://acme.example.com/", "organizations"),
        ("https://acme.sentry.io/issues/", "issues"),
        ("https://acme.sentry.io/issues/?project=", "projects"),
        ("https://acme.sentry.io/teams", "teams"),
    ],
)
def test_a_url_without_a_name_has_none(url, place):
    """Neither a host nor an empty value is taken for a name."""
    assert name_in_url(url, place) is None


@pytest.mark.parametrize(
    ("names", "matched", "left_out"),
    [
        ([], ["shop", "1", "anything"], []),
        (["shop"], ["shop"], ["shop-api", "Shop", "sho"]),
        (["shop-*"], ["shop-api", "shop-"], ["shop", "my-shop-api"]),
        (["*-api"], ["shop-api"], ["api", "shop-api-2"]),
        (["shop-?"], ["shop-1"], ["shop-10"]),
        (["!shop"], ["other", "shop-api"], ["shop"]),
        (["!*-test"], ["shop"], ["shop-test"]),
        (["shop-*", "!*-test"], ["shop-api"], ["shop-test", "other"]),
        (["!*-test", "shop-*"], ["shop-api"], ["shop-test", "other"]),
        (["shop", "ops"], ["shop", "ops"], ["other"]),
        (["! shop "], ["other"], ["shop"]),
    ],
)
def test_names_are_globs_and_may_exclude(names, matched, left_out):
    """Exclusion takes precedence; exclusions alone include all other names."""
    found = resolved(projects=names, teams=names)

    for aliases in (found.projects, found.teams):
        assert all(aliases.match("4711", slug) for slug in matched)
        assert not any(aliases.match("4711", slug) for slug in left_out)


def test_a_name_is_an_id_or_a_slug():
    """Either the id or the slug is enough to include or to exclude."""
    assert Names.of(["4711"]).match("4711", "shop")
    assert Names.of(["shop"]).match("4711", "shop")
    assert not Names.of(["!4711"]).match("4711", "shop")
    assert not Names.of(["4711", "!shop"]).match("4711", "shop")


def test_names_that_fit_nothing_are_found():
    """Names and globs that match nothing are returned, to be reported."""
    names = Names.of(["shop", "4712", "ops-*", "web-*", "!nothing"])

    assert names.unmatched([("4711", "shop"), ("4712", "web-1")]) == ["ops-*"]
    assert Names.of([]).unmatched([("4711", "shop")]) == []


def test_stats_keep_the_order_of_the_tap():
    """The output does not depend on the order of the setting, nor on repetitions."""
    stats = resolved(stats=["generated", "received", "generated"]).stats

    assert stats == ("received", "generated")


@pytest.mark.parametrize(("text", "bucket"), [("1d", DAY), ("1h", DAY / 24)])
def test_the_resolution_is_the_length_of_a_bucket(text, bucket):
    """A bucket is a day or an hour."""
    assert resolved(stats_resolution=text).bucket == bucket


@pytest.mark.parametrize("concurrency", [1, 32])
def test_the_bounds_of_a_number_are_allowed(concurrency):
    """Both the lowest and the highest concurrency are accepted."""
    assert resolved(concurrency=concurrency).concurrency == concurrency


def test_certificates_come_from_the_setting_or_the_environment(monkeypatch, tmp_path):
    """`ca_bundle` overrides REQUESTS_CA_BUNDLE, which overrides the default."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    bundle = tmp_path / "bundle.pem"
    bundle.touch()

    assert resolved().ca_bundle is True

    other = tmp_path / "other.pem"
    other.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))

    assert resolved().ca_bundle == str(other)
    assert resolved(ca_bundle=str(bundle)).ca_bundle == str(bundle)


def test_a_certificate_file_may_be_named_from_home(monkeypatch, tmp_path):
    """A `~` is expanded to the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bundle.pem").touch()

    assert resolved(ca_bundle="~/bundle.pem").ca_bundle == str(tmp_path / "bundle.pem")


def test_an_error_has_a_line_for_each_reason():
    """The exception lists all reasons, for use of the tap from Python."""
    with pytest.raises(BadSettings) as caught:
        settings.resolve({"auth_token": SECRET, "concurrency": 0, "strict": 1}, NOW)

    assert caught.value.errors == [
        "concurrency must be from 1 to 32, not 0",
        "strict must be true or false, not a number",
    ]
    assert SECRET not in str(caught.value)
