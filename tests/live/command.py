"""Run `tap-sentry` as its users do: in a process of its own, into a target."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tests.live.crawler import Server

Message: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]

ROOT = Path(__file__).parents[2]
TAP = (sys.executable, "-m", "tap_sentry")


@dataclass(frozen=True)
class Run:
    """The result of a run of the tap."""

    code: int
    #: Its log.
    log: str
    #: The file with its Singer messages.
    output: Path
    #: The folder that the target wrote to, if there was one.
    loaded: Path | None

    def messages(self, kind: str) -> Iterator[Message]:
        """The messages of one type."""
        for message in read_lines(self.output):
            if message["type"] == kind:
                yield message

    def records(self, stream: str) -> Iterator[Message]:
        """The records of a stream, as the target stored them if there was one."""
        if self.loaded is not None:
            file = self.loaded / f"{stream}.jsonl"
            yield from read_lines(file) if file.exists() else ()
            return
        for message in self.messages("RECORD"):
            if message["stream"] == stream:
                yield message["record"]

    @functools.cached_property
    def schemas(self) -> Mapping[str, Message]:
        """The last SCHEMA message of each stream."""
        return {message["stream"]: message for message in self.messages("SCHEMA")}

    @functools.cached_property
    def keys(self) -> Mapping[str, Counter[Key]]:
        """How often each key of each stream was written."""
        keys: defaultdict[str, Counter[Key]] = defaultdict(Counter)
        for message in self.messages("RECORD"):
            stream = message["stream"]
            keys[stream][self.key(stream, message["record"])] += 1
        return keys

    def key(self, stream: str, record: Message) -> Key:
        """The key of a record."""
        return tuple(str(record[name]) for name in self.schemas[stream][KEYS])

    def keys_of(self, stream: str) -> list[Key]:
        """The keys of a stream, as the target stored them if there was one."""
        if self.loaded is None:
            return list(self.keys[stream].elements())
        return [self.key(stream, record) for record in self.records(stream)]

    @property
    def states(self) -> list[Message]:
        """The values of all STATE messages."""
        return [message["value"] for message in self.messages("STATE")]


KEYS = "key_properties"


def read_lines(file: Path) -> Iterator[Message]:
    """The JSON objects in a file, one per line."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def sync(
    server: Server,
    folder: Path,
    *streams: str,
    state: Message | None = None,
    target: str | None = None,
    **settings: Any,
) -> Run:
    """Run the tap with these streams selected, with all of them if none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    config = write(folder / "config.json", {**server.settings, **settings})
    # The token is passed in the environment, so that it is not left on the disk.
    command = [*TAP, "--config", str(config), "--config", "ENV"]
    catalog = json.loads(
        subprocess.check_output(  # noqa: S603 - the tap itself
            [*command, "--discover"],
            cwd=ROOT,
            env=environment(server.token),
        )
    )
    selected = write(folder / "catalog.json", select(catalog, streams, server.without))
    command += ["--catalog", str(selected)]
    if state is not None:
        command += ["--state", str(write(folder / "state.json", state))]
    loaded = folder / "loaded" if target else None
    return pipe(command, server.token, folder, target, loaded)


def pipe(
    command: list[str],
    token: str,
    folder: Path,
    target: str | None,
    loaded: Path | None,
) -> Run:
    """Run the tap into the target, and save the messages between them."""
    output, log = folder / "singer.jsonl", folder / "log.txt"
    with contextlib.ExitStack() as stack:
        tap = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - the tap itself
                command,
                cwd=ROOT,
                env=environment(token),
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(log.open("wb")),
            )
        )
        assert tap.stdout is not None
        sinks: list[IO[bytes]] = [stack.enter_context(output.open("wb"))]
        loader = None
        if target and loaded:
            loader = stack.enter_context(start_target(target, folder, loaded))
            assert loader.stdin is not None
            sinks.append(loader.stdin)
        for line in tap.stdout:
            for sink in sinks:
                sink.write(line)
        for sink in sinks:
            sink.close()
        code = tap.wait()
        assert loader is None or loader.wait() == 0
    return Run(code, log.read_text(encoding="utf-8"), output, loaded)


def start_target(command: str, folder: Path, loaded: Path) -> subprocess.Popen[bytes]:
    """Start target-jsonl, which reads from a pipe."""
    loaded.mkdir()
    settings = {"destination_path": str(loaded), "do_timestamp_file": False}
    config = write(folder / "target.json", settings)
    return subprocess.Popen(  # noqa: S603 - from the environment of the tests
        [command, "--config", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


def environment(token: str) -> dict[str, str]:
    """The environment of this process, without the tap's settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TAP_SENTRY_")
    }
    return {**inherited, "TAP_SENTRY_AUTH_TOKEN": token, "LOGLEVEL": "INFO"}


def select(
    catalog: Message, streams: Collection[str], without: Collection[str]
) -> Message:
    """The catalog with just these streams selected, or all but those left out."""
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                name = entry["tap_stream_id"]
                is_wanted = name in streams if streams else name not in without
                item["metadata"]["selected"] = is_wanted
    return catalog


def write(file: Path, content: Message) -> Path:
    """Write a JSON file."""
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
