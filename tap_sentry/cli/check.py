"""`--test`: check token, scopes, organizations and projects, and print the results.

It sends a few requests, none of them for issues or events, and extracts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tap_sentry.api import errors
from tap_sentry.api.scopes import grants
from tap_sentry.settings.unknown import suggestion
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.teams import OrganizationTeams
from tap_sentry.sync.directory import id_and_slug
from tap_sentry.sync.parts import NO_SENTRY
from tap_sentry.sync.results import number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import SentryStream
    from tap_sentry.streams.parents import ParentStream
    from tap_sentry.tap import TapSentry

S = TypeVar("S", bound="SentryStream")


class Check:
    """Checks what a run needs, and prints a line for each check."""

    def __init__(self, tap: TapSentry, say: Callable[[str], object]) -> None:
        """Check the settings of `tap`, and print lines with `say`."""
        self._tap = tap
        self._say = say
        self._wrong = 0
        self._run = tap.run
        # One attempt is enough: the lists decide, even if the scopes are not stated.
        self._run.scopes.attempts = 1
        self._organizations = self._stream(Organizations)

    def _stream(self, kind: type[S]) -> S:
        """Return the stream of a class."""
        return next(s for s in self._tap.sentry_streams if type(s) is kind)

    def run(self) -> bool:
        """Run all checks; return whether everything is right."""
        if self._token() and self._scopes():
            found = {id_and_slug(row)[0]: row for row in self._rows()}
            for stream in (
                self._stream(OrganizationProjects),
                self._stream(OrganizationTeams),
            ):
                if stream.kind == "project" or stream.selection.included:
                    self._named(stream, found)
        if self._wrong:
            number = number_of(self._wrong, "thing")
            self._say(f"{number} {'is' if self._wrong == 1 else 'are'} wrong")
        else:
            self._say("OK")
        return not self._wrong

    def _token(self) -> bool:
        server = self._run.settings.api_url
        try:
            _ = self._run.scopes.requested
        except (errors.MissingEndpointError, errors.RejectedError):
            # An unusual server, or a proxy that lets only some paths through.
            self._right(f"{server} answers")
        except errors.FatalError as error:
            return self._is_wrong(str(error))
        except errors.ConnectionFailedError as error:
            return self._is_wrong(f"{error}; {NO_SENTRY}")
        except errors.SentryError:
            # The path may fail while the lists do not.
            pass
        else:
            self._right(f"{server} accepts the auth_token")
        return True

    def _scopes(self) -> bool:
        """Check the scopes; return whether organizations can be listed."""
        scopes = self._run.scopes.known
        if scopes is None:
            self._right("the server does not state the scopes of the token")
            return True
        if scopes:
            self._right(f"its scopes: {', '.join(sorted(scopes))}")
        lacking: dict[str, list[str]] = {}
        for stream in self._tap.sentry_streams:
            if (stream.selected or stream.has_selected_descendents) and not grants(
                scopes, stream.scopes
            ):
                lacking.setdefault(" or ".join(stream.scopes), []).append(stream.name)
        for scope, streams in lacking.items():
            self._is_wrong(f"the scope {scope} is missing: {', '.join(streams)}")
        return grants(scopes, self._organizations.scopes)

    def _rows(self) -> Iterator[Row]:
        """Yield the organizations of the settings, or all that are listed."""
        names = self._run.settings.organizations
        if not names:
            yield from self._listed()
        for name in names:
            try:
                yield self._organizations.look_up(name)
            except (
                errors.RejectedError,
                errors.MissingEndpointError,
                errors.ForbiddenError,
            ) as error:
                slugs = [id_and_slug(row)[1] for row in self._listed()]
                hint = suggestion(name, slugs)
                hint = hint or f"the token can see {', '.join(slugs)}"
                hint = f"; {hint}" if slugs else ""
                self._is_wrong(f"organization {name}: not found ({error}){hint}")
            except errors.SentryError as error:
                self._is_wrong(f"organization {name}: {error}")

    def _listed(self) -> list[Row]:
        named = bool(self._run.settings.organizations)
        try:
            rows = list(self._organizations.rows(None))
        except errors.SentryError as error:
            if not named:
                has_answered = self._run.client.endpoints.has_any
                hint = "" if has_answered else f"; {NO_SENTRY}"
                self._is_wrong(f"organizations: {error}{hint}")
            return []
        if not rows and not named:
            self._is_wrong(
                "the token lists no organizations (tokens of integrations never do): "
                "name them in the setting organizations"
            )
        return rows

    def _named(self, stream: ParentStream, organizations: dict[str, Row]) -> None:
        """Check the projects or teams of the organizations against the settings."""
        complete = True
        for key, row in organizations.items():
            slug = id_and_slug(row)[1]
            self._run.directory.add("organization", key, slug)
            before = len(stream.names)
            try:
                chosen = len(stream.rows_of({"organization_id": key}))
            except errors.SentryError as error:
                complete = False
                self._is_wrong(f"organization {slug}: no {stream.kind}s: {error}")
                continue
            whole = len(stream.names) - before
            number = number_of(whole, stream.kind)
            if chosen < whole:
                number = f"{chosen} of {number}"
            self._right(f"organization {slug}: {number}")
        if not (organizations and complete):
            return
        slugs = [slug for _, slug in stream.names]
        for name in stream.selection.unmatched(stream.names):
            hint = f"; {hint}" if (hint := suggestion(name, slugs)) else ""
            self._is_wrong(f"{stream.kind} {name}: not found{hint}")

    def _right(self, text: str) -> None:
        self._say(f"ok     {text}")

    def _is_wrong(self, text: str) -> bool:
        """Print what is wrong; return False."""
        self._wrong += 1
        self._say(f"wrong  {text}")
        return False
