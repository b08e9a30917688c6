"""Event counts of organizations, teams and projects."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, TOKEN, SentrySimulator
from tests.sentry.data import generated
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, let_pass, told

COUNTS = ("organization_event_counts", "team_event_counts", "project_event_counts")
STATS = ["received", "rejected", "blacklisted", "generated"]
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


def counts(output, stream):
    """Return the counts by key."""
    rows = output.records(stream)
    return dict(zip(output.keys(stream), (row["count"] for row in rows), strict=True))


def true_counts(sentry, stream, start=None, end=None, **chosen):
    """Return the counts that the server holds, by key."""
    records = sentry.records(stream, start, end, **chosen)
    return {key: record["count"] for key, record in records.items()}


# Counts -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", COUNTS)
def test_every_stat_counts_what_sentry_says(sync, sentry, stream):
    """Accepted, filtered and rate limited events are counted by their older names."""
    output = sync(stream, stats=STATS, start_date="30d")

    start = MIDNIGHT - timedelta(days=30)
    assert counts(output, stream) == true_counts(sentry, stream, start, stats=STATS)


@pytest.mark.parametrize("stream", COUNTS)
def test_events_are_counted_by_the_hour(sync, sentry, stream):
    """`stats_resolution` can be an hour."""
    output = sync(stream, stats_resolution="1h", start_date="2d")

    start = MIDNIGHT - timedelta(days=2)
    truth = true_counts(sentry, stream, start, resolution="1h")
    assert counts(output, stream) == truth
    assert any(truth.values())


@pytest.mark.parametrize(("resolution", "days"), [("1d", 90), ("1h", 7)])
def test_without_a_start_counts_begin_where_every_server_has_some(
    sync, resolution, days
):
    """Without a start, counts begin 90 days ago, or 7 days ago by the hour."""
    output = sync("project_event_counts", projects=[PUMP], stats_resolution=resolution)
    rows = output.records("project_event_counts")

    start = NOW - timedelta(days=days)
    floor = start.replace(minute=0, second=0)
    floor = floor.replace(hour=0) if resolution == "1d" else floor
    assert rows[0]["timestamp"] == floor.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_time_without_events_counts_nothing(sync):
    """A time without events has a count of 0."""
    rows = sync("project_event_counts", projects=["quiet-harbour"]).records(
        "project_event_counts"
    )

    assert {row["count"] for row in rows} == {0}


@pytest.mark.parametrize("stream", COUNTS)
def test_a_time_of_which_the_server_knows_nothing_counts_nothing(sync, sentry, stream):
    """A response without any group is read as counts of 0."""
    output = sync(
        stream, start_date="2026-09-01", end_date="2026-09-03", stats=["rejected"]
    )

    start = MIDNIGHT.replace(month=9, day=1)
    truth = true_counts(
        sentry, stream, start, start + timedelta(days=3), stats=["rejected"]
    )
    assert counts(output, stream) == truth
    assert set(truth.values()) == {0}


def test_one_request_asks_for_all_stats_of_an_organization(sync, sentry):
    """One request returns all stats, since Sentry groups the counts by outcome."""
    sync("organization_event_counts", stats=STATS, organizations=[STERNWARTE])

    assert len(sentry.asked(f"organizations/{STERNWARTE}/stats_v2/")) == 1


# Windows longer than one response -----------------------------------------------------


def test_more_than_a_thousand_hours_are_asked_for_in_parts(sync, sentry):
    """Sentry rejects over 1,000 intervals, so a window is read in contiguous parts."""
    output = sync(
        "organization_event_counts",
        organizations=[STERNWARTE],
        stats_resolution="1h",
        start_date="60d",
    )

    start = MIDNIGHT - timedelta(days=60)
    key = sentry.organization(STERNWARTE).id
    truth = true_counts(sentry, "organization_event_counts", start, resolution="1h")
    assert len(sentry.asked(f"organizations/{STERNWARTE}/stats_v2/")) == 2
    assert counts(output, "organization_event_counts") == {
        row: count for row, count in truth.items() if row[0] == key
    }


@pytest.mark.parametrize(("end", "requests"), [("15", 1), ("16", 2)])
def test_a_thousand_hours_are_one_too_many(sync, sentry, end, requests):
    """A window of 1,000 hours is split.

    Servers before 2023 count the hour that begins at `end`, and reject 1,001.
    """
    sync(
        "organization_event_counts",
        organizations=[STERNWARTE],
        stats_resolution="1h",
        start_date="2026-10-01T00:00:00Z",
        end_date=f"2026-11-11T{end}:00:00Z",
    )

    assert len(sentry.asked(f"organizations/{STERNWARTE}/stats_v2/")) == requests


def test_more_than_ten_thousand_points_are_asked_for_in_parts(sync, sentry):
    """Older endpoints silently drop the oldest of more than 10,000 points."""
    sync(
        "project_event_counts",
        projects=["telescope"],
        stats_resolution="1h",
        start_date="500d",
    )

    spans = [
        int(query["until"]) - int(query["since"])
        for query in sentry.asked("projects/.*/stats/")
    ]
    assert len(spans) == 2
    assert max(spans) <= 10_000 * 3600


# Teams --------------------------------------------------------------------------------


def test_a_team_is_counted_by_its_projects(sync, sentry):
    """Each request has the ids of the team's projects, which were just listed."""
    sync("team_event_counts")

    asked = [
        sorted(request.params["project"])
        for request in sentry.requests
        if request.path.endswith("/stats_v2/")
    ]
    assert sorted(asked) == sorted(
        sorted(project.id for project in team.projects)
        for organization in sentry.organizations
        for team in organization.teams
        if team.projects
    )


