#!/usr/bin/env python3
"""Describe the tables of the streams as sources of dbt, for examples/dbt.

    python -m scripts.describe_sources

Prints a properties file: each table with its columns, their types in PostgreSQL and
their descriptions. A test compares the file of the example with it, and
`make snapshots` writes it there.
"""

from typing import Any

import yaml  # type: ignore[import-untyped] # the SDK brings it, without its types

from scripts.draw_tables import TYPES
from tap_sentry.records.columns import type_name
from tap_sentry.streams import STREAMS

INTRO = """\
# Written by scripts/describe_sources.py from the catalog of the tap: `make snapshots`.

"""

#: Every run loads rows of these, so old ones tell that no run ended well. Other lists
#: may be empty, and events may be rare.
ALWAYS = {"organizations", "organization_projects", "project_event_counts"}
#: When a table is late, for a tap that runs every day.
FRESHNESS = {
    "warn_after": {"count": 36, "period": "hour"},
    "error_after": {"count": 3, "period": "day"},
}


def column(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """One column of a table, quoted where its name has capitals."""
    return {
        "name": name,
        "description": schema["description"],
        "data_type": TYPES[type_name(schema)],
        **({} if name.islower() else {"quote": True}),
    }


def table(stream: Any) -> dict[str, Any]:
    """The table of a stream."""
    columns = stream.schema["properties"].items()
    return {
        "name": stream.name,
        "description": str(stream.__doc__).splitlines()[0],
        "config": {
            **({"freshness": FRESHNESS} if stream.name in ALWAYS else {}),
            "meta": {"primary_key": [*stream.primary_keys]},
        },
        "columns": [column(name, schema) for name, schema in columns],
    }


def describe() -> str:
    """The whole file as text."""
    source = {
        "name": "sentry",
        "description": "Streams of Sentry's Web API, loaded by tap-sentry.",
        "schema": "{{ var('sentry_schema') }}",
        "loader": "tap-sentry",
        "config": {"loaded_at_field": "_sdc_extracted_at"},
        "tables": [table(stream) for stream in STREAMS],
    }
    return INTRO + yaml.dump(
        {"sources": [source]},
        Dumper=Plain,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )


class Plain(yaml.SafeDumper):  # type: ignore[misc] # it has no types
    """Writes what comes twice twice, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of YAML
        """Every value is written out."""
        return True


if __name__ == "__main__":
    print(describe(), end="")
