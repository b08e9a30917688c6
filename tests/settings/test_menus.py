"""Every menu of the report: the requests that it causes and the records it returns.

Report, Organizations, Projects, Teams, Issue ID, Stat, and the ways to give a period:
a single date, days back, a date range, days back to start from and to end at.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tap_sentry.settings import STATS
from tap_sentry.streams import STREAMS
from tests.conftest import NOW, catalog_of, run
from tests.sentry import TOKEN, SentrySimulator

#: Rows per page, few enough for most lists to have several pages.
PAGE = 10

ALL = [vars(stream)["name"] for stream in STREAMS]
COUNTS = ("organization_event_counts", "team_event_counts", "project_event_counts")
EVENTS = (
    "project_events",
    "project_event_entries",
    "issue_events",
    "issue_event_entries",
)
#: Streams with a date, which are read for the chosen period.
DATED = (*EVENTS, "project_issues", "project_feedback", *COUNTS)
#: More streams with a date: figures, logs and what was done to issues.
LOGS = (
    *("organization_usage", "release_health", "organization_replays"),
    *("organization_incidents", "organization_audit_logs", "monitor_checkins"),
    *("issue_activities", "issue_comments"),
)
#: Lists that begin at the start of the period, or belong to what happened in it.
BEGINNING_THEN = (
    *("organization_releases", "release_deploys", "release_commits"),
    *("issue_tags", "issue_hashes", "issue_links"),
)
#: Lists that sentry.io has retired.
RETIRED = ("organization_metric_alert_rules", "project_alert_rules")
#: Streams that depend on the chosen projects.
OF_PROJECTS = (
    *("organization_projects", "projects", "team_projects", "project_issues"),
    *("project_feedback", "project_users", "project_event_counts", *EVENTS),
)
#: The index of the project's id in the key of a stream; 1 for the others.
PROJECT_AT = {"team_projects": 2}

JURISDICTION = "the-interstellar-jurisdiction"
EVENT_LISTS = r"projects/.*/events/$|.*issues/\d+/events/$"
ISSUE_LISTS = r"organizations/[^/]+/issues/$"
LOOK_UPS = r"(organizations/[^/]+/)?issues/\d+/$"
STATS_V2 = r"organizations/[^/]+/stats_v2/$"
PROJECT_STATS = r"projects/[^/]+/[^/]+/stats/$"
WEEK = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=7)


@pytest.fixture(scope="module")
def server():
    """Serve one Sentry to all tests, none of which changes it."""
    with SentrySimulator(clock=lambda: NOW, page_size=PAGE).patched() as simulator:
        yield simulator


@pytest.fixture
def sentry(server):
    """The server, without any request so far."""
    server.requests.clear()
    server.counts.clear()
    return server


def day(number):
    return datetime(2026, 11, number, tzinfo=UTC)


def text(instant):
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def check(output, sentry, stream, start=None, end=None, **counts):
    """Check that a stream has each record of the server once."""
    truth = sentry.truth(stream, start, end, **counts)

    assert sorted(output.keys(stream)) == sorted(truth)
    assert truth


def check_counts(output, sentry, stream, start, end=None, **counts):
    """Check that a stream has the counts of the server."""
    records = sentry.records(stream, start, end, **counts)
    found = dict(
        zip(
            output.keys(stream),
            [row["count"] for row in output.records(stream)],
            strict=True,
        )
    )

    assert found == {key: record["count"] for key, record in records.items()}
    assert any(found.values())


# Report -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS, ids=ALL)
def test_a_report_is_the_selection_of_its_stream(sync, sentry, stream):
    """Only the selected stream is written, in full; its parents are read only."""
    output = sync(stream.name, start_date="7d")
    start = None if stream.name == "project_users" else WEEK
    written = {m["stream"] for m in output.messages if m["type"] != "STATE"}

    assert output.code == 0
    assert written == {stream.name}
    if stream.name not in RETIRED:
        check(output, sentry, stream.name, start)
    path = re.sub(r"\{\w+\}", "[^/]+", stream.path) + "$"
    assert sentry.asked(path)


# Period -------------------------------------------------------------------------------

PERIODS = {
    "a single date": ({"report_date": "2026-11-14"}, day(14), day(15)),
    "a single date, days back": ({"report_date": "6d"}, day(14), day(15)),
    "days back": ({"start_date": "3d"}, day(17), NOW),
    "a date range": (
        {"start_date": "2026-11-08", "end_date": "2026-11-11"},
        day(8),
        day(12),
    ),
    "days back to start from and to end at": (
        {"start_date": "10d", "end_date": "5d"},
        day(10),
        day(16),
    ),
    "from a date to days back": (
        {"start_date": "2026-11-14", "end_date": "5d"},
        day(14),
        day(16),
    ),
}


@pytest.mark.parametrize(
    ("settings", "start", "end"), PERIODS.values(), ids=PERIODS.keys()
)
def test_a_period_bounds_all_that_has_a_date(sync, sentry, settings, start, end):
    """Exactly the records of the period are requested and written."""
    output = sync(*DATED, **settings)

    assert output.code == 0
    for stream in DATED:
        check(output, sentry, stream, start, end)
    for stream in COUNTS:
        check_counts(output, sentry, stream, start, end)
    for lists in (ISSUE_LISTS, STATS_V2):
        bounds = {(asked["start"], asked["end"]) for asked in sentry.asked(lists)}
        assert bounds == {(text(start), text(end))}
    # Lists of events continue from the second in which a page ends.
    events = sentry.asked(EVENT_LISTS)
    assert min(asked["start"] for asked in events) == text(start)
    assert max(asked["end"] for asked in events) == text(end)
    bounds = {(asked["since"], asked["until"]) for asked in sentry.asked(PROJECT_STATS)}
    assert bounds == {(f"{start.timestamp():.0f}", f"{end.timestamp() - 1:.0f}")}


@pytest.mark.parametrize(
    "settings", [{"report_date": "2d"}, {"start_date": "10d", "end_date": "5d"}]
)
def test_lists_without_dates_are_read_whole_whatever_the_period(sync, sentry, settings):
    """Organizations, projects, teams, repositories and users are read in full."""
    dated = {*DATED, *LOGS, *BEGINNING_THEN, *RETIRED}
    streams = [name for name in ALL if name not in dated]
    output = sync(*streams, **settings)

    assert output.code == 0
    for stream in streams:
        check(output, sentry, stream)


@pytest.mark.parametrize(
    ("settings", "start", "end"), PERIODS.values(), ids=PERIODS.keys()
)
def test_a_period_bounds_figures_and_logs(sync, sentry, settings, start, end):
    """Exactly the figures and the entries of logs of the period are written."""
    output = sync(*LOGS, **settings)

    assert output.code == 0
    for stream in LOGS:
        assert sorted(output.keys(stream)) == sorted(sentry.truth(stream, start, end))


def test_a_single_date_neither_reads_bookmarks_nor_moves_them(sync, sentry):
    """A day is read in full, even if read before, and the state does not change."""
    state = sync(*DATED, start_date="7d").state
    output = sync(*DATED, state=state, report_date="2026-11-14")
    states = [m["value"] for m in output.messages if m["type"] == "STATE"]

    assert set(state["bookmarks"]) == set(DATED)
    for stream in DATED:
        check(output, sentry, stream, day(14), day(15))
    assert all(without_nulls(written) == without_nulls(state) for written in states)


def without_nulls(value):
    """Return a state without its nulls, which stand for completed scans."""
    if not isinstance(value, dict):
        return value
    return {k: without_nulls(v) for k, v in value.items() if v is not None}


# Organizations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["sternwarte", "72", "https://sentry.io/organizations/sternwarte/issues/"],
)
def test_only_the_chosen_organization_is_read(sync, sentry, name):
    """Only the organization chosen by slug, id or URL is requested; none are listed."""
    observatory = sentry.organization("sternwarte")
    name = observatory.id if name.isdecimal() else name
    output = sync(organizations=[name], start_date="7d")

    assert output.code == 0
    for stream in ALL:
        start = WEEK if stream in {*DATED, *LOGS, *BEGINNING_THEN} else None
        truth = sentry.truth(stream, start)
        mine = {key for key in truth if key[0] == observatory.id}
        assert sorted(output.keys(stream)) == sorted(mine)
        assert len(mine) < len(truth) or stream in RETIRED
    assert sentry.asked("organizations/$") == []
    assert sentry.asked(f"[a-z]+/({JURISDICTION}|2)/") == []


def test_several_organizations_are_read_in_the_order_of_the_setting(sync, sentry):
    """Each organization is read once, even if it is named twice."""
    output = sync(
        "organizations", organizations=["sternwarte", JURISDICTION, "sternwarte"]
    )

    assert [row["slug"] for row in output.records("organizations")] == [
        "sternwarte",
        JURISDICTION,
    ]
    check(output, sentry, "organizations")


def test_without_a_choice_all_organizations_are_read(sync, sentry):
    """All organizations that the token can list are read, page by page."""
    check(sync("organizations"), sentry, "organizations")
    assert len(sentry.asked("organizations/$")) >= 1


# Projects -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "slugs"),
    [
        (["pump-station"], {"pump-station"}),
        (["ID"], {"pump-station"}),
        (
            [f"https://{JURISDICTION}.sentry.io/projects/pump-station/"],
            {"pump-station"},
        ),
        (["p*", "!pump-*"], {"prime-mover"}),
        (["!pump-station", "!the-*", "!quiet-*"], {"prime-mover", "telescope"}),
    ],
    ids=["slug", "id", "URL", "glob", "excluded"],
)
def test_only_the_chosen_projects_are_read(sync, sentry, names, slugs):
    """Only projects chosen by slug, id, URL, glob or exclusion are requested."""
    chosen = {sentry.project(slug).id for slug in slugs}
    names = [sentry.project("pump-station").id if n == "ID" else n for n in names]
    output = sync(projects=names, start_date="7d")

    assert output.code == 0
    for stream in OF_PROJECTS:
        records = sentry.records(stream, WEEK if stream in DATED else None)
        mine = {
            key
            for key, record in records.items()
            if project_of(sentry, stream, key, record) in chosen
        }
        assert sorted(output.keys(stream)) == sorted(mine)
        assert mine or (stream == "project_feedback" and slugs == {"prime-mover"})
    asked_for = {
        request.path.split("/")[2]
        for request in sentry.requests
        if request.template.startswith("projects/{org}/{project}/")
    }
    assert asked_for == slugs
    assert {asked["project"] for asked in sentry.asked(ISSUE_LISTS)} == chosen


def project_of(sentry, stream, key, record):
    """Return the id of the project that a record belongs to."""
    if stream == "project_issues":
        return sentry.issue(record["id"]).project.id
    return key[PROJECT_AT.get(stream, 1)]


def test_chosen_projects_leave_the_counts_above_them_alone(sync, sentry):
    """Organizations and teams count all of their projects."""
    streams = ("organization_event_counts", "team_event_counts", "organization_teams")
    output = sync(*streams, projects=["prime-mover"], start_date="7d")

    for stream in streams[:2]:
        check_counts(output, sentry, stream, WEEK)
    check(output, sentry, "organization_teams")


# Teams --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "slugs"),
    [
        (["ancient-gabelers"], {"ancient-gabelers"}),
        (["ID"], {"ancient-gabelers"}),
        (
            [f"https://{JURISDICTION}.sentry.io/settings/teams/ancient-gabelers/"],
            {"ancient-gabelers"},
        ),
        (["a*", "night-*"], {"ancient-gabelers", "night-shift"}),
        (["!powerful-*", "!night-shift"], {"ancient-gabelers", "silent-choir"}),
    ],
    ids=["slug", "id", "URL", "glob", "excluded"],
)
def test_only_the_chosen_teams_are_read(sync, sentry, names, slugs):
    """Only teams chosen by slug, id, URL, glob or exclusion are requested."""
    teams = {
        team.slug: team
        for organization in sentry.organizations
        for team in organization.teams
    }
    chosen = {teams[slug].id for slug in slugs}
    names = [teams["ancient-gabelers"].id if name == "ID" else name for name in names]
    streams = ("organization_teams", "team_projects", "team_event_counts")
    output = sync(*streams, teams=names, start_date="7d")

    assert output.code == 0
    for stream in streams:
        truth = sentry.truth(stream, WEEK if stream in DATED else None)
        mine = {key for key in truth if key[1] in chosen}
        assert sorted(output.keys(stream)) == sorted(mine)
        assert mine
        assert mine != truth
    asked_for = {
        request.path.split("/")[2]
        for request in sentry.requests
        if request.template.startswith("teams/{org}/{team}/")
    }
    assert asked_for == slugs
    counted = [asked["project"] for asked in sentry.asked(STATS_V2)]
    assert sorted(
        [ids] if isinstance(ids, str) else sorted(ids) for ids in counted
    ) == sorted(
        sorted(project.id for project in teams[slug].projects)
        for slug in slugs
        if teams[slug].projects
    )


def test_chosen_teams_leave_projects_alone(sync, sentry):
    """Streams that are not children of a team ignore the chosen teams."""
    streams = ("organization_projects", "project_users", "organization_event_counts")
    output = sync(*streams, teams=["night-shift"], start_date="7d")

    check(output, sentry, "organization_projects")
    check(output, sentry, "project_users")
    check_counts(output, sentry, "organization_event_counts", WEEK)


# Issue ID -----------------------------------------------------------------------------


def issues_of(sentry, *slugs):
    """Return the second issue of each project."""
    return [sentry.project(slug).issues[1] for slug in slugs]


def events_of(issues, start=None):
    return {
        (issue.project.organization.id, issue.project.id, event.id)
        for issue in issues
        for event in issue.events.newest(start, NOW)
    }


@pytest.mark.parametrize(
    "form", ["{}", f"https://{JURISDICTION}.sentry.io/issues/{{}}/"]
)
def test_only_the_chosen_issues_are_read(sync, sentry, form):
    """Each issue is looked up by its id; no list is read and no bookmark is moved."""
    issues = issues_of(sentry, "pump-station", "telescope")
    output = sync(
        *("issue_events", "issue_event_entries"),
        issue_ids=[form.format(issue.id) for issue in issues],
    )
    expected = events_of(issues)
    asked_for = {
        request.path.split("/")[-3]
        for request in sentry.requests
        if request.template.endswith("issues/{issue}/events/")
    }

    assert output.code == 0
    assert sorted(output.keys("issue_events")) == sorted(expected)
    assert {row["issue_id"] for row in output.records("issue_events")} == {
        issue.id for issue in issues
    }
    assert sorted(output.keys("issue_event_entries")) == sorted(
        key for key in sentry.truth("issue_event_entries") if key[:3] in expected
    )
    assert asked_for == {issue.id for issue in issues}
    assert sentry.asked(LOOK_UPS)
    assert sentry.asked(ISSUE_LISTS) == []
    assert [m for m in output.messages if m["type"] == "STATE"] == []


def test_chosen_issues_are_read_within_the_period(sync, sentry):
    """Chosen issues can be combined with a period."""
    issues = issues_of(sentry, "pump-station")
    output = sync("issue_events", issue_ids=[issues[0].id], start_date="7d")
    expected = events_of(issues, WEEK)

    assert sorted(output.keys("issue_events")) == sorted(expected)
    assert 0 < len(expected) < len(events_of(issues))


def test_chosen_issues_leave_the_list_of_issues_alone(sync, sentry):
    """Chosen issues limit the events of issues only."""
    issues = issues_of(sentry, "pump-station")
    output = sync("project_issues", "issue_events", issue_ids=[issues[0].id])

    check(output, sentry, "project_issues")
    assert sorted(output.keys("issue_events")) == sorted(events_of(issues))


def test_chosen_issues_are_found_in_the_list_where_they_cannot_be_looked_up():
    """Without an endpoint for one issue, the chosen issues are found in the list."""
    with SentrySimulator(clock=lambda: NOW, page_size=PAGE).patched() as sentry:
        issues = issues_of(sentry, "pump-station", "telescope")
        sentry.fault(
            405, times=None, when=lambda request: bool(re.match(LOOK_UPS, request.path))
        )
        ids = [issue.id for issue in issues]
        output = run(
            {"auth_token": TOKEN, "issue_ids": ids}, catalog_of("issue_events")
        )

        assert output.code == 0
        assert sorted(output.keys("issue_events")) == sorted(events_of(issues))
        assert sentry.asked(ISSUE_LISTS)


# Stat ---------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", ["1d", "1h"])
@pytest.mark.parametrize("stat", STATS)
def test_a_stat_is_counted_as_it_was_chosen(sync, sentry, stat, resolution):
    """Each stat is counted by day and hour, for organizations, teams and projects."""
    output = sync(*COUNTS, stats=[stat], stats_resolution=resolution, start_date="2d")
    start = day(18)
    chosen = {"stats": [stat], "resolution": resolution}

    assert output.code == 0
    for stream in COUNTS:
        check_counts(output, sentry, stream, start, **chosen)
    assert {asked["stat"] for asked in sentry.asked(PROJECT_STATS)} == {stat}
    assert {asked["resolution"] for asked in sentry.asked(PROJECT_STATS)} == {
        resolution
    }
    assert {
        (asked["category"], asked["interval"]) for asked in sentry.asked(STATS_V2)
    } == {("error", resolution)}


def test_all_stats_are_counted_with_one_request_where_sentry_can(sync, sentry):
    """Sentry returns all outcomes, so an organization costs one request, not four."""
    output = sync(*COUNTS, stats=list(STATS), start_date="2d")

    assert output.code == 0
    for stream in COUNTS:
        check_counts(output, sentry, stream, day(18), stats=STATS)
    assert sentry.counts["organizations/{org}/stats_v2/"] == 2 + 3


def test_without_a_choice_what_was_received_is_counted_by_day(sync, sentry):
    """The default is the stat `received` by day."""
    output = sync(*COUNTS, start_date="2d")

    for stream in COUNTS:
        check_counts(output, sentry, stream, day(18))
        assert {row["stat"] for row in output.records(stream)} == {"received"}
        assert {row["resolution"] for row in output.records(stream)} == {"1d"}
