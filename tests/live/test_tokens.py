"""With a token that may not read everything, the run names what is missing."""

import os
import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tests.live.command import sync
from tests.live.crawler import Crawler

pytestmark = pytest.mark.live

RESTRICTED = ("SENTRY_TOKEN_ORG_ONLY", "SENTRY_TOKEN_NO_EVENT", "SENTRY_TOKEN_NONE")
EXPIRED = "SENTRY_TOKEN_EXPIRED"

MISSING = re.compile(r"needs a token with the scope (\w+:\w+)")

#: The scopes that these streams need are documented, and the same on all servers.
NEEDED = {
    "projects": "project:read",
    "team_projects": "project:read",
    "project_users": "project:read",
    "project_events": "project:read",
    "project_feedback": "project:read",
    "project_event_counts": "project:read",
    "project_issues": "event:read",
    "issue_events": "event:read",
    "issue_tags": "event:read",
    "organization_members": "member:read",
    "organization_releases": "project:read",
    "team_members": "team:read",
    "project_environments": "project:read",
    "project_keys": "project:read",
}


def with_token(server, variable):
    """The server with another token."""
    return replace(server, token=os.environ[variable])


def assert_failed(run, token):
    """Check that the run failed without a traceback and without showing the token."""
    assert run.code == 1
    assert "Traceback" not in run.log
    assert token not in run.log
    assert token not in run.output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "variable",
    [pytest.param(name, marks=pytest.mark.needs(name)) for name in RESTRICTED],
)
def test_the_missing_scope_is_named(variable, server, tmp_path):
    restricted = with_token(server, variable)
    run = sync(restricted, tmp_path)

    assert_failed(run, restricted.token)
    scopes = Crawler(restricted).get("", {}).json()["auth"]["scopes"]
    (missing,) = set(MISSING.findall(run.log))
    assert missing not in scopes


@pytest.mark.needs("SENTRY_TOKEN_ORG_ONLY")
@pytest.mark.parametrize(("stream", "scope"), NEEDED.items())
def test_the_scope_that_a_stream_needs_is_named(stream, scope, server, tmp_path):
    restricted = with_token(server, "SENTRY_TOKEN_ORG_ONLY")
    run = sync(restricted, tmp_path, stream)

    assert_failed(run, restricted.token)
    assert set(MISSING.findall(run.log)) == {scope}
    assert stream in run.log


@pytest.mark.needs(EXPIRED)
def test_a_refused_token_is_told_with_the_host_that_refuses_it(server, tmp_path):
    expired = with_token(server, EXPIRED)
    run = sync(expired, tmp_path)

    assert_failed(run, expired.token)
    assert f"{urlsplit(server.url).netloc} refuses the auth_token" in run.log
