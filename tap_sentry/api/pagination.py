"""Read from Sentry's `Link` header where a list continues.

https://docs.sentry.io/api/pagination/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

_TARGET = re.compile(r"<[^>]*>")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


def has_more(response: requests.Response) -> bool:
    """Return whether Sentry has rows after this page.

    `rel="next"` is always there; only `results="true"` means that more rows follow. An
    empty page may be followed by others.
    """
    return link(response, "next").get("results") == "true"


def next_cursor(response: requests.Response) -> str | None:
    """Return the cursor of the next page.

    The URL in the header is never followed: it may name another host, which must not
    receive the token.
    """
    return link(response, "next").get("cursor")


def link(response: requests.Response, rel: str) -> dict[str, str]:
    """Return the parameters of one link in the header; empty if it is not there.

    `Response.links` cuts values that contain `=`, as cursors in base64 do. GlitchTip
    also wraps the whole header in braces and quotes.
    """
    for parameters in _TARGET.split(response.headers.get("Link", ""))[1:]:
        found = dict(_PARAMETER.findall(parameters))
        if found.get("rel") == rel:
            return found
    return {}


def is_in_time(cursor: str) -> bool:
    """Return whether a cursor names an instant, which new rows do not shift.

    Its form is `value:offset:is_previous`, with milliseconds since 1970 as the value.
    """
    value, *rest = cursor.split(":")
    return len(rest) == len(("offset", "is_previous")) and (
        value.isdecimal() and len(value) > len("9999999999")
    )


def counts_rows(cursor: str) -> bool:
    """Return whether a cursor counts rows or pages, as `0:100:0` does."""
    return not is_in_time(cursor) and all(
        part.lstrip("-").isdecimal() for part in cursor.split(":")
    )
