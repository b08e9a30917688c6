"""Figures by day: one request for each day."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.windows import DAY, Window, ceil, floor, parse_instant, split, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context

#: How far back a run without `start_date` reads.
KEPT = 90 * DAY
#: All projects that the token's user may see, not only those of their teams.
ALL_PROJECTS = -1
#: Sentry cuts an answer at 5,000 or 10,000 figures and does not say so. From this
#: number on the projects are requested in parts.
MANY_FIGURES = 4_000


class DailyStream(SentryStream):
    """Figures of an organization, one request for each day.

    The newest two days are read again: they were not complete.
    """

    rows_field = "groups"
    page_size_name = None
    window_step = DAY

    #: The organization that is being read.
    _current: object = None

    def query(self, day: Window) -> Mapping[str, Any]:
        """Return the parameters that select a day and the figures."""
        return {"start": to_text(day.start), "end": to_text(day.end)}

    def window(self, context: Context) -> Window:
        """Return the days to read in an organization."""
        settings = self.run.settings
        first = floor(settings.start or settings.end - KEPT, DAY)
        if self.saves_state:
            organization = str(context["organization_id"])
            entry = self.run.bookmarks.entry(self.name, organization)
            if found := entry.get("bookmark"):
                bookmark = parse_instant(found)
                if bookmark >= settings.end:
                    first = settings.end
                first = max(first, ceil(bookmark, DAY) - 2 * DAY)
        return Window(first, settings.end)

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the figures of each day, with a STATE after it."""
        self._current = context["organization_id"]
        window = self.window(context)
        reached = window.start

        def read() -> Iterator[tuple[Window, list[Row]]]:
            nonlocal reached
            rest = self.reader.retained(context, Window(reached, window.end))
            for day in split(rest, DAY):
                yield day, self.rows_of(context, day)
                reached = day.end

        days = self.reader.with_fallback(
            context, lambda: self.reader.within_retention(context, window, read)
        )
        for day, rows in days:
            yield from rows
            if self.saves_state:
                organization = str(context["organization_id"])
                end = to_text(day.end)
                self.run.bookmarks.update(self.name, organization, bookmark=end)
            self.run.checkpoint()

    def rows_of(
        self, context: Context, day: Window, projects: tuple[str, ...] = ()
    ) -> list[Row]:
        """Request the figures of a day, in parts if Sentry would leave some out."""
        path = self.reader.current_path
        rows = []
        wanted = self.prefetch_day(context, day, projects)
        for page in self.run.client.prefetcher.take(wanted):
            self.run.client.endpoints.add_answer(path, self.needed_scopes)
            rows += page.rows
        if len(rows) < MANY_FIGURES:
            return rows
        every = projects or tuple(self.sibling(OrganizationProjects).ids_of(context))
        if len(every) <= 1:
            self.logger.warning(
                "%s: %s has more figures on %s than Sentry sends, some may be missing",
                self.name,
                self.run.directory.describe({**context, "project_id": every[0]}),
                day.start.date(),
            )
            return rows
        half = len(every) // 2
        return [
            row
            for part in (every[:half], every[half:])
            for row in self.rows_of(context, day, part)
        ]

    def prefetch_day(
        self, context: Context, day: Window, projects: tuple[str, ...] = ()
    ) -> Prefetch:
        """Return the list of a day, for all projects or some of them."""
        query = {**self.query(day), "project": list(projects) or ALL_PROJECTS}
        make = functools.partial(self.reader.paged_list, context, query)
        return self.reader.prefetch(context, make, part=(day.start, projects))

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the list of each day."""
        if context["organization_id"] == self._current:
            # Its bookmark moves on.
            return
        for day in split(self.reader.retained(context, self.window(context)), DAY):
            yield self.prefetch_day(context, day)