def test_a_team_without_projects_has_no_counts_and_costs_no_request(sync, sentry):
    """No request is sent without projects: it would count the whole organization."""
    output = sync("team_event_counts", teams=["silent-choir"])

    assert output.records("team_event_counts") == []
    assert sentry.asked("organizations/.*/stats_v2/") == []


def test_the_projects_of_a_team_are_listed_once(sync, sentry):
    """A team's projects and its counts share one list."""
    sync("team_projects", "team_event_counts", teams=["night-shift"])

    assert len(sentry.asked("teams/.*/night-shift/projects/")) == 1


@pytest.mark.parametrize("stream", ["organization_event_counts", "team_event_counts"])
def test_counts_of_organizations_and_teams_are_of_all_projects(sync, sentry, stream):
    """The setting `projects` does not limit the counts of organizations and teams."""
    output = sync(stream, projects=["prime-mover"], start_date="5d")

    start = MIDNIGHT - timedelta(days=5)
    assert counts(output, stream) == true_counts(sentry, stream, start)


def test_a_team_of_many_projects_is_counted_in_parts():
    """Ids that do not fit into one URL are split, and the counts are summed."""
    organizations = generated(
        organizations=1, teams=1, projects=120, issues=120, events=360, now=NOW
    )
    sentry = SentrySimulator(organizations, clock=lambda: NOW)
    config = {"auth_token": TOKEN, "api_url": sentry.url, "start_date": "10d"}
    with sentry.patched():
        output = run(config, catalog_of("team_event_counts"))

    start = MIDNIGHT - timedelta(days=10)
    asked = [query["project"] for query in sentry.asked("organizations/.*/stats_v2/")]
    assert [len(projects) for projects in asked] == [100, 20]
    assert counts(output, "team_event_counts") == true_counts(
        sentry, "team_event_counts", start
    )


# Older servers ------------------------------------------------------------------------


def test_old_servers_count_generated_events_of_a_team(sync, sentry):
    """Old servers count only generated events of a team; the rows have that stat."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    output = sync("team_event_counts", stats=["received", "rejected"], start_date="9d")

    start = MIDNIGHT - timedelta(days=9)
    truth = true_counts(sentry, "team_event_counts", start, stats=["generated"])
    assert counts(output, "team_event_counts") == truth


def test_old_servers_are_asked_once_for_each_team(sync, sentry):
    """One request per team is enough, since all stats would be the same."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    sync("team_event_counts", stats=STATS, teams=["night-shift"])

    assert len(sentry.asked("teams/.*/night-shift/stats/")) == 1


