"""Run taps and servers in processes of their own, and measure what a tap takes.

This process stays small: Linux counts a parent's memory towards its child's peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from _typeshed import StrOrBytesPath

ROOT = Path(__file__).parents[2]
#: The environment of a user: no setting of this shell changes what is measured.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "TAP_SENTRY_", "SINGER_SDK_"))
    and name not in {"LOGLEVEL", "REQUESTS_CA_BUNDLE"}
}


@dataclass(frozen=True)
class Used:
    """The time and memory that a process took."""

    #: Seconds of processor time, in the process and for it in the kernel.
    cpu: float
    #: Seconds from its start to its end.
    wall: float
    #: The peak of its memory.
    megabytes: float


def run(command: Sequence[str], output: StrOrBytesPath = os.devnull) -> Used:
    """Run Python to its end, and measure it."""
    with (
        Path(os.fsdecode(output)).open("wb") as out,
        tempfile.TemporaryFile() as errors,
    ):
        started = time.perf_counter()
        child = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, *command],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=out,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            said = errors.read().decode()[-2000:]
            sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{said}")
    return Used(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


class Server:
    """A server process that reports the requests that it received."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip() or sys.exit("no server")

    def asked(self) -> dict[str, Any]:
        """The server's figures since the last call."""
        found: dict[str, Any] = self._say("")
        return found

    def keys(self) -> list[str]:
        """The keys of the events of projects that a simulator holds, joined by `/`."""
        found: list[str] = self._say("keys")
        return found

    def _say(self, line: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._line())


@contextmanager
def serving(module: str, *options: str) -> Iterator[Server]:
    """Run a server for the length of a block."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
    with subprocess.Popen(  # noqa: S603 - our own
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()


def simulating(**options: Any) -> Any:
    """A simulator in a process of its own."""
    return serving("simulated", json.dumps(options))


TAP = ("-m", "tap_sentry")
PLAIN = ("-m", "tests.benchmarks.plain")
FLOOR = ("-m", "tests.benchmarks.floor")


class Folder:
    """A folder for the files that taps are started with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = 0

    def write(self, content: Mapping[str, Any]) -> str:
        """Write a JSON file, and return its name."""
        self._files += 1
        file = self.path / f"{self._files}.json"
        file.write_text(json.dumps(content))
        return str(file)

    def config(self, url: str, **settings: Any) -> str:
        """Write the settings for a server, and return the file's name."""
        # The token of the simulator; the other server accepts any.
        token = "sntryu_simulator_token"
        return self.write({"api_url": url, "auth_token": token, **settings})

    def catalog(
        self, tap: Sequence[str], streams: Iterable[str] = (), **settings: Any
    ) -> str:
        """Write a tap's catalog with these streams selected; all if none is named."""
        discovered = self.path / "discovered.json"
        config = self.config("http://127.0.0.1", **settings)
        run([*tap, "--config", config, "--discover"], discovered)
        catalog = json.loads(discovered.read_text())
        wanted = set(streams)
        for entry in catalog["streams"]:
            for metadata in entry["metadata"]:
                if not metadata["breadcrumb"]:
                    selected = not wanted or entry["tap_stream_id"] in wanted
                    metadata["metadata"]["selected"] = selected
        return self.write(catalog)


@contextmanager
def folder() -> Iterator[Folder]:
    """A temporary folder for the files of taps."""
    with tempfile.TemporaryDirectory(prefix="tap-sentry-bench-") as path:
        yield Folder(Path(path))
