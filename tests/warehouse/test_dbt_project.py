"""The dbt project in `examples/dbt` fits the catalog; `make dbt` builds it.

`SNAPSHOTS=write pytest tests/warehouse/test_dbt_project.py` rewrites its sources.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from scripts.describe_sources import ALWAYS, describe
from scripts.describe_streams import BY_NAME
from tests.test_catalog import NOT_BY_DEFAULT
from tests.warehouse.conftest import ROOT

EXAMPLE = ROOT / "examples" / "dbt"
SOURCES = EXAMPLE / "models" / "staging" / "_sentry__sources.yml"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
FILES = sorted((EXAMPLE / "models").rglob("*.sql"))
SQL = {path.stem: path.read_text(encoding="utf-8") for path in FILES}
STAGING = {path.stem for path in FILES if path.parent.name == "staging"}
MARTS = SQL.keys() - STAGING

#: A stream with its key, as a staging model reads it.
READ = re.compile(r"newest\(\s*'(\w+)',\s*\[([^]]*)\]\s*\)")
REFERENCE = re.compile(r"\bref\('(\w+)'\)")

each_staging_model = pytest.mark.parametrize("model", sorted(STAGING))


def described(folder: str) -> list[dict[str, Any]]:
    """The models that the properties files of a folder describe."""
    files = sorted((EXAMPLE / "models" / folder).glob("*__models.yml"))
    return [
        model
        for path in files
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    ]


def project() -> dict[str, Any]:
    """The settings of the project."""
    settings: dict[str, Any] = yaml.safe_load((EXAMPLE / "dbt_project.yml").read_text())
    return settings


def test_the_sources_are_those_of_the_catalog():
    """The sources are the output of `scripts/describe_sources.py`."""
    if os.environ.get("SNAPSHOTS") == "write":
        SOURCES.write_text(describe(), encoding="utf-8")

    assert SOURCES.read_text(encoding="utf-8") == describe()


def test_every_stream_is_a_source():
    """Each stream is a table with its key, columns and their descriptions."""
    (source,) = yaml.safe_load(describe())["sources"]

    assert [table["name"] for table in source["tables"]] == list(BY_NAME)
    for table in source["tables"]:
        stream = BY_NAME[table["name"]]
        columns = stream.schema["properties"]
        assert {c["name"]: c["description"] for c in table["columns"]} == {
            name: column["description"] for name, column in columns.items()
        }
        assert table["config"]["meta"]["primary_key"] == list(stream.primary_keys)


def test_fresh_tables_are_loaded_by_default():
    """A table whose age is checked is one that every run loads."""
    assert BY_NAME.keys() - NOT_BY_DEFAULT >= ALWAYS


@pytest.mark.parametrize("folder", ["staging", "marts"])
def test_the_models_that_are_described_are_those_that_exist(folder):
    """Each model is described, and nothing else is."""
    names = [model["name"] for model in described(folder)]

    assert sorted(names) == sorted(STAGING if folder == "staging" else MARTS)
    assert all(model["description"] for model in described(folder))


@pytest.mark.parametrize("model", described("marts"), ids=lambda model: model["name"])
def test_every_column_of_a_mart_is_described(model):
    """Each described column has a sentence, and the query of the mart names it."""
    for column in model["columns"]:
        assert column["description"].strip().endswith(".")
        assert re.search(rf"\b{column['name']}\b", SQL[model["name"]])


def test_what_is_referred_to_exists():
    """Every reference in queries and tests leads to a model."""
    texts = [*SQL.values()]
    texts += [path.read_text() for path in (EXAMPLE / "models").rglob("*__models.yml")]

    assert {name for text in texts for name in REFERENCE.findall(text)} <= SQL.keys()


@each_staging_model
def test_a_staging_model_keeps_one_row_for_each_key(model):
    """A staging model reads a stream by its primary key, or takes another apart."""
    if not (found := READ.search(SQL[model])):
        assert set(REFERENCE.findall(SQL[model])) <= STAGING
        return
    stream, key = found.groups()

    assert re.findall(r"\w+", key) == list(BY_NAME[stream].primary_keys)


@each_staging_model
def test_a_staging_model_reads_columns_of_its_stream(model):
    """Names with capitals, which are those in quotes, are columns of the stream."""
    quoted = set(re.findall(r'"(\w+)"', SQL[model]))
    stream = READ.search(SQL[model])

    assert not quoted or (
        stream and quoted <= BY_NAME[stream[1]].schema["properties"].keys()
    )


def test_marts_read_no_source():
    """Only staging models read what the tap loads."""
    for mart in MARTS:
        assert "newest(" not in SQL[mart]
        assert "source(" not in SQL[mart]


def test_the_readme_lists_the_marts():
    """The table of the README has each mart."""
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == (
        MARTS | project()["vars"].keys()
    )


def test_the_readme_names_the_streams_to_select():
    """The README names the streams that models read and that have to be selected."""
    read = {found[1] for text in SQL.values() if (found := READ.search(text))}

    assert set(re.findall(r"^- `(\w+)`", README, re.MULTILINE)) == (
        read & NOT_BY_DEFAULT
    )


def test_nothing_is_reported_to_anyone():
    """The project switches off the usage statistics of dbt."""
    assert project()["flags"]["send_anonymous_usage_stats"] is False


def test_versions_are_pinned():
    """What `make dbt` installs is named by exact versions."""
    lines = (EXAMPLE / "requirements.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]

    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", package) for package in packages)
