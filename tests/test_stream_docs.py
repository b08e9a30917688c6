"""docs/streams.md, and the tables of streams on other pages, match the streams.

`SNAPSHOTS=write pytest tests/test_stream_docs.py` rewrites docs/streams.md.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from scripts.describe_streams import (
    AREAS,
    BY_NAME,
    LEFT_OUT,
    MORE_REFERENCES,
    REPLICATION,
    REQUESTS,
    USUAL_SCOPES,
    VISITED,
    anchor,
    describe,
    queries,
    requests,
)
from tap_sentry.streams import STREAMS
from tap_sentry.streams.intervals import IntervalStream
from tests.settings.test_settings import code, table_of
from tests.test_catalog import NAMES, NOT_BY_DEFAULT, each_stream

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "streams.md"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SELECTING = (ROOT / "docs" / "selecting.md").read_text(encoding="utf-8")


# docs/streams.md ----------------------------------------------------------------------


def test_the_page_is_what_the_script_prints():
    """docs/streams.md is the output of `scripts/describe_streams.py`."""
    if os.environ.get("SNAPSHOTS") == "write":
        PAGE.write_text(describe(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == describe()


def test_every_stream_is_in_one_area():
    """Each stream is in one area, and is described there."""
    found = [name for names in AREAS.values() for name in names]

    assert sorted(found) == sorted(NAMES)
    assert re.findall(r"^### `(\w+)`$", describe(), re.MULTILINE) == found


def test_links_lead_to_headings():
    """Every link within the page leads to one of its headings."""
    page = describe()
    headings = re.findall(r"^##+ `?([^`\n]+)`?$", page, re.MULTILINE)

    assert set(re.findall(r"\]\((#[^)]*)\)", page)) == set(map(anchor, headings))


def test_the_picture_has_every_stream_below_its_parent():
    """Each stream is in the picture once, below its parent, in the box of its area."""
    (picture,) = re.findall(
        r"^```mermaid\n(flowchart .*?)^```$", describe(), re.MULTILINE | re.DOTALL
    )
    boxes = re.findall(r'^ +(?:(\w+) --> )?(\w+)\["(.*)"\]$', picture, re.MULTILINE)
    found = {}
    for parent, box, text in boxes:
        title, *names = text.split("<br>")
        if not names:
            assert title == f"<b>{box}</b>"
            found[box] = parent
        for name in names:
            plain = name.removeprefix("<i>").removesuffix("</i>")
            assert plain in AREAS[title.removeprefix("<b>").removesuffix("</b>")]
            assert (plain != name) == (plain in NOT_BY_DEFAULT)
            assert plain not in found
            found[plain] = parent

    assert len(boxes) == len(picture.splitlines()) - 1
    assert len({box for _, box, _ in boxes}) == len(boxes)
    assert found == {
        name: vars(stream.parent_stream_type)["name"]
        if stream.parent_stream_type
        else ""
        for name, stream in BY_NAME.items()
    }


@each_stream
def test_every_column_is_in_the_table(stream):
    """The section of a stream has its columns in order, each with its description."""
    section = describe().partition(f"### `{stream.name}`\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    columns = stream.schema["properties"]

    assert [name for name, _, _ in rows] == list(columns)
    assert [text for _, _, text in rows] == [
        column["description"] for column in columns.values()
    ]


def test_what_the_script_says_itself_is_about_streams():
    """The dictionaries of the script name streams, and columns that these have."""
    for texts in (REQUESTS, VISITED, LEFT_OUT, REPLICATION, MORE_REFERENCES):
        assert texts.keys() <= BY_NAME.keys()
    assert LEFT_OUT.keys() <= NOT_BY_DEFAULT
    for name, columns in MORE_REFERENCES.items():
        assert columns.keys() <= BY_NAME[name].schema["properties"].keys()
        assert set(columns.values()) <= BY_NAME.keys()


# Example queries ----------------------------------------------------------------------


def test_every_stream_has_a_query():
    """Each stream has one query, in the order of the page."""
    text = (ROOT / "scripts" / "example_queries.sql").read_text(encoding="utf-8")
    order = [name for names in AREAS.values() for name in names]

    assert list(queries()) == order
    assert text.count(";\n") == len(order)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_is_short_and_asks_the_stream(name):
    """A query is a question and three to eight lines, and reads its stream."""
    question, sql = queries()[name]

    assert re.fullmatch(r"[A-Z].*\?", question)
    assert 3 <= len(sql.splitlines()) <= 8
    assert all(len(line) <= 96 for line in sql.splitlines())
    assert re.search(rf"\b(from|join) {name}\b", sql)
    assert sql.endswith(";\n")


# The README and other pages -----------------------------------------------------------


def usual_scope(name: str) -> str:
    """The scope of a stream that most tokens have, else the only one."""
    scopes = BY_NAME[name].scopes
    return next((scope for scope in USUAL_SCOPES if scope in scopes), scopes[0])


def test_the_readme_lists_the_areas():
    """The README's table has each area with a link, its streams and their scopes."""
    rows = table_of("README.md", "area", "streams", "scope", "note")

    assert [row["area"] for row in rows] == [
        f"[{area}](docs/streams.md{anchor(area)})" for area in AREAS
    ]
    assert [tuple(code(row["streams"])) for row in rows] == [*AREAS.values()]
    assert [set(code(row["scope"])) for row in rows] == [
        set(map(usual_scope, names)) for names in AREAS.values()
    ]


