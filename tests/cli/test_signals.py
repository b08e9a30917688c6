"""How the command ends on a signal, or when its target has ended."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_sentry.api.scheduler import RequestScheduler
from tap_sentry.cli.command import TapCommand
from tests.conftest import catalog_of
from tests.sentry import TOKEN
from tests.soak import Faulty, Run, quicken, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
#: Seconds within which a run must end.
SOON = 5.0
#: Seconds that a test waits for a condition or a process.
PATIENCE = 60.0
STREAMS = ("organization_projects", "project_issues", "project_events", "project_users")
#: Streams whose output is larger than a pipe.
LONG = (*STREAMS, "issue_events", "project_event_entries", "issue_event_entries")


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """A small Sentry with the clock of this machine, which subprocesses use."""
    found = Faulty(now=datetime.now(UTC).replace(microsecond=0))
    with found.served():
        yield found


@contextmanager
def started(
    sentry: Faulty, folder: Path, *streams: str, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command as Meltano does; kill it if it does not end by itself."""
    settings = {
        "auth_token": TOKEN,
        "api_url": sentry.url,
        "start_date": "3d",
        "lookback": "0s",
    }
    files = {"config": settings, "catalog": catalog_of(*streams)}
    command = [sys.executable, "-m", "tap_sentry"]
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        command += [f"--{name}", str(path)]
    with subprocess.Popen(  # noqa: S603 - our own
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(is_there: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    start = time.monotonic()
    while not is_there():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.01)


def ended(process: subprocess.Popen[bytes]) -> tuple[Run, str, float]:
    """Return a process's messages, its stderr and the seconds it took to end."""
    start = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE)
    seconds = time.monotonic() - start
    messages = [json.loads(line) for line in out.splitlines()]
    return Run(messages, process.returncode), err.decode(), seconds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "template",
    [
        "organizations/",
        "organizations/{org}/projects/",
        "organizations/{org}/issues/",
        "projects/{org}/{project}/events/",
        "projects/{org}/{project}/users/",
    ],
)
def test_a_signal_ends_a_run_whose_requests_hang(
    sentry, tmp_path, monkeypatch, number, template
):
    """The run ends within five seconds and writes a final STATE for what is complete.

    Its exit code is 128 plus the number of the signal.
    """
    sentry.fault(
        "hang",
        times=None,
        seconds=4 * SOON,
        after=0 if template.startswith("organizations/") else 3,
        when=lambda seen: seen.template == template,
    )
    with started(sentry, tmp_path, *STREAMS) as process:
        wait_for(lambda: sentry.injected["hang"] > 0)
        # Leaves time for the other requests.
        time.sleep(0.4)
        process.send_signal(number)
        run, said, seconds = ended(process)

    assert run.code == 128 + number
    assert seconds < SOON
    assert f"Stopped by {number.name}" in said
    assert "Traceback" not in said
    check_state(sentry, run, monkeypatch)


