"""`dbt build` of the example, over files in DuckDB and over tables in PostgreSQL.

Both warehouses are loaded with what one run of the tap gives, the files twice:
target-jsonl appends, so they have each record as often as it was read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from scripts.describe_sources import ALWAYS
from tests import demo
from tests.conftest import catalog_of
from tests.sentry import TOKEN, SentrySimulator
from tests.test_readme import drawn
from tests.warehouse.conftest import (
    ROOT,
    TAP,
    Database,
    documented,
    plain_environment,
    written,
)
from tests.warehouse.test_dbt_project import EXAMPLE, MARTS, SQL, described

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.dbt

DBT = ROOT / ".venv-dbt" / "bin" / "dbt"
TARGET_JSONL = ROOT / ".venv-target" / "bin" / "target-jsonl"

#: How the hook that opens the files ends.
HOOK = ("operation", "success")
#: What the tests pay for a unit.
PRICES = {"error": 0.5, "attachment": 0.001}
#: A team that one issue of a project of two teams is assigned to.
TEAM = "ancient-gabelers"
#: A project with rows in all marts.
GONE = "telescope"


@dataclass
class Run:
    """One command of dbt, and what it printed."""

    code: int
    printed: str
    seconds: float
    results: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        """Say how many models and tests ended how, and how long that took."""
        models = self.outcomes["model", "success"]
        passed = self.outcomes["test", "pass"]
        others = len(self.results) - models - passed - self.outcomes[HOOK]
        return (
            f"{models} models built, {passed} tests passed, {others} others, "
            f"in {self.seconds:.0f} s"
        )

    @property
    def outcomes(self) -> Counter[tuple[str, str]]:
        """How many models and tests ended how."""
        return Counter(
            (result["unique_id"].partition(".")[0], result["status"])
            for result in self.results
        )

    def named(self, *statuses: str) -> set[str]:
        """The names of the models and tests that ended like this."""
        return {
            result["unique_id"].split(".")[2]
            for result in self.results
            if result["status"] in statuses
        }


@dataclass
class Warehouse:
    """A database that dbt builds into."""

    target: str
    folder: Path
    files: Path
    environment: dict[str, str]
    query: Callable[[str], list[dict[str, Any]]]
    example: Path = EXAMPLE

    def dbt(self, *command: str) -> Run:
        """Run dbt with an empty home and no settings but those of the example."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        # The folder of the example stays as it is.
        settings = {"sentry_files": str(self.files), "unit_prices": PRICES}
        options = ["--target", self.target, "--vars", json.dumps(settings)]
        options += ["--target-path", str(self.folder / "target"), "--no-use-colors"]
        ours = {
            name: value
            for name, value in plain_environment().items()
            if not name.startswith(("DBT_", "SENTRY_"))
        }
        started = time.monotonic()
        run = subprocess.run(  # noqa: S603, these are ours
            [DBT, *command, *options, "--log-path", self.folder / "logs"],
            cwd=self.example,
            env=ours | {"HOME": str(home)} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        made = Run(run.returncode, run.stdout, time.monotonic() - started)
        results = self.folder / "target" / "run_results.json"
        if results.exists():
            made.results = json.loads(results.read_text())["results"]
            results.unlink()
        return made

    def rows(self, mart: str) -> list[dict[str, Any]]:
        """The rows of a mart with values as JSON has them."""
        return self.query(f"select * from analytics.{mart}")  # noqa: S608, a name of ours


def plain(value: Any) -> Any:
    """A value of DuckDB as it is in JSON, and figures to three digits in both."""
    if isinstance(value, Decimal | float):
        return round(float(value), 3)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return value if isinstance(value, int | str | None) else str(value)


def as_datetime(value: Any) -> Any:
    """A value of PostgreSQL's JSON, whose dates have as many digits as they need."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+", value):
        return datetime.fromisoformat(value)
    return value


@dataclass
class Sentry:
    """The simulated Sentry of the demo, and what one run of the tap gives."""

    simulator: SentrySimulator
    messages: bytes


@pytest.fixture(scope="module")
def sentry(tmp_path_factory) -> Sentry:
    """Every stream, with the counts of kept events, and an issue that a team owns."""
    if not DBT.exists():
        pytest.fail(f"dbt is not at {DBT}: run `make dbt`", pytrace=False)
    folder = tmp_path_factory.mktemp("tap")
    now = datetime.now(UTC)
    simulator = SentrySimulator()
    issue = simulator.project("pump-station").issues[1]
    (team,) = [t for t in simulator.organizations[0].teams if t.slug == TEAM]
    issue.assigned_to = {"type": "team", "id": team.id, "name": team.name}
    with simulator.served():
        settings = {"auth_token": TOKEN, "api_url": simulator.url}
        config = written(folder / "c.json", settings | {"stats": ["generated"]})
        catalog = written(folder / "catalog.json", catalog_of())
        tap: list[str | Path] = [sys.executable, "-c", TAP.format(now=now.isoformat())]
        messages = subprocess.run(  # noqa: S603, these are ours
            [*tap, "--config", config, "--catalog", catalog],
            cwd=ROOT,
            env=plain_environment(),
            check=True,
            capture_output=True,
        ).stdout
    return Sentry(simulator, messages)


def load(target: Path, settings: dict[str, Any], messages: bytes, folder: Path) -> None:
    """Run a target."""
    subprocess.run(  # noqa: S603, these are ours
        [target, "--config", written(folder / "target.json", settings)],
        cwd=folder,
        env=plain_environment(),
        input=messages,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def files(sentry, tmp_path_factory):
    """A folder that the run was loaded into twice, once with a time in the names."""
    folder = tmp_path_factory.mktemp("files")
    for is_dated in (False, True):
        settings = {"destination_path": str(folder), "do_timestamp_file": is_dated}
        load(TARGET_JSONL, settings, sentry.messages, folder)
    return folder


def over_files(files: Path, folder: Path) -> Warehouse:
    """DuckDB over a folder of files."""
    database = folder / "sentry.duckdb"

    def query(sql: str) -> list[dict[str, Any]]:
        with duckdb.connect(database, read_only=True) as connection:
            found = connection.execute(sql)
            names = [column[0] for column in found.description or ()]
            rows = found.fetchall()
        return [dict(zip(names, map(plain, row), strict=True)) for row in rows]

    environment = {"SENTRY_DUCKDB": str(database)}
    return Warehouse("duckdb", folder, files, environment, query)


def in_postgres(database: Database, folder: Path) -> Warehouse:
    """A database of PostgreSQL."""

    def query(sql: str) -> list[dict[str, Any]]:
        return [
            {name: plain(as_datetime(value)) for name, value in row.items()}
            for row in database.rows(sql)
        ]

    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(database.server.port),
        "PGUSER": "postgres",
        "PGDATABASE": database.name,
    }
    return Warehouse("postgres", folder, folder, environment, query)


@pytest.fixture(scope="module")
def duck(files, tmp_path_factory) -> tuple[Warehouse, Run]:
    """DuckDB over the files, and how it was built."""
    warehouse = over_files(files, tmp_path_factory.mktemp("duckdb"))
    return warehouse, warehouse.dbt("build")


@pytest.fixture(scope="module")
def postgres(server, target, sentry, tmp_path_factory) -> tuple[Warehouse, Run]:
    """PostgreSQL loaded as the recipes say, and how it was built."""
    folder = tmp_path_factory.mktemp("postgres")
    database = server.database("dbt")
    settings = json.loads(documented("json")[0]) | {
        "host": "127.0.0.1",
        "port": server.port,
        "user": "postgres",
        "database": database.name,
    }
    load(target, settings, sentry.messages, folder)
    warehouse = in_postgres(database, folder)
    return warehouse, warehouse.dbt("build")


@pytest.fixture(scope="module", params=["duck", "postgres"])
def built(request) -> tuple[Warehouse, Run]:
    """Each of the warehouses, and how it was built."""
    built: tuple[Warehouse, Run] = request.getfixturevalue(request.param)
    return built


# Both warehouses ----------------------------------------------------------------------


def test_everything_is_built_and_every_test_passes(built, capsys):
    """All models are built, and no test of theirs fails or warns."""
    warehouse, run = built
    with capsys.disabled():
        print(f"\ndbt build on {warehouse.target}: {run}")  # noqa: T201, it is asked for

    assert run.code == 0, run.printed
    assert run.outcomes.keys() == {("model", "success"), ("test", "pass"), HOOK}
    assert run.outcomes["model", "success"] == len(SQL)


def test_columns_are_those_that_are_described(built):
    """Each mart has the columns of its description, in that order, and rows."""
    warehouse, _ = built

    for mart in described("marts"):
        first, *_ = warehouse.rows(mart["name"])
        assert list(first) == [column["name"] for column in mart["columns"]]


def test_sources_are_fresh(built):
    """What was loaded a moment ago is fresh, whatever the zone of the server."""
    warehouse, _ = built
    run = warehouse.dbt("source", "freshness", "--output", os.devnull)

    assert run.code == 0, run.printed
    assert run.printed.count("PASS freshness of sentry.") == len(ALWAYS)


@pytest.mark.parametrize("mart", sorted(MARTS))
def test_both_warehouses_give_the_same_rows(duck, postgres, mart):
    """A mart has the same rows in both, though the files have each record twice."""
    rows = [
        sorted(warehouse.rows(mart), key=json.dumps)
        for warehouse, _ in (duck, postgres)
    ]

    assert rows[0] == rows[1] != []


# What the marts say -------------------------------------------------------------------


def test_every_event_is_an_error_of_one_day(duck, sentry):
    """The errors are the events of Sentry's lists, by project and release."""
    warehouse, _ = duck
    listed = {key[-1] for key in sentry.simulator.truth("project_events")}
    truth = Counter(
        (event.created.date().isoformat(), project.slug, event.release or "(none)")
        for organization in sentry.simulator.organizations
        for project in organization.projects
        for event in project.events.newest()
        if event.id in listed
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for row in warehouse.rows("daily_errors"):
        found[row["day"], row["project"], row["release"]] += row["errors"]

    assert found == truth


def test_issues_have_their_history_and_owner(duck):
    """An issue of two teams is owned by the one it is assigned to, else by none."""
    warehouse, _ = duck
    issues = {row["issue"]: row for row in warehouse.rows("issue_lifecycle")}
    told = (
        *("status", "owner_team", "times_resolved", "times_reopened"),
        *("loaded_events", "events"),
    )

    assert {
        name: tuple(issues[name][column] for column in told)
        for name in ("PUMP-STATION-1", "PUMP-STATION-2", "PUMP-STATION-3")
    } == {
        "PUMP-STATION-1": ("unresolved", None, 1, 1, 120, 120),
        "PUMP-STATION-2": ("unresolved", TEAM, 1, 1, 45, 245),
        "PUMP-STATION-3": ("resolved", None, 2, 1, 12, 12),
    }
    reopened = issues["PUMP-STATION-2"]
    opened, resolved, again = (
        datetime.fromisoformat(reopened[name])
        for name in ("opened_at", "resolved_at", "reopened_at")
    )
    assert opened < resolved < again
    assert reopened["days_to_resolve"] == pytest.approx(
        (resolved - opened) / timedelta(days=1), abs=0.01
    )


def test_releases_have_sessions_issues_and_deploys(duck):
    """The figures of a release are weighted by its sessions and not repeated."""
    warehouse, _ = duck
    told = ("sessions", "crash_free_rate", "new_issues", "deploys")
    found = {
        (row["project"], row["release"]): tuple(row[name] for name in told)
        for row in warehouse.rows("release_health")
    }

    assert found["prime-mover", "1.1.0"] == (6010, 0.992, 0, 1)
    assert found["pump-station", "1.1.0"] == (3010, 0.99, 3, 1)
    assert found["pump-station", "1.0.0"] == (None, None, 5, 3)


def test_monitors_have_their_checkins(duck):
    """A silent environment has its missed check-ins, a new monitor none."""
    warehouse, _ = duck
    found = {
        (row["monitor"], row["environment"]): (row["ok"], row["missed"], row["ok_rate"])
        for row in warehouse.rows("monitor_reliability")
        if row["project"] == "telescope"
    }

    assert found == {
        ("nightly-0", "production"): (8, 0, 1),
        ("nightly-1", "production"): (8, 0, 1),
        ("nightly-1", "staging"): (1, 9, 0.1),
        ("nightly-2", "(none)"): (None, None, None),
    }


def test_what_was_accepted_has_its_price(duck):
    """Only accepted units of a category with a price cost something."""
    warehouse, _ = duck
    rows = warehouse.rows("usage_and_cost")

    assert {row["category"] for row in rows} > PRICES.keys()
    for row in rows:
        is_paid = row["outcome"] == "accepted" and row["category"] in PRICES
        price = PRICES[row["category"]] * row["quantity"] if is_paid else None
        assert row["cost"] == pytest.approx(price)


def test_loaded_events_are_those_that_were_counted(duck, sentry):
    """On every day, all events that Sentry counted as kept are loaded."""
    warehouse, _ = duck
    rows = warehouse.rows("event_completeness")
    moved = [row for row in rows if row["missing_events"]]

    # The events of one issue came a week late, or from a clock that is ahead.
    assert {row["project"] for row in moved} <= {"pump-station"}
    assert sum(row["loaded_events"] for row in rows) == len(
        sentry.simulator.truth("project_events")
    )
    assert sum(not row["is_finished"] for row in rows if row["counted_events"]) <= 5


def test_the_demo_has_answers_and_the_readme_shows_one(duck):
    """The questions of `make demo` have answers; one of them is in the README."""
    warehouse, _ = duck
    answers = {question: warehouse.query(sql) for question, sql in demo.MARTS.items()}
    _, (question, releases), (_, projects) = answers.items()
    columns, *cells = drawn(question)

    assert all(answers.values())
    assert list(releases[0]) == columns
    assert [[plain_number(cell) for cell in row] for row in cells] == [
        [*row.values()] for row in releases
    ]
    assert {row["percent"] for row in projects} == {100}


def plain_number(cell: str) -> float | str:
    """A cell of a table, as a number if it is one."""
    return float(cell) if re.fullmatch(r"\d+(\.\d+)?", cell) else cell


# Where something is missing -----------------------------------------------------------


#: Streams that are not selected by default, or that some servers lack.
MISSING = ("issue_activities", "monitor_checkins", "release_health")


@pytest.fixture
def poor_duck(files, tmp_path) -> Warehouse:
    """DuckDB without the files of some streams."""
    there = Path(shutil.copytree(files, tmp_path / "files"))
    for name in MISSING:
        for path in there.glob(f"{name}*.jsonl"):
            path.unlink()
    return over_files(there, tmp_path)


@pytest.fixture
def poor_postgres(server, postgres, tmp_path) -> Warehouse:
    """PostgreSQL without the tables of some streams."""
    warehouse, _ = postgres
    database = server.database("dbt_poor", warehouse.environment["PGDATABASE"])
    for name in MISSING:
        database.psql(f"drop table sentry.{name} cascade")
    return in_postgres(database, tmp_path)


@pytest.mark.parametrize("poor", ["poor_duck", "poor_postgres"])
def test_streams_may_be_missing(request, poor):
    """Everything is built without some streams; what they would tell is null."""
    warehouse = request.getfixturevalue(poor)
    run = warehouse.dbt("build")

    assert run.code == 0, run.printed
    assert run.outcomes.keys() == {("model", "success"), ("test", "pass"), HOOK}
    (reopened,) = [
        row
        for row in warehouse.rows("issue_lifecycle")
        if row["issue"] == "PUMP-STATION-2"
    ]
    assert (reopened["resolved_at"], reopened["times_resolved"]) == (None, None)


def test_a_project_that_is_no_longer_listed_goes_by_its_id(duck, files, tmp_path):
    """The marts keep its rows, and tests only warn of it."""
    rich, _ = duck
    there = Path(shutil.copytree(files, tmp_path / "files"))
    for path in there.glob("organization_projects*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["slug"] != GONE]
        path.write_text("".join(kept), encoding="utf-8")
    poor = over_files(there, tmp_path)
    run = poor.dbt("build")

    assert run.named("warn"), run.printed
    assert not run.named("error", "fail"), run.printed
    for mart in MARTS:
        before = [row for row in rich.rows(mart) if row["project"] == GONE]
        if mart == "release_health":
            # Sentry names the projects of a release by their slugs.
            before = [row for row in before if row["sessions"]]
        after = [row for row in poor.rows(mart) if row["project"].isdecimal()]
        assert len({row["project"] for row in after}) == 1
        assert len(after) == len(before) > 0


def test_only_errors_are_compared_with_counts_of_errors(duck, files, tmp_path):
    """Some servers list events of other kinds, too."""
    rich, _ = duck
    there = Path(shutil.copytree(files, tmp_path / "files"))
    for path in there.glob("project_events*.jsonl"):
        events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        others = [
            event | {"eventID": event["eventID"][::-1], "type": "transaction"}
            for event in events
        ]
        lines = (f"{json.dumps(event)}\n" for event in events + others)
        path.write_text("".join(lines), encoding="utf-8")
    warehouse = over_files(there, tmp_path)
    run = warehouse.dbt("build")

    assert run.code == 0, run.printed
    for mart in ("event_completeness", "release_health"):
        assert Counter(map(str, warehouse.rows(mart))) == Counter(
            map(str, rich.rows(mart))
        )


@pytest.mark.parametrize(
    ("kept", "warned", "failed"),
    [
        (0.8, {"most_events_are_loaded"}, set()),
        (0.3, {"most_events_are_loaded"}, {"enough_events_are_loaded"}),
    ],
)
def test_missing_events_are_told(files, tmp_path, kept, warned, failed):
    """Where some events are missing, a test warns; where most are, one fails."""
    there = Path(shutil.copytree(files, tmp_path / "files"))
    for path in there.glob("project_events*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        ones = [line for number, line in enumerate(lines) if number % 10 < kept * 10]
        path.write_text("".join(ones), encoding="utf-8")
    run = over_files(there, tmp_path).dbt("build", "--select", "+event_completeness")

    assert run.named("warn") == warned, run.printed
    assert run.named("fail") == failed, run.printed


def test_a_record_that_is_repeated_is_told(files, tmp_path):
    """If a staging model kept old records, a test of its key would fail."""
    left = shutil.ignore_patterns("logs", "target", "venv", "*.duckdb*")
    example = Path(shutil.copytree(EXAMPLE, tmp_path / "dbt", ignore=left))
    macro = example / "macros" / "newest.sql"
    macro.write_text(macro.read_text().replace("_sdc_place = 1 and ", ""))
    warehouse = over_files(files, tmp_path)
    warehouse.example = example
    run = warehouse.dbt("build", "--select", "stg_sentry__issues")

    assert "unique_stg_sentry__issues_issue_key" in run.named("fail"), run.printed
