"""What the reader of a list needs from the stream that declares the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    import requests

    from tap_sentry.records.bodies import Row

    Context = Mapping[str, Any]


class Paginator(Protocol):
    """Reads from a response where its list continues."""

    def has_more(self, response: requests.Response) -> bool:
        """Whether Sentry has rows after this page."""

    def get_next(self, response: requests.Response) -> str | None:
        """The cursor of the next page."""


class ListSource(Protocol):
    """What a stream declares about its list."""

    @property
    def name(self) -> str:
        """The name of the stream."""

    @property
    def path(self) -> str:
        """The path template of the list."""

    @property
    def fallback_path(self) -> str | None:
        """The path template of the same list on servers that lack the first."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Query parameters of every page."""

    @property
    def fallback_params(self) -> Mapping[str, Any]:
        """Query parameters of every page of the fallback."""

    @property
    def id_column(self) -> str:
        """The column that identifies a row within the list."""

    @property
    def project(self) -> Callable[[Row], Row]:
        """Reduces a row to the declared columns."""

    @property
    def is_paged(self) -> bool:
        """Whether Sentry sends the list in pages."""

    @property
    def page_size_name(self) -> str | None:
        """The query parameter for the page size."""

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """Page sizes, the smaller ones for a server that fails on larger pages."""

    @property
    def waits_for_brown_out(self) -> bool:
        """Whether to wait for the end of a brown-out before the fallback."""

    @property
    def window_step(self) -> timedelta:
        """What the start of a shortened window is a multiple of."""

    @property
    def needed_scopes(self) -> tuple[str, ...]:
        """Scopes, any of which gives access to the list."""

    def url(self, path: str, context: Context | None) -> str:
        """The URL of a path template."""

    def url_and_params(
        self, context: Context | None, cursor: str | None
    ) -> tuple[str, Mapping[str, Any]]:
        """The URL and the query parameters of one page."""

    def get_new_paginator(self) -> Paginator:
        """The paginator of the list."""

    def validate_response(self, response: requests.Response) -> None:
        """Raise the error that matches the response status."""

    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """Yield the rows of one page."""

    def is_last_page(self, rows: list[Row], context: Context) -> bool:
        """Whether the pages after one with these rows are not needed."""

    def probe_query(self, context: Context, path: str) -> Mapping[str, Any]:
        """The parameters that a request for a single row of a path needs."""
