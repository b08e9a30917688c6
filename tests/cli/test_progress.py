"""The live table on a terminal, and the summary after a run."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import metrics

from tap_sentry.api import rate_limits as limits
from tap_sentry.cli import summary
from tap_sentry.cli.summary import StreamSummary
from tap_sentry.sync.metrics import StreamCounter
from tests.conftest import catalog_of
from tests.sentry import TOKEN, SentrySimulator, Token
from tests.soak import Faulty

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
#: Seconds that a test waits for a condition or a process.
PATIENCE = 60.0
STREAMS = ("organization_projects", "project_issues", "project_events", "project_users")

#: Moves to the top of the lines that are redrawn, and erases them.
REDRAWN = re.compile(r"(?:\r?\x1b\[2K|\r?\x1b\[1A)+")
CONTROL = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])")


@dataclass
class Terminal:
    """A terminal that a process writes to, and what it has written so far."""

    process: subprocess.Popen[bytes]
    master: int
    raw: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        """Read until the process has closed the terminal."""
        while True:
            try:
                part = os.read(self.master, 1 << 16)
            except OSError:
                return
            if not part:
                return
            self.raw += part

    @property
    def text(self) -> str:
        """Everything that was written, unchanged."""
        return self.raw.decode()

    @property
    def frames(self) -> list[str]:
        """The content of the terminal between one redraw and the next."""
        parts = REDRAWN.split(self.text)
        return [CONTROL.sub("", part).replace("\r\n", "\n") for part in parts]

    @property
    def end(self) -> list[str]:
        """The lines that are left at the end."""
        return self.frames[-1].rstrip("\n").splitlines()

    @property
    def controls(self) -> Counter[str]:
        """The control sequences: `2K` erases a line, `1A` goes up one."""
        return Counter("".join(found) for found in CONTROL.findall(self.text))


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """A small Sentry with the clock of this machine."""
    found = Faulty(now=datetime.now(UTC).replace(microsecond=0), latency=0.005)
    with found.served():
        yield found


def command(
    sentry: SentrySimulator, folder: Path, *streams: str, **settings: Any
) -> list[str]:
    """Write the config and the catalog; return the command line of a run."""
    config = {
        "auth_token": TOKEN,
        "api_url": sentry.url,
        "start_date": "3d",
        "concurrency": 1,
        **settings,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog_of(*streams)))
    return [
        *(sys.executable, "-m", "tap_sentry"),
        *("--config", str(folder / "config.json")),
        *("--catalog", str(folder / "catalog.json")),
    ]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a plain terminal."""
    ours = ("TAP_SENTRY_", "LOGLEVEL", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLUMNS")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }
    return {**kept, "TERM": "xterm-256color", **more}


def run(
    line: list[str], folder: Path, *, send: Any = None, out: Any = None, **more: str
) -> Terminal:
    """Run a command with its stderr on a terminal, and read that to the end.

    `send` is called with the terminal once the process has started. The stdout of the
    process is the file `out` of the folder, the descriptor `out` or the same terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with (folder / "out").open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own
            line,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=slave if out == "terminal" else out or file,
            stderr=slave,
            env=environment(**more),
        )
    os.close(slave)
    terminal = Terminal(process, master)
    reader = threading.Thread(target=terminal.read)
    reader.start()
    try:
        if send:
            send(terminal)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        reader.join(PATIENCE)
        os.close(master)
    return terminal


def wait_for(is_there: Any) -> None:
    """Wait until a condition holds."""
    start = time.monotonic()
    while not is_there():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.01)


def written(folder: Path) -> list[dict[str, Any]]:
    """Return the messages on stdout, without `time_extracted`."""
    lines = (folder / "out").read_text().splitlines()
    messages = [json.loads(line) for line in lines]
    for message in messages:
        message.pop("time_extracted", None)
    return messages


def counts(folder: Path) -> dict[str, str]:
    """Return the number of records of each stream on stdout, as the table prints it."""
    streams = [m["stream"] for m in written(folder) if m["type"] == "RECORD"]
    return {stream: f"{number:,}" for stream, number in Counter(streams).items()}


# On a terminal ------------------------------------------------------------------------


def test_a_terminal_shows_how_far_each_stream_is(sentry, tmp_path):
    """Each stream that is running has a line, which is redrawn in place."""
    sentry.latency = 0.07
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path)
    live = [frame for frame in terminal.frames[:-1] if frame.strip()]
    some = [frame for frame in live if re.search(r"[1-9] of [2-9] projects", frame)]

    assert terminal.process.returncode == 0
    assert len(live) > 3
    assert some
    for frame in live:
        lines = frame.rstrip("\n").splitlines()
        assert lines[0].split() == ["stream", "records", "requests", "held", *HEADER]
        assert len({line[3:].split()[0] for line in lines}) == len(lines)
    read = [int(n) for f in live for n in re.findall(r"project_events +(\d+)", f)]
    assert read == sorted(read)
    assert len(set(read)) > 1


HEADER = ["back", "done"]


def test_what_was_read_stands_in_a_table_at_the_end(sentry, tmp_path):
    """Only the final table is left, and its numbers are those of stdout."""
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in terminal.end[1:]}

    assert terminal.end[0].split()[-1] == "done"
    assert terminal.frames[-1].count("project_events") == 1
    assert {name: rows[name][0] for name in STREAMS} == counts(tmp_path)
    assert rows["organizations"] == ["2"]  # requests: its records are not selected
    extent = " ".join(rows["project_events"])
    assert extent.endswith("6 projects, 100 % of what Sentry counts")
    assert rows["total"][1] == f"{len(sentry.requests)}"
    assert list(rows)[-1] == "total"


def test_the_lines_of_the_sdk_about_itself_are_left_out(sentry, tmp_path):
    """The SDK's metrics are in the table, and in the log only at DEBUG."""
    line = command(sentry, tmp_path, "organizations")
    plain = run(line, tmp_path)
    debug = run(line, tmp_path, TAP_SENTRY_LOGLEVEL="debug")

    assert "METRIC" not in plain.text
    assert "as child stream" not in plain.text
    assert "METRIC" in debug.text


def test_log_lines_stand_whole_above_the_lines_that_are_redrawn(sentry, tmp_path):
    """Log lines are not cut, even if they are wider than the terminal."""
    sentry.fault(
        500,
        times=2,
        body={"detail": "words " * 30},
        when=lambda seen: seen.path.endswith("/users/"),
    )
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path)
    said = [line for line in terminal.text.splitlines() if "; try " in line]

    assert len(said) == 2
    for line in said:
        assert re.search(r"(words ){30}; try [23] of 5 in \d\.\d s *$", line)
        assert CONTROL.sub("", line).startswith("20")