def check_state(
    sentry: Faulty, run: Run, monkeypatch: pytest.MonkeyPatch, *streams: str
) -> None:
    """Check that the next run reads exactly what the last STATE leaves to read."""
    streams = streams or STREAMS
    quicken(monkeypatch)
    monkeypatch.setattr("tap_sentry.tap.now", lambda: datetime.now(UTC))
    sentry.clear_faults()
    sentry.hangs = False
    expected = sync(sentry, *streams)
    again = sync(sentry, *streams, state=run.last_state)

    assert again.is_complete
    assert run.rows() | again.rows() == expected.rows()
    written = run.rows()
    for key in again.rows().keys() & written.keys():
        if key[0] != "project_events":
            continue
        # What was complete by then is not read again.
        done = (run.last_state or {"bookmarks": {}})["bookmarks"]
        entry = done.get("project_events", {}).get("by_id", {}).get(key[2], {})
        assert "bookmark" not in entry


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["config", "state"])
def test_a_signal_ends_a_tap_that_starts(tmp_path, number, name):
    """A signal ends a tap that waits for a file of its command line to be written."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auth_token": TOKEN}))
    files = {"config": str(config), name: str(tmp_path / "fifo")}
    os.mkfifo(files[name])
    with subprocess.Popen(  # noqa: S603 - our own
        [
            *(sys.executable, "-m", "tap_sentry"),
            *(word for file in files.items() for word in (f"--{file[0]}", file[1])),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        end = writer_of(files[name])
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    os.close(end)

    assert process.returncode == 128 + number
    assert out == b""
    assert f"Stopped by {number.name}" in err.decode()
    assert "Traceback" not in err.decode()


def writer_of(fifo: str) -> int:
    """Open the writing end of a FIFO, once it is being read."""
    start = time.monotonic()
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() - start < PATIENCE
            time.sleep(0.01)


def test_a_signal_ends_a_tap_between_start_and_run(monkeypatch):
    """During start-up, the tap overrides the SDK's handler, which would exit with 0."""
    monkeypatch.setattr(TapCommand, "load_state", lambda *_: os.kill(os.getpid(), 15))

    with pytest.raises(SystemExit) as ended:
        TapCommand(config={"auth_token": TOKEN}, state={"bookmarks": {}})

    assert ended.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("gap", [0, 0.0005, 0.001, 0.002])
@pytest.mark.parametrize(
    "numbers", [[signal.SIGINT] * 5, [signal.SIGINT, signal.SIGTERM]]
)
def test_more_signals_do_not_cut_the_end_short(
    sentry, tmp_path, monkeypatch, numbers, gap
):
    """Repeated Ctrl-C, or a signal of an orchestrator, does not cut the end short."""
    sentry.fault(
        "hang",
        times=None,
        seconds=4 * SOON,
        when=lambda seen: seen.path == "projects/acme/shop/users/",
    )
    with started(sentry, tmp_path, *STREAMS) as process:
        wait_for(lambda: sentry.injected["hang"] > 0)
        time.sleep(0.3)
        for number in numbers:
            process.send_signal(number)
            time.sleep(gap)
        run, said, seconds = ended(process)

    # Signals that come at once are handled in the order of their numbers.
    assert run.code - 128 in numbers
    assert seconds < SOON
    assert "Traceback" not in said
    assert "A bug in" not in said
    check_state(sentry, run, monkeypatch)


