"""Load a simulated Sentry into files with Meltano, build marts with dbt, query both.

    python -m tests.demo .venv-meltano/bin/meltano .venv-dbt/bin/dbt

The pipeline is that of `meltano.yml`, and the models are those of `examples/dbt`, so
your own data is loaded in the same way. Without dbt, its part is left out.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from tests.sentry import TOKEN

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "dbt"
#: The folder that the environment `demo` of `meltano.yml` writes to.
OUTPUT = ROOT / "output" / "demo"
#: What dbt builds from the files.
DATABASE = OUTPUT / "sentry.duckdb"

QUESTION = "Which three issues hit the most users in the last 30 days?"
ANSWER = """
select
  projects.slug as project,
  issues.title as issue,
  count(distinct coalesce(
    events.user.id, events.user.email, events.user.username, events.user.ip_address
  )) as users,
  count(*) as events,
  max(events.dateCreated)::date as last_seen
from 'project_events.jsonl' as events
join 'project_issues.jsonl' as issues
  on (issues.organization_id, issues.id) = (events.organization_id, events.issue_id)
join 'organization_projects.jsonl' as projects
  on (projects.organization_id, projects.id)
   = (events.organization_id, events.project_id)
where events.dateCreated >= now() - interval 30 days
group by all
order by users desc, events desc
limit 3
"""

#: Questions for the marts, and what answers them.
MARTS = {
    "Which issues came back after they were resolved?": """
select
  issue,
  owner_team,
  times_reopened as reopened,
  days_to_resolve,
  reopened_at::date as last_reopened,
  status
from analytics.issue_lifecycle
where times_reopened > 0
order by reopened_at desc
""",
    "Which releases crashed, and how often?": """
select project, release, sessions, crash_free_rate, new_issues, errors
from analytics.release_health
where sessions > 0
order by crash_free_rate, project, release
limit 5
""",
    "Is every event loaded that Sentry counted?": """
select
  project,
  sum(counted_events)::bigint as counted,
  sum(loaded_events)::bigint as loaded,
  round(100 * sum(loaded_events) / sum(counted_events), 2) as percent
from analytics.event_completeness
where is_finished
group by project
having sum(counted_events) > 0
order by counted desc
""",
}


def main() -> None:
    """Start a server, load its data and show the result."""
    meltano, dbt = (Path(path).absolute() for path in sys.argv[1:])
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    with simulator() as url:
        say(f"A simulated Sentry answers at {url}")
        pipeline = Pipeline(meltano, url)
        say("What a run will read: tap-sentry --plan")
        pipeline.plan()
        say("What it has read: meltano run tap-sentry target-jsonl")
        pipeline.load()
    files = len([*OUTPUT.glob("*.jsonl")])
    print(f"\n{files} streams have a file with their rows in {shown(OUTPUT)}")
    # The SQL can then name files without their folder, as a reader would.
    with duckdb.connect(config={"file_search_path": str(OUTPUT)}) as connection:
        answer(connection, {QUESTION: ANSWER})
    if not dbt.exists():
        say("Left out: three questions for the marts of examples/dbt")
        print("dbt cannot be installed here; `make dbt` says why")
        return
    say("The marts of examples/dbt: dbt build")
    build(dbt)
    with duckdb.connect(DATABASE, read_only=True) as connection:
        answer(connection, MARTS)


@contextmanager
def simulator() -> Iterator[str]:
    """Run the simulator in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "tests.sentry", "--size", "demo"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            if not (url := server.stdout.readline().strip()):
                sys.exit("The simulator did not start")
            yield url
        finally:
            server.terminate()


@dataclass(frozen=True)
class Pipeline:
    """The tap and the target, run by Meltano with the environment `demo`."""

    meltano: Path
    #: The address of the simulator.
    url: str

    def plan(self) -> None:
        """Print what a run would read."""
        # Meltano selects streams only where it syncs; other commands get this file.
        catalog = OUTPUT / "catalog.json"
        with catalog.open("w", encoding="utf-8") as file:
            self.run("invoke", "--dump=catalog", "tap-sentry", stdout=file)
        self.run("invoke", "tap-sentry", "--catalog", str(catalog), "--plan")

    def load(self) -> None:
        """Load everything, and print the summary of the tap."""
        log = OUTPUT / "run.log"
        command = ("run", "--full-refresh", "tap-sentry", "target-jsonl")
        with log.open("w", encoding="utf-8") as file:
            self.run(*command, level="info", stderr=file)
        for line in summary(log.read_text("utf-8").splitlines()):
            print(line)

    def run(
        self,
        *command: str,
        level: str = "warning",
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        """Run a command of Meltano; exit if it fails."""
        options = (f"--log-level={level}", "--log-format=json" if stderr else "")
        ended = subprocess.run(  # noqa: S603 - what the Makefile names
            [
                self.meltano,
                *filter(None, options),
                "--environment=demo",
                *command,
            ],
            cwd=ROOT,
            env=environment("MELTANO_", "TAP_SENTRY_", "TARGET_JSONL_")
            | {"TAP_SENTRY_API_URL": self.url, "TAP_SENTRY_AUTH_TOKEN": TOKEN},
            stdout=stdout,
            stderr=stderr,
            check=False,
        )
        if ended.returncode:
            log = f"; see {shown(stderr.name)}" if stderr else ""
            sys.exit(f"The pipeline failed{log}")


def summary(log: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the tap's summary in a log of Meltano."""
    for line in log:
        entry = json.loads(line) if line.startswith("{") else {}
        event = str(entry.get("event"))
        if entry.get("string_id") == "tap-sentry" and " read with " in event:
            yield event


def build(dbt: Path) -> None:
    """Build and test the models over the files, and print how that ended."""
    ended = subprocess.run(  # noqa: S603 - what the Makefile names
        [
            *(dbt, "--no-use-colors", "build", "--target", "duckdb"),
            *("--target-path", OUTPUT / "dbt", "--log-path", OUTPUT / "dbt"),
        ],
        cwd=EXAMPLE,
        env=environment("DBT_", "SENTRY_") | {"SENTRY_DUCKDB": str(DATABASE)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        print(ended.stdout, file=sys.stderr)
        sys.exit("dbt failed")
    for line in ended.stdout.splitlines():
        if "Finished running" in line or "Done." in line:
            print(line.partition("  ")[2])


def environment(*prefixes: str) -> dict[str, str]:
    """Return the environment without variables of some prefixes."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes)
    }


def answer(connection: duckdb.DuckDBPyConnection, questions: Mapping[str, str]) -> None:
    """Print each question, the SQL that answers it, and the answer."""
    for question, sql in questions.items():
        say(question)
        print(sql)
        connection.query(sql).show(max_width=100)


def shown(path: Path | str) -> str:
    """Return a path as seen from the folder of the clone."""
    return os.path.relpath(path, ROOT)


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    main()
