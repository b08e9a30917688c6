"""Issues and the streams of their events."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from tap_sentry.api.scheduler import ATTEMPTS
from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, TOKEN
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, let_pass, told

LISTS = r"organizations/[^/]+/issues/|projects/[^/]+/[^/]+/issues/"
LOOK_UPS = r"(organizations/[^/]+/)?issues/\d+/"


@pytest.fixture
def later(sentry, monkeypatch):
    """Advance the clock: `later(hours=2)` returns the server two hours later."""

    def later(**duration):
        let_pass(sentry, monkeypatch, **duration)
        return sentry

    return later


def lists(sentry):
    """Return the requests for lists of issues."""
    return [request for request in sentry.requests if at(LISTS)(request)]


def events_of(*issues):
    """Return the keys of the events of issues."""
    return {
        (issue.project.organization.id, issue.project.id, event.id)
        for issue in issues
        for event in issue.events.newest(NOW - timedelta(days=90), NOW)
    }


# Lists --------------------------------------------------------------------------------


def test_issues_of_every_status_are_read(sync):
    """Issues of every status are read; Sentry's default is unresolved ones only."""
    rows = sync("project_issues").records("project_issues")

    assert {row["status"] for row in rows} == {"unresolved", "resolved", "ignored"}


def test_an_empty_query_reaches_the_server(sync, sentry):
    """An empty `query` is sent, which differs from sending none."""
    sync("project_issues")

    assert {request.params["query"][0] for request in lists(sentry)} == {""}


def test_a_query_chooses_issues(sync):
    """`issue_query` takes the syntax of Sentry's search box."""
    output = sync("project_issues", issue_query="is:resolved level:error")

    assert {row["status"] for row in output.records("project_issues")} == {"resolved"}


def test_a_query_that_sentry_refuses_is_listed(sync, caplog):
    """A query that Sentry rejects is reported with Sentry's own message."""
    sync("project_issues", issue_query="colour:red", organizations=[STERNWARTE])

    assert told(caplog, "project_issues skipped", "telescope", "Error parsing search")


def test_feedback_of_the_widget_is_an_issue(sync):
    """Feedback of the widget arrives as an issue of the category feedback."""
    rows = sync("project_issues", projects=[PUMP]).records("project_issues")

    assert "feedback" in {row["issueCategory"] for row in rows}


def test_the_figures_of_an_issue_are_those_of_its_whole_life(sync, sentry):
    """Counts and dates are those of an issue's lifetime, not of the window."""
    issue = sentry.project(PUMP).issues[1]
    rows = sync("project_issues", start_date="2d", projects=[PUMP]).records(
        "project_issues"
    )
    (row,) = (row for row in rows if row["id"] == issue.id)

    life = issue.lifetime()
    assert {name: row[name] for name in life} == life | {"count": int(life["count"])}