def test_old_servers_cannot_count_generated_events_of_an_organization(
    sync, sentry, caplog
):
    """Generated events are left out with one warning, and the other stats arrive."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    output = sync("organization_event_counts", stats=STATS, start_date="9d")

    start = MIDNIGHT - timedelta(days=9)
    assert counts(output, "organization_event_counts") == true_counts(
        sentry, "organization_event_counts", start, stats=STATS[:3]
    )
    assert len(told(caplog, "cannot count the generated events")) == 1


def test_a_stat_that_is_not_asked_for_is_not_missed(sync, sentry, caplog):
    """A stat that is not selected causes no warning."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    sync("organization_event_counts", stats=["received"])

    assert told(caplog, "cannot count the generated events") == []


@pytest.mark.parametrize("stream", COUNTS[:2])
def test_a_server_that_lacks_the_new_counts_is_told_of_once(
    sync, sentry, caplog, stream
):
    """The missing endpoint is logged once for all organizations and teams."""
    caplog.set_level(logging.INFO)
    sentry.flavour = FLAVOURS["self-hosted-9"]
    sync(stream)

    assert (
        len(told(caplog, "does not have /organizations/{organization}/stats_v2")) == 1
    )


def test_one_organization_without_counts_is_skipped_alone(sync, sentry, caplog):
    """An endpoint is not missing if it answers for other organizations."""
    first, second = (found.slug for found in sentry.organizations)
    sentry.fault(
        404, times=None, empty=True, when=at(f"organizations/{second}/stats.*")
    )
    output = sync("organization_event_counts", organizations=[first, second])

    assert told(caplog, f"organization_event_counts skipped organization {second}")
    assert not told(caplog, "does not have")
    assert counts(output, "organization_event_counts")


def test_a_team_whose_projects_cannot_be_listed_is_skipped_alone(sync, sentry, caplog):
    """A missing list of projects does not affect the counts of other teams."""
    teams = sentry.organization(JURISDICTION).teams
    lost = teams[0]
    path = f"teams/{JURISDICTION}/{lost.slug}/projects/"
    sentry.fault(404, empty=True, times=None, when=at(path))
    whole = true_counts(sentry, "team_event_counts")
    output = sync("team_event_counts", organizations=[STERNWARTE, JURISDICTION])

    rest = {key: count for key, count in whole.items() if key[1] != lost.id}
    assert rest
    assert rest != whole
    assert counts(output, "team_event_counts") == rest
    assert not told(caplog, "does not have", "stats_v2")


@pytest.mark.parametrize("stream", COUNTS)
def test_a_start_that_is_now_counts_nothing_yet(sync, sentry, monkeypatch, stream):
    """A run at midnight whose start is that day returns no records."""
    sentry.clock = lambda: MIDNIGHT
    monkeypatch.setattr("tap_sentry.tap.now", lambda: MIDNIGHT)
    output = sync(stream, start_date="0d")

    assert (output.code, output.records(stream)) == (0, [])


def test_a_server_without_counts_is_no_failure(sync, sentry, caplog):
    """GlitchTip does not count the events of a project, which is logged once."""
    sentry.flavour = FLAVOURS["glitchtip"]
    output = sync(*COUNTS)

    assert output.code == 0
    assert len(told(caplog, "event_counts is missing on this server")) == 1


# Later runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", COUNTS)
def test_the_next_run_reads_the_last_two_intervals_again(
    sync, sentry, monkeypatch, stream
):
    """The newest interval was incomplete, and the one before may have grown since."""
    state = sync(stream).state
    let_pass(sentry, monkeypatch, days=1)
    output = sync(stream, state=state)

    start = MIDNIGHT - timedelta(days=1)
    assert counts(output, stream) == true_counts(sentry, stream, start)


def test_a_stat_that_is_wanted_later_starts_from_the_beginning(
    sync, sentry, monkeypatch
):
    """A new stat starts from the beginning, and the others resume."""
    state = sync("project_event_counts", projects=[PUMP]).state
    let_pass(sentry, monkeypatch, days=1)
    output = sync(
        "project_event_counts",
        state=state,
        projects=[PUMP],
        stats=["received", "rejected"],
    )
    stats = [row["stat"] for row in output.records("project_event_counts")]

    assert (stats.count("received"), stats.count("rejected")) == (3, 91)


