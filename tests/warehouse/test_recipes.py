"""Each query of `docs/recipes.md` gives the answer that is shown below it.

`SNAPSHOTS=write pytest tests/warehouse/test_recipes.py` rewrites the answers.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from tap_sentry.streams import STREAMS
from tests.conftest import NOW
from tests.sentry.data import iso
from tests.warehouse.conftest import RECIPES, SINCE, documented

pytestmark = pytest.mark.end_to_end

#: A heading, the text below it, a query and its answer.
RECIPE = re.compile(
    r"^## (?P<name>[^\n]+)\n(?:(?!^```|^#).)*"
    r"^```sql\n(?P<query>(?:(?!^```).)*)^```\n\n"
    r"^```text\n(?P<answer>(?:(?!^```).)*)^```$",
    re.MULTILINE | re.DOTALL,
)

#: A reader's session: the tables, and a fixed `now()` that is found first.
SESSION = f"""
create schema clock;
create function clock.now() returns timestamptz language sql
  as $$ select timestamptz '{NOW.isoformat()}' $$;
set search_path to clock, sentry, pg_catalog;
"""


def recipes() -> dict[str, re.Match[str]]:
    """The recipes by their headings."""
    text = RECIPES.read_text(encoding="utf-8")
    return {found["name"]: found for found in RECIPE.finditer(text)}


def answered(database, query: str) -> str:
    """What psql prints in a session that is not in UTC and is rolled back."""
    printed = database.psql(
        f"begin; {SESSION} {query} rollback;", "--pset=footer=off", PGTZ="Asia/Tokyo"
    )
    lines = [line.rstrip() for line in printed.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def test_every_query_is_a_recipe():
    """Every query is a recipe, except the one that prepares the database."""
    assert len(recipes()) == len(documented("sql")) - 1 == len(documented("text"))


def test_streams_to_select_are_named():
    """The page names the streams that queries read and that have to be selected."""
    start = RECIPES.read_text(encoding="utf-8").split("## What to know")[0]
    queries = "".join(recipe["query"] for recipe in recipes().values())
    read = set(re.findall(r"\b(?:from|join) (\w+)", queries))
    left_out = {
        vars(stream)["name"] for stream in STREAMS if not stream.selected_by_default
    }

    assert set(re.findall(r"^- `(\w+)`", start, re.MULTILINE)) == read & left_out


@pytest.fixture(scope="module")
def database(server, loader, warehouse):
    """A copy of the warehouse with the tables of the documented setting `explore`."""
    database = server.database("recipes", template=warehouse.database.name)
    _, settings = map(json.loads, documented("json"))
    loaded = loader.load(
        warehouse.sentry, database, "organizations", start_date=iso(SINCE), **settings
    )
    assert loaded.codes == (0, 0), loaded.log
    return database


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_has_the_answer_that_is_shown(database, name):
    """Each query gives the answer shown, on a database loaded as documented."""
    recipe = recipes()[name]
    answer = answered(database, recipe["query"])
    if os.environ.get("SNAPSHOTS") == "write":
        start, end = recipe.span("answer")
        text = RECIPES.read_text(encoding="utf-8")
        RECIPES.write_text(text[:start] + answer + text[end:], encoding="utf-8")

    assert recipes()[name]["answer"] == answer
    assert answer.count("\n") > 2
