"""`--test`, which checks token, scopes, organizations and projects, and `--about`."""

from __future__ import annotations

import json
import logging
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tap_sentry.api.scopes import grants
from tap_sentry.cli.command import TapCommand
from tap_sentry.settings import SETTINGS
from tap_sentry.settings.unknown import suggestion
from tap_sentry.streams import STREAMS
from tap_sentry.tap import TapSentry
from tests.conftest import catalog_of
from tests.sentry import SCOPES, TOKEN, SentrySimulator, Token

ROOT = Path(__file__).parents[2]
ALL_SCOPES = ", ".join(sorted(SCOPES))


@pytest.fixture
def command(monkeypatch, tmp_path) -> Any:
    """Run the command line in this process; return its code and output lines."""
    # The SDK replaces the hook; this restores it afterwards.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def command(
        sentry: SentrySimulator, *arguments: str, **settings: Any
    ) -> tuple[int, list[str]]:
        file = tmp_path / "config.json"
        config = {"auth_token": TOKEN, "api_url": sentry.url, **settings}
        file.write_text(json.dumps(config))
        result = CliRunner().invoke(
            TapCommand.get_singer_command(),
            ["--config", str(file), *(arguments or ["--test"])],
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert TOKEN not in result.output
        return result.exit_code, result.stdout.splitlines()

    yield command
    logging.captureWarnings(capture=False)


# Passing checks -----------------------------------------------------------------------


created = operator.attrgetter("created")


def test_all_that_is_right_is_said_in_words(sentry, command):
    """Passed checks are printed with the number of projects, and the code is 0."""
    code, lines = command(sentry)

    assert code == 0
    assert lines == [
        f"ok     {sentry.url} accepts the auth_token",
        f"ok     its scopes: {ALL_SCOPES}",
        *(
            f"ok     organization {row.slug}: {len(row.projects)} project"
            + ("" if len(row.projects) == 1 else "s")
            for row in sorted(sentry.organizations, key=created, reverse=True)
        ),
        "OK",
    ]


def test_it_takes_few_requests(sentry, command):
    """Only the token, the organizations and their projects are requested."""
    sentry.page_size = 100
    command(sentry)

    assert [seen.template for seen in sentry.requests] == [
        "",
        "organizations/",
        *["organizations/{org}/projects/"] * len(sentry.organizations),
    ]


def test_what_the_settings_choose_is_counted(sentry, command):
    """Chosen projects are counted out of all; teams are checked only if named."""
    slug = sentry.organizations[0].projects[0].slug
    team = sentry.organizations[0].teams[0].slug
    code, lines = command(sentry, projects=[slug], teams=[team])

    assert code == 0
    assert sum(": 1 of " in line and "project" in line for line in lines) == 1
    assert sum(": 1 of " in line and "team" in line for line in lines) == 1


def test_a_server_that_does_not_tell_scopes_is_no_matter(sentry, command):
    """Old servers and some proxies do not state scopes; then the lists decide."""
    for kind in ({"empty": True}, {"body": {"detail": "no"}}):
        sentry.fault(404, when=lambda seen: not seen.path, times=2, **kind)
        code, lines = command(sentry)

        assert (code, lines[-1]) == (0, "OK")
        assert lines[0] == f"ok     {sentry.url} answers"
        assert lines[1] == "ok     the server does not state the scopes of the token"


@pytest.mark.parametrize("fault", [500, 504, 403, 404, "truncated"])
def test_a_root_that_fails_is_no_matter_while_the_lists_answer(sentry, command, fault):
    """A failing API root is requested once; the lists decide, as in a run."""
    details = {} if isinstance(fault, str) else {"html": "<title>No</title>"}
    sentry.fault(fault, when=lambda seen: not seen.path, times=None, **details)
    code, lines = command(sentry)

    assert (code, lines[-1]) == (0, "OK")
    assert "ok     the server does not state the scopes of the token" in lines
    assert [request.path for request in sentry.requests].count("") == 1


# Failing checks -----------------------------------------------------------------------


def test_a_refused_token_is_said(sentry, command):
    """A rejected token is reported, and nothing else is requested."""
    sentry.tokens[TOKEN] = Token(expired=True)
    code, lines = command(sentry)

    host = sentry.url.partition("//")[2]
    assert code == 1
    assert lines == [
        f"wrong  {host} refuses the auth_token (Token expired)",
        "1 thing is wrong",
    ]
    assert len(sentry.requests) == 1


def test_a_missing_scope_is_said_with_the_streams_that_need_it(sentry, command):
    """A missing scope is listed with the selected streams that need it."""
    sentry.tokens[TOKEN] = Token(frozenset({"org:read", "project:admin"}))
    code, lines = command(sentry)

    assert code == 1
    assert "wrong  the scope event:read is missing: project_issues" in lines
    assert lines[-1] == "1 thing is wrong"


def test_the_catalog_says_which_scopes_are_needed(sentry, command, tmp_path):
    """Only selected streams need scopes, wherever `--catalog` is in the command."""
    sentry.tokens[TOKEN] = Token(frozenset({"org:read"}))
    file = tmp_path / "catalog.json"
    for streams, wrong in (
        (["organization_teams"], 0),
        (["issue_events", "project_users"], 2),
    ):
        file.write_text(json.dumps(catalog_of(*streams)))
        for arguments in (
            ("--test", "--catalog", str(file)),
            ("--catalog", str(file), "--test"),
        ):
            code, lines = command(sentry, *arguments)

            assert code == bool(wrong)
            assert sum(line.startswith("wrong  the scope") for line in lines) == wrong


def test_without_the_first_scope_nothing_else_is_asked(sentry, command):
    """Without org:read no list is requested, since it would be denied."""
    sentry.tokens[TOKEN] = Token(frozenset())
    code, lines = command(sentry)

    assert code == 1
    assert any("scope org:read is missing: organizations" in line for line in lines)
    assert len(sentry.requests) == 1


def test_an_organization_that_is_not_there_is_said(sentry, command):
    """The nearest name is suggested for an unknown organization; others are checked."""
    right = sentry.organizations[0].slug
    code, lines = command(sentry, organizations=[right[:-1], right, "zzz"])

    assert code == 1
    assert any(
        line.startswith(f"wrong  organization {right[:-1]}: not found (GET ")
        and line.endswith(f"; do you mean {right}?")
        for line in lines
    )
    assert any(
        line.startswith("wrong  organization zzz: not found") and "can see" in line
        for line in lines
    )
    assert any(line.startswith(f"ok     organization {right}: ") for line in lines)
    assert lines[-1] == "2 things are wrong"


def test_a_project_or_team_that_is_not_there_is_said(sentry, command):
    """Unknown names and globs that match nothing are reported."""
    slug = sentry.organizations[0].projects[0].slug
    code, lines = command(sentry, projects=[slug[:-1], "zzz-*"], teams=["zzz"])

    assert code == 1
    assert f"wrong  project {slug[:-1]}: not found; do you mean {slug}?" in lines
    assert "wrong  project zzz-*: not found" in lines
    assert "wrong  team zzz: not found" in lines
    assert lines[-1] == "3 things are wrong"


def test_a_token_that_lists_nothing_is_said(sentry, command):
    """A token of an integration lists no organizations: they have to be named."""
    sentry.tokens[TOKEN] = Token(lists_organizations=False)
    code, lines = command(sentry)

    assert code == 1
    assert "name them in the setting organizations" in lines[-2]

    slug = sentry.organizations[0].slug
    assert command(sentry, organizations=[slug])[0] == 0


def test_lists_that_fail_are_said(sentry, command):
    """A failing list is reported, and no name that may be in it is called unknown."""
    slug = sentry.organizations[0].slug
    lists = f"organizations/{slug}/projects/"
    sentry.fault(403, times=None, when=lambda seen: seen.path == lists)
    project = sentry.organizations[1].projects[0].slug
    code, lines = command(sentry, projects=[project, "zzz"])

    assert code == 1
    wrong = [line for line in lines if line.startswith("wrong")]
    assert len(wrong) == 1
    assert wrong[0].startswith(f"wrong  organization {slug}: no projects: GET ")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("html", "an HTML page (title: Not a Sentry API) instead of JSON"),
        ("refuse", "the connection failed"),
    ],
)
def test_an_address_that_is_no_sentry_is_said(sentry, command, kind, says):
    """An address that is not a Sentry is an error that suggests checking `api_url`."""
    sentry.fault(kind, times=None)
    code, lines = command(sentry)

    wrong = [line for line in lines if line.startswith("wrong")]
    assert code == 1
    assert says in wrong[0]
    assert wrong[0].endswith("check that api_url is the address of a Sentry server")


