"""Decide whether a denied request (403) stops the run or skips one resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_sentry.api.errors import FatalError, ForbiddenError
from tap_sentry.api.scopes import grants

if TYPE_CHECKING:
    from tap_sentry.api.client import SentryClient
    from tap_sentry.api.scopes import TokenScopes
    from tap_sentry.sync.results import Results


class Refusals:
    """Distinguishes a token without a scope from a project that its user cannot see."""

    def __init__(
        self, client: SentryClient, scopes: TokenScopes, results: Results, page: str
    ) -> None:
        """Keep what the decisions need; `page` is where users create tokens."""
        self._endpoints = client.endpoints
        self._scopes = scopes
        self._results = results
        self._page = page
        #: Streams for which the token may lack a scope, with the scopes they need.
        self._doubtful: dict[str, tuple[str, ...]] = {}

    def reason(
        self, stream: str, error: ForbiddenError, *, is_whole_stream: bool
    ) -> str:
        """Return the reason for skipping what was denied.

        Args:
            stream: The stream that requested it.
            error: The error with the scopes that give access.
            is_whole_stream: Whether the stream has only this part.

        Raises:
            FatalError: If the token lacks the scope, with the name of the scope.
        """
        needed, reason = error.scopes, str(error)
        if error.is_unavailable_feature:
            return reason
        scopes = self._scopes.known
        if scopes is None:
            self._doubtful[stream] = needed
            if is_whole_stream:
                self._raise_if_missing(stream, needed)
            reason = f"{error}; it needs the scope {' or '.join(needed)}"
        elif not grants(scopes, needed):
            had = ", ".join(sorted(scopes)) or "no scope at all"
            msg = (
                f"{stream} needs a token with the scope {' or '.join(needed)}; "
                f"this one has {had}. Create one under {self._page}"
            )
            raise FatalError(msg)
        return reason

    def check_organization(self) -> None:
        """Raise if everything in an organization was denied to a stream.

        For servers that do not state the scopes of a token. Whatever was read with a
        scope shows that the token has it.

        Raises:
            FatalError: With the name of the missing scope.
        """
        for stream, needed in sorted(self._doubtful.items()):
            if all(item.is_refusal for item in self._results.skipped_of(stream)):
                self._raise_if_missing(stream, needed)
        self._doubtful.clear()

    def _raise_if_missing(self, stream: str, needed: tuple[str, ...]) -> None:
        """Raise unless other endpoints have shown that the token has the scope."""
        seen = self._endpoints.scopes_seen
        if needed in seen or seen & {(scope,) for scope in needed}:
            return
        msg = (
            f"{stream} was refused everything it asked for: it needs a token with "
            f"the scope {' or '.join(needed)}, and this server does not tell whether "
            f"this one has it. Create one under {self._page}"
        )
        raise FatalError(msg)
