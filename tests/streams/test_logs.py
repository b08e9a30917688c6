"""Lists that Sentry does not cut by dates: check-ins, incidents, the audit log."""

from __future__ import annotations

from datetime import timedelta

from tests.conftest import NOW
from tests.streams import STERNWARTE, let_pass


def test_check_ins_are_read_a_day_again(sync, sentry, monkeypatch):
    """A check-in in progress changes until its job ends."""
    first = sync("monitor_checkins", organizations=[STERNWARTE])
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    sync("monitor_checkins", organizations=[STERNWARTE], state=first.state)

    starts = {asked["start"] for asked in sentry.asked(".*/checkins/")}
    assert starts == {f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}


def test_monitors_are_named_by_their_slugs(sync, sentry):
    """Old servers know monitors by their slug only."""
    sync("monitor_checkins", organizations=[STERNWARTE])
    names = {
        seen.path.split("/")[3]
        for seen in sentry.requests
        if seen.path.endswith("/checkins/")
    }

    assert names == {"nightly-0", "nightly-1", "nightly-2"}


def test_older_pages_are_not_requested(sync, sentry, monkeypatch):
    """The list is read newest first, up to the page with nothing of the window."""
    stream, path = "organization_audit_logs", ".*/audit-logs/"
    first = sync(stream, organizations=[STERNWARTE])
    whole = len(sentry.asked(path))
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync(stream, organizations=[STERNWARTE], state=first.state)

    assert len(sentry.asked(path)) < whole
    assert len(second.records(stream)) < len(first.records(stream))


def test_incidents_of_a_week_are_read_again(sync, sentry, monkeypatch):
    """The status of an incident changes until it is closed."""
    stream = "organization_incidents"
    first = sync(stream, organizations=[STERNWARTE])
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync(stream, organizations=[STERNWARTE], state=first.state)
    week = f"{NOW - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"

    assert second.records(stream) == [
        row for row in first.records(stream) if row["dateStarted"] >= week
    ]
    assert len(second.records(stream)) == 2


def test_accounts_are_reduced_to_their_names(sync):
    """Who did something is four fields, of all that Sentry sends of an account."""
    rows = sync("organization_audit_logs").records("organization_audit_logs")

    assert {tuple(row["actor"]) for row in rows} == {
        ("id", "name", "username", "email")
    }
    assert all("secret_key" not in row["data"] for row in rows)