def test_the_readme_marks_what_is_not_selected():
    """Streams in italics are those that are not selected by default."""
    rows = table_of("README.md", "area", "streams", "scope", "note")
    marked = {
        name for row in rows for name in re.findall(r"\*`(\w+)`\*", row["streams"])
    }

    assert marked == NOT_BY_DEFAULT


def test_the_page_says_what_heavy_streams_cost():
    """Each stream that is not selected by default has its number of requests."""
    header = ("not selected by default", "requests", "why")
    rows = table_of("docs/selecting.md", *header)
    listed = [code(row["not selected by default"]) for row in rows]

    assert Counter(name for names in listed for name in names) == Counter(
        NOT_BY_DEFAULT
    )
    for names, row in zip(listed, rows, strict=True):
        assert {requests(BY_NAME[name]) for name in names} == {row["requests"]}


def test_every_stream_is_in_a_group():
    """The groups to paste under `select` name every stream, and nothing else."""
    text = SELECTING.partition("## Groups to paste into `select`")[2]
    groups = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rules = [rule for group in groups for rule in yaml.safe_load(group)]
    names = [rule.removesuffix(".*") for rule in rules]

    assert {f"{name}.*" for name in names} == set(rules)
    assert set(names) == set(NAMES)
    assert all(len(set(group.splitlines())) > 1 for group in groups)


def test_the_page_says_which_scope_is_for_what():
    """The page lists the streams that need each scope, or another one instead."""
    header = ("scope", "or instead", "streams that need it")
    rows = table_of("docs/settings.md", *header)
    found = [
        (*code(row["scope"]), frozenset(code(row["or instead"])), name)
        for row in rows
        for name in code(row["streams that need it"])
        if name in BY_NAME
    ]
    expected = []
    for name, stream in BY_NAME.items():
        usual = usual_scope(name)
        expected.append((usual, frozenset(stream.scopes) - {usual}, name))
        expected += [(scope, frozenset(), name) for scope in stream.fallback_scopes]

    assert Counter(found) == Counter(expected)


def test_the_readme_says_which_scopes_to_give():
    """The README has the scopes that most streams need, and the streams that need more.

    These are not selected by default.
    """
    section = README.partition("\n## The token\n")[2].partition("\n## ")[0]
    text = re.sub(r"\s+", " ", section)
    *first, last = USUAL_SCOPES
    listed = ", ".join(f"`{scope}`" for scope in first)
    more = {
        name: usual_scope(name)
        for name in BY_NAME
        if usual_scope(name) not in USUAL_SCOPES
    }
    words = ", ".join(f"`{name}` needs `{scope}`" for name, scope in more.items())

    assert f"Give it the scopes {listed} and `{last}`." in text
    assert len(more) == 2
    assert f"Two streams need more, and are not selected by default: {words}." in text
    assert more.keys() <= NOT_BY_DEFAULT


def test_the_readme_adds_up_the_requests():
    """The README has the number of requests for each project, team and so on."""
    sums = Counter(
        vars(stream.parent_stream_type)["kind"]
        for stream in STREAMS
        if stream.selected_by_default
        and stream.parent_stream_type
        and not issubclass(stream, IntervalStream)
    )
    by_day = [name for name in BY_NAME if issubclass(BY_NAME[name], IntervalStream)]
    words = " and ".join(f"`{name}`" for name in by_day)
    text = re.sub(r"\s+", " ", README)

    assert (
        f"a run sends {sums['project']} requests for each project, {sums['team']} for "
        f"each team, {sums['release']} for each new release, {sums['repository']} for "
        f"each repository, {sums['organization']} for each organization, and "
        f"{len(by_day)} for each organization and day ({words})"
    ) in text
    assert sums.keys() == {"organization", "project", "team", "release", "repository"}


def test_the_readme_says_how_many_streams_there_are():
    """The README's first sentence says how many streams there are."""
    assert "reads fifty [streams](#what-comes-out)" in README
    assert len(STREAMS) == 50