def test_wrong_settings_are_told_before_anything_is_asked(sentry, command, caplog):
    """Wrong settings are logged with exit code 1, as in a run."""
    code, lines = command(sentry, start_date="soon")

    assert (code, lines) == (1, [])
    assert "start_date" in caplog.text
    assert sentry.requests == []


# Other output -------------------------------------------------------------------------


def test_schemas_are_written_to_the_end(sentry, command):
    """`--test=schema` writes a full line for each stream and makes no request."""
    code, lines = command(sentry, "--test=schema")

    assert code == 0
    assert [json.loads(line)["type"] for line in lines] == ["SCHEMA"] * len(STREAMS)
    assert sentry.requests == []


def test_the_help_says_what_it_does(command, sentry):
    """`--help` describes the tap's `--test`, not the SDK's."""
    _, lines = command(sentry, "--help")
    text = " ".join(" ".join(lines).split())

    assert "Say whether token, scopes, organizations and projects are right." in text
    assert "single record" not in text


@pytest.mark.parametrize(
    ("scopes", "needed", "is_enough"),
    [
        ({"org:read"}, ("org:read",), True),
        ({"org:admin"}, ("org:read",), True),
        ({"org:write"}, ("org:read", "org:ci"), True),
        ({"org:ci"}, ("org:read", "org:ci"), True),
        ({"org:ci"}, ("org:read",), False),
        ({"team:admin"}, ("org:read",), False),
        (set(), ("org:read",), False),
    ],
)
def test_a_greater_scope_holds_the_lesser(scopes, needed, is_enough):
    assert grants(scopes, needed) is is_enough


