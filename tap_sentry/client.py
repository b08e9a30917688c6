"""What all streams share: how a list of Sentry is asked for, read and kept."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
from singer_sdk import metrics
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError, SkippableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.streams.rest import HTTPRequest, PageContext, RESTStream

from tap_sentry import errors, limits, records, state
from tap_sentry.fetching import TRIES, Call
from tap_sentry.listing import Listing, Page
from tap_sentry.lookahead import Want
from tap_sentry.meters import StreamCounter, StreamTimer
from tap_sentry.pagination import SentryPaginator

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Hashable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from requests.auth import AuthBase

    from tap_sentry.records import Row
    from tap_sentry.tap import TapSentry

Context: TypeAlias = "Mapping[str, Any]"
T = TypeVar("T")

#: Columns that the tap adds, whatever a server sends under their names.
ADDED = frozenset({"organization_id", "project_id", "team_id", "issue_id"})

#: Bytes of a body that are read at once.
CHUNK = 16 << 20
#: Hops within the server that are followed, such as those of a renamed project.
REDIRECTS = 5


@dataclass
class Outcome:
    """How the reading of one slice ended."""

    #: Whether it need not be tried again: it was read, or is not there.
    is_final: bool = True


class SentryStream(RESTStream[str]):
    """A list of Sentry's Web API."""

    #: Ids are unique on one server only, so every key names the organization.
    primary_keys: Sequence[str] = ("organization_id", "id")

    #: Where an older server has the same list.
    fallback_path: ClassVar[str | None] = None

    #: Scopes of a token, any of which is enough to read the list; those of the fallback
    #: where they differ.
    scopes: ClassVar[tuple[str, ...]] = ()
    fallback_scopes: ClassVar[tuple[str, ...]] = ()

    #: Query parameters of every page, and of the fallback's.
    params: ClassVar[Mapping[str, Any]] = {}

    fallback_params: ClassVar[Mapping[str, Any]] = {}

    #: Whether the list comes in pages. Sentry then sends a `Link` header with each of
    #: them, also with the last one.
    is_paged: ClassVar[bool] = True

    #: The parameter that names the page size.
    page_size_name: ClassVar[str | None] = "per_page"
    #: Rows a page; after the first, for a server that fails on so many.
    page_sizes: ClassVar[tuple[int, ...]] = (100,)

    #: The column that tells one row of the list from another.
    id_column: ClassVar[str] = "id"

    #: Other names that servers have for a column.
    renamed: ClassVar[Mapping[str, str]] = {}

    #: Whether a brown-out of a deprecated list is waited for before the fallback.
    waits_for_brown_out: ClassVar[bool] = True

    #: Whether there is nothing to read where this list is refused.
    is_essential: ClassVar[bool] = False

    # Values come from JSON, and each row is cut to the columns: nothing is left to do.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    # The tap keeps its own state; the SDK shall not add context keys to rows either.
    state_partitioning_keys = ()
    ignore_parent_replication_key = False

    def __init__(self, tap: TapSentry) -> None:
        """Prepare the columns."""
        super().__init__(tap)
        self.tap = tap
        self.project = records.Projection(self.row_schema, self.renamed, ADDED)

    @property
    def row_schema(self) -> Mapping[str, Any]:
        """The columns of what the list holds: those of the stream's records."""
        return self.schema

    @property
    def replication_method(self) -> str:
        """Without a key all is read, whatever a catalog says of every stream."""
        return super().replication_method if self.replication_key else "FULL_TABLE"

    @property
    def state_manager(self) -> state.NoStateManager:  # type: ignore[override] # keeps none
        """Nothing: the tap keeps its own state."""
        return state.NoStateManager()

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: the tap bounds what it reads by the start of the run."""
        del context

    def log(
        self, message: str, *args: Any, level: int = logging.INFO, **options: Any
    ) -> None:
        """Log at DEBUG what the SDK says of every context and of every error.

        The lines for contexts grow with the projects; errors are told by the tap.
        """
        is_sdk = level in {logging.INFO, logging.ERROR}
        super().log(message, *args, level=logging.DEBUG if is_sdk else level, **options)

    def log_sync_costs(self) -> None:
        """Write what is left: the SDK calls this when all streams are read."""
        super().log_sync_costs()
        if self.selected or self.has_selected_descendents:
            for meter in self.meters:
                meter.end()
        self.tap.write_final_state()

    @functools.cached_property
    def meters(self) -> tuple[StreamCounter, StreamTimer]:
        """Count and time what the whole stream takes: contexts can be thousands."""
        tags = {metrics.Tag.STREAM: self.name}
        return (
            StreamCounter(metrics.Metric.RECORD_COUNT, tags),
            StreamTimer(metrics.Metric.SYNC_DURATION, {**tags}),
        )

    def get_record_counter(self, **options: Any) -> StreamCounter:
        """One for all contexts."""
        del options
        return self.meters[0]

    def get_sync_timer(self) -> StreamTimer:
        """One for all contexts."""
        return self.meters[1]

    # What the SDK asks of a REST stream -----------------------------------------------

    @property
    def url_base(self) -> str:
        """The address of the API."""
        return str(self.tap.request.url)

    @property
    def authenticator(self) -> AuthBase:
        """Adds the token."""
        return self.tap.authenticator

    @property
    def requests_session(self) -> requests.Session:
        """One session for all streams."""
        return self.tap.session

    @property
    def timeout(self) -> int:
        """Seconds to wait for an answer."""
        return self.tap.settings.request_timeout

    @property
    def needed_scopes(self) -> tuple[str, ...]:
        """The scopes for the path in use."""
        is_fallback = self.current_path == self.fallback_path
        return (is_fallback and self.fallback_scopes) or self.scopes

    @functools.cached_property
    def is_looked_into(self) -> bool:
        """Whether the SDK has to see the values of rows, not only to copy them."""
        config = self.tap.config
        return (
            bool(config.get("stream_maps") or config.get("flattening_enabled"))
            # The catalog deselects a part of a column.
            or any(
                not selected and len(breadcrumb) > len(("properties", "column"))
                for breadcrumb, selected in self.mask.items()
            )
        )

    @property
    def current_path(self) -> str:
        """The path, or its fallback once this server turned out to lack it."""
        if self.fallback_path and self.path in self.tap.missing_endpoints:
            return self.fallback_path
        return self.path

    def get_url(self, context: Context | None) -> str:
        """The address of the list."""
        return self.url(self.current_path, context)

    def url(self, path: str, context: Context | None) -> str:
        """The address of a path, with the slugs of this run."""
        names = self.tap.names(context or {})
        quoted = {name: in_path(value) for name, value in names.items()}
        return self.url_base + path.format_map(quoted)

    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        """The request for one page."""
        is_fallback = self.current_path == self.fallback_path
        params = self.fallback_params if is_fallback else self.params
        return HTTPRequest(
            url=self.get_url(page.stream_context),
            params={**params, "cursor": page.next_page_token},
        )

    def get_new_paginator(self) -> SentryPaginator:
        """Goes by the `Link` header."""
        return SentryPaginator()

    def validate_response(self, response: requests.Response) -> None:
        """Tell what stops, what is skipped, what is asked again and what is missing.

        An error that is not JSON was not given by Sentry's API, and says nothing of
        the token or of what was asked for.

        Raises:
            FatalAPIError: For a refused token or a redirect to another host.
            ForbiddenError: For a 403.
            MissingEndpointError: If the server does not have this endpoint.
            OddAnswerError: If something before the server refuses the request.
            RetriableAPIError: If the request may succeed later.
            SkippableAPIError: If the object does not exist, or the request is refused.
        """
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        if response.is_redirect:
            refuse_redirect(response)
        is_json = errors.is_json(response)
        said = f" with {errors.described(response, response.content)}"
        if is_json:
            detail = errors.detail(response)
            said = f", {detail}" if detail else ""
        message = f"GET {errors.place(response.request)}: status {status}{said}"
        if status == HTTPStatus.GONE:
            raise errors.BrownOutError(message, response)
        if (
            status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            if not is_json:
                message += (
                    ": something between here and Sentry (proxy, firewall, login) "
                    "answers in its place"
                )
            raise RetriableAPIError(message, response)
        if self.is_missing(response):
            raise errors.MissingEndpointError(message, is_web_page=not is_json)
        if is_json:
            self.refuse(response, message)
        refuse_page(response, message)

    def refuse(self, response: requests.Response, message: str) -> NoReturn:
        """Raise the error for what Sentry refuses."""
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            host = urlsplit(response.url).netloc
            said = errors.detail(response) or "status 401"
            msg = f"{host} refuses the auth_token ({said})"
            raise FatalAPIError(msg)
        if response.status_code == HTTPStatus.FORBIDDEN:
            kind = errors.json_object(response).get("error_type")
            raise errors.ForbiddenError(
                message,
                self.needed_scopes,
                is_unavailable_feature=kind == "unavailable_feature",
            )
        raise SkippableAPIError(message)

    def is_missing(self, response: requests.Response) -> bool:
        """Whether an error means that the server lacks the endpoint, not an object."""
        status = response.status_code
        if status == HTTPStatus.NOT_FOUND:
            return "detail" not in errors.json_object(response)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            # To the documented parameters; a later page was refused its cursor.
            return "cursor=" not in urlsplit(response.url).query
        return status == HTTPStatus.METHOD_NOT_ALLOWED

    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows of a page, straightened and cut to the columns."""
        for sent in self.read_body(response, records.decode_rows):
            row = self.straighten(sent, self.project(sent))
            if records.value(row.get(self.id_column)) is not None:
                yield row
            elif not self.is_blank(row):
                self.tap.summary.without_id(self.name)

    def is_blank(self, row: Row) -> bool:
        """Whether a row without an id stands for nothing, as some servers send it."""
        del row
        return False

    def straighten(self, sent: Row, row: Row) -> Row:
        """Put right what some servers send otherwise; `sent` is the uncut row."""
        del sent
        return row

    def read_body(
        self, response: requests.Response, decode: Callable[[bytes], Any]
    ) -> Any:
        """Read and decode a body.

        Raises:
            RetriableAPIError: If it is damaged, or a web page.
            UnexpectedJSONError: If it is JSON of another shape.
        """
        body = b"".join(response.iter_content(CHUNK))
        # What it takes in memory: on the way it may have been compressed.
        response.headers["Content-Length"] = str(len(body))
        try:
            return decode(body)
        except records.DamagedBodyError as error:
            at = errors.place(response.request)
            if errors.is_web_page(response):
                msg = (
                    f"GET {at}: status 200 with {errors.described(response, body)} "
                    "instead of JSON, as from a login, a proxy or a server without "
                    "this endpoint"
                )
                raise RetriableAPIError(msg, response) from None
            kind = response.headers.get("Content-Type", "no content type")
            kind = errors.without_token(kind, response.request)
            msg = (
                f"GET {at}: status 200, but the body is not the expected JSON ({kind})"
            )
            if isinstance(error, records.UnexpectedShapeError):
                raise errors.UnexpectedJSONError(msg, response) from None
            raise RetriableAPIError(msg, response) from None

    # Requests -------------------------------------------------------------------------

    def prepared(self, url: str, params: str = "") -> requests.PreparedRequest:
        """A request with the token, for an address in which all is quoted.

        `build_prepared_request` would quote, parse and merge all of it once more, which
        takes ten times as long.
        """
        # Not `request.copy()`: nothing changes the headers, which all have in common.
        request = copy.copy(self.tap.request)
        request.url = f"{url}?{params}" if params else url
        return request

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request; follow redirects only within the server."""
        for _ in range(REDIRECTS):
            response = self.requests_session.send(request, timeout=self.timeout)
            if not response.is_redirect:
                break
            target = target_of(response)
            if target is None or origin(target) != origin(response.url):
                break
            response.close()
            request = self.prepared(requests.utils.requote_uri(target))
        return response

    def call(
        self,
        context: Context | None,
        query: Mapping[str, Any],
        cursor: str | None = None,
        page_size: int | None = None,
    ) -> Call[Page]:
        """The call for one page."""
        request = self.get_http_request(page=PageContext(dict(context or {}), cursor))
        if self.page_size_name and page_size:
            request.params[self.page_size_name] = page_size
        request.params |= query
        prepared = self.prepared(request.url, query_string(request.params))

        def parse(response: requests.Response) -> Page:
            paginator = self.get_new_paginator()
            rows = list(self.parse_response(response))
            if rows and self.is_paged and not has_link(response):
                at = errors.place(response.request)
                msg = (
                    f"GET {at}: the answer has no Link header, which names the next "
                    "page: a proxy between here and Sentry removes it"
                )
                raise errors.OddAnswerError(msg, response)
            size = int(response.headers["Content-Length"])
            following = (
                paginator.get_next(response) if paginator.has_more(response) else None
            )
            if paginator.has_more(response) and following in {None, "", cursor}:
                at = errors.place(response.request)
                msg = f"GET {at}: status 200, but the page does not name the next one"
                raise RetriableAPIError(msg, response)
            return Page(rows, following, size)

        return Call(
            self,
            self.current_path,
            prepared,
            parse,
            patient=self.waits_for_brown_out,
            # Only of the first page: the next one is asked for as soon as it is there.
            is_trial=cursor is None
            and self.is_unproven
            and self.path not in self.tap.tried_endpoints,
        )

    def listing(
        self,
        context: Context | None,
        query: Mapping[str, Any] | None = None,
        *,
        is_last: Callable[[Page], bool] | None = None,
        page_sizes: tuple[int, ...] | None = None,
    ) -> Listing:
        """The pages of the list; none is asked for yet."""

        def ask(place: str | None, page_size: int) -> Call[Page]:
            return self.call(context, query or {}, place, page_size)

        return Listing(
            self.tap.fetcher,
            ask,
            page_sizes=page_sizes or self.page_sizes,
            is_last=is_last,
        )

    def one(
        self,
        path: str,
        context: Context,
        decode: Callable[[bytes], Row] | None = None,
    ) -> Row:
        """The one object at a path, cut to the columns of a row of the list.

        `decode` makes something else of the body.

        Raises:
            SkippableAPIError: If it does not exist.
            MissingEndpointError: If the server has no such path.
        """
        prepared = self.prepared(self.url(path, context))

        def parse(response: requests.Response) -> Row:
            if decode is not None:
                return cast("Row", self.read_body(response, decode))
            row = self.project(self.read_body(response, records.decode_row))
            if records.value(row.get(self.id_column)) is None:
                at = errors.place(response.request)
                msg = f"GET {at}: status 200, but what came has no id"
                raise RetriableAPIError(msg, response)
            return row

        call = Call(self, path, prepared, parse)
        row = self.tap.fetcher.result(self.tap.fetcher.submit(call))
        self.tap.answering_endpoints.add(path)
        return row

    def want(
        self,
        context: Context | None,
        make: Callable[[], Listing] | None = None,
        part: Hashable = None,
    ) -> Want:
        """The list of a context, or a part of it, as it can be started ahead of time.

        `make` prepares the listing, where it is not simply all of the list.
        """
        ids = tuple((context or {}).values())
        return Want(
            (self.name, self.current_path, ids, part),
            make or (lambda: self.listing(context)),
        )

    def wants(self, context: Context) -> Iterator[Want | None]:
        """The lists that will be read in a context, as soon as they are known.

        `None` stands for what depends on a list that is still being read.
        """
        yield self.want(context)

    def wants_here(self, context: Context) -> Iterator[Want | None]:
        """The same, as long as this server is known to have the list."""
        wants = self.wants(context)
        while self.current_path not in self.tap.answering_endpoints:
            if self.is_unproven:
                yield None
                continue
            if self.current_path in self.tap.missing_endpoints:
                return
            try:
                yield next(wants)
            except StopIteration:
                return
        yield from wants

    @property
    def is_unproven(self) -> bool:
        """Whether it is still open which of two paths this server has."""
        path = self.current_path
        return self.fallback_path not in {None, path} and (
            path not in self.tap.answering_endpoints
        )

    def child_wants(self, context: Context) -> list[Iterator[Want | None]]:
        """What the streams below this one will read in the context of a record."""
        return [
            child.wants_here(context)
            for child in self.child_streams
            if isinstance(child, SentryStream)
            and (child.selected or child.has_selected_descendents)
        ]

    def pages(
        self,
        context: Context | None,
        want: Callable[[], Want] | None = None,
    ) -> Iterator[Page]:
        """The pages of a list, or of its fallback on a server that lacks it.

        `want` tells the list, where it is not simply all of it; the fallback too.

        Raises:
            SkippableAPIError: If this list is missing while others of its kind are not.
        """

        def read() -> Iterator[Page]:
            path = self.current_path
            wanted = want() if want else self.want(context)
            for page in self.tap.ahead.take(wanted):
                self.tap.answering_endpoints.add(path)
                yield page

        yield from self.falling_back(context, read)

    def falling_back(
        self, context: Context | None, read: Callable[[], Iterator[T]]
    ) -> Iterator[T]:
        """What `read` gives; with the fallback, if this server lacks the path in use.

        Raises:
            MissingEndpointError: If it has neither.
            RetriableAPIError: If a web page came where lists came before.
            SkippableAPIError: If it lacks one list while it has others of the kind.
        """
        path = self.current_path
        if path in self.tap.missing_endpoints:
            is_unexpected = path in self.tap.unexpected_endpoints
            msg = f"this server does not have {path}"
            if is_unexpected:
                msg = f"the answers of {path} are not understood"
            raise errors.MissingEndpointError(msg, is_unexpected=is_unexpected)
        try:
            yield from read()
        except Exception as error:
            if path in self.tap.answering_endpoints:
                if isinstance(error, errors.MissingEndpointError):
                    # A proxy whose server is away says 404 too: that is no deletion.
                    if error.is_web_page:
                        raise RetriableAPIError(*error.args) from error
                    raise SkippableAPIError(*error.args) from error
                raise
            if self.falls_back(error, context):
                self.tap.endpoint_is_missing(self, path, error)
            elif not isinstance(error, errors.UnprovenEndpointError):
                raise
            yield from self.falling_back(context, read)

    @functools.cached_property
    def keeps_state(self) -> bool:
        """Whether this run reads bookmarks and moves them."""
        return (
            self.replication_method == "INCREMENTAL" and not self.tap.settings.is_report
        )

    def falls_back(self, error: Exception, context: Context | None) -> bool:
        """Whether an error of the first page means that the server lacks the list.

        Old servers fail for good (500) where they do not have it.
        """
        if isinstance(error, (errors.MissingEndpointError, errors.BrownOutError)):
            return True
        if isinstance(error, errors.UnprovenEndpointError):
            return self.is_replaced(context)
        if isinstance(error, errors.UnexpectedJSONError) or (
            isinstance(error, RetriableAPIError) and errors.is_web_page(error.response)
        ):
            return bool(self.tap.answering_endpoints)
        return (
            self.is_unproven
            and errors.is_failure(error)
            and self.fallback_answers(context)
        )

    def is_replaced(self, context: Context | None) -> bool:
        """Whether a server has the fallback only, now that the endpoint has failed.

        That may have passed: if the fallback answers, the endpoint is asked for the
        least that it can be asked for, once more. Whatever comes of it, the endpoint
        is tried as often as any other from then on.
        """
        self.tap.tried_endpoints.add(self.path)
        if not self.fallback_answers(context, tries=1):
            return False
        self.tap.fetcher.pause(next(limits.expo()))
        call = self.probe(context, self.path)
        call.is_trial = True
        try:
            self.tap.fetcher.result(self.tap.fetcher.submit(call))
        except (errors.UnprovenEndpointError, errors.MissingEndpointError):
            return True
        except SkippableAPIError:
            # It understands what it is asked, and has more to ask for.
            pass
        except errors.SKIPPED:
            return False
        self.tap.answering_endpoints.add(self.path)
        return False

    def fallback_answers(self, context: Context | None, *, tries: int = TRIES) -> bool:
        """Whether the fallback gives a list, where the endpoint gives none."""
        call = self.probe(context, str(self.fallback_path))
        call.tries = TRIES - tries
        try:
            self.tap.fetcher.result(self.tap.fetcher.submit(call))
        except errors.SKIPPED:
            return False
        return True

    def probe(self, context: Context | None, path: str) -> Call[list[Row]]:
        """The call for the least of a list, to see whether the server has the path."""
        params = self.fallback_params if path == self.fallback_path else self.params
        params = {**params, **self.probe_query(context or {}, path)}
        if self.page_size_name:
            params[self.page_size_name] = 1
        prepared = self.prepared(self.url(path, context), query_string(params))
        return Call(self, path, prepared, lambda answer: [*self.parse_response(answer)])

    def probe_query(self, context: Context, path: str) -> Mapping[str, Any]:
        """The parameters of a probe: without dates, which can be what fails."""
        del context, path
        return {}

    @contextlib.contextmanager
    def skipping(self, context: Context | None) -> Iterator[Outcome]:
        """Skip, and report, what cannot be read; or stop.

        Raises:
            FatalAPIError: If the run cannot go on.
        """
        outcome = Outcome()
        skipped = self.tap.summary.skips[self.name]
        try:
            yield outcome
        except errors.MissingEndpointError as error:
            if self.is_essential:
                self.tap.skip(self, context, str(error))
            if error.is_unexpected:
                self.tap.summary.unexpected(self.name, str(error))
            else:
                self.tap.summary.missing(self.name, str(error))
        except errors.ForbiddenError as error:
            outcome.is_final = False
            self.tap.access.refused(self, context, error)
        except SkippableAPIError as error:
            self.tap.skip(self, context, str(error))
        except (RetriableAPIError, requests.RequestException) as error:
            outcome.is_final = False
            self.tap.skip(self, context, errors.reason(error))
        else:
            # Else it was read as far as its parts were, such as issues of a project.
            if self.tap.summary.skips[self.name] == skipped:
                self.tap.summary.read(self.name)

    def organization_is_done(self, organization: str) -> None:
        """Called when all projects of an organization were read, with all below."""

    # Records --------------------------------------------------------------------------

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The rows of the list."""
        with self.skipping(context):
            yield from self.rows(context)

    def rows(self, context: Context | None) -> Iterator[Row]:
        """The rows of the list, each once: pages that count rows can overlap."""
        seen = set()
        for page in self.pages(context):
            for row in page.rows:
                key = records.value(row[self.id_column])
                if key not in seen:
                    seen.add(key)
                    yield row
            self.tap.checkpoint()

    @functools.cached_property
    def columns_not_in_catalog(self) -> frozenset[str]:
        """Columns that the catalog which was passed in does not know."""
        known = self.effective_schema.get("properties") or {}
        return frozenset(self.schema["properties"]) - frozenset(known)

    def post_process(self, row: Row, context: Context | None = None) -> Row | None:
        """Add the ids of the context; decode what the SDK wants to look into."""
        row = {**(context or {}), **row}
        for column in self.columns_not_in_catalog:
            row.pop(column, None)
        return records.decoded(row) if self.is_looked_into else row


