"""The base class of all streams: a list of Sentry's Web API."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from singer_sdk.streams.rest import HTTPRequest, PageContext

from tap_sentry.api.reader import ListReader
from tap_sentry.api.responses import check_status, is_missing_endpoint, read_body
from tap_sentry.records import bodies
from tap_sentry.records.columns import Projection
from tap_sentry.sync.paginator import SentryPaginator
from tap_sentry.sync.stream import SingerStream
from tap_sentry.windows import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    import requests
    from requests.auth import AuthBase
    from singer_sdk import Tap

    from tap_sentry.api.paged_list import Page
    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run

Context: TypeAlias = "Mapping[str, Any]"

#: Columns that the tap adds. Fields that a server sends under these names are left out.
ADDED = frozenset(
    {
        "organization_id",
        "project_id",
        "team_id",
        "issue_id",
        "release_version",
        "monitor_id",
        "repository_id",
    }
)


class SentryStream(SingerStream):
    """A list of Sentry's Web API."""

    #: Ids are unique per server only, so every key includes the organization.
    primary_keys: Sequence[str] = ("organization_id", "id")

    #: The path of the same list on servers that lack `path`.
    fallback_path: ClassVar[str | None] = None

    #: Scopes, any of which gives access to the list; the fallback's where they differ.
    scopes: ClassVar[tuple[str, ...]] = ()
    fallback_scopes: ClassVar[tuple[str, ...]] = ()

    #: Query parameters of every page, and of the fallback's pages.
    params: ClassVar[Mapping[str, Any]] = {}
    fallback_params: ClassVar[Mapping[str, Any]] = {}

    #: The field of a response that holds the rows, such as `data`; None for a response
    #: that is the list.
    rows_field: ClassVar[str | None] = None
    #: Whether a response is a single row instead of a list.
    is_object: ClassVar[bool] = False

    #: Whether Sentry sends the list in pages, each with a `Link` header.
    is_paged: ClassVar[bool] = True
    #: The query parameter for the page size.
    page_size_name: ClassVar[str | None] = "per_page"
    #: Rows per page; smaller sizes follow for a server that fails on larger pages.
    page_sizes: ClassVar[tuple[int, ...]] = (100,)

    #: What the start of a window is a multiple of, where Sentry keeps less.
    window_step: timedelta = HOUR

    #: The column that identifies a row within the list, and others that it takes.
    id_column: ClassVar[str] = "id"
    more_id_columns: ClassVar[tuple[str, ...]] = ()
    #: Whether credentials and accounts are removed from undeclared fields.
    is_redacted: ClassVar[bool] = True
    #: Other names under which servers send a column, with the column.
    renamed: ClassVar[Mapping[str, str]] = {}

    #: Whether to wait for the end of a brown-out before the fallback is used.
    waits_for_brown_out: ClassVar[bool] = True

    #: Whether the list is part of a feature that a plan or server may lack: Sentry then
    #: answers 404, GlitchTip 422.
    is_optional: ClassVar[bool] = False
    #: The stream that newer servers have instead, if any.
    successor: ClassVar[str | None] = None
    #: Whether the run must stop if this list cannot be read.
    is_essential: ClassVar[bool] = False

    #: The stream that this one is a child of.
    parent: SentryStream | None = None
    #: The row whose children are being synced.
    current_row: Row | None = None

    def __init__(self, tap: Tap, run: Run) -> None:
        """Prepare the columns.

        Args:
            tap: The tap, for the SDK.
            run: What the streams of this run share.
        """
        super().__init__(tap)
        self.run = run
        self.project = Projection(
            self.row_schema, self.renamed, ADDED, is_redacted=self.is_redacted
        )

    @functools.cached_property
    def reader(self) -> ListReader:
        """Reads the list over HTTP."""
        return ListReader(self, self.run.client)

    @property
    def row_schema(self) -> Mapping[str, Any]:
        """The columns of the list's rows; by default those of the records."""
        return self.schema

    @functools.cached_property
    def saves_state(self) -> bool:
        """Whether this run reads bookmarks and moves them."""
        is_report = self.run.settings.is_report
        return self.replication_method == "INCREMENTAL" and not is_report

    def log_sync_costs(self) -> None:
        """Write what is left; the SDK calls this after all streams have been read."""
        super().log_sync_costs()
        self.run.versions.activate(self)
        self.run.write_final_state()

    # Requests -------------------------------------------------------------------------

    @property
    def url_base(self) -> str:
        """The URL of the API."""
        return self.run.client.base_url

    @property
    def authenticator(self) -> AuthBase:
        """Adds the token to a request."""
        return self.run.client.authenticator

    @property
    def requests_session(self) -> requests.Session:
        """The session that all streams share."""
        return self.run.client.session

    @property
    def timeout(self) -> int:
        """Seconds to wait for a response."""
        return self.run.client.timeout

    @property
    def is_fallback(self) -> bool:
        """Whether the fallback path is in use."""
        return self.reader.current_path == self.fallback_path

    @property
    def needed_scopes(self) -> tuple[str, ...]:
        """The scopes for the path in use."""
        return (self.is_fallback and self.fallback_scopes) or self.scopes

    def get_url(self, context: Context | None) -> str:
        """Return the URL of the list."""
        return self.url(self.reader.current_path, context)

    def url(self, path: str, context: Context | None) -> str:
        """Return the URL of a path template, with the slugs of this run in it."""
        return self.run.client.url(path, self.run.directory.path_names(context or {}))

    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """Return the request for one page."""
        params = self.fallback_params if self.is_fallback else self.params
        return HTTPRequest(
            url=self.get_url(page.stream_context),
            params={**params, "cursor": page.next_page_token},
        )

    def url_and_params(
        self, context: Context | None, cursor: str | None
    ) -> tuple[str, Mapping[str, Any]]:
        """Return URL and query parameters of one page, for the reader."""
        request = self.get_http_request(page=PageContext(dict(context or {}), cursor))
        return request.url, request.params

    def get_new_paginator(self) -> SentryPaginator:
        """Return a paginator that follows the `Link` header."""
        return SentryPaginator()

    def validate_response(self, response: requests.Response) -> None:
        """Raise the exception that matches the response status."""
        scopes = self.needed_scopes
        check_status(response, scopes, self.is_missing, is_optional=self.is_optional)

    def is_missing(self, response: requests.Response) -> bool:
        """Return whether an error means that the server lacks the endpoint."""
        return is_missing_endpoint(response)

    def probe_query(self, context: Context, path: str) -> Mapping[str, Any]:
        """Return what a request for a single row needs; no dates, which may fail."""
        del context, path
        return {}

    # Rows -----------------------------------------------------------------------------

    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """Yield the normalized rows of one page, reduced to the declared columns."""
        for sent in read_body(response, self.decode):
            row = self.normalize(sent, self.project(sent))
            # The context identifies a single object.
            if (
                self.is_object
                or bodies.decode_value(row.get(self.id_column)) is not None
            ):
                yield row
            elif not self.is_blank(row):
                self.run.results.add_without_id(self.name)

    def decode(self, body: bytes) -> list[Row]:
        """Decode the rows of a response."""
        if not self.is_object:
            return bodies.decode_rows(body, self.rows_field)
        row = bodies.decode_row(body)
        if not row.keys() & self.row_schema["properties"].keys():
            raise bodies.UnexpectedShapeError
        return [row]

    def is_blank(self, row: Row) -> bool:
        """Return whether a row without an id means nothing, as some servers send."""
        del row
        return False

    def normalize(self, sent: Row, row: Row) -> Row:
        """Normalize differences between server versions; `sent` has all fields."""
        del sent
        return row

    def pages(self, context: Context | None) -> Iterator[Page]:
        """Yield the pages of the list."""
        return self.reader.pages(context)

    def is_last_page(self, rows: list[Row], context: Context) -> bool:
        """Return whether the pages after one with these rows are not needed."""
        del rows, context
        return False

    def rows(self, context: Context | None) -> Iterator[Row]:
        """Yield the rows of the list, each once: pages that count rows can overlap."""
        seen, columns = set(), (self.id_column, *self.more_id_columns)
        for page in self.pages(context):
            for row in page.rows:
                key = tuple(bodies.decode_value(row.get(name)) for name in columns)
                if key not in seen:
                    seen.add(key)
                    yield row
            self.run.checkpoint()

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """Yield the records of a context, if the row of the parent has any."""
        if self.parent and context is None:
            # The parent has no rows.
            return
        row = self.parent.current_row if self.parent else None
        if row is None or self.visits(row, context or {}):
            with self.run.parts.reading(self, context) as outcome:
                yield from self.records(context or {})
            if not outcome.is_final:
                self.on_failed(context or {})

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the records of a context; by default the rows of the list."""
        return self.rows(context)

    # Prefetching ----------------------------------------------------------------------

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists to be read in a context; None while the next is not known."""
        yield self.reader.prefetch(context)

    def visits(self, row: Row, context: Context) -> bool:
        """Return whether the list of a row of the parent has to be read."""
        del row, context
        return True

    def later_prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists that will be read in `on_siblings_synced`."""
        del context
        return iter(())
