"""The lists of issues of a project, for the stream of issues and those below it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of
from tap_sentry.windows import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
    from datetime import datetime, timedelta

    from tap_sentry.api.paged_list import Page, PagedList
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context, SentryStream
    from tap_sentry.windows import Window


@dataclass(frozen=True, slots=True)
class Listed:
    """An issue of a list."""

    #: How many events it has ever had, and when; None if the server does not say.
    events: int | None
    first: datetime | None
    last: datetime | None
    #: Whether its events are error events.
    is_error: bool

    @property
    def pace(self) -> timedelta | None:
        """The time between two of its events, on average."""
        if not (self.events and self.first and self.last and self.first < self.last):
            return None
        return (self.last - self.first) / self.events

    def events_in(self, window: Window) -> float:
        """Return how many events it has in a window, if they come evenly."""
        if not (self.pace and self.first and self.last):
            return self.events or 1
        return (min(self.last, window.end) - max(self.first, window.start)) / self.pace


#: Page sizes for the head of a list that is read a second time.
HEAD = (25, 5)


class IssueLists:
    """Reads the issues of one project at a time, and keeps their ids."""

    def __init__(self, issues: SentryStream, query: str | None = None) -> None:
        """Request nothing yet.

        Args:
            issues: The stream of issues.
            query: The search for the issues; None for that of the settings.
        """
        self._issues = issues
        self._run = issues.run
        self._query = query
        self._found: dict[Hashable, dict[int, Listed]] = {}
        #: The issues of lists that have arrived and are not read yet.
        self._known: dict[Hashable, dict[int, Listed]] = {}
        #: The issues of each project's events, with the date of the newest event.
        self._named: dict[object, dict[int, datetime]] = {}
        #: Why the issues of the project could not be read.
        self.failure: Exception | None = None

    def start_project(self) -> None:
        """Forget the lists of the project before."""
        self._found.clear()
        self.failure = None

    def end_project(self) -> None:
        """Forget the issues of the project."""
        self.start_project()
        self._named.clear()

    @property
    def query(self) -> str:
        """The search for the issues."""
        return self._run.settings.issue_query if self._query is None else self._query

    @property
    def is_cut_by_window(self) -> bool:
        """Whether the server lists just the issues with events in a window."""
        return self._issues.reader.current_path == self._issues.path

    def read(self, context: Context, window: Window) -> Iterator[Row]:
        """Yield the issues that the server lists for a window, each once.

        Raises:
            SentryError: If they cannot be read, now or in an earlier call.
        """
        if self.failure is not None:
            raise self.failure
        found: dict[int, Listed] = {}
        prefetch = functools.partial(self.prefetch, context, window)
        cut = window if self.is_cut_by_window else None
        reader = self._issues.reader
        pages = 0
        try:
            for page in reader.pages(context, prefetch, cut):
                yield from _new_issues(page, found)
                pages += 1
                self._run.checkpoint()
            if pages > 1:
                # An issue with a new event moves from a later page to an earlier one,
                # to the place of the date of that event.
                prefetch = functools.partial(self.prefetch, context, window, found)
                for page in reader.pages(context, prefetch, cut):
                    yield from _new_issues(page, found)
        except errors.SKIPPABLE_ERRORS as error:
            self.failure = error
            raise
        key = self._key(context, window)
        self._known.pop(key, None)
        self._found[key] = found

    def found(self, context: Context, window: Window) -> dict[int, Listed]:
        """Return the issues of a window by id; their list is read once."""
        if self._key(context, window) not in self._found:
            for _ in self.read(context, window):
                pass
        # The key is another one if the fallback was read.
        return self._found[self._key(context, window)]

    def known(self, context: Context, window: Window) -> dict[int, Listed] | None:
        """Return the issues of a window by id; None before they have arrived."""
        key = self._key(context, window)
        if key not in self._found and key not in self._known:
            rows = self._issues.reader.peek(context, part=key)
            if rows is None:
                return None
            self._known[key] = {id_of(row): listed(row) for row in rows}
        return self._found[key] if key in self._found else self._known[key]

    def prefetch(
        self, context: Context, window: Window, found: Collection[int] | None = None
    ) -> Prefetch:
        """Return the list for a window.

        Args:
            context: The context of the project.
            window: The window.
            found: The issues found so far, to read only the head of the list again: up
                to the first page that has no others and none with a recent event.
        """
        make = functools.partial(self._list, context, window, found)
        key = self._key(context, window) if found is None else "head"
        return self._issues.reader.prefetch(context, make, part=key)

    def parameters(self, context: Context, window: Window) -> Mapping[str, Any]:
        """Return the parameters that select the issues of a window."""
        if not self.is_cut_by_window:
            return {"query": self.query}
        kept = self._issues.reader.retained(context, window)
        return {
            "query": self.query,
            "project": context["project_id"],
            "start": to_text(kept.start),
            "end": to_text(kept.end),
        }

    def _list(
        self, context: Context, window: Window, found: Collection[int] | None
    ) -> PagedList:
        reader, query = self._issues.reader, self.parameters(context, window)

        settings = self._run.settings
        recent = settings.started - settings.lookback

        def is_known(page: Page) -> bool:
            if found is None or any(id_of(row) not in found for row in page.rows):
                return False
            dates = [instant_of(row, "lastSeen") for row in page.rows]
            # An event that arrives late by `lookback` may have moved an issue to here.
            return window.end <= recent or all(
                date is None or date < recent for date in dates
            )

        def is_older(page: Page) -> bool:
            dates = [instant_of(row, "lastSeen") for row in page.rows]
            return bool(dates) and all(
                date is not None and window.is_after(date) for date in dates
            )

        if found is not None:
            return reader.paged_list(context, query, is_last=is_known, page_sizes=HEAD)
        # The children walk every issue: `lastSeen` can be older than the newest event.
        is_walked = (
            self._issues.has_selected_descendents
            or self._run.settings.events_by == "issue"
        )
        is_whole = self.is_cut_by_window or is_walked
        return reader.paged_list(context, query, is_last=None if is_whole else is_older)

    def _key(self, context: Context, window: Window) -> Hashable:
        """Return what identifies a list, with its window if it is cut by one."""
        key = (context["project_id"], self.query)
        return (*key, window.start, window.end) if self.is_cut_by_window else key

    # Issues that no list shows --------------------------------------------------------

    def add_named(self, context: Context, issue: str, date: datetime) -> None:
        """Record that a project has an event of an issue at a date."""
        if issue.isdecimal():
            named = self._named.setdefault(context["project_id"], {})
            named[int(issue)] = max(date, named.get(int(issue), date))

    def add_rows(
        self,
        context: Context,
        rows: list[Row],
        date_of: Callable[[Row], datetime | None],
    ) -> bool:
        """Record the issues of events; return whether each event has one."""
        issues = [bodies.decode_value(row.get("groupID")) for row in rows]
        for issue, row in zip(issues, rows, strict=True):
            if issue is not None and (date := date_of(row)) is not None:
                self.add_named(context, str(issue), date)
        return None not in issues

    def named(self, context: Context, window: Window) -> set[int]:
        """Return the issues named by events in a window, whether listed or not.

        An issue with very recent events may not be on any page of the list yet. With an
        `issue_query`, it may be missing because the query excludes it.
        """
        if self.query:
            return set()
        named = self._named.get(context["project_id"], {})
        return {issue for issue, date in named.items() if not window.is_after(date)}


def _new_issues(page: Page, found: dict[int, Listed]) -> Iterator[Row]:
    """Yield the issues of a page that were not found yet."""
    for row in page.rows:
        if (key := id_of(row)) not in found:
            found[key] = listed(row)
            yield row


def listed(row: Row) -> Listed:
    """Return what a list says of an issue."""
    events = str(bodies.decode_value(row.get("count")))
    category = bodies.decode_value(row.get("issueCategory"))
    return Listed(
        events=int(events) if events.isdecimal() else None,
        first=instant_of(row, "firstSeen"),
        last=instant_of(row, "lastSeen"),
        is_error=category in {None, "error"},
    )


def id_of(row: Row) -> int:
    """Return the id of an issue."""
    return int(bodies.decode_value(row["id"]))
