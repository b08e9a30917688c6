"""Sentry's own count of the error events that it has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tap_sentry.api import errors
from tap_sentry.api.paged_list import Page, PagedList, PageSizes
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.prefetch import Prefetch
from tap_sentry.api.responses import read_body
from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.records.counts import decode_counts
from tap_sentry.windows import DAY, HOUR, Window, floor

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from datetime import datetime, timedelta

    import requests

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context, SentryStream

#: The start of each hour or day, by ascending time, and the number of its events.
Counts: TypeAlias = "list[tuple[datetime, int]]"

#: How far back events are counted; most servers keep no older ones.
KEPT = 90 * DAY
PATH = "/projects/{organization}/{project}/stats/"


#: The longest window whose events are counted by hour; old servers keep no more hours.
BY_HOUR = 7 * DAY


class StoredEvents:
    """The number of error events of projects, by the hour or day of the event.

    https://docs.sentry.io/api/projects/retrieve-event-counts-for-a-project/
    """

    def __init__(self, stream: SentryStream) -> None:
        """Request nothing yet.

        Args:
            stream: The stream that the counts are requested for.
        """
        self._stream = stream
        self._counts: dict[tuple[Hashable, ...], Counts] = {}
        #: Whether the server has shown that it does not count.
        self._is_missing = False
        #: Whether it has counted.
        self._has_counted = False

    def prefetch(self, context: Context, window: Window, length: timedelta) -> Prefetch:
        """Return the list with the counts of a window as its only page."""
        stream, client = self._stream, self._stream.run.client
        start = floor(max(window.start, window.end - KEPT), length)
        query = {
            "stat": "generated",
            "resolution": "1d" if length == DAY else "1h",
            "since": int(start.timestamp()),
            # The interval of `until` is part of the answer.
            "until": int(window.end.timestamp()) - 1,
        }

        def read(response: requests.Response) -> Page:
            stream.validate_response(response)
            return Page(list(read_body(response, decode_counts)), None)

        def request(place: object, page_size: int) -> PendingRequest[Page]:
            del place, page_size
            sent = client.prepare(stream.url(PATH, context), query)
            # A count is not worth a wait: without it, the events are read as well.
            return PendingRequest(stream.name, PATH, sent, read, attempts=ATTEMPTS - 1)

        return Prefetch(
            (PATH, *key_of(context, window, length)),
            lambda: PagedList(client.scheduler, request, page_sizes=PageSizes((1,))),
        )

    def prefetches(
        self, context: Context, window: Window, length: timedelta
    ) -> Iterator[Prefetch]:
        """Yield the list with the counts of a window, if the server counts."""
        if not self._is_missing:
            yield self.prefetch(context, window, length)

    def finest(self, context: Context, window: Window, length: timedelta) -> timedelta:
        """Return the length of the intervals to use: hours if they are known."""
        return HOUR if key_of(context, window, HOUR) in self._counts else length

    def known(
        self, context: Context, window: Window, length: timedelta
    ) -> Counts | None:
        """Return the counts of a window; None before they have arrived."""
        key = key_of(context, window, length)
        if key in self._counts or self._is_missing:
            return self._counts.get(key, [])
        wanted = self.prefetch(context, window, length)
        rows = self._stream.run.client.prefetcher.peek(wanted.key)
        return None if rows is None else counts_of(rows)

    def take(self, context: Context, window: Window, length: timedelta) -> Counts:
        """Return the counts of a window; none where the server does not count."""
        key = key_of(context, window, length)
        if self._is_missing:
            return []
        if key not in self._counts:
            wanted = self.prefetch(context, window, length)
            try:
                pages = list(self._stream.run.client.prefetcher.take(wanted))
                self._has_counted = True
            except errors.SKIPPABLE_ERRORS as error:
                pages = []
                # A proxy may say so too, while a server restarts.
                is_missing = errors.says_missing(error)
                self._is_missing = is_missing and not self._has_counted
            # The projects before were read.
            self._counts = {
                found: counts
                for found, counts in self._counts.items()
                if found[0] == key[0]
            }
            self._counts[key] = counts_of([row for page in pages for row in page.rows])
        return self._counts[key]


def counts_of(rows: list[Row]) -> Counts:
    """Return the counts in an answer."""
    return [(row["timestamp"], row["count"]) for row in rows]


def key_of(context: Context, window: Window, length: timedelta) -> tuple[Hashable, ...]:
    """Return what identifies the counts of a window."""
    return context["project_id"], window.start, window.end, length


def length_of(window: Window) -> timedelta:
    """Return the length of the intervals that the events of a window are counted in."""
    return HOUR if window.end - window.start <= BY_HOUR else DAY
