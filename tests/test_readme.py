"""The commands in the documentation work and print what it shows.

The `bash` blocks in README.md, CONTRIBUTING.md and docs/ are run here as a reader would
run them, in one folder for each file; a `text` block right below one is its output.
`NOT_RUN` has the commands that cannot be run, and the reasons. A block of `sh`, or of
any language that is not checked here, belongs to another test, which names the file.

`SNAPSHOTS=write pytest tests/test_readme.py` rewrites the pictures of the terminal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from tap_sentry.settings import SETTINGS
from tap_sentry.tap import TapSentry
from tests.cli.test_progress import command
from tests.cli.test_progress import run as run_on_a_terminal
from tests.conftest import NOW
from tests.sentry import SAAS_LIMITS, TOKEN, SentrySimulator
from tests.sentry.data import uneven
from tests.test_catalog import NOT_BY_DEFAULT
from tests.test_end_to_end import target

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["target"]

ROOT = Path(__file__).parents[1]
PROPERTIES = SETTINGS.to_dict()["properties"].keys()
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

PYPI = "installs from PyPI; the test has it in place already"
MELTANO = "needs Meltano, and a Sentry"
#: The beginnings of the commands that are not run here, and the reasons.
NOT_RUN = {
    "uv tool install ": PYPI,
    "meltano run ": MELTANO,
    "meltano invoke ": "needs Meltano; tests/test_meltano.py runs it",
    "TAP_SENTRY_AUTH_TOKEN=sntryu_… make sync": MELTANO,
    "make demo": "installs Meltano from PyPI; its question is asked below",
    "make live ": "needs a Sentry of one's own",
    "docker compose ": "needs Docker",
    "python3 .github/glitchtip/fill.py ": "needs the GlitchTip in Docker",
    "make test": "runs this test",
    "make lint": "checks this test",
}

#: Asks the question of `make demo`, in another process: DuckDB's bindings complain at
#: the end of a process whose garbage collector the tap has frozen.
ASK = """
import json, sys, duckdb
from tests import demo
with duckdb.connect(config={"file_search_path": sys.argv[1]}) as files:
    answer = files.query(demo.ANSWER)
    rows = [answer.columns, *answer.fetchall()]
print(json.dumps([demo.QUESTION, *rows], default=str))
"""

FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code, and the text block right below it."""

    file: Path
    line: int
    language: str
    text: str
    prints: str | None

    @property
    def name(self) -> str:
        """The file and the line of the block."""
        return f"{self.file.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of the block, without comments; one may span several lines."""
        joined = self.text.replace("\\\n", "\\\0")
        lines = (line.partition("  # ")[0].strip() for line in joined.splitlines())
        kept = (line.partition("    # ")[0].rstrip() for line in lines if line)
        return [line.replace("\\\0", "\\\n") for line in kept if line[0] != "#"]


def blocks_of(file: Path) -> Iterator[Block]:
    """The blocks of a file."""
    text = file.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for match, after in zip_longest(found, found[1:]):
        is_output = (
            after is not None
            and after[1] == "text"
            and not text[match.end() : after.start()].strip()
        )
        yield Block(
            file,
            text.count("\n", 0, match.start()) + 1,
            match[1],
            match[2],
            after[2] if after is not None and is_output else None,
        )


BLOCKS = [block for file in FILES for block in blocks_of(file)]


def reason(command: str) -> str | None:
    """The reason why a command is not run, or None if it is run."""
    return next((why for how, why in NOT_RUN.items() if command.startswith(how)), None)


def of(language: str, file: str = "README.md") -> list[Block]:
    """The blocks of a language in a file."""
    return [b for b in BLOCKS if b.language == language and b.file.name == file]


def examples(language: str) -> list[Block]:
    """The blocks of a language in all files, except those about a target."""
    return [
        block
        for block in BLOCKS
        if block.language == language and "default_target_schema" not in block.text
    ]


def drawn(question: str) -> list[list[str]]:
    """The rows of the table that the README shows below a question, the head first."""
    (shown,) = (block.text for block in of("text") if block.text.startswith(question))
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in shown.splitlines()
        if line.startswith("│")
    ]


