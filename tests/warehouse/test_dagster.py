"""The Dagster example loads parallel shards into one PostgreSQL, more than once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.sentry import STREAMS, TOKEN, SentrySimulator
from tests.test_catalog import NOT_BY_DEFAULT
from tests.warehouse.conftest import ROOT, Database, documented, plain_environment

pytestmark = pytest.mark.dagster

EXAMPLE = ROOT / "examples" / "dagster"
DAGSTER = ROOT / ".venv-dagster" / "bin" / "dagster"

ORGANIZATION = "the-interstellar-jurisdiction"
#: Streams, and beginnings of their names, that follow the setting `projects`.
FOLLOWING = {"organization_projects", "projects", "team_projects", "project_", "issue_"}
#: Streams that only one shard of an organization may read: see docs/scaling.md.
WHOLE = {
    name
    for name in STREAMS
    if name not in FOLLOWING and not name.startswith(("project_", "issue_"))
}
SHARDS = {
    "sternwarte": {"organizations": ["sternwarte"]},
    "jurisdiction": {
        "organizations": [ORGANIZATION],
        "projects": ["!prime-*"],
    },
    "jurisdiction-prime": {
        "organizations": [ORGANIZATION],
        "projects": ["prime-*"],
        "streams": sorted(set(STREAMS) - NOT_BY_DEFAULT - WHOLE),
    },
}


@dataclass
class Engine:
    """Dagster with the shards above, the simulator and a database."""

    folder: Path
    sentry: SentrySimulator
    database: Database
    target: Path

    def execute(self, shard: str) -> tuple[int, str]:
        """Run the job for one shard, and return its exit code and output."""
        settings = json.loads(documented("json")[0])
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text((EXAMPLE / "dagster.yaml").read_text())
        shards = self.folder / "shards.json"
        shards.write_text(json.dumps(SHARDS))
        environment = plain_environment() | {
            "DAGSTER_HOME": str(home),
            "SENTRY_SHARDS": str(shards),
            "SENTRY_STATES": str(self.folder / "states"),
            "SENTRY_RETRY_DELAY": "1",
            "TAP_SENTRY": str(Path(sys.executable).with_name("tap-sentry")),
            "TAP_SENTRY_AUTH_TOKEN": TOKEN,
            "TAP_SENTRY_API_URL": self.sentry.url,
            "TARGET_POSTGRES": str(self.target),
            "TARGET_POSTGRES_HOST": "127.0.0.1",
            "TARGET_POSTGRES_PORT": str(self.database.server.port),
            "TARGET_POSTGRES_USER": "postgres",
            "TARGET_POSTGRES_PASSWORD": settings["password"],
            "TARGET_POSTGRES_DATABASE": self.database.name,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": settings["default_target_schema"],
        }
        command: list[str | Path] = [DAGSTER, "job", "execute", "--job", "load_shard"]
        command += ["--python-file", EXAMPLE / "definitions.py"]
        command += ["--tags", json.dumps({"dagster/partition": shard})]
        run = subprocess.run(  # noqa: S603, these are ours
            command,
            cwd=self.folder,
            env=environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return run.returncode, run.stdout

    def execute_all(self) -> None:
        """Run all shards: the first alone, as it creates the tables, then the rest."""
        first, *rest = SHARDS
        with ThreadPoolExecutor(2) as pool:
            for code, printed in (self.execute(first), *pool.map(self.execute, rest)):
                assert code == 0, printed

    def rows(self) -> dict[str, int]:
        """The number of rows in each table."""
        tables = self.database.values(
            "select table_name from information_schema.tables "
            "where table_schema = 'sentry'"
        )
        rows = {}
        for (name,) in tables:
            query = f"select count(*) from sentry.{name}"  # noqa: S608, a name of ours
            ((rows[name],),) = self.database.values(query)
        return rows

    def state(self, shard: str) -> dict[str, object]:
        """The bookmarks of a shard."""
        text = (self.folder / "states" / shard / "state.json").read_text()
        bookmarks: dict[str, object] = json.loads(text)["bookmarks"]
        return bookmarks


@pytest.fixture(scope="module")
def engine(server, target, tmp_path_factory):
    if not DAGSTER.exists():
        pytest.fail(f"Dagster is not at {DAGSTER}: run `make dagster`", pytrace=False)
    database = server.database("dagster")
    with SentrySimulator().served() as sentry:
        yield Engine(tmp_path_factory.mktemp("dagster"), sentry, database, target)


@pytest.fixture(scope="module")
def loaded(engine):
    """The engine after all three shards were loaded."""
    engine.execute_all()
    return engine


def test_the_shards_of_the_example_can_be_read():
    """The shards use existing settings, and streams that any shard may read."""
    shards = json.loads((EXAMPLE / "shards.json").read_text())

    assert {key for shard in shards.values() for key in shard} == {
        "organizations",
        "projects",
        "streams",
    }
    named = [set(shard["streams"]) for shard in shards.values() if "streams" in shard]
    assert named
    assert all(streams <= set(STREAMS) - WHOLE for streams in named)


def test_the_documentation_names_what_follows_the_projects():
    """Only one shard of an organization may read the other streams."""
    text = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    sentence, _, _ = text.partition(" follow the setting `projects`.")
    _, _, sentence = sentence.rpartition(" - ")

    assert set(re.findall("`(.*?)`", sentence)) == FOLLOWING


def test_the_shards_together_load_what_one_run_would(loaded):
    rows = loaded.rows()

    assert rows == {
        stream: len(loaded.sentry.truth(stream))
        for stream in set(STREAMS) - NOT_BY_DEFAULT
    }


def test_a_shard_goes_on_from_its_own_state(loaded):
    """A shard run again loads the one new event and changes no other shard's state."""
    before = {shard: loaded.state(shard) for shard in SHARDS}
    rows = loaded.rows()
    project = loaded.sentry.project("telescope")
    loaded.sentry.add_event("telescope", project.issues[0], datetime.now(UTC))
    loaded.sentry.requests.clear()

    code, printed = loaded.execute("sternwarte")

    assert code == 0, printed
    gained = Counter(loaded.rows()) - Counter(rows)
    assert gained["project_events"] == 1
    # The first event of a day has figures of its own.
    of_the_event = {"project_events", "project_issues", "project_users"}
    assert set(gained) <= of_the_event | {"organization_usage"}
    asked = [
        request.params["start"][0]
        for request in loaded.sentry.requests
        if request.path.endswith("/telescope/events/")
    ]
    assert asked
    since = datetime.now(UTC) - timedelta(hours=2)
    assert min(map(datetime.fromisoformat, asked)) > since
    after = {shard: loaded.state(shard) for shard in SHARDS}
    assert [shard for shard in SHARDS if after[shard] != before[shard]] == [
        "sternwarte"
    ]


def test_a_shard_that_fails_is_tried_again_and_loads_the_rest(loaded):
    """A run that Sentry refuses once is retried by Dagster, and the retry succeeds."""
    loaded.sentry.fault(
        403, when=lambda request: request.path == "organizations/sternwarte/"
    )

    code, printed = loaded.execute("sternwarte")

    assert code == 0, printed
    assert "STEP_UP_FOR_RETRY" in printed
