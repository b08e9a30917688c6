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

#: The longest time back from the end of a window for which events are compared.
MOST_COUNTED = 89 * DAY
#: After this many projects that were read again for nothing, none is read again: what
#: the server counts is not what it stores.
FRUITLESS = 3


@dataclass
class Tally:
    """The events of a scan that were read, to compare them with Sentry's own count."""

    #: The whole hours or days that do not change any more.
    closed: Window
    read: int = 0

    @classmethod
    def of(
        cls, window: Window, length: timedelta, lookback: timedelta, read: int = 0
    ) -> Tally:
        """Return the tally of a window of which some events were read before.

        Args:
            window: The window.
            length: The length of the intervals that its events are counted in.
            lookback: How late events may be.
            read: How many events were read before.
        """
        start = max(window.start, window.end - MOST_COUNTED)
        return cls(
            Window(ceil(start, length), floor(window.end - lookback, length)), read
        )

    def add(self, rows: list[Row], date_of: Callable[[Row], datetime | None]) -> None:
        """Count the events of a page that are dated in the closed time."""
        ends = [date_of(row) for row in (rows[0], rows[-1])] if rows else []
        if all(date and date in self.closed for date in ends):
            # Rows are ordered by date.
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
