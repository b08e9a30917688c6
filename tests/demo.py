"""Load a simulated Sentry into files with Meltano, and query the files.

    python -m tests.demo .venv-meltano/bin/meltano

The pipeline is that of `meltano.yml`, so your own data is loaded in the same way.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tests.sentry import TOKEN

ROOT = Path(__file__).parent.parent
#: The folder that the environment `demo` of `meltano.yml` writes to.
OUTPUT = ROOT / "output" / "demo"

ROWS = """
select parse_filename(filename, true) as stream, count(*) as "rows"
from read_json_objects('*.jsonl', filename = true)
group by stream
order by stream
"""

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


def main() -> None:
    """Start a server, load its data and show the result."""
    with simulator() as url:
        say(f"A simulated Sentry answers at {url}")
        say("meltano run tap-sentry target-jsonl")
        load(Path(sys.argv[1]), url)
    say(f"What is in {OUTPUT.relative_to(ROOT)} now")
    # The SQL can then name files without their folder, as a reader would.
    files = duckdb.connect(config={"file_search_path": str(OUTPUT)})
    files.query(ROWS).show(max_rows=100)
    say(QUESTION)
    print(ANSWER)
    files.query(ANSWER).show(max_width=100)


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


def load(meltano: Path, url: str) -> None:
    """Run the pipeline with a full refresh, into an empty folder."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    ours = ("MELTANO_", "TAP_SENTRY_", "TARGET_JSONL_")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }
    command: list[str | Path] = [meltano, "--log-level=warning", "--environment=demo"]
    command += ["run", "--full-refresh", "tap-sentry", "target-jsonl"]
    run = subprocess.run(  # noqa: S603 - what the Makefile names
        command,
        cwd=ROOT,
        env=environment | {"TAP_SENTRY_API_URL": url, "TAP_SENTRY_AUTH_TOKEN": TOKEN},
        check=False,
    )
    if run.returncode:
        sys.exit("The pipeline failed")


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    main()
