"""The real command loses nothing when it is killed at random and resumed.

Each run resumes from the last STATE line written before it. target-jsonl loads what all
runs wrote into files, which are compared with those of one uninterrupted run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests import IS_SOAK
from tests.conftest import catalog_of
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.data import generated

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
KILLS = 20 if IS_SOAK else 7
#: The exit code of the command after each signal.
CODES = {
    None: 0,
    signal.SIGKILL: -signal.SIGKILL,
    signal.SIGTERM: 128 + signal.SIGTERM,
    signal.SIGINT: 128 + signal.SIGINT,
}
PAGE = 10
#: The streams that resume within a project.
SCANNED = (
    "project_events",
    "project_event_entries",
    "issue_events",
    "issue_event_entries",
    "project_feedback",
)
STREAMS = (
    *SCANNED,
    "organizations",
    "organization_projects",
    "project_issues",
    "project_event_counts",
)


@pytest.fixture(scope="module")
def target():
    """Return the path of the target-jsonl command."""
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


@pytest.fixture(scope="module")
def sentry():
    """Serve a Sentry whose newest events are older than the lookback."""
    organizations = generated(
        organizations=1,
        teams=1,
        projects=3,
        issues=45,
        events=900,
        now=datetime.now(UTC) - timedelta(hours=2),
        full_kilobytes=1,
    )
    simulator = SentrySimulator(organizations, latency=0.005, page_size=PAGE)
    with simulator.served():
        yield simulator


@dataclass
class Run:
    """What one process wrote, and how it ended."""

    #: The complete lines; a kill can cut the last one.
    lines: list[bytes]
    code: int
    log: str
    messages: list[dict[str, Any]] = field(init=False)

    def __post_init__(self):
        self.messages = [json.loads(line) for line in self.lines]

    @property
    def state(self):
        """The last STATE."""
        states = [m["value"] for m in self.messages if m["type"] == "STATE"]
        return states[-1] if states else None

    def rows(self):
        """Yield stream, key and record of each row, and whether a STATE followed it."""
        names = {
            message["stream"]: message["key_properties"]
            for message in self.messages
            if message["type"] == "SCHEMA"
        }
        kinds = [message["type"] for message in self.messages]
        last = len(kinds) - 1 - kinds[::-1].index("STATE") if "STATE" in kinds else 0
        for index, message in enumerate(self.messages):
            if message["type"] == "RECORD":
                stream, record = message["stream"], message["record"]
                key = tuple(record[name] for name in names[stream])
                yield stream, key, record, index < last


@pytest.fixture
def tap(sentry, tmp_path):
    """Run the command, and send it a signal after a number of requests or bytes."""
    numbers = count(1)

    def tap(*streams, state=None, kill=None, after=None, size=None):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        files = {
            "config": {"auth_token": TOKEN, "api_url": sentry.url},
            "catalog": catalog_of(*streams),
        }
        if state is not None:
            files["state"] = state
        command = [sys.executable, "-m", "tap_sentry"]
        for name, content in files.items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps(content), "utf-8")
            command += [f"--{name}", str(path)]
        asked, answer = count(1), SentrySimulator.answer

        def answered(method, url, headers):
            if next(asked) == after and kill:
                process.send_signal(kill)
            return answer(sentry, method, url, headers)

        def watch():
            while process.poll() is None:
                if (folder / "out").stat().st_size >= size:
                    process.send_signal(kill)
                    return
                time.sleep(0.001)

        sentry.answer = answered
        with (
            (folder / "out").open("wb") as out,
            (folder / "log").open("wb") as log,
            subprocess.Popen(  # noqa: S603 - our own command
                command, stdout=out, stderr=log, cwd=ROOT
            ) as process,
        ):
            if kill and size is not None:
                threading.Thread(target=watch, daemon=True).start()
            code = process.wait(60)
        whole = (folder / "out").read_bytes().rpartition(b"\n")[0]
        return Run(whole.splitlines(), code, (folder / "log").read_text("utf-8"))

    return tap


@pytest.fixture
def load(target, tmp_path):
    """Load lines into files, and return the rows of each stream."""

    def load(name, lines):
        folder = tmp_path / name
        folder.mkdir()
        config = folder / "config.json"
        config.write_text(json.dumps({"destination_path": str(folder)}))
        subprocess.run(  # noqa: S603 - our own command
            [target, "--config", str(config)],
            input=b"\n".join(lines) + b"\n",
            check=True,
            capture_output=True,
        )
        return {
            path.name.partition("-")[0].removesuffix(".jsonl"): [
                json.loads(line) for line in path.read_text("utf-8").splitlines()
            ]
            for path in folder.glob("*.jsonl")
        }

    return load


def by_key(run, rows):
    """Return the rows of each stream by key, the last of each."""
    names = {
        message["stream"]: message["key_properties"]
        for message in run.messages
        if message["type"] == "SCHEMA"
    }
    return {
        stream: {tuple(row[name] for name in names[stream]): row for row in found}
        for stream, found in rows.items()
    }


def written_again(run, acknowledged):
    """Count the rows of each stream and project that a former STATE had followed."""
    again = defaultdict(set)
    for stream, key, record, _ in run.rows():
        if stream in SCANNED and key in acknowledged[stream]:
            again[stream, record["project_id"]].add(key[:3])
    return Counter({place: len(rows) for place, rows in again.items()})


def test_killed_many_times_nothing_is_lost(sentry, tap, load):
    chance = random.Random(20)  # noqa: S311 - nothing is secret here
    before = len(sentry.requests)
    clean = tap(*STREAMS)
    requests = len(sentry.requests) - before
    assert clean.code == 0, clean.log

    state, runs, killed = None, [], 0
    twice: Counter[tuple[str, str]] = Counter()
    acknowledged: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    size = sum(map(len, clean.lines))
    for number in range(KILLS + 1):
        kill = (signal.SIGKILL, signal.SIGTERM)[number % 2] if number < KILLS else None
        # Together the killed runs write somewhat less than the clean run. One kill in
        # five comes early, while little has been written.
        moment = (
            {"size": chance.randint(1, 3 * size // (2 * KILLS))}
            if number % 5
            else {"after": chance.randint(1, 40)}
        )
        run = tap(*STREAMS, state=state, kill=kill, **moment)
        # On a slow machine a run can end before it is killed.
        assert run.code in {CODES[kill], 0}, (number, run.log)
        killed += run.code != 0
        again = written_again(run, acknowledged)
        twice.update(again)
        # At most two pages of each project; with random dates, ties are rare.
        assert all(rows <= 2 * PAGE for rows in again.values()), (number, again)
        for stream, key, _, is_acknowledged in run.rows():
            if is_acknowledged:
                acknowledged[stream].add(key)
        state = run.state or state
        runs.append(run)

    wanted = by_key(clean, load("clean", clean.lines))
    found = load("killed", [line for run in runs for line in run.lines])
    rows = {stream: len(found[stream]) for stream in SCANNED}
    print(  # noqa: T201 - with `pytest -s`
        f"{requests} requests of a clean run, "
        f"{len(sentry.requests) - before - requests} of {killed} killed and a last; "
        f"{sum(1 for run in runs if any(s in SCANNED for s, *_ in run.rows()))} wrote"
        f" rows {rows}, written again {sum(twice.values())}, "
        f"the most of one stream and project {max(twice.values(), default=0)}"
    )
    assert killed > KILLS / 2
    assert runs[-1].code == 0
    kept = by_key(runs[-1], found)
    assert kept.keys() == wanted.keys()
    for stream, wanted_rows in wanted.items():
        assert kept[stream].keys() == wanted_rows.keys(), stream
        if stream in SCANNED:
            assert kept[stream] == wanted_rows, stream


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_a_state_that_fits_the_rows(kill, sentry, tap):
    run = tap("project_events", kill=kill, size=200_000)

    assert run.code == CODES[kill]
    assert "Traceback" not in run.log
    rows = defaultdict(list)
    for _, _, record, _ in run.rows():
        rows[record["project_id"]].append(datetime.fromisoformat(record["dateCreated"]))
    assert rows
    entries = run.state["bookmarks"]["project_events"]["by_id"]
    for project, dates in rows.items():
        entry = entries.get(project, {})
        events = sentry.project(project).events
        now = datetime.now(UTC)
        kept = events.newest(now - timedelta(days=90), now)
        if "bookmark" in entry:
            assert len(dates) == len(kept)
        elif entry:
            reached = datetime.fromisoformat(entry["scan"][0]["at"])
            # Everything down to that date is written, and at most a page below it.
            newer = [e for e in kept if e.created >= reached + timedelta(seconds=1)]
            assert sum(date > reached for date in dates) >= len(newer)
            assert sum(date < reached for date in dates) <= PAGE
        else:
            assert len(dates) <= PAGE