def test_another_resolution_starts_from_the_beginning(sync, sentry, monkeypatch):
    """The bookmark of daily counts does not apply to hourly ones."""
    state = sync("project_event_counts", projects=[PUMP]).state
    let_pass(sentry, monkeypatch, hours=1)
    output = sync(
        "project_event_counts", state=state, projects=[PUMP], stats_resolution="1h"
    )

    assert len(output.records("project_event_counts")) == 7 * 24 + 1


def test_counts_that_fail_half_way_go_on_from_there(sync, sentry):
    """The bookmark is the end of the last response that was read."""
    hours = {"stats_resolution": "1h", "start_date": "60d"}
    here = at(f"organizations/{JURISDICTION}/stats_v2/")
    sentry.fault(404, times=None, after=1, when=here)
    chosen = {"organizations": [JURISDICTION]} | hours
    state = sync("organization_event_counts", **chosen).state

    entry = state["bookmarks"]["organization_event_counts"]["by_id"]
    part = MIDNIGHT - timedelta(days=60) + timedelta(hours=999)
    assert entry[sentry.organization(JURISDICTION).id] == {
        "received.1h": part.strftime("%Y-%m-%dT%H:%M:%SZ")
    }


# GlitchTip ----------------------------------------------------------------------------


@pytest.fixture
def glitchtip(sentry):
    """A GlitchTip, which counts accepted events only and ignores `groupBy`."""
    sentry.flavour = FLAVOURS["glitchtip"]
    return sentry


@pytest.mark.parametrize("stream", COUNTS[:2])
@pytest.mark.parametrize(("resolution", "start"), [("1d", "60d"), ("1h", "50d")])
def test_counts_of_glitchtip_are_summed_from_hours(
    sync, glitchtip, stream, resolution, start
):
    """Days of GlitchTip hold their first hour only, so hours are summed.

    Windows are split to fit the limit of intervals.
    """
    output = sync(stream, start_date=start, stats_resolution=resolution)

    begin = MIDNIGHT - timedelta(days=int(start[:-1]))
    truth = true_counts(glitchtip, stream, begin, resolution=resolution)
    assert counts(output, stream) == truth
    assert any(truth.values())
    assert not all(truth.values())


def test_glitchtip_is_asked_by_the_day_once(sync, glitchtip):
    """After the first response identifies GlitchTip, all requests are by the hour."""
    sync(*COUNTS[:2], concurrency=1, start_date="20d")

    intervals = [
        request["interval"] for request in glitchtip.asked("organizations/.*/stats_v2/")
    ]
    assert intervals.count("1d") == 1
    assert intervals.count("1h") > 2


@pytest.mark.usefixtures("glitchtip")
@pytest.mark.parametrize("resolution", ["1d", "1h"])
def test_stats_without_accepted_events_are_not_made_up(sync, caplog, resolution):
    """Stats without accepted events are named in a warning; the others are read."""
    stream = "organization_event_counts"
    output = sync(stream, stats=STATS, start_date="3d", stats_resolution=resolution)

    read = {row["stat"] for row in output.records(stream)}
    assert read == {"received", "generated"}
    assert told(caplog, "counts accepted events only", "rejected and blacklisted")
    bookmarks = output.state["bookmarks"][stream]["by_id"].values()
    assert {name for entry in bookmarks for name in entry} == {
        f"received.{resolution}",
        f"generated.{resolution}",
    }


def test_hours_that_glitchtip_leaves_out_count_nothing(sync, glitchtip):
    """Intervals that GlitchTip leaves out have a count of 0."""
    body = {
        "intervals": ["2026-11-19T05:00:00+00:00"],
        "groups": [{"series": {"sum(quantity)": [7]}}],
    }
    glitchtip.fault(200, times=None, body=body, when=at(".*/stats_v2/"))
    stream = "organization_event_counts"
    output = sync(stream, start_date="3d", organizations=[STERNWARTE])

    read = {row["timestamp"][:10]: row["count"] for row in output.records(stream)}
    assert read == {
        "2026-11-17": 0,
        "2026-11-18": 0,
        "2026-11-19": 7,
        "2026-11-20": 0,
    }
