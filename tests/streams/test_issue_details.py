"""Activities, comments, tags, hashes and links of issues."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import pytest

from tap_sentry.streams.issue_details import IssueComments
from tests.conftest import NOW
from tests.streams import PUMP, STERNWARTE, at, let_pass

ACTIVITIES, COMMENTS = "issue_activities", "issue_comments"
LISTS = ("issue_tags", "issue_hashes", "issue_links")
OF_ISSUES = (
    r"organizations/[^/]+/issues/(\d+)/(activities|notes|tags|hashes|external-issues)/"
)


def visited(sentry, name):
    """Return how often the list of each issue was requested."""
    return Counter(
        match[1]
        for seen in sentry.requests
        if (match := re.fullmatch(OF_ISSUES, seen.path)) and match[2] == name
    )


def commented(sentry, number):
    """Return an issue with many comments."""
    issue = sentry.project("telescope").issues[0]
    issue.comments = number
    return issue


def test_comments_cost_nothing_beside_activities(sync, sentry):
    """Activities and comments come from the same requests, one for each issue."""
    output = sync("issue_activities", "issue_comments", organizations=[STERNWARTE])

    assert set(visited(sentry, "activities").values()) == {1}
    assert not visited(sentry, "notes")
    notes = [row for row in output.records("issue_activities") if row["type"] == "note"]
    comments = output.records("issue_comments")
    assert [row["id"] for row in comments] == [row["id"] for row in notes]
    assert all(row["text"] == "look at this é" for row in comments)
    assert all(
        row.keys() <= IssueComments.schema["properties"].keys() for row in comments
    )


def test_comments_are_read_alone(sync, sentry):
    """Without the activities, comments send requests of their own."""
    output = sync("issue_comments")
    columns = IssueComments.schema["properties"].keys()

    assert all(row.keys() <= columns for row in output.records("issue_comments"))
    assert set(output.keys("issue_comments")) == sentry.truth("issue_comments")


@pytest.mark.parametrize("others", [(), ("issue_activities",)])
def test_all_comments_of_an_issue_are_read(sync, sentry, others):
    """The list of comments has pages, which the activities of an issue have not."""
    issue = commented(sentry, 250)
    output = sync("issue_comments", *others, projects=["telescope"])
    rows = [r for r in output.records("issue_comments") if r["issue_id"] == issue.id]

    assert len({row["id"] for row in rows}) == len(rows) == 250
    assert set(visited(sentry, "notes")) >= {issue.id}
    assert bool(others) is (len(visited(sentry, "notes")) == 1)


@pytest.mark.parametrize(("number", "is_cut"), [(98, False), (99, True)])
def test_activities_that_sentry_leaves_out_are_told(
    sync, sentry, warnings, number, is_cut
):
    """Sentry sends the newest hundred activities of an issue."""
    commented(sentry, number).history.clear()
    output = sync("issue_activities", projects=["telescope"])
    line = (
        "issue_activities: older records of 1 issue may be missing: "
        "Sentry sends only the newest"
    )

    assert output.code == 0
    assert warnings() == ([line] if is_cut else [])


def test_activities_before_the_window_are_not_told(sync, sentry, warnings):
    """If an activity was older than the window, none within it was left out."""
    issue = commented(sentry, 5000)
    sentry.add_event("telescope", issue, NOW - timedelta(minutes=10))
    output = sync("issue_activities", projects=["telescope"], start_date="1h")

    assert output.records("issue_activities")
    assert warnings() == []


@pytest.mark.parametrize(
    "streams", [(ACTIVITIES,), (COMMENTS,), (ACTIVITIES, COMMENTS)], ids=" ".join
)
def test_a_visit_brings_all_rows_of_an_issue(sync, sentry, monkeypatch, streams):
    """A later visit adds what is new, and repeats what was read before."""
    issue = commented(sentry, 3)
    first = sync(*streams, projects=["telescope"])
    sentry.add_event("telescope", issue, NOW + timedelta(hours=20))
    let_pass(sentry, monkeypatch, hours=25)
    second = sync(*streams, projects=["telescope"], state=first.state)

    for stream in streams:
        old, new = (
            {row["id"] for row in run.records(stream) if row["issue_id"] == issue.id}
            for run in (first, second)
        )
        assert len(old) >= 3
        assert new >= old


@pytest.mark.parametrize("stream", [ACTIVITIES, COMMENTS])
def test_issues_that_no_run_has_visited_bring_older_rows(
    sync, sentry, monkeypatch, stream
):
    """That all issues of a project were visited says nothing of other projects."""
    first = sync(stream, projects=["prime-mover"])
    let_pass(sentry, monkeypatch, hours=3)
    second = sync(stream, projects=["prime-mover", PUMP], state=first.state)

    found = {row["id"] for row in second.records(stream)}
    alone = sync(stream, projects=[PUMP])
    assert found >= {row["id"] for row in alone.records(stream)} > set()


def test_an_issue_that_failed_brings_its_rows_later(sync, sentry, monkeypatch):
    """What happened to it while it could not be read is in the next run."""
    issue = commented(sentry, 3)
    gone = at(f"organizations/.*/issues/{issue.id}/activities/")
    sentry.fault(500, times=None, when=gone)
    first = sync(ACTIVITIES, projects=["telescope"])
    sentry.faults.clear()
    sentry.set_issue_status(issue, "resolved")
    let_pass(sentry, monkeypatch, hours=30)
    second = sync(ACTIVITIES, projects=["telescope"], state=first.state)

    found = {row["id"] for run in (first, second) for row in run.records(ACTIVITIES)}
    alone = sync(ACTIVITIES, projects=["telescope"])
    assert found == {row["id"] for row in alone.records(ACTIVITIES)}


@pytest.mark.parametrize("stream", [ACTIVITIES, COMMENTS])
def test_rows_before_the_start_date_are_left_out(sync, stream):
    """An issue is visited for its new events, and its older rows are not written."""
    start = (NOW - timedelta(days=5)).isoformat()
    later = sync(stream, start_date=start).records(stream)
    dates = [row["dateCreated"] for row in sync(stream).records(stream)]

    assert later
    assert min(row["dateCreated"] for row in later) >= start[:10]
    assert min(dates) < start[:10]


@pytest.mark.parametrize("stream", LISTS)
def test_the_next_run_visits_issues_with_new_events(sync, sentry, monkeypatch, stream):
    """An issue is visited again when it has a new event."""
    first = sync(stream, organizations=[STERNWARTE])
    issue = sentry.project("telescope").issues[0]
    sentry.add_event("telescope", issue, NOW + timedelta(minutes=5))
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync(stream, organizations=[STERNWARTE], state=first.state)

    assert {row["issue_id"] for row in second.records(stream)} == {issue.id}


def test_all_issues_are_visited_when_a_refresh_is_due(sync, sentry, monkeypatch):
    """Resolving an issue is no event, so all are visited once per `issue_refresh`."""
    first = sync("issue_activities", organizations=[STERNWARTE])
    dome = sentry.project("telescope").issues[1]
    sentry.set_issue_status(dome, "resolved")
    let_pass(sentry, monkeypatch, hours=1)
    second = sync("issue_activities", organizations=[STERNWARTE], state=first.state)
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, hours=24)
    third = sync("issue_activities", organizations=[STERNWARTE], state=second.state)

    assert dome.id not in {
        row["issue_id"] for row in second.records("issue_activities")
    }
    assert dome.id in visited(sentry, "activities")
    assert third.code == 0


def test_an_issue_that_fails_is_visited_again(sync, sentry, monkeypatch):
    """After a failure, the next run visits the issues that are left."""
    issue = sentry.project("telescope").issues[0]
    sentry.fault(
        503, times=None, when=lambda seen: seen.path.endswith(f"/{issue.id}/tags/")
    )
    first = sync("issue_tags", projects=["telescope"])
    sentry.faults.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync("issue_tags", projects=["telescope"], state=first.state)

    assert issue.id not in {row["issue_id"] for row in first.records("issue_tags")}
    assert issue.id in {row["issue_id"] for row in second.records("issue_tags")}


@pytest.mark.parametrize("stream", [*LISTS, ACTIVITIES, COMMENTS])
def test_chosen_issues_are_visited_alone(sync, sentry, stream):
    """With `issue_ids` only the details of these issues are read."""
    issue = commented(sentry, 1)
    output = sync(stream, issue_ids=[issue.id])

    assert {row["issue_id"] for row in output.records(stream)} == {issue.id}
    assert output.code == 0


def test_whole_events_are_not_requested_with_hashes(sync, sentry):
    """`full` is sent empty, or Sentry adds whole events to the hashes."""
    sync("issue_hashes", organizations=[STERNWARTE])

    assert {asked["full"] for asked in sentry.asked(r"organizations/.*/hashes/")} == {
        ""
    }


@pytest.mark.parametrize("stream", ["issue_hashes", "issue_comments"])
def test_a_page_that_comes_twice_is_written_once(sync, sentry, stream):
    """Between two pages of a list, rows may move to the next one."""
    issue = commented(sentry, 5)
    name = {"issue_hashes": "hashes", "issue_comments": "notes"}[stream]
    sentry.fault(
        "repeat_page", when=lambda seen: seen.path.endswith(f"/{issue.id}/{name}/")
    )
    keys = sync(stream, issue_ids=[issue.id]).keys(stream)

    assert len(keys) == len(set(keys)) == {"hashes": 2, "notes": 5}[name]
    assert visited(sentry, name)[issue.id] > 1