def test_a_wait_for_a_limit_is_shown(sentry, tmp_path):
    """The table shows the time left to wait, and in the end the time waited."""
    sentry.fault(429, retry_after=3, when=lambda seen: seen.path.endswith("/users/"))
    terminal = run(command(sentry, tmp_path, "project_users"), tmp_path)
    end = {line.split()[0]: line for line in terminal.end}

    assert any(re.search(r"project_users .* [23] s to go", f) for f in terminal.frames)
    assert re.search(r" 3 s ", end["project_users"])
    assert re.search(r" 3 s ", end["total"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_terminal_is_as_before_whatever_ends_the_run(sentry, tmp_path, number):
    """The cursor is never hidden, so nothing can leave it hidden."""
    sentry.latency = 0.1

    def send(terminal: Terminal) -> None:
        wait_for(lambda: "project_events" in terminal.text)
        terminal.process.send_signal(number)

    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path, send=send)

    is_killed = number == signal.SIGKILL
    assert terminal.process.returncode == (-9 if is_killed else 128 + number)
    assert set(terminal.controls) <= {"0m", "2m", "2K", "1A"}
    if not is_killed:
        assert f"Stopped by {number.name}" in terminal.end[-1]
        assert terminal.end[-2].startswith("total ")
        assert terminal.text.endswith("\n")


def test_an_error_is_the_last_line(sentry, tmp_path):
    """An error is below the table of what was read until then."""
    sentry.fault(401, times=None, after=12, body={"detail": "Token expired"})
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path)

    assert terminal.process.returncode == 1
    assert "refuses the auth_token (Token expired)" in terminal.end[-1]
    assert terminal.end[-2].startswith("total ")
    assert "Traceback" not in terminal.text


