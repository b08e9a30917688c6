"""What the live tests share: one run of the tap, one crawl of the server, one table."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.command import ROOT, sync
from tests.live.crawler import STATS, Crawl, Server
from tests.live.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.live.crawler import Key

#: The age from which events are compared: younger ones may arrive between two reads.
SETTLED = timedelta(minutes=5)
#: The number of keys that a failure names.
NAMED = 3


@dataclass(frozen=True)
class Difference:
    """How the records of a stream differ from what was expected."""

    stream: str
    other: str
    records: int
    expected: int
    missing: list[Key] = field(repr=False)
    extra: list[Key] = field(repr=False)

    def __bool__(self) -> bool:
        """Whether any key is missing or extra."""
        return bool(self.missing or self.extra)

    def __str__(self) -> str:
        """How many keys differ, and some of them."""
        return (
            f"{self.stream} against {self.other}: {len(self.missing)} missing, such as "
            f"{self.missing[:NAMED]}; {len(self.extra)} extra, such as "
            f"{self.extra[:NAMED]}"
        )


class Table:
    """All comparisons that were made."""

    def __init__(self) -> None:
        """Start without comparisons."""
        self.differences: list[Difference] = []
        #: Streams that were not compared, with the reason.
        self.others: dict[str, str] = {}

    def compare(
        self, stream: str, other: str, found: Iterable[Key], expected: Iterable[Key]
    ) -> Difference:
        """Compare two sets of keys, and record the difference."""
        found, wanted = list(found), set(expected)
        unique = set(found)
        difference = Difference(
            stream,
            other,
            len(found),
            len(wanted),
            sorted(wanted - unique),
            sorted(unique - wanted),
        )
        self.differences.append(difference)
        return difference

    def lines(self) -> Iterable[str]:
        """The lines of the table, sorted by what the stream was compared with."""
        form = "{:28} {:12} {:>8} {:>8} {:>8} {:>8}".format
        yield form("stream", "compared with", "records", "expected", "missing", "extra")
        for row in sorted(self.differences, key=lambda row: row.other):
            yield form(
                row.stream,
                row.other,
                row.records,
                row.expected,
                len(row.missing),
                len(row.extra),
            )
        for stream, reason in self.others.items():
            yield f"{stream:28} not compared: {reason}"


TABLE = pytest.StashKey[Table]()


def pytest_configure(config):
    config.stash[TABLE] = Table()


def pytest_collection_modifyitems(config, items):
    """Deselect the tests that need a variable of the environment that is not set."""
    left_out = {
        item
        for item in items
        for mark in item.iter_markers("needs")
        if not os.environ.get(mark.args[0])
    }
    if left_out:
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter, config):
    """Print the table of comparisons."""
    if config.stash[TABLE].differences:
        terminalreporter.section("records")
        for line in config.stash[TABLE].lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def table(pytestconfig):
    return pytestconfig.stash[TABLE]


@pytest.fixture(scope="session")
def server():
    """The server to test, with an end that does not move while the tests run."""
    url, token = os.environ.get("SENTRY_URL"), os.environ.get("SENTRY_TOKEN")
    if not url or not token:
        pytest.exit("set SENTRY_URL and SENTRY_TOKEN, the server to test", 4)
    organizations = os.environ.get("SENTRY_ORGANIZATIONS", "")
    start = os.environ.get("SENTRY_START")
    without = os.environ.get("SENTRY_WITHOUT", "")
    return Server(
        url,
        token,
        organizations=tuple(filter(None, organizations.split(","))),
        start=datetime.fromisoformat(start).replace(tzinfo=UTC) if start else None,
        end=datetime.now(UTC).replace(microsecond=0) - SETTLED,
        without=frozenset(filter(None, without.split(","))),
    )


@pytest.fixture(scope="session")
def target():
    """The command of the target."""
    beside = ROOT / ".venv-target" / "bin" / "target-jsonl"
    found = shutil.which(os.environ.get("TARGET_JSONL", "")) or shutil.which(beside)
    return found or pytest.exit("target-jsonl: run `make live`, or set TARGET_JSONL", 4)


@pytest.fixture(scope="session")
def run(server, target, tmp_path_factory):
    """A run of the tap that reads everything, without a state."""
    return sync(server, tmp_path_factory.mktemp("run"), target=target, stats=STATS)


@pytest.fixture(scope="session")
def crawl(server, run):
    """A crawl of everything that the server lists, made after the run."""
    del run
    return Crawl(server, "1d")


@pytest.fixture(scope="session")
def truth():
    return Truth(Path(os.environ["SENTRY_TRUTH"]))
