"""Issues, under the heading *Events & Issues* in Sentry's API reference."""

from __future__ import annotations

import contextlib
import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.exceptions import (
    AbortedSyncFailedException,
    AbortedSyncPausedException,
)

from tap_sentry.api import errors
from tap_sentry.api.prefetch import interleaved
from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of
from tap_sentry.streams.chosen import ChosenIssues
from tap_sentry.streams.columns import ISSUE_COLUMNS
from tap_sentry.streams.issue_lists import IssueLists
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import ORGANIZATION_ID, PROJECT_ID, schema_of
from tap_sentry.streams.windowed import WindowedStream
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    import requests
    from singer_sdk import Tap

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
    takes_dates = False
    # An empty `groupStatsPeriod` spares the server a query; GlitchTip, which filters
    # this list by other dates, refuses `sort`.
    params: ClassVar = {"sort": "date", "groupStatsPeriod": ""}
    fallback_params: ClassVar = {"statsPeriod": ""}
    schema = schema_of(ORGANIZATION_ID, PROJECT_ID, *ISSUE_COLUMNS)

    def __init__(self, tap: Tap, run: Run) -> None:
        """Prepare the lists that this stream shares with its children."""
        super().__init__(tap, run)
        self.lists = IssueLists(self)
        self.chosen = ChosenIssues(self)
        #: Organizations with a project whose issues could not be read this time.
        self._unread: set[object] = set()

    @functools.cached_property
    def every(self) -> IssueLists:
        """The lists of all issues, which `issue_query` does not cut."""
        return (
            IssueLists(self, query="") if self.run.settings.issue_query else self.lists
        )

    # Once for each project ------------------------------------------------------------

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """Yield the issues of a project, if this stream is selected."""
        self.lists.start_project()
        if self.selected:
            yield from super().get_records(context)
        if isinstance(self.lists.failure, errors.TransientError):
            self._unread.add((context or {}).get("organization_id"))

    def on_siblings_synced(self, context: Context) -> None:
        """Sync the events of all issues, also of those found in the project's events.

        The SDK would sync the children once for each issue, with a SCHEMA, a STATE and
        a look at all partitions each time.
        """
        for child in self._children_in_use:
            with contextlib.suppress(
                AbortedSyncFailedException, AbortedSyncPausedException
            ):
                child.sync(dict(context))
        for child in self._children_in_use:
            child.forget_scans()
        self.lists.end_project()

    def generate_child_contexts(
        self, record: Row, context: Context | None
    ) -> Iterable[Context | None]:
        """Yield no child contexts; `on_siblings_synced` syncs the children itself."""
        del record, context
        return ()

    def scans(self, context: Context) -> list[Scan]:
        """Return what to read: issues with new events, or all when a refresh is due."""
        scans = super().scans(context)
        if scans and self.is_refresh_due(str(context["organization_id"])):
            start = self.run.settings.start or BEGINNING
            return [Scan(Window(start, scans[-1].window.end))]
        return scans

    def is_refresh_due(self, organization: str, stream: str = name) -> bool:
        """Return whether a stream has to read all issues, for what is no event."""
        settings = self.run.settings
        last = self.run.bookmarks.refreshed(stream, organization)
        return last is None or settings.end - last >= settings.issue_refresh

    def on_parents_synced(self, context: Context) -> None:
        """Record when all issues of an organization were read."""
        organization = str(context["organization_id"])
        is_read = self.selected and organization not in self._unread
        if is_read and self.saves_state and self.is_refresh_due(organization):
            end = self.run.settings.end
            self.run.bookmarks.refresh(self.name, organization, end)
        for child in self._children_in_use:
            child.on_parents_synced(context)

    def walk(
        self, context: Context, scan: Scan, *, saves: bool
    ) -> Generator[Row, None, bool]:
        """Yield the issues with events in the window of a scan.

        An interrupted list is read again, because new events invalidate its cursors.
        """
        del saves
        for row in self.lists.read(context, scan.window):
            if self.lists.is_cut_by_window or is_seen_in(row, scan.window):
                yield row
        return True

    # For the events of issues ---------------------------------------------------------

    def ids_of(self, context: Context, window: Window) -> list[int]:
        """Return the issues whose events are to be read, by ascending id."""
        if not self.run.settings.issue_ids:
            listed = self.lists.found(context, window).keys()
            return sorted(listed | self.lists.named(context, window))
        if self.chosen.is_available:
            return self.chosen.of(str(context["project_id"]))
        return sorted(self.lists.found(context, window).keys() & self.chosen.numbers)

    def known_ids(self, context: Context, window: Window) -> list[int] | None:
        """Return the issues whose events are to be read; None before they are known."""
        if self.run.settings.issue_ids:
            return self.chosen.known_of(str(context["project_id"]))
        listed = self.lists.known(context, window)
        return None if listed is None else sorted(listed)

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists of issues."""
        windows = [scan.window for scan in self.scans(context)] if self.selected else []
        if not self.run.settings.issue_ids:
            windows += [scan.window for _, scan in self._child_scans(context)]
        for window in windows:
            yield self.lists.prefetch(context, window)

    def later_prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the events of each issue, once the issues are known."""
        for child, scan in self._child_scans(context):
            while (
                ids := self.known_ids(context, scan.window)
            ) is None or child.reader.is_unverified:
                yield None
            plans = (
                child.scan_prefetches(
                    {**context, "issue_id": str(issue)}, scan.of_issue(issue)
                )
                for issue in ids
                if scan.issue is None or issue >= scan.issue
            )
            yield from interleaved(plans, self.run.client.scheduler.budget)

    def _child_scans(self, context: Context) -> list[tuple[WindowedStream, Scan]]:
        """Return the first scan of each child in use."""
        return [
            (child, scan)
            for child in self._children_in_use
            if child.has_own_requests
            for scan in child.scans(context)[:1]
        ]

    @property
    def _children_in_use(self) -> list[WindowedStream]:
        return [
            child
            for child in self.child_streams
            if isinstance(child, WindowedStream) and child.selected
        ]

    # Differences between servers ------------------------------------------------------

    def normalize(self, sent: Row, row: Row) -> Row:
        """Replace the values of the window by those of the issue's whole life."""
        if not str(bodies.decode_value(row.get("id"))).isdecimal():
            row["id"] = None
        lifetime = bodies.object_fields(sent.get("lifetime"))
        return row | self.project(
            {name: lifetime[name] for name in LIFETIME if name in lifetime}
        )

    def is_missing(self, response: requests.Response) -> bool:
        """Return whether the server lists the issues of single projects only."""
        return super().is_missing(response) or (
            response.status_code == HTTPStatus.BAD_REQUEST
            and "multi project" in errors.detail(response).lower()
        )

    def probe_query(self, context: Context, path: str) -> Mapping[str, Any]:
        """Return the parameters for one project."""
        project = {"project": context["project_id"]} if path == self.path else {}
        return {"query": "", **project}


#: Columns of an issue that the server fills with values of the requested window.
LIFETIME = ("count", "userCount", "firstSeen", "lastSeen")


def is_seen_in(row: Row, window: Window) -> bool:
    """Return whether an issue may have events in a window, by its dates."""
    first, last = instant_of(row, "firstSeen"), instant_of(row, "lastSeen")
    return not (last is not None and window.is_after(last)) and (
        first is None or first < window.end
    )