# Commands -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentry() -> Iterator[SentrySimulator]:
    """A simulated Sentry with the data of `make demo`."""
    with SentrySimulator(clock=lambda: datetime.now(UTC)).served() as simulator:
        yield simulator


@pytest.fixture
def desk(tmp_path: Path, target: str) -> Path:
    """A folder with what the commands in `NOT_RUN` would have installed."""
    (tmp_path / "bin").mkdir()
    for program in (Path(sys.executable).parent / "tap-sentry", Path(target)):
        (tmp_path / "bin" / program.name).symlink_to(program)
    shutil.copy(ROOT / "Makefile", tmp_path)
    # The quick start writes this file, and other pages use it.
    (tmp_path / "config.json").write_text(f'{{"auth_token": "{TOKEN}"}}')
    return tmp_path


def adapted(text: str, sentry: SentrySimulator) -> str:
    """Fill in the token, as a reader would, and the address of the simulator."""
    address = f'"auth_token": "{TOKEN}", "api_url": "{sentry.url}"'
    text = re.sub(r'"auth_token": "sntryu_…"', address, text)
    return text.replace("sntryu_…", TOKEN)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a shell that stops at the first failure."""
    ours = ("TAP_SENTRY_", "TARGET_JSONL", "MAKE")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }
    search = f"{folder / 'bin'}:{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(  # noqa: S603 - our own documentation
        ["bash", "-euc", script],  # noqa: S607 - the one that is there
        cwd=folder,
        env={**environment, "PATH": search},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.end_to_end
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_runs_and_prints_what_it_says(file, sentry, desk):
    """The commands of a file work in order, in one folder, and print what it shows."""
    ran = []
    for block in of("bash", file.name):
        commands = [line for line in block.commands if reason(line) is None]
        if not commands:
            continue
        ended = shell(adapted("\n".join(commands), sentry), desk)
        printed = ended.stdout.replace(sentry.url, "https://sentry.io")

        assert ended.returncode == 0, f"{block.name}: {ended.stderr[-2000:]}"
        if block.prints is not None:
            assert printed == block.prints, block.name
        ran.append(block.name)

    assert ran or not of("bash", file.name)


@pytest.mark.end_to_end
def test_the_next_run_continues_even_after_a_failed_one(sentry, desk):
    """With the commands of the README, a run that fails does not lose its state."""
    (block,) = (b for b in of("bash") if "states.jsonl" in b.text)
    load = "\n".join(line for line in block.commands if reason(line) is None)
    config = {"auth_token": TOKEN, "api_url": sentry.url}
    (desk / "config.json").write_text(json.dumps(config))

    def rows() -> int:
        """The number of events that the target has written so far."""
        files = desk.glob("project_events-*.jsonl")
        return sum(len(file.read_text("utf-8").splitlines()) for file in files)

    # Every project is read; a list that fails everywhere makes the exit code 1.
    sentry.fault(404, times=None, when=lambda request: "/keys/" in request.path)
    first = shell(load, desk)
    read = rows()
    sentry.faults.clear()
    second = shell(load, desk)

    assert (first.returncode, second.returncode) == (1, 0), second.stderr[-1000:]
    assert rows() - read < read / 10


@pytest.mark.parametrize("how", NOT_RUN)
def test_nothing_is_excused_that_is_not_there(how):
    """Every entry of `NOT_RUN` matches a command that is in the documentation."""
    assert any(
        command.startswith(how)
        for block in BLOCKS
        if block.language == "bash"
        for command in block.commands
    )


def test_commands_are_told_apart():
    """All commands of the quick start are run, except those that install."""
    check, load, plan = (b for b in of("bash") if "tap-sentry --config" in b.text)

    assert [reason(line) for line in check.commands] == [PYPI, None, None]
    assert [reason(line) for line in load.commands] == [PYPI, None, None, None]
    assert [reason(line) for line in plan.commands] == [None]
    assert check.prints


def test_make_has_what_the_documentation_calls():
    """The Makefile has every target that the documentation names, run here or not."""
    named = {
        name
        for block in BLOCKS
        if block.language in {"bash", "sh"}
        for command in block.commands
        for name in re.findall(r"\bmake ([a-z]+)", command)
    }
    makefile = (ROOT / "Makefile").read_text()

    assert {"demo", "sync", "test", "lint", "live"} <= named
    for name in named:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE)


def test_no_block_is_overlooked():
    """Every block is checked here, or in a test that names its file."""
    tests = [path for path in ROOT.glob("tests/**/*.py") if path != Path(__file__)]
    for block in BLOCKS:
        # Blocks of Python are outlines only.
        here = block.language in {"bash", "text", "json", "yaml", "python"}
        elsewhere = any(block.file.name in path.read_text() for path in tests)
        assert here or elsewhere, f"{block.name}: no test looks at {block.language}"

    # An unclosed fence, or one without a language, would hide what follows.
    for file in FILES:
        fences = re.findall(r"^ *```.*$", file.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len([b for b in BLOCKS if b.file == file])


# Output and settings ------------------------------------------------------------------


@pytest.mark.end_to_end
def test_the_demo_has_the_answer_that_the_readme_shows(sentry, desk):
    """The README shows the answer to the demo's question about the loaded rows."""
    (desk / "config.json").write_text(
        json.dumps({"auth_token": TOKEN, "api_url": sentry.url})
    )
    assert shell("tap-sentry --config config.json > all", desk).returncode == 0
    rows: dict[str, list[str]] = {}
    for line in (desk / "all").read_text().splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            row = json.dumps(message["record"])
            rows.setdefault(message["stream"], []).append(row)
    for stream, lines in rows.items():
        (desk / f"{stream}.jsonl").write_text("\n".join(lines))
    asked = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", ASK, desk],
        cwd=ROOT,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    question, columns, *answer = json.loads(asked.stdout)
    head, *cells = drawn(question)

    assert head == columns
    # The dates in the README are those of the day on which it was written.
    assert [row[:-1] for row in cells] == [[*map(str, row[:-1])] for row in answer]