def test_figures_of_old_servers_are_kept(sync, sentry):
    """Old servers send lifetime figures only, which are kept."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    issue = sentry.project("telescope").issues[0]
    rows = sync("project_issues", projects=["telescope"]).records("project_issues")
    (row,) = (row for row in rows if row["id"] == issue.id)

    life = issue.lifetime()
    assert {name: row[name] for name in life} == life | {"count": int(life["count"])}


def test_a_window_lists_the_issues_with_events_in_it(sync, sentry):
    """Only issues with events between the start and the end arrive."""
    start = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=10)
    end = start + timedelta(days=6)
    output = sync("project_issues", start_date="10d", end_date="5d")

    truth = sentry.truth("project_issues", start, end)
    assert set(output.keys("project_issues")) == truth
    assert len(truth) < len(sentry.truth("project_issues"))


# Missing endpoints --------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        {"kind": 404, "empty": True},
        {"kind": 405},
        {"kind": 422, "body": {"detail": [{"msg": "Field required"}]}},
        {"kind": 400, "body": {"detail": "multi project stream feature is off"}},
        {"kind": 500},
        {"kind": "html"},
    ],
    ids=lambda failure: str(failure["kind"]),
)
def test_the_list_of_a_project_stands_in_for_that_of_the_organization(
    sync, sentry, caplog, failure
):
    """Lists of projects replace a missing list of the organization, logged once."""
    caplog.set_level(logging.INFO)
    here = at("organizations/[^/]+/issues/")
    sentry.fault(**failure, times=None, when=here)
    output = sync("project_issues")

    assert set(output.keys("project_issues")) == sentry.truth("project_issues") | {
        (issue.project.organization.id, issue.id)
        for issue in sentry.project(PUMP).issues
    }
    assert len(told(caplog, "does not have /organizations/{organization}/issues")) == 1


def test_a_server_that_fails_altogether_lacks_nothing(sync, sentry, caplog):
    """A 500 counts as a missing list only if the other list answers."""
    sentry.fault(500, times=None, when=at(LISTS))
    sync("project_issues", organizations=[STERNWARTE])

    assert told(caplog, "does not have") == []
    assert told(caplog, "project_issues skipped", "telescope", "500")


# The streams of their events ----------------------------------------------------------


@pytest.mark.parametrize(
    "selected",
    [
        ("project_issues", "issue_events", "issue_event_entries"),
        ("issue_events", "issue_event_entries"),
        ("project_issues", "issue_events"),
        ("issue_events",),
        ("issue_event_entries",),
    ],
    ids="+".join,
)
def test_events_of_issues_are_read_with_and_without_the_issues(sync, sentry, selected):
    """Exactly the selected streams are written."""
    output = sync(*selected, organizations=[STERNWARTE])

    key = sentry.organization(STERNWARTE).id
    written = {m["stream"] for m in output.messages if m["type"] == "RECORD"}
    assert written == set(selected)
    assert {stream: set(output.keys(stream)) for stream in selected} == {
        stream: {row for row in sentry.truth(stream) if row[0] == key}
        for stream in selected
    }


def test_streams_of_events_are_announced_once(sync):
    """Each stream has one SCHEMA, not one for every issue or project."""
    chosen = ["prime-mover", "quiet-harbour", "telescope"]
    output = sync("project_issues", "issue_events", projects=chosen)
    schemas = [m["stream"] for m in output.messages if m["type"] == "SCHEMA"]

    assert sorted(schemas) == ["issue_events", "project_issues"]


def test_the_issues_of_a_project_are_listed_once(sync, sentry):
    """Issues and both streams of their events share the same lists."""
    sentry.page_size = 5
    sync("project_issues", "issue_events", "issue_event_entries", projects=[PUMP])

    assert len({str(request.params) for request in lists(sentry)}) == len(lists(sentry))
    assert {request.params["start"][0] for request in lists(sentry)} == {
        "2010-01-01T00:00:00Z"
    }


def test_events_are_those_of_the_issues_that_the_query_lets_through(sync, sentry):
    """`issue_query` selects issues, and with them their events."""
    output = sync("issue_events", issue_query="is:resolved", projects=[PUMP])

    resolved = [i for i in sentry.project(PUMP).issues if i.status == "resolved"]
    assert set(output.keys("issue_events")) == events_of(*resolved)


def test_a_project_without_issues_is_done_too(sync, sentry):
    """A project without issues gets a bookmark, so that later runs read less."""
    state = sync("issue_events", projects=["quiet-harbour"]).state

    key = sentry.project("quiet-harbour").id
    assert state["bookmarks"]["issue_events"]["by_id"][key] == {
        "bookmark": "2026-11-20T12:30:15Z"
    }


def test_a_stream_that_is_selected_later_starts_from_the_beginning(sync, sentry):
    """The bookmark of the issues does not apply to their events."""
    chosen = {"projects": ["telescope"]}
    state = sync("project_issues", **chosen).state
    output = sync("project_issues", "issue_events", state=state, **chosen)

    telescope = sentry.project("telescope")
    assert set(output.keys("issue_events")) == events_of(*telescope.issues)


def test_an_issue_that_is_gone_is_skipped_and_listed(sync, sentry, caplog):
    """An issue that is deleted or merged during the run is skipped and listed."""
    gone, *others = sentry.project("telescope").issues
    sentry.fault(404, times=None, when=at(f"organizations/.*/issues/{gone.id}/events/"))
    output = sync("issue_events", projects=["telescope"])

    assert set(output.keys("issue_events")) == events_of(*others)
    assert told(caplog, "issue_events skipped", gone.id)
    assert output.code == 0


def test_a_list_that_is_refused_is_not_asked_for_again(sync, sentry, caplog):
    """A denied list is requested once, and the streams of events are skipped too."""
    selected = ("project_issues", "issue_events", "issue_event_entries")
    sentry.fault(403, times=None, when=at(LISTS))
    sync(*selected, projects=["telescope"])

    assert len(lists(sentry)) == 1
    assert all(told(caplog, f"{stream} skipped", "telescope") for stream in selected)


# Single issues ------------------------------------------------------------------------


def test_the_events_of_single_issues_are_read(sync, sentry):
    """Exactly the events of the named issues are read, across organizations."""
    wanted = [sentry.project(slug).issues[1] for slug in (PUMP, "telescope")]
    output = sync("issue_events", issue_ids=[issue.id for issue in wanted])

    assert set(output.keys("issue_events")) == events_of(*wanted)


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-9", "glitchtip"])
def test_single_issues_are_looked_up_and_no_list_is_read(sync, sentry, flavour):
    """Issues are looked up by id, on old servers at another path."""
    sentry.flavour = FLAVOURS[flavour]
    issue = sentry.project("telescope").issues[1]
    output = sync("issue_events", "issue_event_entries", issue_ids=[issue.id])

    assert {event for _, _, event in output.keys("issue_events")} == {
        event.id for event in issue.events
    }
    assert lists(sentry) == []


FORMS = (
    "{issue.short_id}",
    "https://sentry.io/organizations/{issue.project.organization.slug}/issues/{issue.id}/?p=1",
    "https://{issue.project.organization.slug}.sentry.io/issues/{issue.short_id}/",
    "https://sentry.example.com/organizations/x/issues/{issue.id}/events/9f/?project=1",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flavour", ["saas", "self-hosted-24", "self-hosted-9"])
def test_an_issue_has_many_names(sync, sentry, flavour, form):
    """An issue can be named by its number, its short id or its URL."""
    sentry.flavour = FLAVOURS[flavour]
    wanted = [sentry.project(slug).issues[1] for slug in (PUMP, "telescope")]
    output = sync(
        "issue_events", issue_ids=[form.format(issue=issue) for issue in wanted]
    )

    assert output.code == 0
    assert {event for _, _, event in output.keys("issue_events")} == {
        event.id for issue in wanted for event in issue.events
    }
    assert lists(sentry) == []


def test_an_issue_with_two_names_is_read_once(sync, sentry):
    """An id and a short id, in upper or lower case, can name the same issue."""
    issue = sentry.project(PUMP).issues[1]
    output = sync(
        "issue_events",
        issue_ids=[issue.id, issue.short_id.lower(), issue.short_id],
    )

    assert sorted(output.keys("issue_events")) == sorted(events_of(issue))
    paths = [r.path for r in sentry.requests if "shortids" in r.path]
    assert len(paths) <= len(sentry.organizations)


def test_an_unknown_short_id_is_skipped_and_listed(sync, sentry, caplog):
    """An unknown short id is skipped and listed like an unknown number."""
    issue = sentry.project(PUMP).issues[1]
    output = sync("issue_events", issue_ids=["NOTHING-1A2", issue.short_id])

    assert set(output.keys("issue_events")) == events_of(issue)
    assert told(caplog, "skipped", "issue NOTHING-1A2:", "there is no such issue")


def test_a_server_without_short_ids_says_so(sync, sentry, caplog):
    """Without short ids on the server, the run fails and names the setting."""
    sentry.flavour = FLAVOURS["glitchtip"]
    output = sync("issue_events", issue_ids=["SHOP-1A2"])

    assert output.code == 1
    assert told(caplog, "issue_ids: 'SHOP-1A2' is not the number", "short ids")


def test_lists_are_filtered_where_no_issue_can_be_looked_up(sync, sentry):
    """Where issues cannot be looked up, lists are filtered, which costs more."""
    sentry.fault(404, empty=True, times=None, when=at(LOOK_UPS))
    issue = sentry.project("telescope").issues[1]
    output = sync("issue_events", issue_ids=[issue.id], organizations=[STERNWARTE])

    assert set(output.keys("issue_events")) == events_of(issue)
    assert lists(sentry) != []


def test_single_issues_leave_the_bookmarks_alone(sync, sentry):
    """A run with `issue_ids` neither uses nor moves bookmarks."""
    project = sentry.project("telescope")
    entry = {"bookmark": "2026-11-20T00:00:00Z"}
    state = {"bookmarks": {"issue_events": {"by_id": {project.id: entry}}}}
    issue = project.issues[1]
    output = sync("issue_events", state=state, issue_ids=[issue.id])

    assert set(output.keys("issue_events")) == events_of(issue)
    assert output.state["bookmarks"]["issue_events"]["by_id"] == {project.id: entry}


def test_all_issues_are_listed_although_single_ones_are_named(sync, sentry):
    """`issue_ids` limits the events of issues only."""
    issue = sentry.project("telescope").issues[1]
    output = sync("project_issues", issue_ids=[issue.id])

    assert set(output.keys("project_issues")) == sentry.truth("project_issues")


def test_an_unknown_issue_is_skipped_and_listed(sync, sentry, caplog):
    """An unknown issue is skipped and listed, and the others are read."""
    issue = sentry.project("telescope").issues[1]
    output = sync("issue_events", issue_ids=["1", issue.id])

    assert set(output.keys("issue_events")) == events_of(issue)
    assert told(caplog, "issue_events skipped", "issue 1:") or told(
        caplog, "project_issues skipped", "issue 1:"
    )


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (500, ATTEMPTS)])
def test_a_single_issue_that_cannot_be_read_costs_no_other(
    sync, sentry, caplog, status, requests
):
    """A failing issue is looked up once per organization, and the others are read."""
    lost, found = sentry.project(PUMP).issues[:2]
    path = f"organizations/{JURISDICTION}/issues/{lost.id}/"
    sentry.fault(status, times=None, when=at(path))
    output = sync("issue_events", issue_ids=[lost.id, found.id])

    assert set(output.keys("issue_events")) == events_of(found)
    assert output.code == 0
    assert len(told(caplog, "issue_events skipped", f"issue {lost.id}:")) == 1
    assert len([r for r in sentry.requests if at(path)(r)]) == requests


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-9"])
def test_a_single_issue_of_a_project_that_is_left_out_is_told(
    sync, sentry, caplog, flavour
):
    """An issue outside the chosen projects is reported, not silently left out."""
    sentry.flavour = FLAVOURS[flavour]
    issue = sentry.project(PUMP).issues[1]
    output = sync("issue_events", issue_ids=[issue.id], projects=["telescope"])

    assert output.records("issue_events") == []
    assert told(
        caplog, "issue_events skipped", f"issue {issue.id}:", "not part of this sync"
    )


def test_old_servers_are_asked_for_a_single_issue_once(sync, sentry):
    """Old servers look up an issue by id alone, so one request is enough."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    issue = sentry.project("telescope").issues[1]
    sync("issue_events", issue_ids=["1", issue.id])

    asked = [r.path for r in sentry.requests if at(r"issues/\d+/")(r)]
    assert sorted(asked) == ["issues/1/", f"issues/{issue.id}/"]


