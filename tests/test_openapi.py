"""`scripts/compare_openapi.py` finds where streams and a specification differ."""

from __future__ import annotations

import pytest

from scripts.compare_openapi import (
    EXPLAINED,
    FULL_FORMS,
    OWN_ROWS,
    UNDOCUMENTED,
    differences,
)
from tap_sentry.streams import STREAMS


def lists(*columns):
    """Return a specification of three lists with these columns."""
    row = {"type": "object", "properties": {name: {} for name in columns}}
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}
    of_organization = "/api/0/organizations/{organization_id_or_slug}"
    return {
        "components": {"schemas": {"Row": row}},
        "paths": {
            f"{of_organization}/environments/": answering(rows),
            f"{of_organization}/replays/": answering({"properties": {"data": rows}}),
            f"{of_organization}/code-mappings/": answering(rows),
        },
    }


def answering(schema):
    """Return a path whose GET answers with this schema."""
    content = {"application/json": {"schema": schema}}
    return {"get": {"responses": {"200": {"content": content}}}}


@pytest.mark.parametrize("names", [EXPLAINED, FULL_FORMS, OWN_ROWS, UNDOCUMENTED])
def test_only_streams_are_explained(names):
    """Each name that the script knows is that of a stream."""
    assert set(names) <= {vars(stream)["name"] for stream in STREAMS}


def test_differences_are_told():
    """A column on one side only is told, whether the list is in a field or not."""
    found = differences(lists("id", "color"))

    assert [text for text in found if text.startswith("organization_environ")] == [
        "organization_environments.color: documented, but no column",
        "organization_environments.name: a column, but not documented",
    ]
    assert "organization_replays.color: documented, but no column" in found
    assert "organization_replays.id: a column, but not documented" not in found
    assert "organization_code_mappings: documented, but listed as undocumented" in found
