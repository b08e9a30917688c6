"""Teams and their projects."""

from __future__ import annotations

from tests.streams import JURISDICTION, STERNWARTE, at, told


def test_teams_are_chosen_by_name_with_all_below_them(sync, sentry):
    """Only the projects of the named teams are requested."""
    output = sync("organization_teams", "team_projects", teams=["ancient-*"])

    asked = {request.path for request in sentry.requests if "teams/" in request.path}
    assert [row["slug"] for row in output.records("organization_teams")] == [
        "ancient-gabelers"
    ]
    assert asked == {
        f"organizations/{JURISDICTION}/teams/",
        f"organizations/{STERNWARTE}/teams/",
        f"teams/{JURISDICTION}/ancient-gabelers/projects/",
    }


def test_teams_do_not_choose_projects(sync, sentry):
    """The setting `teams` filters teams and their child streams only."""
    output = sync("organization_projects", teams=["night-shift"])

    keys = set(output.keys("organization_projects"))
    assert keys == sentry.truth("organization_projects")


def test_an_unknown_team_is_named_before_anything_is_read(sync, caplog):
    """An unknown team is reported before any record is read."""
    output = sync("organization_teams", teams=["night-shift", "day-shift"])

    assert (output.code, output.records("organization_teams")) == (1, [])
    assert told(caplog, "teams", "day-shift")


def test_an_unknown_team_is_no_matter_of_streams_without_teams(sync):
    """A setting is checked only if a selected stream uses it."""
    assert sync("organization_projects", teams=["day-shift"]).code == 0


def test_a_project_of_two_teams_is_read_for_both(sync, sentry):
    """A project of two teams has two records, since the team is part of the key."""
    rows = sync("team_projects").records("team_projects")
    teams = {row["team_id"] for row in rows if row["slug"] == "pump-station"}

    assert teams == {team.id for team in sentry.project("pump-station").teams}


def test_a_team_that_is_gone_is_skipped_and_listed(sync, sentry, caplog):
    """A team that is deleted during the run is skipped and listed."""
    sentry.fault(404, times=None, when=at("teams/.*/night-shift/projects/"))
    output = sync("team_projects")

    assert (output.code, len(output.records("team_projects"))) == (0, 5)
    assert told(caplog, "team_projects skipped", "night-shift")
