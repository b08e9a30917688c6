"""The base class of event counts by stat and by hour or day."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from tap_sentry.api.responses import read_body
from tap_sentry.records.counts import UNGROUPED, decode_counts
from tap_sentry.streams.base import SentryStream
from tap_sentry.windows import (
    DAY,
    HOUR,
    Window,
    ceil,
    floor,
    parse_instant,
    split,
    to_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    import requests

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context

#: Outcomes that make up each stat. https://docs.sentry.io/api/organizations/
OUTCOMES = {
    "received": ("accepted", "filtered", "rate_limited"),
    "rejected": ("rate_limited",),
    "blacklisted": ("filtered",),
    "generated": ("accepted",),
}
#: How far back a run without `start_date` reads; every server keeps as much.
KEPT = {"1d": 90 * DAY, "1h": 7 * DAY}
#: The most intervals in one request: to `stats_v2`, and to the older endpoints. The
#: former accepts 1,000, but older servers also count the interval that begins at `end`.
MAX_INTERVALS = 999
MAX_POINTS = 10_000


class EventCounts(SentryStream):
    """The number of error events, by stat and by hour or day."""

    replication_key = "timestamp"
    page_size_name = None
    is_paged = False

    #: The column whose ids the entries in the state belong to.
    state_column: ClassVar[str]

    #: The id that is being read.
    _current: str | None = None

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the counts of each stat; the newest two buckets are read again."""
        self._current = context[self.state_column]
        if self.is_v2 and any(self.windows(context)):
            # Read here: a failure of the project list is not a failure of the counts.
            self.projects(context)
        yield from self.reader.with_fallback(context, lambda: self.read(context))

    def read(self, context: Context) -> Iterator[Row]:
        """Yield the counts, with a STATE after each request."""
        for stats, window in self.windows(context):
            yield from self.read_window(context, stats, window)

    def read_window(
        self, context: Context, stats: tuple[str, ...], window: Window
    ) -> Iterator[Row]:
        """Yield the counts of stats that are read from the same bucket on."""
        reached = window.start

        def read() -> Iterator[tuple[Window, list[Row]]]:
            nonlocal reached
            rest = self.reader.retained(context, Window(reached, window.end))
            while rest and (counted := self.counted(stats)):
                part = Window(rest.start, min(rest.end, rest.start + self.longest))
                was_ungrouped = self.is_ungrouped
                rows = list(self.counts(context, counted, part))
                # The first response may require a different request for the window.
                if was_ungrouped == self.is_ungrouped:
                    yield part, rows
                    reached = part.end
                    rest = Window(part.end, rest.end)

        for part, rows in self.reader.within_retention(context, window, read):
            yield from rows
            if self.saves_state:
                self.keep(context, self.counted(stats), part.end)
            self.run.checkpoint()

    @property
    def is_v2(self) -> bool:
        """Whether one request returns the counts of all stats, by outcome."""
        return self.reader.current_path.endswith("/stats_v2/")

    @property
    def is_ungrouped(self) -> bool:
        """Whether the server counts accepted events only, as GlitchTip does."""
        return self.reader.current_path in self.run.client.endpoints.ungrouped

    @property
    def interval(self) -> timedelta:
        """The length of the intervals to request.

        Days of GlitchTip hold the counts of their first hour only.
        """
        return HOUR if self.is_ungrouped else self.run.settings.bucket

    @property
    def window_step(self) -> timedelta:  # type: ignore[override] # by the settings
        """The length of a bucket: shortened windows begin with a whole one."""
        return self.run.settings.bucket

    @property
    def stats(self) -> tuple[str, ...]:
        """The stats that the path in use can count."""
        return self.run.settings.stats

    def counted(self, stats: tuple[str, ...]) -> tuple[str, ...]:
        """Return the stats among `stats` that the server can count."""
        if not self.is_ungrouped:
            return stats
        return tuple(stat for stat in stats if stat in self._accepted_stats)

    @functools.cached_property
    def _accepted_stats(self) -> frozenset[str]:
        """The stats that include accepted events."""
        stats = self.run.settings.stats
        others = [stat for stat in stats if "accepted" not in OUTCOMES[stat]]
        if others:
            self.logger.warning(
                "This server counts accepted events only: %s is empty for %s",
                self.name,
                " and ".join(others),
            )
        return frozenset(stats) - frozenset(others)

    # Time -----------------------------------------------------------------------------

    def windows(self, context: Context) -> Iterator[tuple[tuple[str, ...], Window]]:
        """Yield stats that start in the same bucket, and the window to read.

        The newest two buckets are read again: they were not complete.
        """
        settings = self.run.settings
        entry: Mapping[str, Any] = {}
        if self.saves_state:
            entry = self.run.bookmarks.entry(self.name, str(context[self.state_column]))
        kept = settings.end - KEPT[settings.stats_resolution]
        first = floor(settings.start or kept, settings.bucket)
        starts: dict[datetime, list[str]] = {}
        for stat in self.stats:
            start = first
            if found := entry.get(self.bookmark_name(stat)):
                bookmark = parse_instant(found)
                if bookmark >= settings.end:
                    continue
                again = ceil(bookmark, settings.bucket) - 2 * settings.bucket
                start = max(first, again)
            if start < settings.end:
                starts.setdefault(start, []).append(stat)
        for start, stats in starts.items():
            yield tuple(stats), Window(start, settings.end)

    def bookmark_name(self, stat: str) -> str:
        """Return the name of a bookmark; each stat and resolution has its own."""
        return f"{stat}.{self.run.settings.stats_resolution}"

    def keep(self, context: Context, stats: Iterable[str], end: datetime) -> None:
        """Move the bookmarks of stats to the end of what was read."""
        key = str(context[self.state_column])
        names = {self.bookmark_name(stat): to_text(end) for stat in stats}
        self.run.bookmarks.update(self.name, key, **names)

    # Requests -------------------------------------------------------------------------

    def counts(
        self, context: Context, stats: tuple[str, ...], window: Window
    ) -> Iterator[Row]:
        """Yield the counts of a window: by stat, then by time."""
        bucket = self.run.settings.bucket
        sums: Counter[tuple[str, datetime]] = Counter()
        for wanted, row in self.answers(context, stats, window):
            timestamp = floor(row["timestamp"], bucket)
            for stat in wanted:
                if row.get("outcome") in {None, UNGROUPED, *OUTCOMES[stat]}:
                    sums[stat, timestamp] += row["count"]
        for stat in stats:
            if self.is_ungrouped and sums:
                # Intervals without events can be missing.
                sums.update({(stat, part.start): 0 for part in split(window, bucket)})
            for timestamp in sorted(time for name, time in sums if name == stat):
                if timestamp in window:
                    yield {
                        "stat": stat,
                        "resolution": self.run.settings.stats_resolution,
                        "timestamp": to_text(timestamp),
                        "count": sums[stat, timestamp],
                    }

    def answers(
        self, context: Context, stats: tuple[str, ...], window: Window
    ) -> Iterator[tuple[tuple[str, ...], Row]]:
        """Request the counts of a window; yield each with the stats it may be for."""
        path = self.reader.current_path
        endpoints = self.run.client.endpoints
        for wanted, query in self.queries(context, stats, window):
            for page in self.run.client.prefetcher.take(
                self.prefetch_counts(context, query)
            ):
                endpoints.add_answer(path, self.needed_scopes)
                for row in page.rows:
                    if row.get("outcome") == UNGROUPED:
                        endpoints.ungrouped.add(path)
                    yield wanted, row

    def queries(
        self, context: Context, stats: tuple[str, ...], window: Window
    ) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
        """Yield the parameters of each request for a window, and its stats."""
        if self.is_v2:
            for projects in self.projects(context):
                yield (
                    stats,
                    {
                        "field": "sum(quantity)",
                        "category": "error",
                        "groupBy": "outcome",
                        "interval": "1d" if self.interval == DAY else "1h",
                        "start": to_text(window.start),
                        "end": to_text(window.end),
                        **({"project": projects} if projects else {}),
                    },
                )
            return
        for stat in stats:
            query = {
                "stat": stat,
                "resolution": self.run.settings.stats_resolution,
                "since": int(window.start.timestamp()),
                # The bucket of `until` is part of the answer.
                "until": int(window.end.timestamp()) - 1,
            }
            yield (stat,), query

    def prefetch_counts(self, context: Context, query: Mapping[str, Any]) -> Prefetch:
        """Return the list of one request for counts."""
        make = functools.partial(self.reader.paged_list, context, query)
        return self.reader.prefetch(context, make, part=str(query))

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the requests for the first window."""
        if context[self.state_column] == self._current:
            # It is being read, so its bookmarks move.
            return
        for stats, window in list(self.windows(context))[:1]:
            rest = self.reader.retained(context, window)
            part = next(split(rest, self.longest), rest)
            while self.has_projects(context) is False:
                yield None
            for _, query in self.queries(context, self.counted(stats), part):
                yield self.prefetch_counts(context, query)

    @property
    def longest(self) -> timedelta:
        """The longest window of whole buckets that fits into one request."""
        bucket = self.run.settings.bucket
        longest = (MAX_INTERVALS if self.is_v2 else MAX_POINTS) * self.interval
        return longest // bucket * bucket

    def projects(self, context: Context) -> Iterable[list[str]]:
        """Return the projects to count, for each request; an empty list means all."""
        del context
        return ([],)

    def has_projects(self, context: Context) -> bool:
        """Return whether the projects to count are known without a request."""
        del context
        return True

    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """Return the counts of a response.

        Raises:
            UnexpectedJSONError: If it holds none.
        """
        rows: list[Row] = read_body(response, decode_counts)
        return rows