def test_a_target_that_ends_leaves_a_clean_terminal(sentry, tmp_path):
    """The end of a target, as in `tap-sentry | head -n 1`, leaves a clean terminal."""
    sentry.latency = 0.1
    reading, writing = os.pipe()

    def send(terminal: Terminal) -> None:
        os.close(writing)
        wait_for(lambda: "project_events" in terminal.text)
        os.close(reading)

    terminal = run(
        command(sentry, tmp_path, *STREAMS), tmp_path, send=send, out=writing
    )

    assert terminal.process.returncode == 1
    assert "The target has ended before the tap" in "".join(terminal.frames[-2:])
    assert "Traceback" not in terminal.text
    assert "Exception" not in terminal.text
    assert set(terminal.controls) <= {"0m", "2m", "2K", "1A"}
    assert terminal.text.endswith("\n")


def test_a_terminal_that_goes_away_does_not_end_the_run(sentry, tmp_path):
    """A run completes although its terminal is closed."""
    sentry.latency = 0.03
    line = command(sentry, tmp_path, *STREAMS)
    master, slave = pty.openpty()
    with (tmp_path / "out").open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own
            line,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=slave,
            env=environment(),
        )
    os.close(slave)
    os.read(master, 1)
    os.close(master)

    assert process.wait(PATIENCE) == 0
    assert written(tmp_path)[-1]["type"] == "STATE"


# Without a live table -----------------------------------------------------------------


def test_nothing_is_drawn_where_nobody_looks(sentry, tmp_path):
    """In a pipe there are log lines only, and rich is not even imported."""
    line = command(sentry, tmp_path, *STREAMS)
    line[1:1] = ["-X", "importtime"]
    ended = subprocess.run(  # noqa: S603 - our own
        line,
        cwd=ROOT,
        env=environment(FORCE_COLOR="1", TTY_INTERACTIVE="1"),
        capture_output=True,
        check=True,
    )
    said = ended.stderr.decode()
    loaded = {
        part.rpartition("|")[2].strip()
        for part in said.splitlines()
        if part.startswith("import time:")
    }
    logged = [part for part in said.splitlines() if not part.startswith("import time:")]

    assert "tap_sentry.cli.summary" in loaded
    assert not {name for name in loaded if name.split(".")[0] == "rich"}
    assert "tap_sentry.cli.progress" not in loaded
    assert all(re.match(r"20\d\d-\d\d-\d\d .* \| ", part) for part in logged)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", said)


@pytest.mark.parametrize(
    ("variables", "has_table"),
    [
        ({"TERM": "dumb"}, True),
        ({"TERM": "dumb", "NO_COLOR": "1"}, True),
        ({"TAP_SENTRY_LOGLEVEL": "warning"}, False),
    ],
)
def test_who_wants_it_plain_gets_it_plain(sentry, tmp_path, variables, has_table):
    """A terminal that cannot redraw gets the final table only, at WARNING nothing."""
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path, **variables)

    assert terminal.process.returncode == 0
    assert not terminal.controls
    assert ("total" in terminal.text) == has_table
    assert has_table or not terminal.text


def test_no_color_leaves_out_colors(sentry, tmp_path):
    """NO_COLOR is respected: https://no-color.org."""
    terminal = run(command(sentry, tmp_path, "organizations"), tmp_path, NO_COLOR="1")

    assert set(terminal.controls) <= {"0m", "2m", "2K", "1A"}


def test_records_on_the_same_terminal_are_not_drawn_over(sentry, tmp_path):
    """Without a target, records fill the terminal, so only the final table is drawn."""
    terminal = run(command(sentry, tmp_path, *STREAMS), tmp_path, out="terminal")

    assert not set(terminal.controls) & {"2K", "1A"}
    assert sum(line.startswith("total ") for line in terminal.text.splitlines()) == 1
    assert terminal.text.count('{"type":"RECORD"') > 10


