"""Issues, under the heading *Events & Issues* in Sentry's API reference."""

from __future__ import annotations

import contextlib
import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import typing as th
from singer_sdk.exceptions import (
    AbortedSyncFailedException,
    AbortedSyncPausedException,
)

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.streams.chosen import ChosenIssues
from tap_sentry.streams.columns import ISSUE_COLUMNS
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.windowed import WindowedStream, instant_of
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, Window, to_text

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping
    from datetime import datetime

    import requests
    from singer_sdk import Tap

    from tap_sentry.api.paged_list import Page, PagedList
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context


class ProjectIssues(WindowedStream):
    """An issue of a project.

    https://docs.sentry.io/api/events/list-an-organizations-issues/
    """

    name = "project_issues"
    path = "/organizations/{organization}/issues/"
    fallback_path = "/projects/{organization}/{project}/issues/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "id")
    replication_key = "lastSeen"
    scopes = ("event:read",)
    page_size_name = "limit"
    is_events = False
    # An empty `groupStatsPeriod` spares the server a query; GlitchTip, which filters
    # this list by other dates, refuses `sort`.
    params: ClassVar = {"sort": "date", "groupStatsPeriod": ""}
    fallback_params: ClassVar = {"statsPeriod": ""}
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("project_id", th.StringType),
        *ISSUE_COLUMNS,
    ).to_dict()

    def __init__(self, tap: Tap, run: Run) -> None:
        """Keep what was listed of one project for the streams of its issues' events."""
        super().__init__(tap, run)
        self._listed: dict[object, set[int]] = {}
        #: The issues that the events of a project name, with the newest of their dates.
        self._named: dict[object, dict[int, datetime]] = {}
        self._failure: Exception | None = None
        #: Organizations with a project whose issues could not be read this time.
        self._unread: set[object] = set()
        self.chosen = ChosenIssues(self)

    # Once for each project ------------------------------------------------------------

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The issues of a project; then the events of all of them, once.

        The SDK would sync the children once for each issue, with a SCHEMA, a STATE and
        a look at all partitions each time.
        """
        self._listed.clear()
        self._failure = None
        if self.selected:
            yield from super().get_records(context)
        if isinstance(self._failure, errors.TransientError):
            self._unread.add((context or {}).get("organization_id"))
        for child in self.child_streams:
            if child.selected:
                with contextlib.suppress(
                    AbortedSyncFailedException, AbortedSyncPausedException
                ):
                    child.sync(dict(context or {}))
        self._named.clear()

    def generate_child_contexts(
        self, record: Row, context: Context | None
    ) -> Iterable[Context | None]:
        """None: `get_records` syncs the children."""
        del record, context
        return ()

    def scans(self, context: Context) -> list[Scan]:
        """What there is to read: the issues with new events, at times all of them."""
        scans = super().scans(context)
        if scans and self.is_refresh_due(str(context["organization_id"])):
            start = self.run.settings.start or BEGINNING
            return [Scan(Window(start, scans[-1].window.end))]
        return scans

    def is_refresh_due(self, organization: str) -> bool:
        """Whether all issues are to be read, for changes that are no events."""
        settings = self.run.settings
        last = self.run.bookmarks.refreshed(self.name, organization)
        return last is None or settings.end - last >= settings.issue_refresh

    def on_parents_synced(self, context: Context) -> None:
        """Keep when all issues of an organization were read."""
        organization = str(context["organization_id"])
        is_read = self.selected and organization not in self._unread
        if is_read and self.saves_state and self.is_refresh_due(organization):
            end = self.run.settings.end
            self.run.bookmarks.refresh(self.name, organization, end)

    def walk(
        self, context: Context, scan: Scan, *, keeps: bool
    ) -> Generator[Row, None, bool]:
        """The issues with events in the window of a scan.

        An interrupted list is read again: its cursors do not survive new events.
        """
        del keeps
        for row in self.listed(context, scan.window):
            if self.is_cut_by_window or is_seen_in(row, scan.window):
                yield row
        return True

    # The list of issues ---------------------------------------------------------------

    @property
    def is_cut_by_window(self) -> bool:
        """Whether the server lists just the issues with events in a window."""
        return self.reader.current_path == self.path

    def listed(self, context: Context, window: Window) -> Iterator[Row]:
        """The issues that the server lists for a window, each once."""
        if self._failure is not None:
            raise self._failure
        found: set[int] = set()
        want = functools.partial(self.window_want, context, window)
        cut = window if self.is_cut_by_window else None
        pages = 0
        try:
            for page in self.reader.pages(context, want, cut):
                yield from self.unknown(page, found)
                pages += 1
                self.run.checkpoint()
            if pages > 1:
                # An issue with a new event goes from a page to come to one before.
                want = functools.partial(self.window_want, context, window, found)
                for page in self.reader.pages(context, want, cut):
                    yield from self.unknown(page, found)
        except errors.SKIPPABLE_ERRORS as error:
            # The children need not ask for it once more.
            self._failure = error
            raise
        self._listed[self.list_key(context, window)] = found

    def unknown(self, page: Page, found: set[int]) -> Iterator[Row]:
        """The issues of a page that were not found yet."""
        for row in page.rows:
            key = int(bodies.decode_value(row["id"]))
            if key not in found:
                found.add(key)
                yield row

    def window_want(
        self, context: Context, window: Window, found: set[int] | None = None
    ) -> Prefetch:
        """The list for a window; its head once more, if all of it is `found`."""
        make = functools.partial(self.window_listing, context, window, found)
        key = self.list_key(context, window) if found is None else "head"
        return self.reader.prefetch(context, make, part=key)

    def window_listing(
        self, context: Context, window: Window, found: set[int] | None = None
    ) -> PagedList:
        """The pages of the list for a window; up to one of which all is `found`."""
        query = {"query": self.run.settings.issue_query}
        if self.is_cut_by_window:
            kept = self.reader.retained(context, window)
            query |= {
                "project": context["project_id"],
                "start": to_text(kept.start),
                "end": to_text(kept.end),
            }

        def is_known(page: Page) -> bool:
            ids = {int(bodies.decode_value(row["id"])) for row in page.rows}
            return found is not None and ids <= found

        def is_older(page: Page) -> bool:
            dates = [instant_of(row, "lastSeen") for row in page.rows]
            return bool(dates) and all(
                date is not None and window.is_after(date) for date in dates
            )

        if found is not None:
            return self.reader.paged_list(
                context, query, is_last=is_known, page_sizes=HEAD
            )
        # The children walk every issue: `lastSeen` can be older than the newest event.
        is_whole = self.is_cut_by_window or self.has_selected_descendents
        return self.reader.paged_list(
            context, query, is_last=None if is_whole else is_older
        )

    def list_key(self, context: Context, window: Window) -> Hashable:
        """What a list is known by: its project, and its window if it has one."""
        project = context["project_id"]
        return (project, window.start, window.end) if self.is_cut_by_window else project

    def ids_of(self, context: Context, window: Window) -> list[int]:
        """The issues whose events are to be read, by ascending id."""
        wanted = bool(self.run.settings.issue_ids)
        if wanted and self.chosen.is_available:
            return self.chosen.of(str(context["project_id"]))
        if self.list_key(context, window) not in self._listed:
            for _ in self.listed(context, window):
                pass
        found = self._listed[self.list_key(context, window)]
        if wanted:
            return sorted(found & self.chosen.numbers)
        return sorted(found | self.named(context, window))

    def name_issue(self, context: Context, issue: str, date: datetime) -> None:
        """Keep that a project has an event of an issue at a date."""
        if issue.isdecimal():
            named = self._named.setdefault(context["project_id"], {})
            named[int(issue)] = max(date, named.get(int(issue), date))

    def named(self, context: Context, window: Window) -> set[int]:
        """The issues of a window that its events name, whether they are listed or not.

        An issue that has just got its events may stand on no page of the list yet. With
        an `issue_query` it may be missing for good reason.
        """
        if self.run.settings.issue_query:
            return set()
        named = self._named.get(context["project_id"], {})
        return {issue for issue, date in named.items() if not window.is_after(date)}

    # Looking ahead --------------------------------------------------------------------

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """The list of issues; then, once it is there, the events of each issue."""
        windows = [scan.window for scan in self.scans(context)] if self.selected else []
        children = [child for child in self.child_streams if child.selected]
        scans = [
            (child, scan)
            for child in children
            if isinstance(child, WindowedStream)
            for scan in child.scans(context)[:1]
        ]
        if not self.run.settings.issue_ids:
            windows += [scan.window for _, scan in scans]
        for window in windows:
            yield self.window_want(context, window)
        for child, scan in scans:
            part = self.list_key(context, scan.window)
            key = self.reader.prefetch(context, part=part).key
            while (
                ids := self.known_ids(context, part, key)
            ) is None or child.reader.is_unverified:
                yield None
            for issue in ids:
                if scan.issue is None or issue >= scan.issue:
                    one = {**context, "issue_id": str(issue)}
                    yield child.scan_want(one, scan.of_issue(issue))

    def known_ids(
        self, context: Context, part: Hashable, key: Hashable
    ) -> list[int] | None:
        """The issues whose events are to be read, if that is known by now.

        From a list that was read, or from one that was asked for ahead of time.
        """
        if self.run.settings.issue_ids:
            return self.chosen.known_of(str(context["project_id"]))
        if part in self._listed:
            return sorted(self._listed[part])
        rows = self.run.client.prefetcher.peek(key)
        if rows is None:
            return None
        return sorted({int(bodies.decode_value(row["id"])) for row in rows})

    # What servers do otherwise --------------------------------------------------------

    def normalize(self, sent: Row, row: Row) -> Row:
        """Give an issue the values of its whole life, not those of the window."""
        if not str(bodies.decode_value(row.get("id"))).isdecimal():
            row["id"] = None
        lifetime = bodies.object_fields(sent.get("lifetime"))
        return row | self.project(
            {name: lifetime[name] for name in LIFETIME if name in lifetime}
        )

    def is_missing(self, response: requests.Response) -> bool:
        """Old servers answer for one project at a time."""
        return super().is_missing(response) or (
            response.status_code == HTTPStatus.BAD_REQUEST
            and "multi project" in errors.detail(response).lower()
        )

    def probe_query(self, context: Context, path: str) -> Mapping[str, Any]:
        """One project, of the many that the list of an organization can hold."""
        project = {"project": context["project_id"]} if path == self.path else {}
        return {"query": "", **project}


#: What the top level of an issue has of the window that was asked for.
LIFETIME = ("count", "userCount", "firstSeen", "lastSeen")

#: Rows a page where only the head of a list is looked at once more.
HEAD = (25, 5)


def is_seen_in(row: Row, window: Window) -> bool:
    """Whether an issue may have had events in a window, as far as its dates tell."""
    first, last = instant_of(row, "firstSeen"), instant_of(row, "lastSeen")
    return not (last is not None and window.is_after(last)) and (
        first is None or first < window.end
    )
