"""Decode the figures that Sentry groups by project, release and the like.

https://docs.sentry.io/api/organizations/retrieve-event-counts-for-an-organization-v2/
https://docs.sentry.io/api/releases/retrieve-release-health-session-statistics/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_sentry.records.bodies import UnexpectedShapeError, decode_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_sentry.records.bodies import Row


def decode_groups(body: bytes) -> list[Row]:
    """Decode groups into a row for each interval: by-fields, figures, `timestamp`.

    Groups without a series are totals of the whole window. GlitchTip sends one group
    without by-fields.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it holds no groups.
    """
    answer = decode_any(body)
    try:
        return [row for group in answer["groups"] for row in _rows(group, answer)]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UnexpectedShapeError(str(error)) from None


def _rows(group: dict[str, Any], answer: dict[str, Any]) -> Iterator[Row]:
    by, series = group.get("by", {}), group.get("series")
    if not series:
        yield {**by, **group["totals"], "timestamp": answer["start"]}
        return
    for index, timestamp in enumerate(answer["intervals"]):
        figures = {name: values[index] for name, values in series.items()}
        yield {**by, **figures, "timestamp": timestamp}
