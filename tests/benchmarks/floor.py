"""The smallest possible tap: urllib3, msgspec, and the lines of one stream.

    python -m tests.benchmarks.floor URL STREAM CATALOG

It handles no errors, limits, earlier states, dates or settings; it reads page after
page and writes what `tap-sentry` would write.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

PATHS = {
    "project_issues": "organizations/shop/issues/?project={id}&limit=100",
    "project_events": "projects/shop/{id}/events/?per_page=100",
    "project_event_entries": "projects/shop/{id}/events/?per_page=100&full=true",
}
NEXT = re.compile(r'rel="next"; results="true"; cursor="([^"]*)"')


def main() -> None:
    """Read one stream of one project."""
    url, stream, catalog = sys.argv[1:]
    entry = next(
        entry
        for entry in json.loads(Path(catalog).read_text())["streams"]
        if entry["tap_stream_id"] == stream
    )
    columns = frozenset(entry["schema"]["properties"])
    http = urllib3.PoolManager(headers={"Authorization": "Bearer x"})
    decode = msgspec.json.Decoder(list[Row]).decode
    encode = msgspec.json.Encoder().encode_lines
    write = sys.stdout.buffer.write
    schema = {"type": "SCHEMA", "stream": stream, "schema": entry["schema"]}
    write(encode([schema | {"key_properties": entry["key_properties"]}]))

    api = f"{url}/api/0"
    (organization,) = decode(http.request("GET", f"{api}/organizations/").data)
    projects = f"{api}/organizations/{organization['id']}/projects/"
    (project,) = decode(http.request("GET", projects).data)
    ids = {"organization_id": organization["id"], "project_id": project["id"]}
    first = f"{api}/{PATHS[stream].format(id=project['id'])}"
    target = first
    while target:
        response = http.request("GET", target)
        found = NEXT.search(response.headers["Link"])
        target = f"{first}&cursor={found[1]}" if found else ""
        lines: list[Row] = [
            {
                "type": "RECORD",
                "stream": stream,
                "record": row,
                "time_extracted": datetime.now(UTC),
            }
            for row in ROWS[stream](decode(response.data), ids, columns)
        ]
        ended = {ids["project_id"]: {"bookmark": datetime.now(UTC)}}
        state = {"bookmarks": {stream: {"by_id": ended}}}
        write(encode([*lines, {"type": "STATE", "value": state}]))


def issues(rows: list[Row], ids: Row, columns: frozenset[str]) -> Iterator[Row]:
    """Issues with their figures over all time."""
    for row in rows:
        row.update(row["lifetime"])
        row["count"] = int(row["count"])
        yield ids | {name: row[name] for name in row if name in columns}


def events(rows: list[Row], ids: Row, columns: frozenset[str]) -> Iterator[Row]:
    """Events with the id of their issue."""
    for row in rows:
        if "event.type" in row:
            row["type"] = row.pop("event.type")
        found = {name: row[name] for name in row if name in columns}
        yield ids | found | {"issue_id": row["groupID"]}


def entries(rows: list[Row], ids: Row, columns: frozenset[str]) -> Iterator[Row]:
    """The entries of events."""
    del columns
    for row in rows:
        for index, entry in enumerate(row["entries"]):
            yield ids | {
                "issue_id": row["groupID"],
                "event_id": row["eventID"],
                "entry_index": index,
                "type": entry["type"],
                "data": entry["data"],
                "dateCreated": row["dateCreated"],
            }


ROWS = {
    "project_issues": issues,
    "project_events": events,
    "project_event_entries": entries,
}


if __name__ == "__main__":
    main()
