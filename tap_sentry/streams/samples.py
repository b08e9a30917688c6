"""Request the first page of a list, to estimate what it takes to read it."""

from __future__ import annotations

import functools
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_sentry.api import errors
from tap_sentry.streams.counts import EventCounts
from tap_sentry.streams.events_of_projects import EventsOfProjects
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.issue_children import IssueChild, IssueList
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.sync.state import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_sentry.api.client import SentryClient
    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.windows import Window


@dataclass(frozen=True)
class Sample:
    """The first page of a list in one context."""

    rows: int = 0
    has_more: bool = False
    context: Context | None = None
    #: Its bytes.
    size: int = 0


class Sampler:
    """Requests the first page of the list of each stream, and measures the time.

    Args:
        client: Sends the requests.
        events: Returns how many events a project has.
    """

    def __init__(
        self,
        client: SentryClient,
        events: Callable[[EventsOfProjects, Context], int],
    ) -> None:
        """Request nothing yet."""
        self._client = client
        self._events = events
        self._samples: dict[str, Sample] = {}
        #: Seconds of a request that is sent alone, by endpoint.
        self.seconds: dict[str, float] = {}
        #: The requests that a stream takes to find out where its list is.
        self.tries: Counter[str] = Counter()

    def sample(self, stream: SentryStream, contexts: list[Context]) -> Sample:
        """Request a first page of a stream, of another context if one is denied.

        Raises:
            SentryError: If it cannot be read.
        """
        if isinstance(stream, IssueList):
            return Sample()
        if isinstance(stream, IssueChild):
            # Its pages are like those of projects.
            return self.sample(events_of(stream), contexts)
        if stream.name in self._samples:
            return self._samples[stream.name]
        # The first page of the largest project says most.
        if isinstance(stream, EventsOfProjects):
            contexts = sorted(
                contexts, key=functools.partial(self._events, stream), reverse=True
            )
        try:
            found = self._request(stream, contexts[0])
        except errors.ForbiddenError:
            if len(contexts) == 1:
                raise
            found = self._request(stream, contexts[1])
        if found.context:
            self._samples[stream.name] = found
        return found

    def _request(self, stream: SentryStream, context: Context) -> Sample:
        """Request the first page of a stream in a context."""
        sent, started = self._client.scheduler.sent, time.monotonic()
        before = sent[stream.name]
        try:
            page = self._first_page(stream, context)
        finally:
            self.tries[stream.name] = max(sent[stream.name] - before - 1, 0)
        if page is None:
            return Sample()
        has_more = page.following is not None
        paths = [stream.reader.current_path]
        if isinstance(stream, EventsOfProjects):
            # The pages of issues hold events too.
            paths.append(stream.below.reader.current_path)
            lists = stream.scan_lists
            oldest = lists.date_of(page.rows[-1]) if page.rows else None
            if oldest and has_more:
                lists.try_slice(context, stream.scans(context)[0], oldest)
        number = max(sent[stream.name] - before, 1)
        seconds = (time.monotonic() - started) / number
        self.seconds |= dict.fromkeys(paths, seconds)
        return Sample(len(page.rows), has_more, context, page.size)

    def _first_page(self, stream: SentryStream, context: Context) -> Page | None:
        """Request the first page of a stream in a context; None if it reads nothing."""
        windows = windows_of(stream, context)
        window = windows[0] if windows else None

        def read() -> Iterator[Page]:
            wanted = first_list(stream, context, window)
            if wanted is not None:
                yield wanted.make().first()

        reader = stream.reader
        is_dated = not isinstance(stream, WindowedStream) or stream.takes_dates
        cut = window if is_dated else None
        pages = reader.with_fallback(
            context, lambda: reader.within_retention(context, cut, read)
        )
        for page in pages:
            endpoints = self._client.endpoints
            endpoints.add_answer(reader.current_path, stream.needed_scopes)
            return page
        return None


def events_of(stream: IssueChild) -> EventsOfProjects:
    """Return the stream of the events that the lists of issues have too."""
    siblings = stream.parent.parent.child_streams if stream.parent.parent else ()
    return next(
        other
        for other in siblings
        if isinstance(other, EventsOfProjects) and other.below is stream
    )


def windows_of(stream: SentryStream, context: Context) -> list[Window]:
    """Return the windows that a run reads a list in, if it is read by date."""
    if isinstance(stream, IntervalStream):
        return [stream.window(context)]
    if isinstance(stream, EventCounts):
        return [window for _, window in stream.windows(context)]
    if isinstance(stream, WindowedStream):
        return [scan.window for scan in stream.scans(context)]
    return []


def first_list(
    stream: SentryStream, context: Context, window: Window | None
) -> Prefetch | None:
    """Return the list that a run reads first; None if it reads none."""
    if isinstance(stream, EventCounts) and stream.is_v2:
        # The counts of a team depend on its projects.
        _ = list(stream.projects(context))
    if isinstance(stream, ProjectIssues):
        return stream.lists.prefetch(context, window) if window else None
    if isinstance(stream, EventsOfProjects):
        # A run may read the lists of issues in its place.
        return stream.scan_lists.prefetch(context, Scan(window)) if window else None
    return next(stream.prefetches(context), None)
