"""`--test`: whether token, scopes, organizations and projects are right, in words.

A few requests: none for issues or events, and nothing is extracted.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import requests
from singer_sdk.exceptions import FatalAPIError, SingerSDKError, SkippableAPIError

from tap_sentry import errors
from tap_sentry.access import grants
from tap_sentry.named import NamedStream, id_and_slug
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.teams import OrganizationTeams
from tap_sentry.summary import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_sentry.records import Row
    from tap_sentry.tap import TapSentry

#: What a request can end with.
FAILURES = (SingerSDKError, requests.RequestException)


class Check:
    """Goes through what a run needs, and says of each thing whether it is there."""

    def __init__(self, tap: TapSentry, say: Callable[[str], object]) -> None:
        """Prepare to `say` lines about the settings of `tap`."""
        self._tap = tap
        self._say = say
        self._wrong = 0
        self._organizations = tap.stream(Organizations)

    def run(self) -> bool:
        """Whether all is right."""
        if self._token() and self._scopes():
            found = {id_and_slug(row)[0]: row for row in self._rows()}
            for stream in (
                self._tap.stream(OrganizationProjects),
                self._tap.stream(OrganizationTeams),
            ):
                if stream.kind == "project" or stream.named.included:
                    self._named(stream, found)
        if self._wrong:
            number = counted(self._wrong, "thing")
            self._say(f"{number} {'is' if self._wrong == 1 else 'are'} wrong")
        else:
            self._say("OK")
        return not self._wrong

    def _token(self) -> bool:
        server = self._tap.settings.api_url
        try:
            _ = self._tap.access.asked_scopes
        except (errors.MissingEndpointError, SkippableAPIError):
            # An odd server, or a proxy that lets some paths through.
            self._right(f"{server} answers")
        except FatalAPIError as error:
            return self._is_wrong(str(error))
        except FAILURES as error:
            hint = "see that api_url is the address of a Sentry"
            return self._is_wrong(f"{errors.reason(error)}; {hint}")
        else:
            self._right(f"{server} accepts the auth_token")
        return True

    def _scopes(self) -> bool:
        """Whether it makes sense to go on."""
        scopes = self._tap.access.scopes
        if scopes is None:
            self._right("the server does not tell the scopes of the token")
            return True
        if scopes:
            self._right(f"its scopes: {', '.join(sorted(scopes))}")
        lacking: dict[str, list[str]] = {}
        for stream in self._tap.reports:
            if (stream.selected or stream.has_selected_descendents) and not grants(
                scopes, stream.scopes
            ):
                lacking.setdefault(" or ".join(stream.scopes), []).append(stream.name)
        for scope, streams in lacking.items():
            self._is_wrong(f"the scope {scope} is missing: {', '.join(streams)}")
        return grants(scopes, self._organizations.scopes)

    def _rows(self) -> Iterator[Row]:
        """The organizations of the settings, else all that are listed."""
        names = self._tap.settings.organizations
        if not names:
            yield from self._listed()
        for name in names:
            try:
                yield self._organizations.look_up(name)
            except (
                SkippableAPIError,
                errors.MissingEndpointError,
                errors.ForbiddenError,
            ) as error:
                slugs = [id_and_slug(row)[1] for row in self._listed()]
                hint = meant(name, slugs) or f"the token can see {', '.join(slugs)}"
                hint = f"; {hint}" if slugs else ""
                self._is_wrong(f"organization {name}: not found ({error}){hint}")
            except FAILURES as error:
                self._is_wrong(f"organization {name}: {errors.reason(error)}")

    def _listed(self) -> list[Row]:
        named = bool(self._tap.settings.organizations)
        try:
            rows = list(self._organizations.rows(None))
        except FAILURES as error:
            if not named:
                self._is_wrong(f"organizations: {errors.reason(error)}")
            return []
        if not rows and not named:
            self._is_wrong(
                "the token lists no organizations (tokens of integrations never do): "
                "name them in the setting organizations"
            )
        return rows

    def _named(self, stream: NamedStream, organizations: dict[str, Row]) -> None:
        """The projects or teams of the organizations, and those that are not there."""
        complete = True
        for key, row in organizations.items():
            slug = id_and_slug(row)[1]
            self._tap.knows("organization", key, slug)
            before = len(stream.names)
            try:
                chosen = len(stream.rows_of(key))
            except FAILURES as error:
                complete = False
                reason = errors.reason(error)
                self._is_wrong(f"organization {slug}: no {stream.kind}s: {reason}")
                continue
            whole = len(stream.names) - before
            number = counted(whole, stream.kind)
            if chosen < whole:
                number = f"{chosen} of {number}"
            self._right(f"organization {slug}: {number}")
        if not (organizations and complete):
            return
        slugs = [slug for _, slug in stream.names]
        for name in stream.named.unmatched(stream.names):
            hint = f"; {hint}" if (hint := meant(name, slugs)) else ""
            self._is_wrong(f"{stream.kind} {name}: not found{hint}")

    def _right(self, text: str) -> None:
        self._say(f"ok     {text}")

    def _is_wrong(self, text: str) -> bool:
        """Say it; never true."""
        self._wrong += 1
        self._say(f"wrong  {text}")
        return False


def meant(name: str, slugs: Iterable[str]) -> str:
    """A question about the slug that is nearest to a wrong name; empty if none is."""
    nearest = difflib.get_close_matches(name.lower(), list(slugs), n=1)
    return f"do you mean {nearest[0]}?" if nearest else ""