#: The streams in the picture of the terminal.
PICTURED = (
    *("organizations", "organization_projects", "organization_releases"),
    *("organization_usage", "project_issues", "project_events"),
)
#: Runs the tap at the time of the simulator, so that it always reads the same.
AT_NOW = f"""
import datetime
import tap_sentry.tap
tap_sentry.tap.now = lambda: datetime.datetime.fromisoformat({NOW.isoformat()!r})
from tap_sentry.__main__ import main
main()
"""


@pytest.mark.end_to_end
def test_the_picture_of_the_terminal_is_what_a_run_prints(tmp_path):
    """The README shows the table of a run; only the seconds differ each time."""
    (picture,) = (b.text for b in of("text") if "held back" in b.text)
    with SentrySimulator(clock=lambda: NOW).served() as simulator:
        # A limit holds up the events of one project, and those of another are refused.
        simulator.fault(
            429, times=1, retry_after=2, when=lambda r: "telescope/events/" in r.path
        )
        simulator.fault(
            403, times=None, when=lambda r: "quiet-harbour/events/" in r.path
        )
        line = command(simulator, tmp_path, *PICTURED, start_date="90d", concurrency=8)
        line[1:3] = ["-c", AT_NOW]
        terminal = run_on_a_terminal(line, tmp_path)
    lines = [row for row in terminal.end if not row.startswith("20")]

    assert terminal.process.returncode == 0
    assert_pictured(picture, "".join(f"{row}\n" for row in lines))
    assert "1 skipped" in picture


@pytest.mark.end_to_end
def test_the_picture_of_a_plan_is_what_it_prints(tmp_path):
    """The README shows the plan for an organization of sentry.io."""
    (picture,) = (b.text for b in of("text") if " by issue" in b.text)
    organizations = uneven(now=datetime.now(UTC))
    simulator = SentrySimulator(organizations, rate_limits=SAAS_LIMITS)
    with simulator.served():
        line = command(simulator, tmp_path, *PICTURED, start_date="90d", concurrency=8)
        ended = subprocess.run(  # noqa: S603 - our own
            [*line, "--plan"], capture_output=True, check=True, encoding="utf-8"
        )
    (events,) = (s for s in ended.stdout.splitlines() if s.startswith("project_events"))

    assert " 300,000 " in events
    assert_pictured(picture, ended.stdout)


