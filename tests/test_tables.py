"""The diagram of the tables in docs/streams.md matches the catalog.

`tests/test_stream_docs.py` compares the page with the script that writes it.
"""

from __future__ import annotations

import re
from pathlib import Path

from scripts.draw_tables import CORE, draw, references
from tap_sentry.streams import STREAMS
from tap_sentry.streams.base import ADDED
from tap_sentry.streams.events import ProjectEvents
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.releases import OrganizationReleases
from tests.test_catalog import each_stream

PAGE = Path(__file__).parents[1] / "docs" / "streams.md"
PICTURE = re.compile(r"(?<=^```mermaid\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def test_the_page_shows_the_tables_of_the_catalog():
    """The page has the diagram that `scripts/draw_tables.py` draws, once."""
    pictures = PICTURE.findall(PAGE.read_text(encoding="utf-8"))

    assert pictures.count(draw()) == 1


def test_every_table_hangs_on_another():
    """The core is drawn, and a line leads to each of its tables except the first."""
    picture = draw()
    lines = re.findall(r"^    (\w+) \|[|o]--o[|{] (\w+) : \w+$", picture, re.MULTILINE)
    first, *others = [vars(stream)["name"] for stream in STREAMS if stream in CORE]

    assert re.findall(r"^    (\w+) \{$", picture, re.MULTILINE) == [first, *others]
    assert {below for _, below in lines} == set(others)
    assert {above for above, _ in lines} <= {first, *others}


def test_a_table_is_drawn_with_its_parent():
    """Every table of the core has its parent beside it, and the core stays small."""
    assert {stream.parent_stream_type for stream in CORE} - {None} <= CORE
    assert len(CORE) < len(STREAMS) / 2


@each_stream
def test_ids_of_other_tables_are_references(stream):
    """Every id that the tap adds to a row refers to another table."""
    columns = vars(stream)["schema"]["properties"]
    others = {name for name in columns if name in ADDED | {"event_id"}}

    assert others <= set(references(stream)) <= set(columns)


def test_events_refer_to_what_they_are_of():
    """Events refer to their organization, project and issue."""
    kinds = references(ProjectEvents)

    assert kinds["issue_id"] is ProjectIssues
    assert list(kinds) == ["organization_id", "project_id", "issue_id"]


def test_what_belongs_to_a_release_refers_to_it_by_version():
    """The key of a release is its version, so its deploys and commits refer to that."""
    children = [s for s in STREAMS if s.parent_stream_type is OrganizationReleases]

    assert [references(s)["release_version"] for s in children] == (
        [OrganizationReleases] * 2
    )
