"""Activities, comments, tags, hashes and links of issues."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import pytest

from tests.conftest import NOW
from tests.streams import STERNWARTE, let_pass

LISTS = ("issue_tags", "issue_hashes", "issue_links")
OF_ISSUES = (
    r"organizations/[^/]+/issues/(\d+)/(activities|tags|hashes|external-issues)/"
)


def visited(sentry, name):
    """Return how often the list of each issue was requested."""
    return Counter(
        match[1]
        for seen in sentry.requests
        if (match := re.fullmatch(OF_ISSUES, seen.path)) and match[2] == name
    )


def test_comments_cost_nothing_beside_activities(sync, sentry):
    """Activities and comments come from the same requests, one for each issue."""
    output = sync("issue_activities", "issue_comments", organizations=[STERNWARTE])

    assert set(visited(sentry, "activities").values()) == {1}
    notes = [row for row in output.records("issue_activities") if row["type"] == "note"]
    comments = output.records("issue_comments")
    assert [row["id"] for row in comments] == [row["id"] for row in notes]
    assert all(row["text"] == "look at this é" for row in comments)


def test_comments_are_read_alone(sync, sentry):
    """Without the activities, comments send requests of their own."""
    output = sync("issue_comments")

    assert set(output.keys("issue_comments")) == sentry.truth("issue_comments")


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


@pytest.mark.parametrize("stream", [*LISTS, "issue_activities", "issue_comments"])
def test_chosen_issues_are_visited_alone(sync, sentry, stream):
    """With `issue_ids` only the details of these issues are read."""
    issue = sentry.project("telescope").issues[0]
    output = sync(stream, issue_ids=[issue.id])

    assert {row["issue_id"] for row in output.records(stream)} == {issue.id}
    assert output.code == 0


def test_whole_events_are_not_requested_with_hashes(sync, sentry):
    """`full` is sent empty, or Sentry adds whole events to the hashes."""
    sync("issue_hashes", organizations=[STERNWARTE])

    assert {asked["full"] for asked in sentry.asked(r"organizations/.*/hashes/")} == {
        ""
    }
