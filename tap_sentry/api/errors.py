"""The errors of the API client, and how they are worded.

SentryError
├── FatalError             the run cannot go on
├── ForbiddenError         403: the token's scopes decide whether the run stops
├── MissingEndpointError   the server does not have the endpoint
├── UnverifiedEndpointError     the endpoint fails and may be missing
├── RejectedError          the object does not exist, or the request is rejected
└── TransientError         the request is retried a limited number of times
    ├── BrownOutError      410: a deprecated endpoint is switched off for a while
    ├── ConnectionFailedError   no complete response arrived
    └── ForeignResponseError    complete, but not from Sentry's API: retried once
        └── UnexpectedJSONError     JSON of another shape than the endpoint's
"""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import requests
import urllib3

from tap_sentry.records.bodies import DamagedBodyError, decode_any


class SentryError(Exception):
    """A request did not succeed; the message names the request and the reason."""


class FatalError(SentryError):
    """The run cannot go on."""


class ForbiddenError(SentryError):
    """Sentry denies the token access to a resource (403)."""

    def __init__(
        self,
        message: str,
        scopes: tuple[str, ...],
        *,
        is_unavailable_feature: bool = False,
    ) -> None:
        """Keep the scopes that give access, and whether the plan lacks the feature."""
        super().__init__(message)
        self.scopes = scopes
        self.is_unavailable_feature = is_unavailable_feature


class MissingEndpointError(SentryError):
    """The server does not have the endpoint."""

    def __init__(
        self, message: str, *, is_web_page: bool = False, is_unexpected: bool = False
    ) -> None:
        """Keep whether a web page was sent, or JSON of an unexpected shape."""
        super().__init__(message)
        self.is_web_page = is_web_page
        self.is_unexpected = is_unexpected


class UnverifiedEndpointError(SentryError):
    """An endpoint with a fallback fails before it has answered in this run."""


class RejectedError(SentryError):
    """The object does not exist, or Sentry rejects the request for it."""

    def __init__(self, message: str, response: requests.Response | None = None) -> None:
        """Keep the response, if there was one."""
        super().__init__(message)
        self.response = response


class TransientError(SentryError):
    """The request may succeed when it is sent again."""

    #: Whether the response, or the rest of it, did not arrive in time.
    is_timeout = False
    #: Whether the certificate of the server is rejected or cannot be checked.
    is_untrusted = False
    #: Whether the server had closed the connection before the request.
    was_closed = False

    def __init__(self, message: str, response: requests.Response | None = None) -> None:
        """Keep the response, if there was one."""
        super().__init__(message)
        self.response = response


class BrownOutError(TransientError):
    """A deprecated endpoint is switched off for a while (410)."""


class ForeignResponseError(TransientError):
    """A complete response that does not come from Sentry's API.

    It is retried once: a proxy that restarts sends such responses for a moment, others
    send them permanently.
    """


class UnexpectedJSONError(ForeignResponseError):
    """JSON whose shape is not the one of the endpoint."""


class ConnectionFailedError(TransientError):
    """No complete response arrived."""

    def __init__(
        self, error: requests.RequestException, request: requests.PreparedRequest
    ) -> None:
        """Name the request and the cause, without query and headers."""
        super().__init__(f"GET {place(request)}: {_cause(error)}", error.response)
        self.is_timeout = _is_timeout(error)
        self.is_untrusted = _is_untrusted(error)
        self.was_closed = _was_closed(error)


#: Bytes of a web page that are searched for its title, and characters of a title or
#: header that messages repeat.
_SEARCHED, _REPEATED = 64 * 1024, 100
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)

#: Errors that end one list while the run goes on with others.
SKIPPABLE_ERRORS = (
    ForbiddenError,
    MissingEndpointError,
    RejectedError,
    TransientError,
)


def detail(response: requests.Response) -> str:
    """Return Sentry's description of an error.

    `detail` is a text, an object with a message, or a list: of texts or, on GlitchTip,
    of objects. Some responses have `error`, `message` or a list of texts for each
    invalid field instead.
    """
    body = json_object(response)
    for key in ("detail", "error", "message"):
        found = body.get(key)
        if isinstance(found, dict):
            found = found.get("message") or found
        if isinstance(found, list):
            found = " ".join(map(_message, found))
        if found:
            text = str(found)
            break
    else:
        text = "; ".join(f"{key}: {value}" for key, value in body.items())
    if body.get("errorId"):
        text += f" (errorId {body['errorId']})"
    return without_token(text, response.request)[:500]


def _message(item: object) -> str:
    """Return the message of an item of `detail`."""
    return str(item.get("msg", item) if isinstance(item, dict) else item)


def is_json(response: requests.Response) -> bool:
    """Return whether the body is JSON, whatever its media type is.

    Sentry's own 429 is JSON with the media type of HTML.
    """
    try:
        decode_any(response.content)
    except DamagedBodyError:
        return False
    return True