def refuse_page(response: requests.Response, message: str) -> NoReturn:
    """Raise the error for a refusal that is not JSON, and so not of Sentry's API."""
    message += (
        ": something between here and Sentry (proxy, firewall, login) "
        "refuses the request"
    )
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise FatalAPIError(message)
    raise errors.OddAnswerError(message, response)


def refuse_redirect(response: requests.Response) -> NoReturn:
    """Raise the error for a redirect that is not followed."""
    at = errors.place(response.request)
    target = target_of(response)
    if target is None:
        msg = f"GET {at}: it redirects to no address"
        raise RetriableAPIError(msg, response)
    if origin(target) == origin(response.url):
        msg = f"GET {at}: it redirects without an end"
        raise RetriableAPIError(msg, response)
    there = errors.without_token(origin_of(target), response.request)
    msg = (
        f"{at} redirects to {there}, which "
        "the token is not sent to: set api_url to the address of Sentry itself"
    )
    raise FatalAPIError(msg)


def has_link(response: requests.Response) -> bool:
    """Whether a page says how its list goes on, or is known to be all of it.

    An issue that the query names by its short id comes alone, without a `Link`.
    """
    headers = response.headers
    return "Link" in headers or headers.get("X-Sentry-Direct-Hit") == "1"


def query_string(params: Mapping[str, Any]) -> str:
    """Parameters as `HTTPRequest.encode_params` writes them.

    It would quote what all projects are asked for, such as dates, for each one again.
    """
    return "&".join(
        parameter(name, str(one))
        for name, value in params.items()
        if value is not None
        for one in (value if isinstance(value, (list, tuple)) else [value])
    )


@functools.lru_cache(maxsize=1_000)
def parameter(name: str, value: str) -> str:
    """One parameter of a query."""
    return urlencode({name: value})


@functools.lru_cache(maxsize=10_000)
def in_path(name: str) -> str:
    """A name as it stands in a path: that of a project is needed by every stream."""
    return quote(name, safe="")


def target_of(response: requests.Response) -> str | None:
    """Where a redirect leads; None if that is no address."""
    try:
        target = urljoin(response.url, response.headers["Location"])
        origin(target)
    except ValueError:
        return None
    return target


def origin_of(url: str) -> str:
    """Scheme, host and port as they may stand in a message: without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: where the token may be sent to."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default
