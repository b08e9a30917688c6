"""Build the URLs of requests, and compare where redirects lead."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests


def query_string(params: Mapping[str, Any]) -> str:
    """Encode parameters as `HTTPRequest.encode_params` of the SDK does.

    Unlike the SDK's, this caches each parameter: most of them, such as dates, are the
    same for all projects.
    """
    return "&".join(
        parameter(name, str(item))
        for name, value in params.items()
        if value is not None
        for item in (value if isinstance(value, (list, tuple)) else [value])
    )


@functools.lru_cache(maxsize=1_000)
def parameter(name: str, value: str) -> str:
    """Encode one parameter of a query."""
    return urlencode({name: value})


@functools.lru_cache(maxsize=10_000)
def quote_part(name: str) -> str:
    """Quote a name as one part of a path."""
    return quote(name, safe="")


def redirect_target(response: requests.Response) -> str | None:
    """Return the URL that a redirect leads to; None if it is not a valid one."""
    try:
        target = urljoin(response.url, response.headers["Location"])
        origin(target)
    except ValueError:
        return None
    return target


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, which decide whether the token may be sent."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def origin_text(url: str) -> str:
    """Return scheme, host and port for a message, without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
