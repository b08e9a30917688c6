"""Runs of the tap and a target as separate processes, over a socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Leaks, catalog_of
from tests.sentry import STREAMS, TOKEN, Key, SentrySimulator, Token
from tests.sentry.data import iso

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[1]
TAP = [sys.executable, "-m", "tap_sentry"]

#: The streams that belong to issues with new events.
OF_ISSUES = {"issue_tags", "issue_hashes", "issue_links"}
#: The streams that each run reads in full. That of commits goes by pages.
LISTS = {
    entry["stream"]
    for entry in catalog_of()["streams"]
    if entry["replication_method"] == "FULL_TABLE" and entry["stream"] not in OF_ISSUES
} | {"repository_commits"}
#: The hours before the end of the first run from which the second one reads; of figures
#: the whole days.
REREAD = {
    "monitor_checkins": 24,
    "organization_incidents": 7 * 24,
    "release_commits": 7 * 24,
}
FIGURES = {name for name in STREAMS if name.endswith("_event_counts")} | {
    "organization_usage",
    "release_health",
}
#: The streams that this kind of server lacks.
RETIRED = {"organization_metric_alert_rules", "project_alert_rules"}


@pytest.fixture(scope="module")
def target() -> str:
    """The path of target-jsonl, which has a virtual environment of its own."""
    path = Path(
        os.environ.get("TARGET_JSONL") or ROOT / ".venv-target" / "bin" / "target-jsonl"
    )
    if not path.exists():
        pytest.fail(
            f"target-jsonl is not at {path}: run `make test`, or say in TARGET_JSONL "
            "where it is",
            pytrace=False,
        )
    return str(path)


@dataclass
class Pipeline:
    """`tap-sentry | target-jsonl`, as a shell runs it."""

    target: str
    folder: Path

    def run(
        self,
        name: str,
        config: dict[str, Any] | str,
        *options: str | Path,
        environment: dict[str, str] | None = None,
    ) -> Loaded:
        """Run the pipeline; the target writes into a folder of this name."""
        folder = self.folder / name
        folder.mkdir()
        if not isinstance(config, str):
            config = str(written(folder / "tap.json", config))
        to = written(folder / "target.json", {"destination_path": str(folder)})
        with (
            (folder / "log").open("wb") as log,
            (folder / "state.json").open("wb") as states,
            subprocess.Popen(  # noqa: S603, these are ours
                [*TAP, "--config", config, *options],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | (environment or {}),
            ) as tap,
        ):
            loaded = subprocess.run(  # noqa: S603, likewise
                [self.target, "--config", to],
                stdin=tap.stdout,
                stdout=states,
                stderr=log,
                check=False,
            )
        leaks = Leaks()
        leaks.look_into(folder)
        assert not leaks.found
        return Loaded(folder, (tap.returncode, loaded.returncode))


@dataclass
class Loaded:
    """The files and the exit codes of one run."""

    folder: Path
    codes: tuple[int, int]

    def keys(self, stream: str) -> list[tuple[Any, ...]]:
        """The primary keys in the files of a stream, sorted."""
        names = next(
            item["key_properties"]
            for item in catalog_of()["streams"]
            if item["stream"] == stream
        )
        return sorted(
            tuple(json.loads(line)[name] for name in names)
            for file in self.folder.glob(f"{stream}-*.jsonl")
            for line in file.read_text().splitlines()
        )

    @property
    def state(self) -> Path:
        """A file with the last state that the target printed."""
        *_, last = (self.folder / "state.json").read_text().splitlines()
        return written(self.folder / "last.json", json.loads(last))

    @property
    def log(self) -> str:
        """What the tap and the target wrote to stderr."""
        return (self.folder / "log").read_text()


def written(path: Path, content: object) -> Path:
    """Write JSON to a file and return its path."""
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def pipeline(target, tmp_path_factory) -> Pipeline:
    """The pipeline from the tap to the target."""
    return Pipeline(target, tmp_path_factory.mktemp("pipeline"))


@dataclass
class Runs:
    """Two runs, the second with the state of the first."""

    sentry: SentrySimulator
    start: datetime
    #: What the first run has to read.
    truth: dict[str, list[Key]]
    first: Loaded
    second: Loaded


@pytest.fixture(scope="module")
def runs(pipeline) -> Runs:
    """Sync all streams twice, and add one event between the runs."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    sentry = SentrySimulator(clock=lambda: start)
    catalog = written(pipeline.folder / "catalog.json", catalog_of())
    with sentry.served():
        config = {"auth_token": TOKEN, "api_url": sentry.url, "end_date": iso(start)}
        first = pipeline.run("first", config, "--catalog", catalog)
        truth = {stream: sorted(sentry.truth(stream, end=start)) for stream in STREAMS}
        sentry.clock = lambda: start + timedelta(seconds=1)
        sentry.add_event("telescope", sentry.project("telescope").issues[0], start)
        config["end_date"] = iso(sentry.clock())
        state = ("--state", first.state)
        second = pipeline.run("second", config, "--catalog", catalog, *state)
    return Runs(sentry, start, truth, first, second)


