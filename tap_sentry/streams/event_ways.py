"""Choose the lists through which the events of a project are read.

Sentry lists the events of a project, and those of each of its issues. sentry.io answers
one request a second for the former, and forty for the latter.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Protocol

from tap_sentry.api import errors, rate_limits
from tap_sentry.api.paged_list import MAX_HELD
from tap_sentry.api.prefetch import interleaved
from tap_sentry.streams.stored_events import length_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.streams.event_audit import Audit
    from tap_sentry.streams.issue_children import IssueChild
    from tap_sentry.streams.issue_lists import Listed
    from tap_sentry.streams.scan_lists import ScanLists
    from tap_sentry.streams.slices import Slices
    from tap_sentry.streams.stored_events import Counts, StoredEvents
    from tap_sentry.sync.state import Scan
    from tap_sentry.windows import Window

#: The seconds that a request takes; a constant, so that the choice is always the same.
LATENCY = 0.25
#: How many times as fast the lists of issues have to be.
GAIN = 2


class EventSource(Protocol):
    """What a choice needs from a stream of events."""

    @property
    def run(self) -> Run:
        """What the streams of this run share."""

    @property
    def scan_lists(self) -> ScanLists:
        """The lists of projects."""

    @property
    def audit(self) -> Audit:
        """What compares the events with Sentry's count."""

    @property
    def stored(self) -> StoredEvents:
        """Sentry's own count of the events."""

    def slices(self, context: Context, scan: Scan) -> Slices:
        """The slices of the list of a project."""

    def scan_prefetches(
        self, context: Context, scan: Scan
    ) -> Iterator[Prefetch | None]:
        """The lists of a scan by project."""

    def issue_prefetches(
        self, context: Context, scan: Scan
    ) -> Iterator[Iterator[Prefetch | None]]:
        """The lists of each issue of a project."""

    def issue_lists(self, context: Context, scan: Scan) -> Iterator[Prefetch | None]:
        """The list of the issues of a project, as soon as it may be requested."""

    @property
    def below(self) -> IssueChild:
        """The stream of the events of issues."""

    def issues_of(
        self, context: Context, scan: Scan, *, waits: bool
    ) -> dict[int, Listed] | None:
        """The issues of a project; None if they have not arrived."""


class EventWays:
    """Chooses, for each scan, between the list of a project and those of its issues."""

    def __init__(self, source: EventSource) -> None:
        """Choose nothing yet."""
        self._source = source

    def may_choose(self, scan: Scan) -> bool:
        """Return whether there is a choice: not within a scan, nor by the settings."""
        is_begun = scan.issue is not None or scan.at or scan.cursor
        return not is_begun and self._source.run.settings.events_by == "auto"

    def is_by_issue(
        self, context: Context, scan: Scan, *, waits: bool = False
    ) -> bool | None:
        """Return whether a scan reads the lists of issues.

        Args:
            context: The context of the project.
            scan: The scan.
            waits: Whether to wait for what the choice depends on.

        Returns:
            None if it depends on what has not arrived.
        """
        if not self.may_choose(scan):
            is_set = self._source.run.settings.events_by == "issue"
            return scan.issue is not None or (is_set and not (scan.at or scan.cursor))
        is_long = self.is_long(context, scan, waits=waits)
        if not is_long:
            return is_long
        try:
            issues = self._source.issues_of(context, scan, waits=waits)
        except errors.SKIPPABLE_ERRORS:
            return False
        if issues is None:
            return None
        return self.is_faster(self.pages(context, scan, waits=waits) or 0, len(issues))

    def is_long(self, context: Context, scan: Scan, *, waits: bool) -> bool | None:
        """Return whether a project has so many pages that another way may be faster."""
        slices = self._source.slices(context, scan)
        if slices.has_more is None:
            return None
        if not (slices.has_more and self._source.scan_lists.is_limited):
            return False
        pages = self.pages(context, scan, waits=waits)
        return None if pages is None else pages > MAX_HELD

    def pages(self, context: Context, scan: Scan, *, waits: bool) -> int | None:
        """Return how many pages the list of a project has; 0 if nobody counts them."""
        counts = self.counts(context, scan, waits=waits)
        if counts is None:
            return None
        rows = self._source.slices(context, scan).first_rows or 1
        return math.ceil(sum(count for _, count in counts) / rows)

    def is_faster(self, pages: int, issues: int) -> bool:
        """Return whether the lists of issues are read in half of the time."""
        lists = self._source.scan_lists
        window = rate_limits.WINDOWS.get(lists.path, 1)
        at_a_time = lists.at_a_time or rate_limits.USUAL_CONCURRENT
        each = max(window / (lists.limit or 1), LATENCY / at_a_time)
        return pages * each >= GAIN * (pages + issues) / rate_limits.USUAL_LIMIT

    def counts(self, context: Context, scan: Scan, *, waits: bool) -> Counts | None:
        """Return the counts of the window of a scan, by hour or by day."""
        stored = self._source.stored
        find = stored.take if waits else stored.known
        return find(context, scan.window, self._length(context, scan.window))

    def _length(self, context: Context, window: Window) -> timedelta:
        """Return the length of the intervals that events are counted in."""
        if self._source.scan_lists.is_refuted:
            # Old servers, which ignore dates, keep the counts of hours for seven days.
            return length_of(window)
        return self._source.stored.finest(context, window, length_of(window))

    def prefetches(self, context: Context, scan: Scan) -> Iterator[Prefetch | None]:
        """Yield the lists of a scan, as soon as it is known which."""
        source, plan = self._source, self._source.scan_prefetches(context, scan)
        if (by_issue := self.is_by_issue(context, scan)) is None:
            yield from itertools.islice(plan, 1)
            slices = source.slices(context, scan)
            while slices.has_more is None:
                yield None
            if slices.has_more and source.scan_lists.is_limited:
                length = length_of(scan.window)
                yield from source.stored.prefetches(context, scan.window, length)
                while (is_long := self.is_long(context, scan, waits=False)) is None:
                    yield None
                if is_long:
                    yield from source.issue_lists(context, scan)
                while (by_issue := self.is_by_issue(context, scan)) is None:
                    yield None
                if not by_issue:
                    yield source.scan_lists.prefetch(context, scan, slices.place)
                    return
        if by_issue:
            yield from self._of_issues(context, scan)
            return
        yield from plan
        slices = source.slices(context, scan)
        if slices.has_more or self._may_be_cut(context, scan):
            # For the audit, unless the slices were counted.
            length = self._length(context, scan.window)
            yield from source.stored.prefetches(context, scan.window, length)

    def _may_be_cut(self, context: Context, scan: Scan) -> bool:
        """Return whether a prefetched list of one page may be cut, so it is counted."""
        source = self._source
        wanted = source.scan_lists.prefetch(context, scan)
        rows = source.run.client.prefetcher.peek(wanted.key)
        oldest = source.scan_lists.date_of(rows[-1]) if rows else None
        return rows is not None and source.audit.may_be_cut(context, scan, oldest)

    def _of_issues(self, context: Context, scan: Scan) -> Iterator[Prefetch | None]:
        """Yield the lists of the issues of a project, as soon as these are known."""
        source = self._source
        yield from source.issue_lists(context, scan)
        while (
            source.issues_of(context, scan, waits=False) is None
            or source.below.reader.is_unverified
        ):
            yield None
        plans = source.issue_prefetches(context, scan)
        yield from interleaved(plans, source.run.client.scheduler.budget)
