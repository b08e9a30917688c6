"""Check the status of a response and decode its body."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from tap_sentry.api import errors, urls
from tap_sentry.records.bodies import DamagedBodyError, UnexpectedShapeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

#: What Sentry and GlitchTip answer where a feature is not available.
_UNAVAILABLE = {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}

#: Bytes of a body that are read at once.
_CHUNK = 16 << 20


def check_status(
    response: requests.Response,
    scopes: tuple[str, ...],
    is_missing: Callable[[requests.Response], bool],
    *,
    is_optional: bool = False,
) -> None:
    """Raise the error that matches the status of a response.

    Args:
        response: The response; its body is read unless the status is 200.
        scopes: The scopes that give access to the endpoint.
        is_missing: Whether a response means that the server lacks the endpoint.
        is_optional: Whether a 404 or 422 means that the plan or the server lacks a
            feature.

    Raises:
        FatalError: For a rejected token or a redirect to another host.
        ForbiddenError: For a 403, or if a feature is not available.
        MissingEndpointError: If the server does not have the endpoint.
        TransientError: If the request may succeed later.
        ForeignResponseError: If something before the server rejects the request.
        RejectedError: If the object does not exist, or the request is rejected.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if response.is_redirect:
        _reject_redirect(response)
    is_json = errors.is_json(response)
    message = _describe(response, is_json=is_json)
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
        raise errors.TransientError(message, response)
    if is_json and is_optional and status in _UNAVAILABLE:
        raise errors.ForbiddenError(message, scopes, is_unavailable_feature=True)
    if is_missing(response):
        raise errors.MissingEndpointError(message, is_web_page=not is_json)
    if is_json:
        _reject(response, message, scopes)
    _reject_page(response, message)


def _describe(response: requests.Response, *, is_json: bool) -> str:
    """Return what is wrong with a request: where, the status, and what Sentry says."""
    if is_json:
        detail = errors.detail(response)
        suffix = f", {detail}" if detail else ""
    else:
        suffix = f" with {errors.describe_body(response, response.content)}"
    at = errors.place(response.request)
    return f"GET {at}: status {response.status_code}{suffix}"


def _reject(
    response: requests.Response, message: str, scopes: tuple[str, ...]
) -> NoReturn:
    """Raise the error for a request that Sentry rejects."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        host = urlsplit(response.url).netloc
        detail = errors.detail(response) or "status 401"
        msg = f"{host} refuses the auth_token ({detail})"
        raise errors.FatalError(msg)
    if response.status_code == HTTPStatus.FORBIDDEN:
        kind = errors.json_object(response).get("error_type")
        is_unavailable = kind == "unavailable_feature"
        raise errors.ForbiddenError(
            message, scopes, is_unavailable_feature=is_unavailable
        )
    raise errors.RejectedError(message, response)


def _reject_page(response: requests.Response, message: str) -> NoReturn:
    """Raise the error for a rejection that is not JSON: Sentry's API did not send it.

    Such a response is no evidence about the token or the object.
    """
    message += (
        ": something between here and Sentry (proxy, firewall, login) "
        "refuses the request"
    )
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise errors.FatalError(message)
    raise errors.ForeignResponseError(message, response)


def _reject_redirect(response: requests.Response) -> NoReturn:
    """Raise the error for a redirect that the client does not follow."""
    at = errors.place(response.request)
    target = urls.redirect_target(response)
    if target is None:
        msg = f"GET {at}: it redirects without an address"
        raise errors.TransientError(msg, response)
    if urls.origin(target) == urls.origin(response.url):
        msg = f"GET {at}: its redirects do not end"
        raise errors.TransientError(msg, response)
    there = errors.without_token(urls.origin_text(target), response.request)
    msg = (
        f"{at} redirects to {there}, which the token is not sent to: set api_url to "
        "the address of Sentry itself"
    )
    raise errors.FatalError(msg)


def is_missing_endpoint(response: requests.Response) -> bool:
    """Return whether an error means that the endpoint, not an object, is missing."""
    status = response.status_code
    if status == HTTPStatus.NOT_FOUND:
        return "detail" not in errors.json_object(response)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        # The server rejects the documented parameters. With a cursor it rejects that.
        return "cursor=" not in urlsplit(response.url).query
    return status == HTTPStatus.METHOD_NOT_ALLOWED


def read_body(response: requests.Response, decode: Callable[[bytes], Any]) -> Any:
    """Read and decode a body.

    Raises:
        TransientError: If it is damaged, or a web page.
        UnexpectedJSONError: If it is JSON of another shape.
    """
    body = b"".join(response.iter_content(_CHUNK))
    # The budget counts the size in memory, not that of a compressed body.
    response.headers["Content-Length"] = str(len(body))
    try:
        return decode(body)
    except DamagedBodyError as error:
        at = errors.place(response.request)
        if errors.is_web_page(response):
            msg = (
                f"GET {at}: status 200 with {errors.describe_body(response, body)} "
                "instead of JSON, as from a login, a proxy or a server without "
                "this endpoint"
            )
            raise errors.TransientError(msg, response) from None
        kind = response.headers.get("Content-Type", "no content type")
        kind = errors.without_token(kind, response.request)
        msg = f"GET {at}: status 200, but the body is not the expected JSON ({kind})"
        if isinstance(error, UnexpectedShapeError):
            raise errors.UnexpectedJSONError(msg, response) from None
        raise errors.TransientError(msg, response) from None


def has_link(response: requests.Response) -> bool:
    """Return whether a page states where its list continues, or is the whole list.

    An issue that the query names by its short id is sent alone, without a `Link`.
    """
    headers = response.headers
    return "Link" in headers or headers.get("X-Sentry-Direct-Hit") == "1"
