"""Lists of dated rows below the rows of another list, such as check-ins of monitors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from tap_sentry.records.dates import instant_of
from tap_sentry.streams.base import SentryStream
from tap_sentry.sync import state
from tap_sentry.sync.state import Scan
from tap_sentry.windows import Window, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_sentry.api.paged_list import Page
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context


class DatedStream(SentryStream):
    """A list of dated rows below each row of a parent.

    The organization has one bookmark for all of its lists: it moves when every one has
    been read. So the state does not grow with releases, monitors or repositories.
    """

    replication_key = "dateCreated"

    #: Whether the server cuts the list by `start` and `end`.
    takes_dates: ClassVar[bool] = False
    #: Whether rows come newest first, so that the rest of a list can be left out.
    stops_by_date: ClassVar[bool] = True
    #: How far before its bookmark the list is read again, if further than `lookback`.
    refresh: ClassVar[timedelta] = timedelta()

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start with no failures."""
        super().__init__(tap, run)
        #: Organizations with a list that could not be read this time.
        self._unread: set[object] = set()

    def window(self, context: Context) -> Window | None:
        """Return what to read in an organization; None if nothing can be new."""
        settings = self.run.settings
        entry: state.Entry = {}
        if self.saves_state:
            organization = str(context["organization_id"])
            entry = self.run.bookmarks.entry(self.name, organization)
        scans = state.plan(
            entry,
            start=settings.start,
            end=settings.end,
            lookback=max(settings.lookback, self.refresh),
        )
        return scans[-1].window if scans else None

    def visits(self, row: Row, context: Context) -> bool:
        """Return whether a row of the parent may have rows in the window."""
        window = self.window(context)
        return window is not None and self.may_have_rows(row, window)

    def may_have_rows(self, row: Row, window: Window) -> bool:
        """Return whether a row of the parent may have rows in a window."""
        del row, window
        return True

    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """Return the request for one page, cut by dates if the server takes them."""
        request = super().get_http_request(page=page)
        context = page.stream_context or {}
        window = self.window(context) if self.takes_dates else None
        if window:
            kept = self.reader.retained(context, window)
            dates = {"start": to_text(kept.start), "end": to_text(kept.end)}
            request.params = {**request.params, **dates}
        return request

    def pages(self, context: Context | None) -> Iterator[Page]:
        """Yield the pages of the list, from a later start if Sentry keeps less."""
        window = self.window(context or {}) if self.takes_dates else None
        return self.reader.pages(context, window=window)

    def is_last_page(self, rows: list[Row], context: Context) -> bool:
        """Return whether all rows of a page are older than the window."""
        window = self.window(context)
        if window is None or not self.stops_by_date:
            return False
        dates = [instant_of(row, str(self.replication_key)) for row in rows]
        return bool(dates) and all(date and window.is_after(date) for date in dates)

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the rows of the window if the server cuts the list, else all."""
        window = self.window(context) if self.takes_dates else None
        for row in self.rows(context):
            date = instant_of(row, str(self.replication_key))
            if window is None or date is None or date in window:
                yield row

    def on_failed(self, context: Context) -> None:
        """Leave the bookmark of the organization where it is."""
        self._unread.add(context["organization_id"])

    def on_parents_synced(self, context: Context) -> None:
        """Move the bookmark of an organization, if all of its lists were read."""
        organization = context["organization_id"]
        window = self.window(context)
        if self.saves_state and window and organization not in self._unread:
            self.run.bookmarks.finish(self.name, str(organization), Scan(window))
            self.run.checkpoint()
