"""Read the dates of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.records.bodies import decode_value
from tap_sentry.windows import parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from tap_sentry.records.bodies import Row


def instant_of(row: Row, column: str) -> datetime | None:
    """Return the date in a column; None if it holds none."""
    text = decode_value(row.get(column))
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


def newest_of(row: Row, *columns: str) -> datetime | None:
    """Return the newest of the dates in these columns."""
    dates = [instant_of(row, column) for column in columns]
    return max((date for date in dates if date is not None), default=None)
