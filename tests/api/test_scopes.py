"""Rejected tokens, missing scopes and denied requests, and how they are reported."""

from __future__ import annotations

import pytest

from tests.sentry import FORBIDDEN, TOKEN, Token
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, told

ALL = frozenset({"org:read", "project:read", "event:read", "team:read"})


@pytest.fixture
def grant(sentry):
    """Give the token just these scopes: `grant("org:read")`."""

    def grant(*scopes):
        sentry.tokens[TOKEN] = Token(frozenset(scopes))

    return grant


#: The scope that each stream needs.
NEEDED = [
    ("organizations", "org:read"),
    ("organization_projects", "org:read"),
    ("organization_repositories", "org:read"),
    ("organization_teams", "org:read"),
    ("organization_event_counts", "org:read"),
    ("projects", "project:read"),
    ("team_projects", "project:read"),
    ("project_issues", "event:read"),
    ("project_events", "project:read"),
    ("project_event_entries", "project:read"),
    ("project_feedback", "project:read"),
    ("project_users", "project:read"),
    ("project_event_counts", "project:read"),
    ("issue_events", "event:read"),
    ("issue_event_entries", "event:read"),
]


@pytest.mark.parametrize(("stream", "missing"), NEEDED)
def test_a_scope_that_is_missing_is_named(sync, grant, caplog, stream, missing):
    """The run ends and names the missing scope and those that the token has."""
    had = sorted(ALL - {missing})
    grant(*had)

    assert sync(stream).code == 1
    assert told(caplog, f"needs a token with the scope {missing}", ", ".join(had))


def test_the_scope_for_old_counts_of_teams_is_another(sync, sentry, grant, caplog):
    """On servers without `stats_v2`, team counts need the scope `team:read`."""
    grant("org:read", "project:read")
    sentry.fault(404, empty=True, times=None, when=at(".*/stats_v2/"))

    assert sync("team_event_counts").code == 1
    assert told(caplog, "needs a token with the scope team:read")


def test_any_scope_that_an_endpoint_takes_is_enough(sync, sentry, grant):
    """Repositories can also be read with `org:ci`."""
    grant("org:read", "org:ci")

    keys = set(sync("organization_repositories").keys("organization_repositories"))
    assert keys == sentry.truth("organization_repositories")


def test_a_token_without_any_scope_is_told_so(sync, grant, caplog):
    """The message states that the token has no scope at all."""
    grant()

    assert sync().code == 1
    assert told(caplog, "needs a token with the scope org:read", "no scope at all")


def test_a_scope_is_not_asked_for_before_something_is_refused(sync, sentry):
    """The scopes of a token are not requested as long as nothing is denied."""
    sync("organizations", "project_issues")

    assert "" not in {request.path for request in sentry.requests}


def test_scopes_are_asked_for_once(sync, sentry):
    """Scopes are requested once, however many projects are denied."""
    sentry.forbid(PUMP)
    sentry.forbid("prime-mover")
    sync("project_events", "project_users")

    assert len(sentry.asked("$")) == 1


# Refused tokens -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "says"),
    [(Token(expired=True), "Token expired"), (None, "Invalid token")],
    ids=["expired", "unknown"],
)
def test_a_refused_token_stops_the_run_and_its_host_is_named(
    sync, sentry, caplog, token, says
):
    """The message names the host that rejects the token, and its reason."""
    sentry.tokens = {TOKEN: token} if token else {}

    assert sync().code == 1
    assert told(caplog, "sentry.io refuses the auth_token", says)


def test_a_token_that_expires_during_the_run_stops_it(sync, sentry, caplog):
    """When a token expires midway, the bookmarks of what was read are kept."""
    sentry.fault(401, times=None, when=at(f"projects/{JURISDICTION}/.*"))
    output = sync("project_events")

    assert output.code == 1
    assert told(caplog, "sentry.io refuses the auth_token")
    assert output.state["bookmarks"]["project_events"]["by_id"].keys() == {
        sentry.project("telescope").id
    }


def test_a_refused_token_is_not_tried_again(sync, sentry):
    """A rejected token is not tried again: one request is sent."""
    sentry.tokens = {}
    sync()

    assert len(sentry.requests) == 1


@pytest.mark.parametrize(
    "token",
    [Token(expired=True), Token(frozenset()), Token(frozenset({"org:read"}))],
    ids=["expired", "no scope", "few scopes"],
)
def test_refusals_are_told_without_a_traceback_and_without_the_token(
    sync, sentry, caplog, token
):
    """Rejections are logged without a traceback and without the token."""
    caplog.set_level("DEBUG")
    sentry.tokens[TOKEN] = token
    output = sync()

    lines = f"{caplog.text}{output.messages}"
    assert [word for word in ("Traceback", TOKEN) if word in lines] == []


# Denied for other reasons -------------------------------------------------------------