def test_the_nearest_name_is_meant():
    assert suggestion("Shop-ap", ["web", "shop-api"]) == "do you mean shop-api?"
    assert not suggestion("zzz", ["web", "shop-api"])


# --about ------------------------------------------------------------------------------


def about(*arguments: str) -> str:
    """Return the output of `--about`."""
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "tap_sentry", "--about", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


HEAD = """\
Name: tap-sentry
Description: {description}
Version: {version}
SDK Version: {sdk}
Supported Python Versions:
  - 3.11
  - 3.12
  - 3.13
  - 3.14
Capabilities:
  - catalog
  - state
  - discover
  - activate-version
  - about
  - stream-maps
  - schema-flattening
  - structured-logging
Settings:
  - Name: auth_token
    Type: string
    Environment Variable: TAP_SENTRY_AUTH_TOKEN
    Required: yes
    Secret: yes
    Description: Sentry auth token, with the scopes org:read, project:read, event:read
      and team:read; organization_members also needs member:read,
      organization_audit_logs org:write.
"""


def test_about_says_all_of_it():
    """`--about` prints versions, capabilities and the meaning of each setting."""
    text = about()
    head = HEAD.format(
        description=TapSentry.__doc__,
        version=TapSentry.get_plugin_version(),
        sdk=TapSentry.get_sdk_version(),
    )
    flat = " ".join(text.split())

    assert text.startswith(head)
    for name, schema in SETTINGS.to_dict()["properties"].items():
        part = flat.partition(f"- Name: {name} ")[2].partition("- Name: ")[0]
        assert f"TAP_SENTRY_{name.upper()} " in part
        assert " ".join(schema["description"].split()) in part
        default = schema.get("default")
        assert ("Default: " in part) == (default is not None)
        assert default is None or f"Default: {json.dumps(default)} " in part
    assert all(len(line) <= 90 for line in text.splitlines())


def test_about_is_json_too():
    """The JSON for Meltano's hub has types, titles and defaults."""
    found = json.loads(about("--format=json"))

    assert found.keys() == {
        *("name", "description", "version", "sdk_version"),
        *("supported_python_versions", "capabilities", "settings"),
    }
    assert found["version"] == TapSentry.get_plugin_version()
    assert found["supported_python_versions"] == ["3.11", "3.12", "3.13", "3.14"]
    for name, schema in SETTINGS.to_dict()["properties"].items():
        assert found["settings"]["properties"][name] == json.loads(json.dumps(schema))
    assert found["settings"]["required"] == ["auth_token"]


def test_about_is_markdown_too():
    """The Markdown has a table of the settings."""
    text = about("--format=markdown")

    assert text.startswith("# `tap-sentry`")
    for name, schema in SETTINGS.to_dict()["properties"].items():
        assert f"| {name} |" in text
        assert f"| {schema['description']} |" in text