def test_the_first_run_brings_all_there_is(runs):
    """The first run loads every row of the fifty streams exactly once."""
    assert {stream: runs.first.keys(stream) for stream in STREAMS} == runs.truth
    assert {stream for stream, keys in runs.truth.items() if not keys} == RETIRED


def test_the_next_run_brings_what_is_new_and_the_lookback(runs):
    """The next run reads an hour of events, two days of figures, and the lists."""
    midnight = runs.start.replace(hour=0, minute=0, second=0)
    since = {
        stream: None
        if stream in LISTS
        else midnight - timedelta(days=1)
        if stream in FIGURES
        else runs.start - timedelta(hours=REREAD.get(stream, 1))
        for stream in STREAMS
    }

    expected = {
        stream: sorted(runs.sentry.truth(stream, start))
        for stream, start in since.items()
    }
    # All activities and comments of the issues that are visited.
    visited = {key[-1] for key in expected["project_issues"]}
    for stream in ("issue_activities", "issue_comments"):
        whole = sorted(runs.sentry.truth(stream))
        expected[stream] = [key for key in whole if key[1] in visited]
    assert {stream: runs.second.keys(stream) for stream in STREAMS} == expected
    assert len(runs.second.keys("project_events")) < 20


def test_both_runs_end_well(runs):
    """The tap and the target exit with 0 in both runs."""
    assert (runs.first.codes, runs.second.codes) == ((0, 0), (0, 0))


def test_all_settings_can_come_from_the_environment(pipeline):
    """`--config ENV` reads every setting from the environment."""
    with SentrySimulator().served() as sentry:
        environment = {
            "TAP_SENTRY_AUTH_TOKEN": TOKEN,
            "TAP_SENTRY_API_URL": sentry.url,
            "TAP_SENTRY_ORGANIZATIONS": '["sternwarte"]',
            "TAP_SENTRY_START_DATE": "3d",
        }
        loaded = pipeline.run("environment", "ENV", environment=environment)
        key = sentry.organization("sternwarte").id

    assert loaded.codes == (0, 0)
    assert loaded.keys("organizations") == [(key,)]
    assert len(loaded.keys("organization_event_counts")) == 4


def test_a_server_that_closes_connections_is_read_without_a_word(pipeline):
    """Sentry 9 closes connections after each answer, and nothing is retried."""
    catalog = written(pipeline.folder / "events.json", catalog_of("project_events"))
    with SentrySimulator(flavour="self-hosted-9", page_size=20).served() as sentry:
        config = {"auth_token": TOKEN, "api_url": sentry.url, "concurrency": 2}
        loaded = pipeline.run("closing", config, "--catalog", catalog)
        truth = sorted(sentry.truth("project_events"))

    assert (loaded.codes, loaded.keys("project_events")) == ((0, 0), truth)
    assert "again" not in loaded.log


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (Token(expired=True), "refuses the auth_token (Token expired)"),
        (Token(frozenset({"org:read"})), "needs a token with the scope"),
    ],
    ids=["expired", "few scopes"],
)
def test_a_refusal_is_told_without_a_traceback_and_without_the_token(
    pipeline, request, token, says
):
    """A refusal ends the tap with code 1 and a message without traceback or token."""
    with SentrySimulator(tokens={TOKEN: token}).served() as sentry:
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        loaded = pipeline.run(request.node.callspec.id, config)

    assert loaded.codes == (1, 0)
    assert says in loaded.log
    assert [word for word in ("Traceback", TOKEN) if word in loaded.log] == []
