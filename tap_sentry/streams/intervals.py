"""Lists of an organization that are read interval by interval, such as day by day."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from tap_sentry.api.paged_list import MAX_HELD
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.windows import DAY, Window, ceil, floor, parse_instant, split, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from singer_sdk import Tap

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context

#: How far back a run without `start_date` reads.
KEPT = 90 * DAY
#: All projects that the token's user may see, not only those of their teams.
ALL_PROJECTS = -1


class IntervalStream(SentryStream):
    """Figures of an organization, one request for each interval.

    The newest two intervals are read again: they were not complete.
    """

    window_step = DAY

    #: The length of an interval, and what its start is a multiple of.
    interval: timedelta = DAY
    #: Sentry cuts an answer at a number of figures and does not say so. From this
    #: number on the projects are requested in parts.
    many_rows: ClassVar[int] = 4_000
    #: The most pages of an interval that are held before they are read.
    max_held: ClassVar[int] = MAX_HELD

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start without windows."""
        super().__init__(tap, run)
        self._windows: dict[object, Window] = {}

    def query(self, part: Window) -> Mapping[str, Any]:
        """Return the parameters that select an interval and the figures."""
        return {"start": to_text(part.start), "end": to_text(part.end)}

    def window(self, context: Context) -> Window:
        """Return what to read in an organization; the same in all of a run."""
        organization = str(context["organization_id"])
        if organization not in self._windows:
            start, end = self.run.settings.start, self.run.settings.end
            first = self.begin(start or end - KEPT)
            entry = self.run.bookmarks.entry(self.name, organization)
            if self.saves_state and (found := entry.get("bookmark")):
                bookmark = parse_instant(found)
                again = end if bookmark >= end else self.begin_again(bookmark)
                first = max(first, again)
            self._windows[organization] = Window(first, end)
        return self._windows[organization]

    def begin(self, start: datetime) -> datetime:
        """Return the start of the interval that an instant is in."""
        return floor(start, self.interval)

    def begin_again(self, bookmark: datetime) -> datetime:
        """Return where a run begins that follows one up to the bookmark."""
        return ceil(bookmark, self.interval) - 2 * self.interval

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the rows of each interval, with a STATE after it."""
        window, projects = self.window(context), self.projects(context)
        reached = window.start

        def read() -> Iterator[tuple[Window, list[Row]]]:
            nonlocal reached
            rest = self.reader.retained(context, Window(reached, window.end))
            for interval in split(rest, self.interval):
                for part, rows in self.read_part(context, interval, projects):
                    yield part, rows
                    reached = part.end

        parts = self.reader.with_fallback(
            context, lambda: self.reader.within_retention(context, window, read)
        )
        for part, rows in parts:
            yield from rows
            if self.saves_state:
                organization = str(context["organization_id"])
                end = to_text(part.end)
                self.run.bookmarks.update(self.name, organization, bookmark=end)
            self.run.checkpoint()

    def read_part(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Iterator[tuple[Window, list[Row]]]:
        """Yield the rows of an interval, in consecutive parts of it."""
        yield part, self.rows_of(context, part, projects)

    def projects(self, context: Context) -> tuple[str, ...]:
        """Return the projects to read; empty for all."""
        del context
        return ()

    def rows_of(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> list[Row]:
        """Request the figures of an interval, in parts if Sentry would cut them."""
        rows = self.fetch(context, part, projects)
        if len(rows) < self.many_rows:
            return rows
        every = projects or tuple(self.sibling(OrganizationProjects).ids_of(context))
        if len(every) <= 1:
            self.warn_of_cut(context, part, *every)
            return rows
        half = len(every) // 2
        return [
            row
            for some in (every[:half], every[half:])
            for row in self.rows_of(context, part, some)
        ]

    def warn_of_cut(self, context: Context, part: Window, project: str) -> None:
        """Say that some rows of a project may be missing."""
        self.logger.warning(
            "%s: %s has more figures on %s than Sentry sends, some may be missing",
            self.name,
            self.run.directory.describe({**context, "project_id": project}),
            part.start.date(),
        )

    def fetch(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> list[Row]:
        """Return the rows of a part."""
        return self.take(self.prefetch_part(context, part, projects))

    def take(self, wanted: Prefetch) -> list[Row]:
        """Return the rows of a list."""
        path = self.reader.current_path
        rows: list[Row] = []
        for page in self.run.client.prefetcher.take(wanted):
            self.run.client.endpoints.add_answer(path, self.needed_scopes)
            rows += page.rows
            # What to request next may depend on what has arrived by now.
            self.run.client.prefetcher.top_up()
        return rows

    def prefetch_part(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Prefetch:
        """Return the list of an interval, for all projects or some of them."""
        query = {**self.query(part), "project": list(projects) or ALL_PROJECTS}
        make = functools.partial(
            self.reader.paged_list,
            context,
            query,
            max_held=self.max_held,
            expected=self.expected_pages(context, part, projects),
        )
        return self.reader.prefetch(context, make, part=(part, projects))

    def expected_pages(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> int:
        """Return how many pages an interval is expected to have."""
        del context, part, projects
        return 1

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists of the window: the first, and all once it was answered."""
        path = self.reader.current_path
        lists = self.prefetch_parts(context, self.projects(context))
        for number, prefetch in enumerate(lists):
            while number and not self.run.client.endpoints.has_answered(path):
                yield None
            yield prefetch

    def prefetch_parts(
        self, context: Context, projects: tuple[str, ...]
    ) -> Iterator[Prefetch | None]:
        """Yield the list of each interval."""
        rest = self.reader.retained(context, self.window(context))
        for interval in split(rest, self.interval):
            yield self.prefetch_part(context, interval, projects)
