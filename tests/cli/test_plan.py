"""`--plan`, which estimates what a run takes, and writes no records."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tap_sentry.api.client import SentryClient
from tap_sentry.cli.command import TapCommand
from tests.conftest import NOW, catalog_of
from tests.killed import limited, run_until_killed
from tests.sentry import FLAVOURS, SAAS_LIMITS, TOKEN, SentrySimulator, Token
from tests.sentry.data.uneven import uneven

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
#: Seconds that a test waits for a process.
PATIENCE = 60.0
EVENTS, ISSUES = "project_events", "project_issues"
STATS = "projects/{org}/{project}/stats/"
LISTED = "organizations/{org}/issues/"

#: The forecast lines of each stream, by name.
Plan = dict[str, dict[str, Any]]


@pytest.fixture
def command(monkeypatch, tmp_path) -> Iterator[Any]:
    """Run the command line in this process; return its code, output and errors."""
    # The SDK replaces the hook; this restores it afterwards.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def command(
        sentry: SentrySimulator,
        *streams: str,
        form: str = "--plan",
        state: Any = None,
        **settings: Any,
    ) -> tuple[int, str]:
        config = {"auth_token": TOKEN, "api_url": sentry.url, **settings}
        files = {"config": config}
        if streams:
            files["catalog"] = catalog_of(*streams)
        if state:
            files["state"] = state
        arguments = [form]
        for name, content in files.items():
            file = tmp_path / f"{name}.json"
            file.write_text(json.dumps(content))
            arguments += [f"--{name}", str(file)]
        result = CliRunner().invoke(TapCommand.get_singer_command(), arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert TOKEN not in result.output
        assert "Traceback" not in result.output
        return result.exit_code, result.stdout

    yield command
    logging.captureWarnings(capture=False)


@pytest.fixture
def plan(command) -> Callable[..., Plan]:
    """Return the lines of a forecast by the names of the streams."""

    def plan(sentry: SentrySimulator, *streams: str, **options: Any) -> Plan:
        code, text = command(sentry, *streams, form="--plan=json", **options)
        assert code == 0
        return {line["stream"]: line for line in json.loads(text)}

    return plan


@pytest.fixture
def sentry() -> Iterator[SentrySimulator]:
    """A small sentry.io with pages of the usual size."""
    simulator = SentrySimulator(clock=lambda: NOW)
    with simulator.patched():
        yield simulator


@pytest.fixture
def two() -> Iterator[SentrySimulator]:
    """A Sentry with two projects, 6 issues and 430 events."""
    world = uneven(projects=2, issues=6, events=430, now=NOW, full_kilobytes=1)
    simulator = SentrySimulator(world, clock=lambda: NOW)
    with simulator.patched():
        yield simulator


# Output -------------------------------------------------------------------------------

TABLE = """\
stream                 records  requests  time  how
organizations                1         1   0 s
organization_projects        2         1   0 s
project_issues               6         2   0 s
project_events             430         7   0 s  2 by project
project_keys                 ~         2   0 s
project_alert_rules          ~         1   0 s  missing on this server
total                      439        14   0 s
"""
CHOSEN = (
    *("organizations", "organization_projects", ISSUES, EVENTS),
    *("project_keys", "project_alert_rules"),
)


def test_it_is_a_table(two, command):
    """The table has records, requests, time and way of each stream, and the sum."""
    assert command(two, *CHOSEN) == (0, TABLE)


def test_it_is_json_for_programs(two, command):
    """`--plan=json` writes the lines of the table as objects."""
    code, text = command(two, *CHOSEN, form="--plan=json")
    lines = json.loads(text)
    records = {line["stream"]: line["records"] for line in lines}

    assert code == 0
    assert {tuple(line) for line in lines} == {
        ("stream", "records", "requests", "seconds", "how")
    }
    assert all(line.pop("seconds") < 1 for line in lines)
    assert list(records) == [*CHOSEN, "total"]
    assert list(records.values()) == [1, 2, 6, 430, None, None, 439]
    assert lines[3] == {
        "stream": EVENTS,
        "records": 430,
        "requests": 7,
        "how": "2 by project",
    }


def test_all_streams_of_a_run_have_a_line(sentry, plan):
    """Every selected stream is estimated, in the order of the run."""
    names = {entry["stream"] for entry in catalog_of()["streams"]}
    found = [*plan(sentry, *names)]

    assert found[-1] == "total"
    assert set(found[:-1]) == names


def test_a_form_that_is_not_known_is_refused(sentry, command):
    """Only `table` and `json` are forms."""
    assert command(sentry, form="--plan=xml") == (2, "")
    assert sentry.requests == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_it_is_no_output_of_a_tap(command, flavour, monkeypatch):
    """On each kind of server it writes neither messages nor a state."""

    def fail(*_: object) -> None:
        pytest.fail("a message was written")

    monkeypatch.setattr("tap_sentry.sync.writer.SentryWriter.format_message", fail)
    simulator = SentrySimulator(clock=lambda: NOW, flavour=flavour)
    with simulator.patched():
        names = (entry["stream"] for entry in catalog_of()["streams"])
        code, text = command(simulator, *names)

    assert code == 0
    assert " ".join(text.splitlines()[0].split()) == "stream records requests time how"
    assert text.splitlines()[-1].split()[0] == "total"
    assert '"type"' not in text


def test_wrong_settings_are_told_before_anything_is_asked(sentry, command, caplog):
    """Wrong settings are logged with exit code 1, as in a run."""
    assert command(sentry, start_date="soon") == (1, "")
    assert "start_date" in caplog.text
    assert sentry.requests == []


def test_the_help_says_what_it_does(command, sentry):
    """`--help` describes the option."""
    _, text = command(sentry, form="--help")

    assert "Estimate the records, requests and time of a run" in " ".join(text.split())


# Costs --------------------------------------------------------------------------------


def test_it_takes_few_requests(sentry, plan):
    """Parents are listed, then it is two for each project and one for each list."""
    plan(sentry)
    projects = sum(len(row.projects) for row in sentry.organizations)
    counts = Counter(seen.template for seen in sentry.requests)
    parents = {
        "organizations/": 1,
        "organizations/{org}/projects/": 2,
        "organizations/{org}/teams/": 2,
        "organizations/{org}/repos/": 2,
        "organizations/{org}/releases/": 2,
        "organizations/{org}/monitors/": 2,
    }

    assert {name: counts.pop(name) for name in parents} == parents
    # One more is the first page of `project_event_counts` and of `project_issues`.
    assert (counts.pop(STATS), counts.pop(LISTED)) == (projects + 1, projects + 1)
    # The counts of teams, organizations and usage are lists of one path.
    assert counts.pop("organizations/{org}/stats_v2/") == 3
    # What a team counts are the events of its projects.
    teams = sum(len(row.teams) for row in sentry.organizations)
    assert counts.pop("teams/{org}/{team}/projects/") == teams + 1
    # A page and a slice.
    assert counts.pop("projects/{org}/{project}/events/") == 2
    assert set(counts.values()) == {1}


def test_it_closes_its_connections(sentry, plan, monkeypatch):
    """The pool is closed, also when the server refuses the token."""
    closed = []
    close = SentryClient.close

    def closing(self: SentryClient) -> None:
        closed.append(1)
        close(self)

    monkeypatch.setattr(SentryClient, "close", closing)
    plan(sentry, EVENTS)
    assert closed == [1]

    sentry.tokens[TOKEN] = Token(expired=True)
    with pytest.raises(AssertionError):
        plan(sentry, EVENTS)
    assert closed == [1, 1]


# Config, catalog and state ------------------------------------------------------------


def test_streams_that_are_not_selected_are_absent(two, plan):
    """A stream without a line costs nothing, but its parents do."""
    found = plan(two, "project_keys")

    assert [*found] == [
        "organizations",
        "organization_projects",
        "project_keys",
        "total",
    ]
    assert [line["requests"] for line in found.values()] == [1, 1, 2, 4]
    assert found["organizations"]["records"] == 0


def test_what_the_settings_choose_is_estimated(two, plan):
    """Chosen projects, dates and reports make it less."""
    slug = two.organizations[0].projects[0].slug
    whole, one, recent, report = (
        plan(two, ISSUES, EVENTS, **settings)[EVENTS]
        for settings in (
            {},
            {"projects": [slug]},
            {"start_date": "20d"},
            {"report_date": "2026-11-10"},
        )
    )
    days = [project.events for project in two.organizations[0].projects]
    first = len(two.organizations[0].projects[0].events)

    assert whole["records"] == sum(map(len, days)) == 430
    assert (one["records"], one["how"]) == (first, "1 by project")
    assert 0 < report["records"] < recent["records"] < whole["records"]


def test_full_events_take_more_pages(two, plan):
    """Sentry sends ten full events on a page, also of those of issues."""
    light = plan(two, EVENTS, "issue_events")
    full = plan(two, EVENTS, "issue_events", full_events=True)

    assert full[EVENTS]["requests"] > 40 > light[EVENTS]["requests"]
    assert full["issue_events"]["requests"] > 40 > light["issue_events"]["requests"]
    assert full[EVENTS]["records"] == 430


def test_a_search_leaves_events_alone(two, plan):
    """`issue_query` makes issues fewer, and no events of projects."""
    every = plan(two, ISSUES, EVENTS, "issue_tags")
    found = plan(two, ISSUES, EVENTS, "issue_tags", issue_query="is:resolved")
    resolved = sum(
        issue.status == "resolved"
        for project in two.organizations[0].projects
        for issue in project.issues
    )

    assert every[ISSUES]["records"] == 6
    assert found[ISSUES]["records"] == resolved < 6
    assert found["issue_tags"]["requests"] == resolved
    assert found[EVENTS]["records"] == every[EVENTS]["records"]


@pytest.mark.parametrize(
    ("way", "how"), [("issue", "2 by issue"), ("project", "2 by project")]
)
def test_the_way_is_said(two, plan, way, how):
    """`events_by` decides; the lists of issues are those of two streams then."""
    found = plan(two, EVENTS, ISSUES, "issue_events", events_by=way)

    assert found[EVENTS]["how"] == how
    assert (found["issue_events"]["requests"] == 0) == (way == "issue")


@pytest.mark.parametrize("way", ["project", "issue"])
def test_a_scan_goes_on_in_the_way_that_it_began(plan, way):
    """Neither a setting that has changed nor limits change the way within a scan."""
    world = uneven(projects=1, issues=9, events=2_000, now=NOW, full_kilobytes=1)
    simulator = SentrySimulator(world, clock=lambda: NOW, rate_limits=SAAS_LIMITS)
    config = {"auth_token": TOKEN, "api_url": simulator.url, "events_by": way}
    answer = limited(simulator.answer, 14)
    killed = run_until_killed(
        simulator, config, catalog_of(EVENTS), None, answer, share=1, ends=False
    )
    assert killed.code == -1
    with simulator.patched():
        found = {
            setting: plan(simulator, EVENTS, state=killed.state, events_by=setting)
            for setting in ("auto", "project", "issue")
        }

    assert {lines[EVENTS]["how"] for lines in found.values()} == {f"1 by {way}"}


def test_limits_decide_the_way(plan):
    """Under the limits of sentry.io long lists are read by issue, and it takes long."""
    world = uneven(projects=2, issues=20, events=20_000, now=NOW, full_kilobytes=1)
    simulator = SentrySimulator(world, clock=lambda: NOW, rate_limits=SAAS_LIMITS)
    with simulator.patched():
        line = plan(simulator, EVENTS)[EVENTS]
        by_project = plan(simulator, EVENTS, events_by="project")[EVENTS]

    assert line["how"] == "2 by issue"
    assert by_project["how"] == "2 by project"
    # One page a second, after those of the first minute.
    assert by_project["seconds"] == pytest.approx(by_project["requests"] - 60, rel=0.1)
    assert line["seconds"] < by_project["seconds"] / 2


@pytest.mark.parametrize("flavour", ["self-hosted-24", "self-hosted-9"])
def test_pages_that_come_one_after_the_other_take_longer(plan, flavour):
    """A long list that the server does not cut by dates takes a page at a time."""
    world = uneven(projects=1, issues=9, events=6_000, now=NOW, full_kilobytes=1)
    found = {}
    for kind in ("saas", flavour):
        simulator = SentrySimulator(
            world, clock=lambda: NOW, flavour=kind, latency=0.05
        )
        with simulator.served():
            found[kind] = plan(simulator, EVENTS)[EVENTS]

    assert found[flavour]["requests"] == pytest.approx(60, rel=0.1)
    # The first four pages may have been prefetched.
    assert found[flavour]["seconds"] >= 56 * 0.05
    assert found["saas"]["seconds"] < found[flavour]["seconds"] / 3


def test_comments_come_with_activities(two, plan):
    """The comments are not requested where all activities are."""
    both = plan(two, ISSUES, "issue_activities", "issue_comments")
    alone = plan(two, ISSUES, "issue_comments")

    assert both["issue_comments"]["requests"] == 0
    assert alone["issue_comments"]["requests"] == 6


def test_a_second_run_is_shorter(two, plan, sync_two):
    """With the state of a run, only what is new is estimated."""
    state = sync_two(EVENTS, ISSUES, "project_feedback")
    found = plan(two, EVENTS, ISSUES, "project_feedback", state=state)

    assert [found[name]["requests"] for name in (EVENTS, ISSUES)] == [0, 0]
    assert found["project_feedback"]["requests"] == 0


@pytest.fixture
def sync_two(two) -> Callable[..., Any]:
    """Run the tap on `two`, and return its state."""
    from tests.conftest import run  # noqa: PLC0415 - one use

    def sync(*streams: str, **settings: Any) -> Any:
        config = {"auth_token": TOKEN, "api_url": two.url, **settings}
        return run(config, catalog_of(*streams)).state

    return sync


def test_explore_tables_are_estimated(sentry, plan):
    """A table of the settings has a line with a request for each day."""
    tables = [{"name": "slow_spans", "dataset": "spans", "fields": ["span.op"]}]
    found = plan(sentry, explore=tables, start_date="10d")

    assert found["explore_slow_spans"]["requests"] >= 2 * 10


def test_a_table_that_is_kept_for_a_shorter_time_is_estimated(sentry, plan):
    """Sentry rejects the start of a run without `start_date`, and the run moves it."""
    tables = [{"name": "log_lines", "dataset": "logs", "fields": ["severity"]}]
    line = plan(sentry, explore=tables)["explore_log_lines"]

    assert line["how"] == ""
    # Of two organizations, the count and the rows of each day.
    assert line["requests"] == pytest.approx(2 * 2 * 31, abs=4)


# What cannot be read ------------------------------------------------------------------


def test_missing_streams_say_so(sentry, plan):
    """A stream that the server lacks has one request and a reason."""
    line = plan(sentry, "project_alert_rules")["project_alert_rules"]

    assert line["how"] == "missing on this server"
    assert (line["records"], line["requests"]) == (None, 1)


def test_denied_streams_say_so(sentry, plan):
    """A stream that is denied everywhere is requested for each project."""
    sentry.tokens[TOKEN] = Token(frozenset({"org:read", "team:read"}))
    for strict in (False, True):
        found = plan(sentry, ISSUES, EVENTS, "organization_releases", strict=strict)

        assert {found[name]["how"] for name in found if name.startswith("project")} == {
            "denied: see --test"
        }
        assert found["organization_releases"]["how"] == "denied: see --test"
        assert found["organization_releases"]["records"] is None
        assert found[ISSUES]["requests"] == 5


def test_a_project_that_is_denied_is_no_matter(sentry, plan):
    """The first project may be one that the token cannot read."""
    for organization in sentry.organizations:
        sentry.forbid(organization.projects[0].slug)
        del organization.projects[2:]
    found = plan(sentry, EVENTS, "project_keys")

    assert found["project_keys"]["how"] == ""
    assert "by project" in found[EVENTS]["how"]


def test_where_nobody_counts_it_says_so(command):
    """GlitchTip counts no events: what its lists take is not known."""
    simulator = SentrySimulator(clock=lambda: NOW, flavour="glitchtip")
    with simulator.patched():
        code, text = command(simulator, EVENTS)
    (line,) = [line for line in text.splitlines() if line.startswith(EVENTS)]

    assert code == 0
    assert line.split()[1] == "~"
    assert line.endswith("5 by project without a count")
    # The counts of the other projects are not requested.
    assert sum(seen.template == STATS for seen in simulator.requests) == 1


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (Token(expired=True), "refuses the auth_token (Token expired)"),
        (Token(frozenset()), "status 403"),
        (Token(lists_organizations=False), "name them in the setting organizations"),
    ],
)
def test_a_token_that_is_of_no_use_is_told_in_a_line(
    sentry, command, caplog, token, says
):
    """What stops a run stops a forecast, with exit code 1 and no output."""
    sentry.tokens[TOKEN] = token

    assert command(sentry) == (1, "")
    assert [says in row.getMessage() for row in caplog.records if row.levelno > 30] == [
        True
    ]


@pytest.mark.parametrize("setting", ["organizations", "projects", "teams"])
def test_a_name_that_is_not_there_is_told_in_a_line(sentry, command, caplog, setting):
    """An unknown name stops a run, so it stops a forecast."""
    assert command(sentry, **{setting: ["nowhere"]}) == (1, "")
    (line,) = [row.getMessage() for row in caplog.records if row.levelno > 30]
    assert line.startswith(f"The setting {setting} names nowhere")


@pytest.mark.parametrize("kind", ["html", "refuse", "truncated", 500])
def test_a_server_that_is_no_sentry_is_told_in_a_line(sentry, command, caplog, kind):
    """An address that is not a Sentry is an error in one line."""
    sentry.fault(kind, times=None)

    assert command(sentry) == (1, "")
    (line,) = [row.getMessage() for row in caplog.records if row.levelno > 30]
    assert line.startswith("GET sentry.io/api/0/organizations/: ")


def test_a_list_that_fails_is_one_line_of_many(sentry, plan):
    """A failing list says why, and the others are estimated."""
    sentry.fault(500, times=None, when=lambda seen: seen.path.endswith("/keys/"))
    found = plan(sentry, EVENTS, "project_keys")

    assert "status 500" in found["project_keys"]["how"]
    assert found[EVENTS]["how"] == "5 by project"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path, number):
    """The exit code is that of the signal, with one line and no output."""
    simulator = SentrySimulator(latency=30)
    with simulator.served():
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"auth_token": TOKEN, "api_url": simulator.url}))
        with subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-m", "tap_sentry", "--plan", "--config", str(file)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            until = time.monotonic() + PATIENCE
            while not simulator.requests and time.monotonic() < until:
                time.sleep(0.02)
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE / 2)

    assert process.returncode == 128 + number
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert f"Stopped by {signal.Signals(number).name}" in err