def test_a_terminal_changes_nothing_of_what_is_written(sentry, tmp_path):
    """The messages and their order are the same with and without a terminal."""
    line = command(sentry, tmp_path, *STREAMS, end_date="1d")
    run(line, tmp_path)
    shown = written(tmp_path)
    with (tmp_path / "out").open("wb") as file:
        subprocess.run(  # noqa: S603 - our own
            line,
            cwd=ROOT,
            env=environment(),
            stdout=file,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    assert [m for m in shown if m["type"] != "STATE"] == [
        m for m in written(tmp_path) if m["type"] != "STATE"
    ]


# The summary in the log ---------------------------------------------------------------


@pytest.fixture
def said(caplog) -> Any:
    """A function that returns the tap's log lines at INFO and above."""
    caplog.set_level(logging.INFO)
    return lambda: [
        record.getMessage() for record in caplog.records if record.name == "tap-sentry"
    ]


def test_the_log_ends_with_a_line_for_each_stream(sentry, said, sync_of):
    """Without a terminal, as in a scheduler or Meltano, the summary is logged."""
    output = sync_of("project_events", "organizations")
    events = len(output.records("project_events"))
    asked = len(sentry.requests)
    assert events > 5

    *_, organizations, projects, lists, total = said()

    assert organizations == "organizations: 3 records read with 2 requests"
    assert projects == (
        "organization_projects: no records read with 5 requests, 3 organizations"
    )
    assert re.fullmatch(
        rf"project_events: {events} records read with \d+ requests, 6 projects, "
        "100 % of what Sentry counts",
        lists,
    )
    assert re.fullmatch(
        rf"total: {events + 3} records read with {asked} requests, in \d+ s",
        total,
    )


def test_the_log_tells_what_was_skipped_and_why(sentry, said, sync_of):
    """Each skip has a line with its reason, and a stream's line has their number."""
    sentry.forbid("shop")
    sync_of("project_events", "project_users")
    lines = said()

    assert any(
        line.startswith("project_users skipped organization acme project shop: GET")
        for line in lines
    )
    assert lines[-2].endswith("6 projects, 1 skipped")


def test_an_error_is_the_last_line_of_the_log(sentry, said, sync_of):
    """An error is the last line, the only one that `meltano config test` shows."""
    sentry.tokens[TOKEN] = Token(frozenset({"org:read"}))
    output = sync_of("project_events")

    assert output.code == 1
    assert "needs a token with the scope project:read" in said()[-1]
    assert said()[-2].startswith("total: ")


@pytest.fixture
def sync_of(sentry, monkeypatch) -> Any:
    """Run the tap on some streams in this process."""
    from tests.conftest import run as run_here  # noqa: PLC0415 - a name of this module

    config = {"auth_token": TOKEN, "api_url": sentry.url}
    sentry.latency = 0
    monkeypatch.setattr("tap_sentry.tap.now", sentry.clock)
    return lambda *streams: run_here(config, catalog_of(*streams))


# Units --------------------------------------------------------------------------------


def test_a_count_outlives_the_lines_of_the_log(monkeypatch):
    """A count covers all contexts, although the SDK resets it whenever it logs."""
    now = [0.0]
    monkeypatch.setattr(metrics, "time", lambda: now[0])
    counter = StreamCounter(metrics.Metric.RECORD_COUNT)
    for _ in range(2):
        with counter:
            counter.with_context({"organization_id": "1", "project_id": "2"})
            for _ in range(3):
                now[0] += metrics.DEFAULT_LOG_INTERVAL * 0.6
                counter.increment()
            assert counter.is_open

    assert (counter.records, counter.contexts, counter.kind) == (6, 2, "project")
    assert not counter.is_open


def test_a_slice_that_fails_is_not_done():
    """A context that fails is not counted as read; the next run reads it."""
    counter = StreamCounter(metrics.Metric.RECORD_COUNT)
    with counter:
        counter.increment()
        counter.__exit__(ValueError, ValueError(), None)
        assert (counter.records, counter.contexts, counter.is_open) == (1, 0, False)


def test_a_gate_tells_for_how_long_it_held_requests_back():
    """A wait lasts from the first request that waits to the first that proceeds."""
    gate = limits.RateLimiter()
    for now, wait in ((10, 0.0), (20, 5.0), (22, 3.0), (25, 0.0), (30, 2.0)):
        gate.note(wait, now)

    assert gate.waited(31) == 6
    assert gate.opens_in(31) == 1

    gate.note(None, 32)
    assert gate.waited(40) == 7
    assert gate.opens_in(40) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_told_as_people_do(seconds, text):
    assert summary.duration(seconds) == text


def test_a_line_says_no_more_than_there_is_to_say():
    line = StreamSummary("projects", None, 1, 0.4, 0.0, "", is_open=False)
    full = StreamSummary(
        "projects", 1200, 2000, 75, 0.0, "3 of 9 projects", is_open=True
    )

    assert str(line) == "projects: no records read with 1 request"
    assert str(full) == (
        "projects: 1,200 records read with 2,000 requests, held back by limits for "
        "1 min 15 s, 3 of 9 projects"
    )
