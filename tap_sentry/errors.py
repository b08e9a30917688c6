"""What can go wrong with Sentry, and how it is told to the user.

FatalAPIError (SDK)        the run stops
├── ForbiddenError         403: stops or is skipped, by the token's scopes
└── MissingEndpointError   this server has no such endpoint: fallback or skipped
RetriableAPIError (SDK)    asked again, a bounded number of times
└── BrownOutError          410: a deprecated endpoint is switched off for a while
SkippableAPIError (SDK)    one project, team or issue is left out and reported
"""

from __future__ import annotations

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


class BrownOutError(RetriableAPIError):
    """A deprecated endpoint that is switched off for a while."""


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
