"""Event counts: the responses of `stats_v2` and of the older endpoints, as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_sentry.records import bodies
from tap_sentry.windows import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_sentry.records.bodies import Row

#: Stands for the outcome where a server ignores `groupBy` and counts accepted events.
UNGROUPED = "ungrouped"

#: The errors of reading counts out of JSON of another shape.
_OTHER_SHAPE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


def decode_counts(body: bytes) -> list[Row]:
    """Decode counts, either by outcome or of the one stat that was requested.

    Each row has `timestamp` (a `datetime`) and `count`; counts by outcome also have
    `outcome`.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it holds no counts.
    """
    found = bodies.decode_any(body)
    try:
        return list(_by_outcome(found) if isinstance(found, dict) else _points(found))
    except _OTHER_SHAPE:
        raise bodies.UnexpectedShapeError from None


def _by_outcome(body: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the counts of a response of `stats_v2`."""
    times = [parse_instant(text) for text in body["intervals"]]
    for group in body["groups"]:
        outcome = group["by"]["outcome"] if "by" in group else UNGROUPED
        series = group["series"]["sum(quantity)"]
        for time, count in zip(times, series, strict=True):
            yield {"outcome": outcome, "timestamp": time, "count": int(count or 0)}
    # A window without events has no groups; its counts are 0.
    for time in times:
        yield {"timestamp": time, "count": 0}


def _points(body: Iterable[tuple[float, float]]) -> Iterator[Row]:
    """Yield the counts of a response of the older endpoints."""
    for seconds, count in body:
        yield {
            "timestamp": datetime.fromtimestamp(seconds, tz=UTC),
            "count": int(count),
        }
