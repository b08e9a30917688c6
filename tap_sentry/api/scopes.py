"""The scopes of the token.

https://docs.sentry.io/api/permissions/
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tap_sentry.api import errors
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.responses import check_status, is_missing_endpoint, read_body
from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.records.bodies import decode_any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests

    from tap_sentry.api.client import SentryClient

#: The root of the API. Current servers list the scopes of the token there.
ROOT = "/"
#: Requests for the root are counted as those of this stream, which every run reads.
_OWNER = "organizations"


class TokenScopes:
    """The scopes of the token, requested when they are first needed."""

    def __init__(self, client: SentryClient) -> None:
        """Request nothing yet."""
        self._client = client
        #: How often they are requested before the failure is final.
        self.attempts = ATTEMPTS

    @property
    def requested(self) -> frozenset[str] | None:
        """The scopes in `auth.scopes` of `/api/0/`; None where they are not stated.

        Raises:
            SentryError: If the request fails.
        """
        if isinstance(self._outcome, errors.SentryError):
            raise self._outcome
        return self._outcome

    @property
    def known(self) -> frozenset[str] | None:
        """The scopes; None where the server does not state them or does not answer."""
        found = self._outcome
        return None if isinstance(found, errors.SentryError) else found

    @functools.cached_property
    def _outcome(self) -> frozenset[str] | errors.SentryError | None:
        """The scopes, or why they could not be requested."""
        request = self._client.prepare(self._client.url(ROOT, {}))
        pending = PendingRequest(_OWNER, ROOT, request, _read)
        pending.attempts = ATTEMPTS - self.attempts
        try:
            body = self._client.result(pending)
        except errors.SentryError as error:
            return error
        self._client.endpoints.add_answer(ROOT, ())
        try:
            return frozenset(map(str, body["auth"]["scopes"]))
        except (KeyError, TypeError):
            return None


def _read(response: requests.Response) -> Any:
    check_status(response, (), is_missing_endpoint)
    return read_body(response, decode_any)


def grants(scopes: Iterable[str], needed: Iterable[str]) -> bool:
    """Return whether a token with `scopes` has access that any of `needed` gives."""
    enough = {
        f"{scope.partition(':')[0]}:{level}"
        for scope in needed
        for level in (scope.partition(":")[2], "write", "admin")
    }
    return bool(enough & set(scopes))
