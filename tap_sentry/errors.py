"""What can go wrong with Sentry, and how it is told to the user.

FatalAPIError (SDK)        the run stops
├── ForbiddenError         403: stops or is skipped, by the token's scopes
├── MissingEndpointError   this server has no such endpoint: fallback or skipped
└── UnprovenEndpointError  it may have none: the fallback is looked at first
RetriableAPIError (SDK)    asked again, a bounded number of times
├── BrownOutError          410: a deprecated endpoint is switched off for a while
└── OddAnswerError         whole, but not from Sentry's API: asked again once
    └── UnexpectedJSONError    JSON of another shape than this endpoint's
SkippableAPIError (SDK)    one project, team or issue is left out and reported
"""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import requests
import urllib3
from singer_sdk.exceptions import (
    FatalAPIError,
    RetriableAPIError,
    SingerSDKError,
    SkippableAPIError,
)

from tap_sentry.records import DamagedBodyError, decode_any

#: What a request ends with that may succeed in the next run.
PASSING = (RetriableAPIError, requests.RequestException)


class ForbiddenError(FatalAPIError):
    """Sentry refuses this token one resource."""

    def __init__(
        self,
        message: str,
        scopes: tuple[str, ...],
        *,
        is_unavailable_feature: bool = False,
    ) -> None:
        """Say which scopes would do, or that it is the plan that lacks something."""
        super().__init__(message)
        self.scopes = scopes
        self.is_unavailable_feature = is_unavailable_feature


class MissingEndpointError(FatalAPIError):
    """This server does not have the endpoint."""

    def __init__(
        self, message: str, *, is_web_page: bool = False, is_unexpected: bool = False
    ) -> None:
        """Say whether a web page came, or JSON of a shape that is not understood."""
        super().__init__(message)
        self.is_web_page = is_web_page
        self.is_unexpected = is_unexpected


class UnprovenEndpointError(FatalAPIError):
    """An endpoint fails that has not answered in this run and has a fallback."""


class BrownOutError(RetriableAPIError):
    """A deprecated endpoint that is switched off for a while."""


class OddAnswerError(RetriableAPIError):
    """A whole answer that is not one of Sentry's API.

    It is asked for once more only: a proxy that restarts gives such answers for a
    moment, everything else gives them for good.
    """


class UnexpectedJSONError(OddAnswerError):
    """JSON of another shape than the one of the endpoint."""


#: How much of a web page is searched for its title, in bytes, and how much of what it
#: says is repeated.
SEARCHED, REPEATED = 64 * 1024, 100
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


#: What the list of a project or team may end with while the run goes on.
SKIPPED = (ForbiddenError, MissingEndpointError, SkippableAPIError, *PASSING)


def detail(response: requests.Response) -> str:
    """What Sentry says about an error, in its own words.

    `detail` may be a text, a list of texts or an object with a message; some answers
    have `error`, `message` or one list of texts for each wrong field instead.
    """
    body = json_object(response)
    for key in ("detail", "error", "message"):
        found = body.get(key)
        if isinstance(found, dict):
            found = found.get("message") or found
        if isinstance(found, list):
            found = " ".join(map(str, found))
        if found:
            text = str(found)
            break
    else:
        text = "; ".join(f"{key}: {value}" for key, value in body.items())
    if body.get("errorId"):
        text += f" (errorId {body['errorId']})"
    return without_token(text, response.request)[:500]


def is_json(response: requests.Response) -> bool:
    """Whether the body is JSON, whatever its media type says.

    Sentry's own 429 is JSON that calls itself HTML.
    """
    try:
        decode_any(response.content)
    except DamagedBodyError:
        return False
    return True


def is_web_page(response: requests.Response | None) -> bool:
    """Whether a good answer does not even call itself JSON."""
    return (
        response is not None
        and response.status_code == HTTPStatus.OK
        and "json" not in response.headers.get("Content-Type", "json")
    )


def is_failure(error: Exception) -> bool:
    """Whether the server failed (5xx), or gave a web page in place of JSON."""
    response = getattr(error, "response", None)
    return (
        isinstance(error, RetriableAPIError)
        and response is not None
        and (
            response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            or is_web_page(response)
        )
    )


def described(response: requests.Response, body: bytes) -> str:
    """What an answer is that is not JSON, such as `an HTML page (title: Sign in)`."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    found = _TITLE.search(body[:SEARCHED])
    title = html.unescape(found[1].decode("utf-8", "replace")) if found else ""
    if not body.strip():
        what = "an empty body"
    elif found or "html" in kind:
        what = "an HTML page"
    else:
        what = "a body that is not JSON"
        kind = kind or "no content type"
        title = ""
    facts = {
        "title": title,
        "type": kind if what == "a body that is not JSON" else "",
        "server": response.headers.get("Server", ""),
    }
    told = "; ".join(
        f"{name}: {without_token(' '.join(fact.split()), response.request)[:REPEATED]}"
        for name, fact in facts.items()
        if fact.strip()
    )
    return f"{what} ({told})" if told else what


def without_token(text: str, request: requests.PreparedRequest | None) -> str:
    """A text of a server, which may repeat what it was sent."""
    sent = request.headers.get("Authorization", "") if request is not None else ""
    return blanked(text, sent.removeprefix("Bearer "))


def blanked(text: str, token: str) -> str:
    """A text without the token, also as it stands in addresses."""
    for form in {token, quote(token, safe="")} - {""}:
        text = text.replace(form, "[token]")
    return text


def json_object(response: requests.Response) -> dict[str, object]:
    """The JSON object of an error answer; an empty one if it has none."""
    try:
        body = decode_any(response.content)
    except DamagedBodyError:
        return {}
    return body if isinstance(body, dict) else {}


def place(request: requests.PreparedRequest) -> str:
    """Host and path of a request: what of its address may stand in a message."""
    parts = urlsplit(str(request.url))
    return without_token(f"{parts.netloc}{parts.path}", request)


def reason(error: Exception) -> str:
    """What failed and why, without the query and the headers of the request."""
    if isinstance(error, SingerSDKError) and error.args:
        return str(error.args[0])
    request = getattr(error, "request", None)
    at = f"GET {place(request)}: " if request is not None else ""
    return at + _cause(error)


def is_timeout(error: Exception) -> bool:
    """Whether the server took too long, before its answer or in the middle of it."""
    return isinstance(error, requests.Timeout) or (
        isinstance(error, requests.ConnectionError)
        and bool(error.args)
        and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)
    )


def is_untrusted(error: Exception) -> bool:
    """Whether the certificate of the server is refused, or none can be checked."""
    return _says(error, "certificate verify failed") or _has_no_authority(error)


def _has_no_authority(error: Exception) -> bool:
    return _says(error, "no certificate or crl found")


def _says(error: Exception, words: str) -> bool:
    is_tls = isinstance(error, requests.exceptions.SSLError)
    return is_tls and words in str(error).lower()


def _cause(error: Exception) -> str:
    unopened = getattr(error.args[0] if error.args else None, "reason", None)
    causes = (
        (is_timeout(error), "no answer in time"),
        (_has_no_authority(error), "the file of ca_bundle holds no certificate"),
        (
            is_untrusted(error),
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
            "no secure connection comes about",
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
