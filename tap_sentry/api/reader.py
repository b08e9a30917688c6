"""Read the lists of a stream, from the fallback where the server lacks the first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tap_sentry.api import errors, rate_limits
from tap_sentry.api.paged_list import Page, PagedList
from tap_sentry.api.prefetch import Prefetch
from tap_sentry.api.responses import has_link, read_body
from tap_sentry.api.scheduler import ATTEMPTS, PendingRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    import requests

    from tap_sentry.api.client import SentryClient
    from tap_sentry.api.source import Context, ListSource
    from tap_sentry.records.bodies import Row

T = TypeVar("T")


class ListReader:
    """Reads the lists of one stream."""

    def __init__(self, source: ListSource, client: SentryClient) -> None:
        """Request nothing yet."""
        self._source = source
        self._client = client
        self._endpoints = client.endpoints

    @property
    def current_path(self) -> str:
        """The path template in use."""
        return self._endpoints.current(self._source.path, self._source.fallback_path)

    @property
    def is_unverified(self) -> bool:
        """Whether it is still open which of two paths the server has."""
        path = self.current_path
        return self._source.fallback_path not in {None, path} and (
            not self._endpoints.has_answered(path)
        )

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

    def paged_list(
        self,
        context: Context | None,
        query: Mapping[str, Any] | None = None,
        *,
        is_last: Callable[[Page], bool] | None = None,
        page_sizes: tuple[int, ...] | None = None,
    ) -> PagedList:
        """Return the pages of a list; none is requested yet."""

        def request(place: str | None, page_size: int) -> PendingRequest[Page]:
            return self.request_page(context, query or {}, place, page_size)

        return PagedList(
            self._client.scheduler,
            request,
            page_sizes=page_sizes or self._source.page_sizes,
            is_last=is_last,
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
            make: Makes the list where it is not simply the whole list.
            part: Distinguishes the lists of one context.
        """
        ids = tuple((context or {}).values())
        return Prefetch(
            (self._source.name, self.current_path, ids, part),
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
    ) -> Iterator[Page]:
        """Yield the pages of a list, or of its fallback where the server lacks it.

        Args:
            context: The context of the list.
            prefetch: Returns the list where it is not simply the whole list; called
                again for the fallback.

        Raises:
            RejectedError: If this list is missing while others of its kind are not.
        """

        def read() -> Iterator[Page]:
            path = self.current_path
            wanted = prefetch() if prefetch else self.prefetch(context)
            for page in self._client.prefetcher.take(wanted):
                self._endpoints.add_answer(path, self._source.needed_scopes)
                yield page

        yield from self.with_fallback(context, read)

    def with_fallback(
        self, context: Context | None, read: Callable[[], Iterator[T]]
    ) -> Iterator[T]:
        """Yield what `read` yields, from the fallback where the server lacks the list.

        Raises:
            MissingEndpointError: If the server has neither of the two.
            RejectedError: If it lacks this list while it has others of its kind.
            TransientError: If it sends a web page where it sent lists before.
        """
        path = self.current_path
        if path in self._endpoints.missing:
            is_unexpected = path in self._endpoints.unexpected
            msg = f"this server does not have {path}"
            if is_unexpected:
                msg = f"the answers of {path} are not understood"
            raise errors.MissingEndpointError(msg, is_unexpected=is_unexpected)
        try:
            yield from read()
        except errors.SentryError as error:
            if self._endpoints.has_answered(path):
                if isinstance(error, errors.MissingEndpointError):
                    # A proxy whose server is down sends 404 as well.
                    if error.is_web_page:
                        raise errors.TransientError(*error.args) from error
                    raise errors.RejectedError(*error.args) from error
                raise
            if self._is_missing(error, context):
                self._drop(path, error)
            elif not isinstance(error, errors.UnverifiedEndpointError):
                raise
            yield from self.with_fallback(context, read)

    def _is_missing(self, error: errors.SentryError, context: Context | None) -> bool:
        """Return whether an error of the first page means that the list is missing.

        Old servers fail permanently (500) where they do not have it.
        """
        if isinstance(error, (errors.MissingEndpointError, errors.BrownOutError)):
            return True
        if isinstance(error, errors.UnverifiedEndpointError):
            return self._is_replaced(context)
        if isinstance(error, errors.UnexpectedJSONError) or (
            isinstance(error, errors.TransientError)
            and errors.is_web_page(error.response)
        ):
            return self._endpoints.has_any
        return (
            self.is_unverified
            and errors.is_failure(error)
            and self._answers(context, ATTEMPTS)
        )

    def _is_replaced(self, context: Context | None) -> bool:
        """Return whether the server has the fallback only, after a first failure.

        The failure may have been a passing one. If the fallback answers, the endpoint
        is asked for a single row once more. In any case it is tried as often as other
        endpoints from then on.
        """
        path = self._source.path
        self._endpoints.tried.add(path)
        if not self._answers(context, 1):
            return False
        self._client.scheduler.pause(next(rate_limits.expo()))
        pending = self._probe(context, path)
        pending.is_trial = True
        try:
            self._client.result(pending)
        except (errors.UnverifiedEndpointError, errors.MissingEndpointError):
            return True
        except errors.RejectedError:
            # The server has the endpoint and lacks some parameter.
            pass
        except errors.SKIPPABLE_ERRORS:
            return False
        self._endpoints.add_answer(path, self._source.needed_scopes)
        return False

    def _answers(self, context: Context | None, attempts: int) -> bool:
        """Return whether the fallback answers a request for a single row."""
        pending = self._probe(context, str(self._source.fallback_path))
        pending.attempts = ATTEMPTS - attempts
        try:
            self._client.result(pending)
        except errors.SKIPPABLE_ERRORS:
            return False
        return True

    def _probe(self, context: Context | None, path: str) -> PendingRequest[list[Row]]:
        """Return the request for a single row, to see if the server has a path."""
        source = self._source
        is_fallback = path == source.fallback_path
        params = dict(source.fallback_params if is_fallback else source.params)
        params |= source.probe_query(context or {}, path)
        if source.page_size_name:
            params[source.page_size_name] = 1

        def read(response: requests.Response) -> list[Row]:
            source.validate_response(response)
            return list(source.parse_response(response))

        request = self._client.prepare(source.url(path, context), params)
        return PendingRequest(source.name, path, request, read)

    def _drop(self, path: str, error: errors.SentryError) -> None:
        """Record that the server lacks a path, and log it once.

        Nothing is wrong as long as a fallback returns the same records.
        """
        self._endpoints.missing.add(path)
        instead = self.current_path
        level = logging.INFO if instead != path else logging.WARNING
        msg = "This server does not have %s (%s)%s"
        if isinstance(error, errors.UnexpectedJSONError):
            self._endpoints.unexpected.add(path)
            msg = "The answers of %s are not understood (%s)%s"
        suffix = f": {instead} is read instead" if instead != path else ""
        self._client.scheduler.logger.log(level, msg, path, error, suffix)

    def fetch_object(self, path: str, url: str, decode: Callable[[bytes], Any]) -> Row:
        """Fetch the object at a path.

        Raises:
            RejectedError: If it does not exist.
            MissingEndpointError: If the server does not have the path.
        """

        def read(response: requests.Response) -> Row:
            self._source.validate_response(response)
            return cast("Row", read_body(response, decode))

        request = PendingRequest(
            self._source.name, path, self._client.prepare(url), read
        )
        row = self._client.result(request)
        self._endpoints.add_answer(path, self._source.needed_scopes)
        return row
