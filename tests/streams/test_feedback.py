"""User feedback."""

from __future__ import annotations

from datetime import timedelta

from tests.conftest import NOW
from tests.sentry import FLAVOURS
from tests.streams import PUMP, let_pass, told

LIST = "projects/.*/user-feedback/"


def test_feedback_about_issues_of_every_status_is_read(sync):
    """Feedback about all issues is read; Sentry's default is unresolved issues only."""
    rows = sync("project_feedback", projects=[PUMP]).records("project_feedback")

    assert {row["issue"]["status"] for row in rows} == {
        "unresolved",
        "resolved",
        "ignored",
    }


def test_an_empty_status_reaches_the_server(sync, sentry):
    """An empty `status` is sent, which differs from sending none."""
    sync("project_feedback")

    assert {query["status"] for query in sentry.asked(LIST)} == {""}


def test_feedback_arrives_as_sentry_sends_it(sync, sentry):
    """A record has all that Sentry sends, and the ids of organization and project."""
    output = sync("project_feedback", projects=["telescope"])
    ((key, sent),) = (
        (key, record)
        for key, record in sentry.records("project_feedback").items()
        if key[1] == sentry.project("telescope").id
    )
    (row,) = output.records("project_feedback")

    ids = {"organization_id": key[0], "project_id": key[1]}
    issue = sentry.project("telescope").issues[0].record()
    assert row == ids | sent | {"issue": issue}


def test_just_the_feedback_of_a_window_arrives(sync, sentry):
    """Only feedback of the window is written, although the list takes no dates."""
    output = sync(
        "project_feedback",
        start_date="2026-11-12T00:00:00Z",
        end_date="2026-11-18T00:00:00Z",
        projects=[PUMP],
    )

    day = NOW.replace(hour=0, minute=0, second=0)
    reports = [
        report
        for report in sentry.project(PUMP).feedback
        if report.issue and day.replace(day=12) <= report.created < day.replace(day=18)
    ]
    assert (
        {key[2] for key in output.keys("project_feedback")}
        == {report.id for report in reports}
        != set()
    )


def test_the_list_is_left_where_it_is_older(sync, sentry):
    """Reading stops at older feedback, since the list is ordered by date."""
    every = len(sync("project_feedback", projects=[PUMP]).records("project_feedback"))
    sentry.requests.clear()
    sync("project_feedback", projects=[PUMP], start_date="2d")

    assert len(sentry.asked(LIST)) < every / 2 - 1


def test_the_next_run_reads_what_is_new(sync, sentry, monkeypatch):
    """The next run reads new feedback, and only a lookback of the old."""
    state = sync("project_feedback", projects=["telescope"]).state
    let_pass(sentry, monkeypatch, hours=3)
    (old,) = sentry.project("telescope").feedback
    new = type(old)(
        id="900",
        event_id=old.event_id,
        created=NOW + timedelta(hours=1),
        comments="Again",
        issue=old.issue,
    )
    sentry.project("telescope").feedback.append(new)
    output = sync("project_feedback", state=state, projects=["telescope"])

    assert [row["comments"] for row in output.records("project_feedback")] == ["Again"]


def test_an_empty_page_is_not_the_end(sync, sentry):
    """An empty page does not end a list: Sentry drops rows after cutting a page."""
    sentry.fault("empty_page", after=1, when=lambda r: r.path.endswith("feedback/"))
    output = sync("project_feedback")

    assert sorted(output.keys("project_feedback")) == sorted(
        sentry.truth("project_feedback")
    )


def test_a_server_without_feedback_is_told_of_once(sync, sentry, caplog):
    """The missing endpoint, where GlitchTip serves HTML, is logged once."""
    sentry.flavour = FLAVOURS["glitchtip"]
    output = sync("project_feedback")

    assert (output.code, output.records("project_feedback")) == (0, [])
    assert len(told(caplog, "project_feedback is missing on this server")) == 1
