"""What a token may not do, and how the user learns it."""

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


#: A scope for each stream.
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
    """The run stops, and says what the token needs and what it has."""
    had = sorted(ALL - {missing})
    grant(*had)

    assert sync(stream).code == 1
    assert told(caplog, f"needs a token with the scope {missing}", ", ".join(had))


def test_the_scope_for_old_counts_of_teams_is_another(sync, sentry, grant, caplog):
    """Servers without the new ones want `team:read`."""
    grant("org:read", "project:read")
    sentry.fault(404, empty=True, times=None, when=at(".*/stats_v2/"))

    assert sync("team_event_counts").code == 1
    assert told(caplog, "needs a token with the scope team:read")


def test_any_scope_that_an_endpoint_takes_is_enough(sync, sentry, grant):
    """Repositories can be read with the scope for CI, too."""
    grant("org:read", "org:ci")

    keys = set(sync("organization_repositories").keys("organization_repositories"))
    assert keys == sentry.truth("organization_repositories")


def test_a_token_without_any_scope_is_told_so(sync, grant, caplog):
    """Nothing at all can be read with it."""
    grant()

    assert sync().code == 1
    assert told(caplog, "needs a token with the scope org:read", "no scope at all")


def test_a_scope_is_not_asked_for_before_something_is_refused(sync, sentry):
    """A token that may do all is not looked at."""
    sync("organizations", "project_issues")

    assert "" not in {request.path for request in sentry.requests}


def test_scopes_are_asked_for_once(sync, sentry):
    """However many projects are refused."""
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
    """The user learns which server does not want it, in its own words."""
    sentry.tokens = {TOKEN: token} if token else {}

    assert sync().code == 1
    assert told(caplog, "sentry.io refuses the auth_token", says)


def test_a_token_that_expires_during_the_run_stops_it(sync, sentry, caplog):
    """What was read until then is kept."""
    sentry.fault(401, times=None, when=at(f"projects/{JURISDICTION}/.*"))
    output = sync("project_events")

    assert output.code == 1
    assert told(caplog, "sentry.io refuses the auth_token")
    assert output.state["bookmarks"]["project_events"]["by_id"].keys() == {
        sentry.project("telescope").id
    }


def test_a_refused_token_is_not_tried_again(sync, sentry):
    """It would not get better."""
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
    """A log is read by people, and by more of them than the token is for."""
    caplog.set_level("DEBUG")
    sentry.tokens[TOKEN] = token
    output = sync()

    lines = f"{caplog.text}{output.messages}"
    assert [word for word in ("Traceback", TOKEN) if word in lines] == []


# What the token is not the reason for -------------------------------------------------


def test_a_forbidden_project_is_skipped_and_listed(sync, sentry, caplog):
    """The others are read, and the run ends well."""
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
    """It is read from there when the token may."""
    sentry.forbid("telescope")
    key = sentry.project("telescope").id
    entry = {"bookmark": "2026-11-10T00:00:00Z"}
    state = {"bookmarks": {"project_events": {"by_id": {key: entry}}}}
    output = sync("project_events", state=state)

    assert output.state["bookmarks"]["project_events"]["by_id"][key] == entry


def test_strict_stops_at_a_forbidden_project(sync, sentry, caplog):
    """For who would rather have nothing than a part."""
    sentry.forbid(PUMP)

    assert sync("project_events", strict=True).code == 1
    assert told(caplog, "project_events cannot read", PUMP, "strict is on")


def test_a_stream_that_is_refused_everywhere_is_a_failure(sync, sentry, caplog):
    """Skipping all of it would look like an empty Sentry."""
    sentry.forbid("telescope")
    output = sync("project_events", organizations=[STERNWARTE])

    assert output.code == 1
    assert told(caplog, "project_events returned no records: no part of it could")


def test_an_organization_of_others_is_left_out_of_the_list(sync, sentry):
    """A token lists what it may read."""
    sentry.tokens[TOKEN] = Token(organizations=frozenset({STERNWARTE}))

    slugs = [r["slug"] for r in sync("organizations").records("organizations")]
    assert slugs == [STERNWARTE]


def test_a_list_of_projects_that_is_refused_stops(sync, sentry, caplog):
    """Everything else hangs on it."""
    here = at(f"organizations/{JURISDICTION}/projects/")
    sentry.fault(403, times=None, when=here)

    assert sync("project_events").code == 1
    assert told(caplog, "organization_projects cannot be read", "403")


def test_refused_counts_of_one_organization_are_skipped(sync, sentry, caplog):
    """Nothing else hangs on them."""
    here = at(f"organizations/{JURISDICTION}/stats_v2/")
    sentry.fault(403, times=None, when=here)
    output = sync("organization_event_counts")

    owners = {key[0] for key in output.keys("organization_event_counts")}
    assert owners == {sentry.organization(STERNWARTE).id}
    assert told(caplog, "organization_event_counts skipped", JURISDICTION)


def test_a_server_that_does_not_tell_scopes_is_believed(sync, sentry, caplog):
    """Without them a refusal is taken for one of the project."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.forbid(PUMP)

    assert sync("project_events").code == 0
    assert told(caplog, "project_events skipped", PUMP)


@pytest.mark.parametrize(("stream", "missing"), NEEDED)
def test_a_scope_is_named_by_servers_that_do_not_tell_those_of_the_token(
    sync, sentry, caplog, stream, missing
):
    """Once all of an organization was refused: no other one is asked."""
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
    """Then what is refused is not to be had, and everything else is read."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.fault(403, times=None, when=at("projects/.*/users/"))
    output = sync("project_users", "project_events")

    assert output.code == 1
    assert set(output.keys("project_events")) == sentry.truth("project_events")
    assert told(caplog, "project_users skipped", "it needs the scope project:read")
    assert told(caplog, "project_users returned no records: no part of it could")


def test_failures_among_the_refusals_are_no_missing_scope(sync, sentry, caplog):
    """Not all of the organization was refused."""
    sentry.fault(404, empty=True, times=None, when=at(""))
    sentry.fault(404, times=None, when=at(f"projects/{JURISDICTION}/{PUMP}/users/"))
    sentry.fault(403, times=None, when=at("projects/.*/users/"))

    assert sync("project_users").code == 1
    assert told(caplog, "project_users returned no records: no part of it could")
