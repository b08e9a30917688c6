"""The tap run by Meltano, with the commands of the documentation.

Each project is a copy of `meltano.yml` in a folder of its own, with its own state; the
tap, the target and Meltano itself are those that `make` installed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from scripts.describe_streams import BY_NAME, replication_key
from tests.sentry import STREAMS, TOKEN, SentrySimulator
from tests.test_catalog import NOT_BY_DEFAULT

ROOT = Path(__file__).parents[1]
MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        not (ROOT / "tap_sentry").exists(),
        reason="Meltano installs the tap from this folder, and it is not here",
    ),
]

#: Streams that sentry.io has retired, so that they have no rows.
RETIRED = {"project_alert_rules", "organization_metric_alert_rules"}
#: Streams that the definitions select and that have rows.
SELECTED = set(STREAMS) - NOT_BY_DEFAULT - RETIRED
#: Streams that a second run reads in full again; of commits it reads the first page.
LISTS = {name for name, kind in BY_NAME.items() if replication_key(kind) is None}
LISTS.add("repository_commits")
#: Streams that the commented example of `metadata` deselects.
LEFT_OUT = {"project_events", "project_event_counts", "project_event_entries"}


@dataclass
class Project:
    """A folder with a `meltano.yml`, and the simulator that it reads."""

    folder: Path
    url: str
    token: str = TOKEN

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Meltano, without variables that change the pipeline."""
        ours = ("MELTANO_", "TAP_SENTRY_", "TARGET_JSONL_")
        return {
            **{key: os.environ[key] for key in os.environ if not key.startswith(ours)},
            # Use what is installed already, and install nothing.
            "MELTANO_AUTO_INSTALL": "false",
            "PATH": f"{MELTANO.parent}{os.pathsep}{os.environ['PATH']}",
            "TAP_SENTRY_API_URL": self.url,
            "TAP_SENTRY_AUTH_TOKEN": self.token,
        }

    def shell(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the folder."""
        return subprocess.run(  # noqa: S603, these are ours
            ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607, any will do
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def meltano(self, command: str, **variables: str) -> str:
        """Run a Meltano command, which must succeed, and return its output."""
        done = self.shell(f"meltano --log-level=warning {command}", **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load(self, options: str = "", **variables: str) -> Counter[str]:
        """Run the pipeline and return the number of new rows of each stream."""
        before = self.rows()
        self.meltano(f"run {options} tap-sentry target-jsonl", **variables)
        return self.rows() - before

    def rows(self, folder: str = "output") -> Counter[str]:
        """The number of rows of each stream."""
        return Counter({file: len(rows) for file, rows in self.loaded(folder).items()})

    def loaded(self, folder: str = "output") -> dict[str, list[dict[str, Any]]]:
        """The rows of each stream."""
        return {
            file.stem: list(map(json.loads, file.read_text("utf-8").splitlines()))
            for file in (self.folder / folder).glob("*.jsonl")
        }


@pytest.fixture(scope="module")
def sentry():
    """A simulated Sentry with the data of the demo."""
    simulator = SentrySimulator()
    with simulator.served():
        yield simulator


@pytest.fixture(scope="module")
def new_project(sentry, tmp_path_factory):
    """A function that creates a project and updates its definition of the tap."""
    if not MELTANO.exists():
        pytest.fail(f"Meltano is not at {MELTANO}: run `make test`", pytrace=False)

    def new_project(text=None, **definition):
        folder = tmp_path_factory.mktemp("project")
        text = text or (ROOT / "meltano.yml").read_text("utf-8")
        content = yaml.safe_load(text)
        content["plugins"]["extractors"][0].update(definition)
        (folder / "meltano.yml").write_text(yaml.safe_dump(content, sort_keys=False))
        (folder / "output").mkdir()
        for kind in ("extractors", "loaders"):
            there = folder / ".meltano" / kind
            there.parent.mkdir(exist_ok=True)
            there.symlink_to(ROOT / ".meltano" / kind)
        return Project(folder, sentry.url)

    return new_project


@pytest.fixture(scope="module")
def project(new_project):
    return new_project()


# Commands that read no rows -----------------------------------------------------------


def test_discovery_is_that_of_the_tap(project):
    catalog = json.loads(project.meltano("invoke tap-sentry --discover"))

    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(STREAMS)


def test_select_lists_what_is_selected(project):
    """`select --list` shows streams that are left out as excluded, others selected."""
    listed = project.meltano("select tap-sentry --list --all")
    marks: dict[str, set[str]]
    marks = {"[selected": set(), "[automatic": set(), "[excluded": set()}
    for line in listed.splitlines():
        mark, _, attribute = line.strip().partition("]")
        if mark.rstrip() in marks:
            marks[mark.rstrip()].add(attribute.strip().partition(".")[0])

    assert marks["[selected"] == set(STREAMS) - NOT_BY_DEFAULT
    assert marks["[excluded"] >= NOT_BY_DEFAULT


def test_config_test_tells_good_settings_from_bad_ones(project):
    """`config test` reads a first record, and fails if the token is refused."""
    assert "Plugin configuration is valid" in project.meltano("config test tap-sentry")

    wrong = project.shell(
        "meltano --log-level=warning config test tap-sentry",
        TAP_SENTRY_AUTH_TOKEN="wrong",
    )
    assert wrong.returncode == 1
    assert "refuses the auth_token" in wrong.stdout + wrong.stderr


def test_config_test_names_the_setting_that_is_wrong(project):
    """`config test` shows only the tap's last line, which names the wrong setting."""
    wrong = project.shell(
        "meltano --log-level=warning config test tap-sentry",
        TAP_SENTRY_START_DATE="soon",
    )

    assert wrong.returncode == 1
    assert "start_date: 'soon' is not a date" in wrong.stdout + wrong.stderr


def test_no_command_prints_the_token(project):
    for command in ("config list tap-sentry", "config print tap-sentry"):
        shown = project.meltano(command)

        assert project.url in shown
        assert TOKEN not in shown


def test_the_plan_is_that_of_the_selected_streams(new_project):
    """With the commands in the README, a plan has the streams of `select` alone."""
    project = new_project(select=["organizations.*", "issue_tags.*"])
    readme = (ROOT / "README.md").read_text("utf-8")
    (commands,) = (
        block.partition("```")[0]
        for block in readme.split("```bash\n")[1:]
        if block.startswith("meltano invoke")
    )
    planned = project.shell(
        commands.replace("meltano ", "meltano --log-level=warning ")
    )
    names = [line.partition(" ")[0] for line in planned.stdout.splitlines()]

    assert planned.returncode == 0, planned.stderr
    # Lists of parents are requested as well.
    assert {"organizations", "issue_tags", "total"} <= set(names)
    assert not {"project_events", "organization_teams"} & set(names)


# Commands that read rows --------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(project):
    """The new rows of three runs: the first, the second, and a full refresh."""
    return [project.load(), project.load(), project.load("--full-refresh")]


def test_the_first_run_brings_what_is_selected(runs, sentry):
    first, _, _ = runs

    assert set(first) == SELECTED
    for stream in ("project_issues", "project_events", "project_users"):
        assert first[stream] == len(sentry.truth(stream))


def test_the_second_run_goes_on_where_the_first_ended(runs, project):
    """A second run reads whole lists, an hour of other rows, and two counts."""
    first, second, _ = runs

    assert {stream for stream in first if second[stream] == first[stream]} <= LISTS
    assert second["project_events"] < 20
    assert project.meltano("state list").split() == ["dev:tap-sentry-to-target-jsonl"]


def test_a_full_refresh_brings_everything_again(runs):
    first, _, third = runs

    assert third == first


def test_the_example_of_metadata_does_what_it_says(new_project):
    """The commented `metadata` example in `meltano.yml` works once uncommented."""
    definition = (ROOT / "meltano.yml").read_text("utf-8")
    head, mark, example = definition.partition("      #\n      #   metadata:")
    example, blank, rest = example.partition("\n\n")
    text = f"{head}{mark}{example}".replace("      #   ", "      ") + blank + rest
    project = new_project(text)

    first, second = project.load(), project.load()

    assert set(first) == SELECTED - LEFT_OUT
    assert second["project_issues"] == first["project_issues"] > 0


def test_the_definition_in_the_readme_is_enough(new_project, sentry):
    """The README's definition works with server and organizations set by variables."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (text,) = [
        block.partition("```")[0]
        for block in readme.split("```yaml\n")[1:]
        if block.startswith("plugins:")
    ]
    # `meltano init` has written these lines before.
    text = f"default_environment: dev\nenvironments: [{{name: dev}}]\n{text}"
    project = new_project(text, pip_url="-e .")
    slug = sentry.organizations[0].slug
    first = project.load(TAP_SENTRY_ORGANIZATIONS=json.dumps([slug]))

    assert set(first) == SELECTED
    assert first["organizations"] == 1


def test_what_the_sdk_has_built_in_works_through_meltano(new_project):
    """Stream maps and flattening, which are not the tap's own settings, work."""
    project = new_project(
        select=["organization_teams.*", "projects.*"],
        config={
            "stream_maps": {"organization_teams": {"slug": "slug.upper()"}},
            "flattening_enabled": True,
            "flattening_max_depth": 1,
        },
    )
    project.load()
    loaded = project.loaded()

    slugs = [row["slug"] for row in loaded["organization_teams"]]

    assert slugs == [slug.upper() for slug in slugs] != []
    assert isinstance(loaded["projects"][0]["organization"], str)


# Commands of other pages --------------------------------------------------------------


def recipe(page, word):
    """The commands on a page of the documentation that a word appears in."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    (block,) = [
        block.partition("```")[0]
        for block in text.split("```sh\n")[1:]
        if word in block
    ]
    return block


def test_shards_run_beside_each_other_with_a_state_each(new_project, sentry):
    """The recipe in docs/scaling.md, run twice, keeps a state for each shard."""
    project = new_project(select=["organizations.*", "project_events.*"])
    # This creates the database of the project, as `meltano install` would.
    assert project.meltano("state list").split() == []
    slugs = [organization.slug for organization in sentry.organizations]
    (project.folder / "organizations.txt").write_text("".join(f"{s}\n" for s in slugs))

    counts = []
    for _ in range(2):
        before = {slug: project.rows(f"output/{slug}") for slug in slugs}
        done = project.shell(recipe("scaling.md", "xargs"))
        assert done.returncode == 0, done.stderr
        counts.append({s: project.rows(f"output/{s}") - before[s] for s in slugs})
    first, second = counts

    assert sorted(project.meltano("state list").split()) == sorted(slugs)
    assert [first[slug]["organizations"] for slug in slugs] == [1 for _ in slugs]
    events = "project_events"
    assert sum(first[slug][events] for slug in slugs) == len(sentry.truth(events))
    assert sum(second[slug][events] for slug in slugs) < 20


def test_a_stream_is_loaded_from_an_earlier_start(new_project, sentry):
    """With the commands in docs/syncing.md, older records of one stream arrive."""
    project = new_project(select=["organizations.*", "project_events.*"])
    first = project.load(TAP_SENTRY_START_DATE="5d")
    get, put = recipe("syncing.md", "state get").split("# Edit state.json here.\n")
    assert project.shell(get).returncode == 0
    file = project.folder / "state.json"
    state = json.loads(file.read_text("utf-8"))
    state["singer_state"]["bookmarks"].pop("project_events")
    file.write_text(json.dumps(state))
    done = project.shell(put)
    assert done.returncode == 0, done.stderr
    second = project.load(TAP_SENTRY_START_DATE="30d")

    start = sentry.clock() - timedelta(days=30)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    events = sentry.truth("project_events", midnight)
    assert first["project_events"] < second["project_events"] == len(events)
