"""Read the lists of a stream page by page, or ahead of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from tap_sentry.api import errors
from tap_sentry.api.fallback import PathReader
from tap_sentry.api.paged_list import MAX_HELD, Page, PagedList, PageSizes
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.prefetch import Prefetch
from tap_sentry.api.responses import has_link, read_body
from tap_sentry.api.retention import has_cursor, may_be_too_old
from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.records import bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    import requests

    from tap_sentry.api.source import Context
    from tap_sentry.records.bodies import Row
    from tap_sentry.windows import Window

T = TypeVar("T")


class ListReader(PathReader):
    """Reads the lists of one stream."""

    def request_page(
        self,
        context: Context | None,
        query: Mapping[str, Any],
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> PendingRequest[Page]:
        """Return the request for one page."""
        source = self._source
        url, params = source.url_and_params(context, cursor)
        if source.page_size_name and page_size:
            params = {**params, source.page_size_name: page_size}

        def read(response: requests.Response) -> Page:
            source.validate_response(response)
            rows = list(source.parse_response(response))
            if rows and source.is_paged and not has_link(response):
                at = errors.place(response.request)
                msg = (
                    f"GET {at}: the answer has no Link header, which names the next "
                    "page: a proxy between here and Sentry removes it"
                )
                raise errors.ForeignResponseError(msg, response)
            size = int(response.headers["Content-Length"])
            paginator = source.get_new_paginator()
            if not paginator.has_more(response):
                return Page(rows, None, size)
            following = paginator.get_next(response)
            if following in {None, "", cursor}:
                at = errors.place(response.request)
                msg = f"GET {at}: status 200, but the page does not name the next one"
                raise errors.TransientError(msg, response)
            return Page(rows, following, size)

        return PendingRequest(
            source.name,
            self.current_path,
            self._client.prepare(url, {**params, **query}),
            read,
            waits_for_brown_out=source.waits_for_brown_out,
            # Only the first page: the next is requested as soon as it has arrived.
            is_trial=cursor is None
            and self.is_unverified
            and source.path not in self._endpoints.tried,
        )

    def paged_list(  # noqa: PLR0913 - most have a default
        self,
        context: Context | None,
        query: Mapping[str, Any] | None = None,
        *,
        is_last: Callable[[Page], bool] | None = None,
        page_sizes: tuple[int, ...] | None = None,
        max_held: int = MAX_HELD,
        expected: int = 1,
    ) -> PagedList:
        """Return the pages of a list, as a `PagedList`; none is requested yet."""

        def request(place: str | None, page_size: int) -> PendingRequest[Page]:
            return self.request_page(context, query or {}, place, page_size)

        return PagedList(
            self._client.scheduler,
            request,
            page_sizes=PageSizes(page_sizes or self._source.page_sizes),
            is_last=is_last
            or (lambda page: self._source.is_last_page(page.rows, context or {})),
            max_held=max_held,
            expected=expected,
        )

    def prefetch(
        self,
        context: Context | None,
        make: Callable[[], PagedList] | None = None,
        part: Hashable = None,
    ) -> Prefetch:
        """Return a list that can be prefetched.

        Args:
            context: The context of the list.
            make: Makes the list; None for the whole list.
            part: Distinguishes the lists of one context.
        """
        ids = tuple((context or {}).values())
        start = self._client.retention.start(self._retention_key(context))
        return Prefetch(
            (self._source.name, self.current_path, ids, start, part),
            make or (lambda: self.paged_list(context)),
        )

    def peek(self, context: Context | None, part: Hashable = None) -> list[Row] | None:
        """Return the rows of a prefetched list once all of its pages have arrived."""
        return self._client.prefetcher.peek(self.prefetch(context, part=part).key)

    def once_verified(
        self, prefetches: Iterator[Prefetch | None]
    ) -> Iterator[Prefetch | None]:
        """Yield prefetches once the server is known to have the list."""
        while not self._endpoints.has_answered(self.current_path):
            if self.is_unverified:
                yield None
                continue
            if self.current_path in self._endpoints.missing:
                return
            try:
                yield next(prefetches)
            except StopIteration:
                return
        yield from prefetches

    def pages(
        self,
        context: Context | None,
        prefetch: Callable[[], Prefetch] | None = None,
        window: Window | None = None,
    ) -> Iterator[Page]:
        """Yield the pages of a list, or of its fallback where the server lacks it.

        Args:
            context: The context of the list.
            prefetch: Returns the list to read; None for the whole list. It is called
                again for the fallback and for a shortened window.
            window: The window that the list is restricted to, if there is one.

        Raises:
            RejectedError: If this list is missing while others of its kind are not.
        """

        def read() -> Iterator[Page]:
            path = self.current_path
            wanted = prefetch() if prefetch else self.prefetch(context)
            for page in self._client.prefetcher.take(wanted):
                self._endpoints.add_answer(path, self._source.needed_scopes)
                yield page

        yield from self.with_fallback(
            context, lambda: self.within_retention(context, window, read)
        )

    def retained(self, context: Context | None, window: Window) -> Window:
        """Return the part of a window that lies within the server's retention."""
        return self._client.retention.clamp(self._retention_key(context), window)

    def within_retention(
        self,
        context: Context | None,
        window: Window | None,
        read: Callable[[], Iterator[T]],
    ) -> Iterator[T]:
        """Yield what `read` yields, from a later start if a window begins too early.

        Args:
            context: The context of the list.
            window: The window to read; None for a list without one.
            read: Reads the part of the window that is `retained`. When called again,
                it continues after what it yielded.
        """
        retention, key = self._client.retention, self._retention_key(context)
        rejection: errors.RejectedError | errors.TransientError | None = None
        may_pass = True
        while True:
            try:
                for item in read():
                    if rejection and may_pass and self._is_answered(rejection):
                        # The failure was temporary, unless it recurs.
                        may_pass, rejection = False, None
                        retention.restore(key)
                        break
                    if rejection:
                        rejection = None
                        retention.accept(key)
                    if window is not None:
                        retention.log(key, self._source.name, window)
                    yield item
                else:
                    return
            except (errors.RejectedError, errors.TransientError) as error:
                step = self._source.window_step
                is_age = may_be_too_old(error) and (
                    not has_cursor(error) or retention.has_passed(key)
                )
                if not (window and is_age and retention.shorten(key, window, step)):
                    raise rejection or error from None
                rejection = rejection or error

    def _retention_key(self, context: Context | None) -> Hashable:
        """Return the key of a retention period: plans and datasets differ."""
        organization = (context or {}).get("organization_id")
        return self.current_path, self._source.params.get("dataset"), organization

    def _is_answered(
        self, rejection: errors.RejectedError | errors.TransientError
    ) -> bool:
        """Return whether a request that failed with a 5xx now succeeds."""
        if not errors.is_failure(rejection) or rejection.response is None:
            return False
        pending = PendingRequest(
            self._source.name,
            self.current_path,
            rejection.response.request,
            self._source.validate_response,
            attempts=ATTEMPTS - 1,
        )
        try:
            self._client.result(pending)
        except errors.SKIPPABLE_ERRORS:
            return False
        return True

    def fetch_row(self, path: str, context: Context, field: str | None = None) -> Row:
        """Fetch one object, or the one in a field of it, as a row of the list.

        Raises:
            RejectedError: If it does not exist.
            MissingEndpointError: If the server does not have the path.
        """
        source = self._source

        def decode(body: bytes) -> Row:
            sent = bodies.decode_row(body)
            if field is not None:
                sent = bodies.object_fields(sent.get(field))
            row = source.project(sent)
            if bodies.decode_value(row.get(source.id_column)) is None:
                raise bodies.DamagedBodyError
            return row

        def read(response: requests.Response) -> Row:
            source.validate_response(response)
            return cast("Row", read_body(response, decode))

        url = source.url(path, context)
        request = PendingRequest(source.name, path, self._client.prepare(url), read)
        row = self._client.result(request)
        self._endpoints.add_answer(path, source.needed_scopes)
        return row
