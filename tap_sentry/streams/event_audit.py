"""The audit: compare the events that were read with what Sentry counts."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_sentry.api import errors
from tap_sentry.sync.results import ENOUGH
from tap_sentry.windows import DAY, Window, ceil, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.streams.stored_events import Counts
    from tap_sentry.sync.state import Scan

#: The longest time back from the end of a window for which events are compared.
MOST_COUNTED = 89 * DAY
#: Some servers cut the list of a project to these days and do not say so.
CUT = 7 * DAY
#: After this many projects that were read again for nothing, none is read again: what
#: the server counts is not what it stores.
FRUITLESS = 3


@dataclass
class Tally:
    """The events of a scan that were read, to compare them with Sentry's own count."""

    #: The whole hours or days that do not change any more.
    closed: Window
    read: int = 0
    #: Whether it is not known how many were read before.
    is_unknown: bool = False

    @classmethod
    def of(
        cls, window: Window, length: timedelta, lookback: timedelta, read: int | None
    ) -> Tally:
        """Return the tally of a window of which some events were read before.

        Args:
            window: The window.
            length: The length of the intervals that its events are counted in.
            lookback: How late events may be.
            read: How many events were read before; None if that is not known.
        """
        start = max(window.start, window.end - MOST_COUNTED)
        closed = Window(ceil(start, length), floor(window.end - lookback, length))
        return cls(closed, read or 0, is_unknown=read is None)

    @property
    def rows(self) -> int | None:
        """The number of events that were read; None if it is not known."""
        return None if self.is_unknown else self.read

    def add(self, rows: list[Row], date_of: Callable[[Row], datetime | None]) -> None:
        """Count the events of a page that are dated in the closed time."""
        ends = [date_of(row) for row in (rows[0], rows[-1])] if rows else []
        if all(date and date in self.closed for date in ends):
            # Rows are ordered by date, as a rule.
            self.read += len(rows)
            return
        dates = (date_of(row) for row in rows)
        self.read += sum(date is not None and date in self.closed for date in dates)

    def counted(self, counts: Counts) -> int:
        """Return how many events Sentry counts."""
        return sum(count for start, count in counts if start in self.closed)

    def is_short(self, counts: Counts) -> bool:
        """Return whether noticeably fewer events were read than Sentry counts."""
        return self.read < ENOUGH * self.counted(counts)


class Audit:
    """Compares what a stream has read with Sentry's count, project by project."""

    def __init__(self, stream: SentryStream) -> None:
        """Compare nothing yet."""
        self._stream = stream
        #: How many projects in a row were read again and gave no more events.
        self._fruitless = 0
        #: The organizations whose lists of projects are not cut.
        self._uncut: set[str] = set()

    def may_be_cut(self, context: Context, scan: Scan, oldest: datetime | None) -> bool:
        """Return whether the server may have cut the list of a project to some days.

        Args:
            context: The context of the project.
            scan: The scan of the list.
            oldest: The date of the oldest event in it; None without one.
        """
        cut = scan.end - CUT
        if scan.window.start >= cut or (oldest and oldest < cut):
            return False
        return str(context["organization_id"]) not in self._uncut

    def add_read(self, context: Context, scan: Scan, oldest: datetime | None) -> None:
        """Record how far back the list of a project goes, once it has been read.

        Lists that are prefetched do not count: what is compared shall not depend on
        how fast they arrive.
        """
        if oldest and oldest < scan.end - CUT:
            self._uncut.add(str(context["organization_id"]))

    def check(
        self,
        context: Context,
        tally: Tally,
        counts: Counts,
        ways: tuple[str, str],
        again: Callable[[Tally], Iterator[Row]] | None,
    ) -> Iterator[Row]:
        """Compare the events of a project; if they are short, read them again.

        Args:
            context: The context of the project.
            tally: The events that were read.
            counts: Sentry's count of them.
            ways: How they were read, and how else they can be.
            again: Reads them in the other way; None if that cannot help.

        Yields:
            What is read again.
        """
        if not (counted := tally.counted(counts)):
            return
        run, name = self._stream.run, self._stream.name
        part = run.directory.describe(context)
        may_choose = run.settings.events_by == "auto" and self._fruitless < FRUITLESS
        if again and may_choose and tally.is_short(counts):
            self._stream.logger.info(
                "%s: %s of the %s events that Sentry counts in %s were read by %s: "
                "reading it by %s too",
                name,
                f"{tally.read:,}",
                f"{counted:,}",
                part,
                *ways,
            )
            other = Tally(tally.closed)
            # What was read is complete as far as this way goes, whatever fails here.
            with contextlib.suppress(*errors.SKIPPABLE_ERRORS):
                yield from again(other)
            helped = other.read > tally.read
            self._fruitless = 0 if helped else self._fruitless + 1
            tally.read = max(tally.read, other.read)
        run.results.add_counted(name, part, tally.read, counted)