# Later runs ---------------------------------------------------------------------------


def test_the_next_run_reads_issues_with_new_events(sync, sentry, later):
    """Issues without new events are left until the next refresh."""
    state = sync("project_issues").state
    issue = sentry.project(PUMP).issues[2]
    later(hours=2).add_event(PUMP, issue)
    later(hours=1)
    output = sync("project_issues", state=state, lookback="0s")

    assert output.keys("project_issues") == [(issue.project.organization.id, issue.id)]


@pytest.mark.parametrize(
    ("hours", "settings", "statuses"),
    [
        (23, {}, []),
        (24, {}, ["resolved"]),
        (1, {"issue_refresh": "0s"}, ["resolved"]),
        (1, {"issue_refresh": "2h"}, []),
    ],
)
def test_changes_without_an_event_arrive_with_the_next_refresh(
    sync, later, hours, settings, statuses
):
    """A status that changes without a new event is read at the next refresh."""
    settings = {"projects": ["telescope"], "lookback": "0s", **settings}
    state = sync("project_issues", **settings).state
    issue = later(hours=hours).project("telescope").issues[0]
    issue.status = "resolved"
    rows = sync("project_issues", state=state, **settings).records("project_issues")

    assert [row["status"] for row in rows if row["id"] == issue.id] == statuses


def test_the_catalog_decides_whether_issues_are_written(sentry):
    """Deselected issues are listed for their events but not written."""
    config = {"auth_token": TOKEN, "api_url": sentry.url, "organizations": [STERNWARTE]}
    output = run(config, catalog_of("issue_events"))

    assert {m.get("stream") for m in output.messages if m["type"] != "STATE"} == {
        "issue_events"
    }
    assert {request.path for request in lists(sentry)} == {
        f"organizations/{STERNWARTE}/issues/"
    }
    assert JURISDICTION not in str(sentry.requests)
