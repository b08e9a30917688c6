"""How a long list goes on: Sentry's `Link` header.

https://docs.sentry.io/api/pagination/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from singer_sdk.pagination import BaseAPIPaginator

if TYPE_CHECKING:
    import requests

_TARGET = re.compile(r"<[^>]*>")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class SentryPaginator(BaseAPIPaginator[str | None]):
    """Goes from cursor to cursor.

    `rel="next"` is always there, and only `results="true"` says that there is more; an
    empty page may have a successor. The URL in the header is never used: it may name
    another host, which must not see the token.
    """

    def __init__(self) -> None:
        """Start at the first page, which needs no cursor."""
        super().__init__(None)

    def has_more(self, response: requests.Response) -> bool:
        """Whether Sentry has results after this page."""
        return link(response, "next").get("results") == "true"

    def get_next(self, response: requests.Response) -> str | None:
        """The cursor of the next page."""
        return link(response, "next").get("cursor")

    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page is not the end."""
        return self.has_more(response)


def link(response: requests.Response, rel: str) -> dict[str, str]:
    """The parameters of one link in the header; none if it is not there.

    `Response.links` loses what follows a value with `=` in it, as cursors in base64
    have; GlitchTip also wraps the whole header in braces and quotes.
    """
    for parameters in _TARGET.split(response.headers.get("Link", ""))[1:]:
        found = dict(_PARAMETER.findall(parameters))
        if found.get("rel") == rel:
            return found
    return {}


def is_in_time(cursor: str) -> bool:
    """Whether a cursor names a place in time, which stays when rows are added.

    It reads `value:offset:is_previous` with milliseconds since 1970 as its value.
    """
    value, *rest = cursor.split(":")
    return len(rest) == len(("offset", "is_previous")) and (
        value.isdecimal() and len(value) > len("9999999999")
    )


def counts_rows(cursor: str) -> bool:
    """Whether a cursor counts rows or pages, as `0:100:0` does."""
    return not is_in_time(cursor) and all(
        part.lstrip("-").isdecimal() for part in cursor.split(":")
    )
