"""Cut a window into slices that have about as many rows each."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tap_sentry.windows import HOUR, SECOND, Window, ceil

if TYPE_CHECKING:
    from datetime import datetime

    from tap_sentry.streams.stored_events import Counts


def by_count(window: Window, counts: Counts, most: float) -> list[Window]:
    """Cut a window into slices that have about as many rows each, the newest first.

    Args:
        window: The window.
        counts: The number of rows of each hour; empty if it is not known.
        most: How many rows a slice shall have.
    """
    hours = [
        (part, count * ((part.end - part.start) / HOUR))
        for start, count in reversed(counts)
        if (part := Window(max(start, window.start), min(start + HOUR, window.end)))
    ]
    left = sum(rows for _, rows in hours)
    cuts, held = list["datetime"](), 0.0
    for part, rows in hours:
        each = (part.end - part.start) / (rows or 1)
        # The last slice has rows as well: Sentry fails where it keeps no part of one.
        held += rows
        while held > most and left > most:
            held, left = held - most, left - most
            cuts.append(ceil(part.start + held * each, SECOND))
    return between(window, cuts)


def by_rate(
    window: Window, step: timedelta, oldest: datetime, number: int | None = None
) -> list[Window]:
    """Cut slices of an equal length, the newest first, and leave what is older whole.

    Args:
        window: The window.
        step: The length of a slice; at least a second.
        oldest: Where to stop: Sentry fails where it keeps no part of a slice.
        number: How many slices to cut; None for all.
    """
    step = max(timedelta(seconds=step // SECOND), SECOND)
    cuts: list[datetime] = []
    cut = window.end - step
    while cut > max(oldest, window.start) and len(cuts) != number:
        cuts.append(cut)
        cut -= step
    return between(window, cuts)


def between(window: Window, cuts: list[datetime]) -> list[Window]:
    """Return the parts of a window between cuts, the newest first."""
    inside = sorted({cut for cut in cuts if cut in window}, reverse=True)
    ends, starts = [window.end, *inside], [*inside, window.start]
    return [part for pair in zip(starts, ends, strict=True) if (part := Window(*pair))]