def is_web_page(response: requests.Response | None) -> bool:
    """Return whether a response with status 200 is not declared as JSON."""
    return (
        response is not None
        and response.status_code == HTTPStatus.OK
        and "json" not in response.headers.get("Content-Type", "json")
    )


def says_missing(error: Exception) -> bool:
    """Return whether a server lacks a list: a 404, or a web page as GlitchTip sends."""
    return isinstance(error, MissingEndpointError) or (
        isinstance(error, TransientError) and is_web_page(error.response)
    )


def is_failure(error: Exception) -> bool:
    """Return whether the server failed (5xx), or sent a web page instead of JSON."""
    response = error.response if isinstance(error, TransientError) else None
    return response is not None and (
        response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        or is_web_page(response)
    )


def is_internal_error(error: Exception) -> bool:
    """Return whether Sentry itself failed (500), as old servers do permanently."""
    response = error.response if isinstance(error, TransientError) else None
    return response is not None and (
        response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and is_json(response)
    )


def describe_body(response: requests.Response, body: bytes) -> str:
    """Describe a body that is not JSON, such as `an HTML page (title: Sign in)`."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    match = _TITLE.search(body[:_SEARCHED])
    title = html.unescape(match[1].decode("utf-8", "replace")) if match else ""
    facts = {"title": title, "server": response.headers.get("Server", "")}
    if not body.strip():
        what = "an empty body"
    elif match or "html" in kind:
        what = "an HTML page"
    else:
        what = "a body that is not JSON"
        facts = {"type": kind or "no content type", "server": facts["server"]}
    described = "; ".join(
        f"{name}: {without_token(' '.join(fact.split()), response.request)[:_REPEATED]}"
        for name, fact in facts.items()
        if fact.strip()
    )
    return f"{what} ({described})" if described else what


def without_token(text: str, request: requests.PreparedRequest | None) -> str:
    """Remove the token from a server's text, which may repeat what it was sent."""
    sent = request.headers.get("Authorization", "") if request is not None else ""
    return blank(text, sent.removeprefix("Bearer "))


def blank(text: str, token: str) -> str:
    """Remove a token from a text, including its URL-quoted form."""
    for form in {token, quote(token, safe="")} - {""}:
        text = text.replace(form, "[token]")
    return text


def json_object(response: requests.Response) -> dict[str, object]:
    """Return the JSON object of an error response; empty if it has none."""
    try:
        body = decode_any(response.content)
    except DamagedBodyError:
        return {}
    return body if isinstance(body, dict) else {}


def place(request: requests.PreparedRequest) -> str:
    """Return host and path of a request: the part of its URL that messages may show."""
    parts = urlsplit(str(request.url))
    return without_token(f"{parts.netloc}{parts.path}", request)


def _is_timeout(error: Exception) -> bool:
    """Return whether the response, or the rest of it, did not arrive in time."""
    return isinstance(error, requests.Timeout) or (
        isinstance(error, requests.ConnectionError)
        and bool(error.args)
        and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)
    )


def _is_untrusted(error: Exception) -> bool:
    """Return whether the certificate is rejected or cannot be checked."""
    return _is_tls(error, "certificate verify failed") or _lacks_authority(error)


def _lacks_authority(error: Exception) -> bool:
    return _is_tls(error, "no certificate or crl found")


def _is_tls(error: Exception, words: str) -> bool:
    is_tls = isinstance(error, requests.exceptions.SSLError)
    return is_tls and words in str(error).lower()


def _was_closed(error: Exception) -> bool:
    """Return whether the server had closed the connection before the request.

    A server that closes idle connections unannounced answers a request on one of them
    with a reset or with nothing.
    """
    if not isinstance(error, requests.ConnectionError) or not error.args:
        return False
    cause = error.args[0]
    return isinstance(cause, urllib3.exceptions.ProtocolError) and any(
        isinstance(item, ConnectionError) for item in cause.args
    )


def _cause(error: Exception) -> str:
    unopened = getattr(error.args[0] if error.args else None, "reason", None)
    causes = (
        (_is_timeout(error), "no answer in time"),
        (_lacks_authority(error), "the file of ca_bundle contains no certificate"),
        (
            _is_untrusted(error),
            (
                "the certificate of the server is not trusted; for an authority of "
                "your own set ca_bundle"
            ),
        ),
        (
            isinstance(error, requests.exceptions.ChunkedEncodingError),
            "the answer broke off",
        ),
        (
            isinstance(error, requests.exceptions.ProxyError),
            "the proxy does not answer",
        ),
        (
            isinstance(error, requests.exceptions.SSLError),
            "a secure connection cannot be made",
        ),
        (
            isinstance(unopened, urllib3.exceptions.NameResolutionError),
            "there is no such host",
        ),
        (
            isinstance(unopened, urllib3.exceptions.NewConnectionError),
            "nothing answers at this address",
        ),
        (isinstance(error, requests.ConnectionError), "the connection failed"),
    )
    return next((text for is_it, text in causes if is_it), type(error).__name__)
