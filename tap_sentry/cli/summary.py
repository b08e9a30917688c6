"""Summarize how far each stream is, during a run and at its end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_sentry.sync.results import number_of, percentage

if TYPE_CHECKING:
    from tap_sentry.sync.metrics import StreamCounter
    from tap_sentry.tap import TapSentry


@dataclass(frozen=True)
class StreamSummary:
    """The progress of one stream, or of all streams together."""

    name: str
    #: None for a stream that is read for its children only.
    records: int | None
    requests: int
    #: Seconds that rate limits held it back so far, and will from now on.
    waited: float
    waits: float
    #: What has been read, such as `3 of 9 projects, 1 skipped`.
    extent: str
    is_open: bool

    def __str__(self) -> str:
        """Format the summary as one line."""
        records = number_of(self.records, "record") if self.records else "no records"
        requests = number_of(self.requests, "request")
        message = f"{self.name}: {records} read with {requests}"
        if self.waited >= 1:
            message += f", held back by limits for {duration(self.waited)}"
        return f"{message}, {self.extent}" if self.extent else message


def lines(tap: TapSentry) -> list[StreamSummary]:
    """Return a summary of each stream that made requests, in the order of the streams.

    The progress table calls this in a thread while the main thread reads and writes,
    so it changes nothing.
    """
    now = time.time()
    counts = tap.run.directory.counts
    skipped = Counter(item.stream for item in list(tap.run.results.skipped))
    scheduler = tap.run.client.scheduler
    found = []
    for stream in tap.sentry_streams:
        counter = stream.metrics[0]
        requests = scheduler.sent[stream.name]
        if not (counter.is_open or counter.contexts or requests):
            continue
        # Streams can share an endpoint; one that requested nothing was not held back.
        paths = {stream.path, stream.fallback_path} if requests else {None}
        limiters = scheduler.limiters_of(paths)
        found.append(
            StreamSummary(
                stream.name,
                counter.records if stream.selected else None,
                requests,
                waited=sum(limiter.waited(now) for limiter in limiters),
                waits=max((limiter.opens_in(now) for limiter in limiters), default=0.0),
                extent=extent(
                    counter,
                    counts[counter.kind],
                    skipped[stream.name],
                    tap.run.results.share(stream.name),
                ),
                is_open=counter.is_open,
            )
        )
    return found


def total(tap: TapSentry, found: list[StreamSummary], seconds: float) -> StreamSummary:
    """Return the sum of all streams."""
    now = time.time()
    limiters = tap.run.client.scheduler.limiters_of()
    return StreamSummary(
        "total",
        sum(line.records or 0 for line in found),
        sum(line.requests for line in found),
        waited=sum(limiter.waited(now) for limiter in limiters),
        waits=0.0,
        extent=f"in {duration(seconds)}",
        is_open=False,
    )


def extent(
    counter: StreamCounter, known: int, skipped: int, share: float | None = None
) -> str:
    """Describe what has been read, such as `3 of 9 projects, 1 skipped`.

    Args:
        counter: Counts what has been read.
        known: How many contexts there are.
        skipped: How many of them were skipped.
        share: The part of the events that Sentry counts, where it does.
    """
    parts = []
    if counter.kind:
        whole = number_of(max(known, counter.contexts), counter.kind)
        is_part = counter.contexts < known
        parts.append(f"{counter.contexts:,} of {whole}" if is_part else whole)
    if skipped:
        parts.append(f"{skipped:,} skipped")
    if share is not None:
        parts.append(f"{percentage(min(share, 1))} of what Sentry counts")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Format a duration, such as `12 s`, `3 min 20 s` or `2 h 5 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
