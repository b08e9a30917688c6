"""Shared fixtures: a simulated Sentry, and runs of the tap in this process."""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tap_sentry.api import rate_limits as limits
from tap_sentry.cli.execution import Execution
from tap_sentry.sync.writer import SentryWriter
from tap_sentry.tap import TapSentry
from tests.sentry import TOKEN, SentrySimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: The time for the simulator and the tap: a whole second in the middle of a day.
NOW = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)

Message = dict[str, Any]


def pytest_xdist_auto_num_workers() -> int:
    """Use two workers more than there are processors: many tests wait for a server."""
    return (os.cpu_count() or 1) + 2


@dataclass
class Output:
    """The messages and the exit code of a run of the tap."""

    messages: list[Message]
    code: int

    def records(self, stream: str) -> list[Message]:
        """The records of a stream."""
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    def keys(self, stream: str) -> list[tuple[Any, ...]]:
        """The primary keys of the records of a stream, in the order of the SCHEMA."""
        names = next(
            message["key_properties"]
            for message in self.messages
            if message["type"] == "SCHEMA" and message["stream"] == stream
        )
        return [tuple(row[name] for name in names) for row in self.records(stream)]

    @property
    def state(self) -> Message:
        """The value of the last STATE."""
        states = [m["value"] for m in self.messages if m["type"] == "STATE"]
        last: Message = states[-1]
        return last


@functools.cache
def _entries() -> dict[str, bytes]:
    """The selected catalog entries of the streams by their names, as JSON."""
    config = {"auth_token": TOKEN}
    tap = TapSentry(config=config, validate_config=False, setup_mapper=False)
    for stream in tap.streams.values():
        stream.selected = True
    return {
        entry["stream"]: msgspec.json.encode(entry)
        for entry in tap.catalog_dict["streams"]
    }


def catalog_of(*streams: str) -> dict[str, Any]:
    """A catalog of only these streams, all selected, or of all if none is named."""
    entries = _entries()
    return {"streams": [msgspec.json.decode(entries[s]) for s in streams or entries]}


def run(
    config: dict[str, Any],
    catalog: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
) -> Output:
    """Run the tap as its command line does, and capture its output."""
    caught = io.BytesIO()
    former = sys.stdout
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    sys.stdout = wrapper = io.TextIOWrapper(caught, write_through=True)
    try:
        tap = TapSentry(
            config=dict(config),
            catalog=catalog,
            state=json.loads(json.dumps(state)) if state else None,
        )
        code = Execution(tap).run()
    finally:
        sys.stdout = former
        wrapper.detach()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    lines = caught.getvalue().splitlines()
    return Output([msgspec.json.decode(line) for line in lines], code)


class Leaks(logging.Handler):
    """Collects everything with the token in it that the tap writes in a test."""

    def __init__(self) -> None:
        """Start without any leaks."""
        super().__init__()
        self.setFormatter(logging.Formatter())
        self.found: list[str] = []

    def look(self, where: str, written: str | bytes | None) -> None:
        """Look for the token in a text."""
        text = (
            written.decode(errors="replace") if isinstance(written, bytes) else written
        )
        if text and TOKEN in text:
            at = text.index(TOKEN)
            self.found.append(f"{where}: …{text[max(0, at - 200) : at + 100]}…")

    def emit(self, record: logging.LogRecord) -> None:
        """Look for the token in a log line and its traceback."""
        self.look(f"log of {record.name}", self.format(record))

    def look_into(self, folder: Path) -> None:
        """Look for the token in files, except in configs, which may contain it."""
        for path in folder.rglob("*"):
            if path.is_file() and TOKEN.encode() in (written := path.read_bytes()):
                try:
                    is_config = "auth_token" in json.loads(written)
                except ValueError:
                    is_config = False
                if not is_config:
                    self.look(path.name, written)


@pytest.fixture(autouse=True)
def _no_leaks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Leaks]:
    """Fail every test in which the tap writes its token.

    The fixture checks messages and log lines of this process, the output of other
    processes that a test reads from a pipe, and the files of the test.
    """
    leaks = Leaks()
    has_files = "tmp_path" in request.fixturenames
    files = request.getfixturevalue("tmp_path") if has_files else None
    format_message = SentryWriter.format_message
    communicate = subprocess.Popen.communicate

    def formatted(self: SentryWriter, message: Any) -> bytearray:
        line = format_message(self, message)
        leaks.look("stdout", bytes(line))
        return line

    def communicated(self: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
        written = communicate(self, *args, **options)
        for where, text in zip(("stdout", "stderr"), written, strict=True):
            leaks.look(f"{where} of a process", text)
        return written

    monkeypatch.setattr(SentryWriter, "format_message", formatted)
    monkeypatch.setattr(subprocess.Popen, "communicate", communicated)
    logging.getLogger().addHandler(leaks)
    yield leaks
    logging.getLogger().removeHandler(leaks)
    if files is not None:
        leaks.look_into(files)
    may_show = request.node.get_closest_marker("shows_token")
    assert not leaks.found or may_show, leaks.found


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry almost at once; the waits that Sentry demands are kept."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 0.01)


@pytest.fixture(autouse=True)
def _many_runs_in_a_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what is meant for a process that ends with its run.

    Frozen garbage would never be freed, and processes inherit signals that are ignored.
    """
    monkeypatch.setattr("gc.freeze", lambda: None)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _fixed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start runs at `NOW`, the time of the simulator."""
    monkeypatch.setattr("tap_sentry.tap.now", lambda: NOW)


@pytest.fixture
def sentry() -> Iterator[SentrySimulator]:
    """A small sentry.io with pages of two rows, so that lists span several pages."""
    simulator = SentrySimulator(clock=lambda: NOW, page_size=2)
    with simulator.patched():
        yield simulator


@pytest.fixture
def sync(sentry: SentrySimulator) -> Callable[..., Output]:
    """Run the tap on `sentry`: `sync("projects", state=…, start_date="10d")`."""

    def sync(
        *streams: str, state: dict[str, Any] | None = None, **settings: Any
    ) -> Output:
        config = {"auth_token": TOKEN, "api_url": sentry.url, **settings}
        return run(config, catalog_of(*streams), state)

    return sync


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """A function that returns the warnings logged so far."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING
    ]


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """Disable logging in a module whose many runs would write too much."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
