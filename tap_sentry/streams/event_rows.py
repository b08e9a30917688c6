"""Rows of lists of events: fill in what some events lack, and split off the entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.records import bodies
from tap_sentry.records.columns import Projection, epoch_to_text
from tap_sentry.records.dates import instant_of
from tap_sentry.streams.columns import ENTRY_FIELDS, EVENT_COLUMNS
from tap_sentry.streams.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_sentry.records.bodies import Row

#: The columns of an event that its entries need, beside the entries themselves.
ENTRIES_SCHEMA = schema_of(
    *(
        column
        for column in EVENT_COLUMNS
        if column.name in {"eventID", "groupID", "dateCreated", "dateReceived"}
    )
)

#: An entry; data that Sentry sends as an array is wrapped in an object.
ENTRY = Projection(schema_of(*ENTRY_FIELDS), {})


def fill_in(sent: Row, row: Row) -> None:
    """Fill in the id and the date that events of performance issues lack."""
    if bodies.decode_value(row.get("eventID")) is None and "id" in sent:
        key = bodies.decode_value(sent["id"])
        row["eventID"] = None if key is None else str(key)
    if instant_of(row, "dateCreated") is None:
        row["dateCreated"] = bodies.decode_value(row.get("dateReceived"))
        ended = bodies.decode_value(sent.get("endTimestamp"))
        if isinstance(ended, (int, float)):
            row["dateCreated"] = epoch_to_text(ended)


def entries_of(event: Row) -> Iterator[Row]:
    """Yield the entries of an event in Sentry's order, each with the event's ids."""
    for index, fields in enumerate(bodies.array_objects(event.get("entries"))):
        entry = ENTRY(fields)
        yield {
            "issue_id": event["issue_id"],
            "event_id": event["eventID"],
            "entry_index": index,
            "type": entry.get("type"),
            "data": entry.get("data"),
            "dateCreated": event.get("dateCreated"),
        }
