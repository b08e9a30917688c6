"""What the token may read: its scopes, and what refusals tell of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import requests
from singer_sdk.exceptions import FatalAPIError, SingerSDKError

from tap_sentry import errors, records
from tap_sentry.streams.organizations import Organizations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_sentry.client import Context, SentryStream
    from tap_sentry.tap import TapSentry


class Access:
    """Tells a token without a scope from a project that its user may not see."""

    def __init__(self, tap: TapSentry) -> None:
        """Know nothing of the token of `tap` yet."""
        self._tap = tap
        #: Streams that were refused something, perhaps for want of a scope.
        self._doubtful: set[SentryStream] = set()

    @functools.cached_property
    def asked_scopes(self) -> frozenset[str] | None:
        """The scopes of the token: `auth.scopes` of `/api/0/`, where a server has it.

        Raises:
            SingerSDKError: What the request ends with.
            RequestException: Likewise.
        """
        organizations = self._tap.stream(Organizations)
        row = organizations.one("/", {}, records.decode_any)
        try:
            return frozenset(map(str, row["auth"]["scopes"]))
        except (KeyError, TypeError):
            return None

    @functools.cached_property
    def scopes(self) -> frozenset[str] | None:
        """The scopes of the token, if the server tells."""
        try:
            return self.asked_scopes
        except (SingerSDKError, requests.RequestException):
            return None

    def refused(
        self,
        stream: SentryStream,
        context: Context | None,
        error: errors.ForbiddenError,
    ) -> None:
        """Stop if the token lacks the scope for this; else skip.

        Raises:
            FatalAPIError: With the name of the missing scope.
        """
        needed = error.scopes
        reason = str(error)
        if error.is_unavailable_feature:
            pass
        elif self.scopes is None:
            self._doubtful.add(stream)
            if not context:
                self._stop(stream, needed)
            reason = f"{error}; it needs the scope {' or '.join(needed)}"
        elif not grants(self.scopes, needed):
            had = ", ".join(sorted(self.scopes)) or "no scope at all"
            msg = (
                f"{stream.name} needs a token with the scope {' or '.join(needed)}; "
                f"this one has {had}. Create one under {self._page}"
            )
            raise FatalAPIError(msg)
        # A plan or server without the feature says nothing of the token.
        is_refusal = not error.is_unavailable_feature
        self._tap.skip(
            stream,
            context,
            reason,
            is_refusal=is_refusal,
            is_unavailable=error.is_unavailable_feature,
        )

    def organization_is_done(self) -> None:
        """Stop if all of it was refused to a stream, seemingly for want of a scope.

        For servers that do not tell the scopes of a token. What was read with a scope
        shows that the token has it.

        Raises:
            FatalAPIError: With the name of the scope.
        """
        for stream in sorted(self._doubtful, key=lambda stream: stream.name):
            skipped = self._tap.summary.skipped_of(stream.name)
            if all(item.is_refusal for item in skipped):
                self._stop(stream, stream.needed_scopes)
        self._doubtful.clear()

    def _stop(self, stream: SentryStream, needed: tuple[str, ...]) -> None:
        """Stop, unless the token has shown that it has a scope that is needed."""
        shown = {
            other.needed_scopes
            for other in self._tap.reports
            if other.current_path in self._tap.answering_endpoints
        }
        if stream.needed_scopes in shown or shown & {(scope,) for scope in needed}:
            return
        msg = (
            f"{stream.name} was refused everything it asked for: it needs a token with "
            f"the scope {' or '.join(needed)}, and this server does not tell whether "
            f"this one has it. Create one under {self._page}"
        )
        raise FatalAPIError(msg)

    @property
    def _page(self) -> str:
        return f"{self._tap.settings.api_url}/settings/account/api/auth-tokens/"


def grants(scopes: Iterable[str], needed: Iterable[str]) -> bool:
    """Whether a token with `scopes` may read what any scope of `needed` opens."""
    enough = {
        f"{scope.partition(':')[0]}:{level}"
        for scope in needed
        for level in (scope.partition(":")[2], "write", "admin")
    }
    return bool(enough & set(scopes))
