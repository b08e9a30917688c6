"""Usage by category and reason, and release health."""

from __future__ import annotations

import pytest

from tap_sentry.streams.intervals import IntervalStream
from tests.conftest import NOW, catalog_of, run
from tests.sentry import TOKEN, SentrySimulator, figures, stats
from tests.streams import JURISDICTION, let_pass, told

STREAMS = ("organization_usage", "release_health")
LISTS = r"organizations/.*/(stats_v2|sessions)/"


@pytest.mark.parametrize("stream", STREAMS)
def test_each_day_is_a_request(sync, sentry, stream):
    """Four days are four requests for each organization, all for whole days."""
    sync(stream, start_date="3d")
    days = [(asked["start"], asked["end"]) for asked in sentry.asked(LISTS)]

    assert len(days) == 4 * len(sentry.organizations)
    assert {start[11:] for start, _ in days} == {"00:00:00Z"}
    assert {asked["project"] for asked in sentry.asked(LISTS)} == {"-1"}


@pytest.mark.parametrize("stream", STREAMS)
def test_the_next_run_reads_two_days_again(sync, sentry, monkeypatch, stream):
    """The day of the last run was not complete, and sessions arrive late."""
    first = sync(stream, start_date="10d")
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, hours=1)
    sync(stream, start_date="10d", state=first.state)

    starts = {asked["start"] for asked in sentry.asked(LISTS)}
    assert starts == {"2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"}


@pytest.mark.parametrize(
    ("stream", "limit"),
    [("organization_usage", "MOST_ROWS"), ("release_health", "POINTS")],
)
def test_figures_that_sentry_would_cut_are_read_in_parts(
    sync, sentry, monkeypatch, stream, limit
):
    """A full answer is requested again for the projects, until nothing is cut."""
    truth = sentry.truth(stream, NOW.replace(hour=0, minute=0, second=0, day=18))
    monkeypatch.setattr({"MOST_ROWS": stats, "POINTS": figures}[limit], limit, 15)
    monkeypatch.setattr(IntervalStream, "many_rows", 7)
    cut = sync(stream, start_date="2026-11-18", concurrency=1)

    assert set(cut.keys(stream)) == truth
    assert len({str(asked["project"]) for asked in sentry.asked(LISTS)}) > 2


def test_a_project_with_too_many_figures_is_reported(sync, monkeypatch, caplog):
    """What Sentry cuts off for a single project is said, as it cannot be read."""
    monkeypatch.setattr(IntervalStream, "many_rows", 1)
    output = sync("organization_usage", start_date="1d", organizations=[JURISDICTION])

    assert output.code == 0
    assert told(caplog, "has more figures on 2026-11-19 than Sentry sends")


def test_health_may_be_read_by_the_hour(sync, sentry):
    """With `stats_resolution: 1h` a day has a row for each of its hours."""
    output = sync("release_health", start_date="1d", stats_resolution="1h")
    rows = output.records("release_health")
    yesterday = [row for row in rows if row["interval_start"] < "2026-11-20"]

    assert {row["resolution"] for row in rows} == {"1h"}
    assert len({row["interval_start"] for row in yesterday}) == 24
    assert sum(row["sessions"] for row in yesterday) == sum(
        row["sessions"]
        for key, row in sentry.records("release_health").items()
        if str(key[-1]).startswith("2026-11-19")
    )


def test_a_window_that_is_too_old_is_shortened(sync, sentry):
    """Sentry refuses sessions of more than 90 days ago; the rest is read."""
    output = sync("release_health", start_date="120d")

    assert output.code == 0
    assert set(output.keys("release_health")) == sentry.truth("release_health")


@pytest.mark.parametrize("stream", STREAMS)
def test_a_list_that_a_server_lacks_is_asked_for_little(stream):
    """The days after the first are requested when the first was answered."""
    sentry = SentrySimulator(flavour="self-hosted-9", clock=lambda: NOW)
    config = {"auth_token": TOKEN, "api_url": sentry.url, "start_date": "9d"}
    with sentry.patched():
        output = run(config, catalog_of(stream))

    assert output.records(stream) == []
    assert len(sentry.asked(LISTS)) <= len(sentry.organizations)


@pytest.mark.parametrize("stream", STREAMS)
def test_days_that_were_read_are_not_read_again(sync, sentry, stream):
    """If Sentry rejects a later day as too old, the run goes on where it was."""
    sentry.fault(
        400,
        after=10,
        times=1,
        body={"detail": "Invalid date range. Please try a more recent date range."},
        when=lambda seen: seen.path.endswith(("/stats_v2/", "/sessions/")),
    )
    output = sync(stream, start_date="13d", organizations=[JURISDICTION], concurrency=1)
    keys = output.keys(stream)

    assert output.code == 0
    assert keys
    assert len(keys) == len(set(keys))