def assert_pictured(picture: str, printed: str) -> None:
    """Compare a picture of the terminal with the output, but for times; or rewrite it.

    Only what differs is rewritten, so that times stay those of a quiet machine.
    """
    if os.environ.get("SNAPSHOTS") == "write" and timeless(printed) != timeless(
        picture
    ):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (ROOT / "README.md").write_text(readme.replace(picture, printed), "utf-8")
        return

    assert timeless(printed) == timeless(picture)


def timeless(table: str) -> list[list[str]]:
    """The cells of a table of the terminal, with all durations the same."""
    text = re.sub(r"(\d+ h )?(\d+ min )?\d+ s\b", "1 s", table)
    return [re.split(r" {2,}", line) for line in text.splitlines()]


@pytest.mark.parametrize("block", examples("json"), ids=lambda block: block.name)
def test_the_settings_that_are_shown_are_right(block):
    """The configs that are shown are valid."""
    config = {"auth_token": TOKEN} | json.loads(block.text.replace("sntryu_…", TOKEN))
    tap = TapSentry(config=config)

    assert config.keys() <= PROPERTIES
    if "organizations" in config:
        assert tap.run.settings.organizations == ("acme", "globex")


def test_the_variables_that_are_shown_are_right(sentry, tmp_path):
    """The environment variables of the example are names of settings."""
    blocks = of("bash", "settings.md")
    (block,) = (b for b in blocks if "TAP_SENTRY_ORGANIZATIONS" in b.text)
    ended = shell(f"{adapted(block.text, sentry)}\ncompgen -e", tmp_path)
    found = {
        name.removeprefix("TAP_SENTRY_").lower()
        for name in re.findall(r"^(TAP_SENTRY_\w+)$", ended.stdout, re.MULTILINE)
    }

    assert found == {"auth_token", "organizations", "start_date"}
    assert found <= PROPERTIES


@pytest.mark.parametrize("block", examples("yaml"), ids=lambda block: block.name)
def test_the_yaml_that_is_shown_is_right(block):
    """The YAML that is shown can be parsed, and every setting in it exists."""
    found = yaml.safe_load(block.text)
    if isinstance(found, list):
        # A group of streams, which `test_stream_docs` compares with the streams.
        assert all(isinstance(rule, str) for rule in found)
        return
    plugin = found["plugins"]["extractors"][0] if "plugins" in found else found
    names = {*plugin["config"], *(item["name"] for item in plugin.get("settings", ()))}

    assert names
    assert names <= PROPERTIES


def test_the_tables_that_are_shown_can_be_read():
    """The tables of `explore` that are shown are streams with the names given there."""
    (block,) = of("yaml", "explore.md")
    found = yaml.safe_load(block.text)["config"]["explore"]
    tap = TapSentry(config={"auth_token": TOKEN, "explore": found})
    names = [f"explore_{table['name']}" for table in found]

    assert tap.streams.keys() >= set(names)
    page = block.file.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in names)


def test_examples_are_looked_for_on_all_pages():
    """There are examples of JSON and YAML on several pages."""
    pages = {kind: {b.file.name for b in examples(kind)} for kind in ("json", "yaml")}

    assert pages["json"] >= {"settings.md", "recipes.md"}
    assert pages["yaml"] >= {"README.md", "settings.md", "explore.md", "selecting.md"}


@pytest.mark.end_to_end
def test_the_catalog_is_as_the_page_says(desk):
    """Each entry of the catalog says in the place described whether it is selected."""
    (block,) = of("bash", "selecting.md")
    assert shell(block.text, desk).returncode == 0
    catalog = json.loads((desk / "catalog.json").read_text())

    for entry in catalog["streams"]:
        (found,) = (m for m in entry["metadata"] if m["breadcrumb"] == [])
        is_selected = entry["stream"] not in NOT_BY_DEFAULT
        assert found["metadata"]["selected"] == is_selected


def test_the_readme_is_read_in_one_sitting():
    """The README has at most four hundred lines, with its sections in this order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 400
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Try it",
        "Run it",
        "The token",
        "Settings",
        "What comes out",
        "How syncing works",
        "How long it takes",
        "Self-hosted servers",
        "All pages",
        "Compatibility",
        "Developing",
    ]