def test_a_signal_ends_a_tap_whose_target_reads_no_more(sentry, tmp_path):
    """The run ends even if a full pipe takes neither a final STATE nor a whole line."""
    with started(sentry, tmp_path) as process:
        wait_until_full(process)
        start = time.monotonic()
        process.terminate()
        code = process.wait(PATIENCE)

    assert code == 128 + signal.SIGTERM
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize("signals", [["SIGTERM"], ["SIGSTOP", "SIGCONT"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_cuts_no_line_short(
    sentry, tmp_path, monkeypatch, unbuffered, signals
):
    """No line is cut when a signal interrupts a write into a full pipe."""
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    sentry.page_size = None
    issue = sentry.project("shop").issues[0]
    for number in range(200):
        date = sentry.clock() - timedelta(minutes=number, seconds=1)
        sentry.add_event("shop", issue, date)
    with started(sentry, tmp_path, *LONG, env=environment) as process:
        assert process.stdout
        # Smaller than what is written at once.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4 * 4096)
        wait_until_full(process)
        for name in signals:
            process.send_signal(signal.Signals[name])
            time.sleep(0.2)
        run, _, _ = ended(process)

    assert run.code == (143 if "SIGTERM" in signals else 0)
    check_state(sentry, run, monkeypatch, *LONG)


def test_a_full_disk_is_told_in_a_line(sentry, tmp_path):
    """A full disk ends the run with an error line and without a traceback."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auth_token": TOKEN, "api_url": sentry.url}))
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-m", "tap_sentry", "--config", str(config)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    assert process.returncode == 1
    assert "The output cannot be written: No space left on device" in process.stderr
    assert "Traceback" not in process.stderr


def wait_until_full(process: subprocess.Popen[bytes]) -> None:
    """Wait until the pipe of a process is full, so that its writes block."""
    assert process.stdout
    size = 0
    while size == 0 or unread(process.stdout.fileno()) > size:
        size = unread(process.stdout.fileno())
        time.sleep(1)


def unread(pipe: int) -> int:
    """Return the number of unread bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_signal_ends_a_run_that_waits_for_a_limit(sentry, tmp_path, monkeypatch):
    """A run ends even if no thread is busy and no response is due."""
    sentry.fault(
        429,
        times=None,
        retry_after=600,
        when=lambda seen: seen.path.endswith("/users/"),
    )
    with started(sentry, tmp_path, *STREAMS) as process:
        wait_for(lambda: sentry.injected[429] > 0)
        time.sleep(0.5)
        process.terminate()
        run, said, seconds = ended(process)

    assert run.code == 128 + signal.SIGTERM
    assert seconds < SOON
    assert "waiting 600 s" in said
    assert run.messages[-1]["type"] == "STATE"
    check_state(sentry, run, monkeypatch)


def test_a_signal_that_another_thread_receives_ends_the_wait():
    """The wait for a response ends, though nothing interrupts the main thread."""
    scheduler = RequestScheduler(
        1, logging.getLogger(), send=requests.Session().send, waiting=nullcontext
    )

    def stop(*_: object) -> None:
        raise InterruptedError

    def receive() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    start = time.monotonic()
    threading.Thread(target=receive).start()
    # The main thread receives this one, so that the test fails instead of waiting.
    late = threading.Timer(2 * SOON, os.kill, [os.getpid(), signal.SIGUSR1])
    late.start()
    with pytest.raises(InterruptedError):
        scheduler.result(Future())
    seconds = time.monotonic() - start
    late.cancel()
    signal.signal(signal.SIGUSR1, before)

    assert seconds < SOON


def test_a_signal_ends_a_run_that_is_busy(sentry, tmp_path, monkeypatch):
    """A busy run ends between two lines, with a final STATE."""
    sentry.latency = 0.02
    with started(sentry, tmp_path, *STREAMS) as process:
        wait_for(lambda: len(sentry.requests) > 25)
        process.terminate()
        run, said, seconds = ended(process)

    assert run.code == 128 + signal.SIGTERM
    assert seconds < SOON
    assert "Traceback" not in said
    assert run.last_state
    check_state(sentry, run, monkeypatch)


@pytest.mark.parametrize("lines", [0, 1, 5])
def test_a_target_that_has_ended_ends_the_tap(sentry, tmp_path, lines):
    """The tap exits with an error code and one error line, without a traceback."""
    sentry.latency = 0.05
    with started(sentry, tmp_path, bufsize=0) as process:
        assert process.stdout
        for _ in range(lines):
            read_line(process)
        process.stdout.close()
        start = time.monotonic()
        assert process.stderr
        said = process.stderr.read().decode()
        code = process.wait(PATIENCE)

    assert 0 < code < 128
    assert time.monotonic() - start < PATIENCE
    errors = [line for line in said.splitlines() if "ERROR" in line or "rror:" in line]
    assert len(errors) == 1
    assert "The target has ended before the tap" in errors[0]
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """Read the next line of an unbuffered process."""
    assert process.stdout
    line = b""
    while not line.endswith(b"\n"):
        byte = process.stdout.read(1)
        assert byte
        line += byte
    return line


def test_a_shell_sees_a_broken_pipe(sentry, tmp_path):
    """`tap-sentry | head -n 1` fails with `set -o pipefail`."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auth_token": TOKEN, "api_url": sentry.url}))
    tap = f"{sys.executable} -m tap_sentry --config {config}"

    ended = subprocess.run(  # noqa: S603 - our own
        ["bash", "-c", f"set -o pipefail; {tap} | head -n 1"],  # noqa: S607 - any
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["type"] == "SCHEMA"
    assert "Traceback" not in ended.stderr