def test_a_forbidden_project_is_skipped_and_listed(sync, sentry, caplog):
    """A forbidden project is listed, the others are read, and the code is 0."""
    sentry.forbid(PUMP)
    output = sync("project_events", "project_users")

    path = f"sentry.io/api/0/projects/{JURISDICTION}/{PUMP}"
    assert told(caplog, "project_events skipped", f"{path}/events/", FORBIDDEN)
    assert told(caplog, "project_users skipped", f"{path}/users/", FORBIDDEN)
    assert output.code == 0
    assert {
        stream: set(output.keys(stream))
        for stream in ("project_events", "project_users")
    } == {
        stream: sentry.truth(stream) for stream in ("project_events", "project_users")
    }


def test_the_bookmark_of_a_forbidden_project_stays(sync, sentry):
    """A forbidden project keeps its bookmark, from which it is read once allowed."""
    sentry.forbid("telescope")
    key = sentry.project("telescope").id
    entry = {"bookmark": "2026-11-10T00:00:00Z"}
    state = {"bookmarks": {"project_events": {"by_id": {key: entry}}}}
    output = sync("project_events", state=state)

    assert output.state["bookmarks"]["project_events"]["by_id"][key] == entry


def test_strict_stops_at_a_forbidden_project(sync, sentry, caplog):
    """With `strict`, a forbidden project ends the run with code 1."""
    sentry.forbid(PUMP)

    assert sync("project_events", strict=True).code == 1
    assert told(caplog, "project_events cannot read", PUMP, "strict is on")


def test_a_stream_that_is_refused_everywhere_is_a_failure(sync, sentry, caplog):
    """A stream that is denied everywhere fails: it would otherwise look empty."""
    sentry.forbid("telescope")
    output = sync("project_events", organizations=[STERNWARTE])

    assert output.code == 1
    assert told(caplog, "project_events returned no records: no part of it could")


def test_an_organization_of_others_is_left_out_of_the_list(sync, sentry):
    """Organizations that the token may not read are not listed."""
    sentry.tokens[TOKEN] = Token(organizations=frozenset({STERNWARTE}))

    slugs = [r["slug"] for r in sync("organizations").records("organizations")]
    assert slugs == [STERNWARTE]


def test_a_list_of_projects_that_is_refused_stops(sync, sentry, caplog):
    """A denied project list ends the run, because everything else depends on it."""
    here = at(f"organizations/{JURISDICTION}/projects/")
    sentry.fault(403, times=None, when=here)

    assert sync("project_events").code == 1
    assert told(caplog, "organization_projects cannot be read", "403")


def test_refused_counts_of_one_organization_are_skipped(sync, sentry, caplog):
    """Denied counts of one organization are skipped: nothing depends on them."""
    here = at(f"organizations/{JURISDICTION}/stats_v2/")
    sentry.fault(403, times=None, when=here)
    output = sync("organization_event_counts")

    owners = {key[0] for key in output.keys("organization_event_counts")}
    assert owners == {sentry.organization(STERNWARTE).id}
    assert told(caplog, "organization_event_counts skipped", JURISDICTION)


def test_a_server_that_does_not_tell_scopes_is_believed(sync, sentry, caplog):
    """If the server does not state scopes, a 403 counts for that project only."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.forbid(PUMP)

    assert sync("project_events").code == 0
    assert told(caplog, "project_events skipped", PUMP)


@pytest.mark.parametrize(("stream", "missing"), NEEDED)
def test_a_scope_is_named_by_servers_that_do_not_tell_those_of_the_token(
    sync, sentry, caplog, stream, missing
):
    """Once one organization is denied entirely, the run ends and names the scope."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.tokens[TOKEN] = Token(ALL - {missing})
    output = sync(stream, organizations=[JURISDICTION, STERNWARTE])

    assert output.code == 1
    # Nothing is read without the organizations themselves.
    refused = "organizations" if missing == "org:read" else stream
    assert told(caplog, refused, f"needs a token with the scope {missing}")
    assert not told(caplog, f"skipped organization {STERNWARTE}")
    assert not output.records(stream)


def test_what_was_read_with_a_scope_shows_that_the_token_has_it(sync, sentry, caplog):
    """If another stream was read with the same scope, a 403 does not stop the run."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.fault(403, times=None, when=at("projects/.*/users/"))
    output = sync("project_users", "project_events")

    assert output.code == 1
    assert set(output.keys("project_events")) == sentry.truth("project_events")
    assert told(caplog, "project_users skipped", "it needs the scope project:read")
    assert told(caplog, "project_users returned no records: no part of it could")


def test_failures_among_the_refusals_are_no_missing_scope(sync, sentry, caplog):
    """If some requests fail otherwise than with 403, no scope is reported missing."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.fault(404, times=None, when=at(f"projects/{JURISDICTION}/{PUMP}/users/"))
    sentry.fault(403, times=None, when=at("projects/.*/users/"))

    assert sync("project_users").code == 1
    assert told(caplog, "project_users returned no records: no part of it could")
