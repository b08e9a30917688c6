"""What the streams of one run share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tap_sentry.api.client import SentryClient
from tap_sentry.api.scopes import TokenScopes
from tap_sentry.sync.directory import Directory
from tap_sentry.sync.parts import Parts
from tap_sentry.sync.refusals import Refusals
from tap_sentry.sync.results import Results
from tap_sentry.sync.state import Bookmarks
from tap_sentry.sync.versions import Versions
from tap_sentry.sync.writer import SentryWriter, StateLines

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from tap_sentry.settings import Settings


class Run:
    """The settings, the client, the state and the results of one run."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        user_agent: str,
        logger: logging.Logger,
    ) -> None:
        """Prepare the run; nothing is sent yet.

        Args:
            settings: Resolves the settings when they are first needed: discovery works
                without valid ones.
            user_agent: The name and version of the tap.
            logger: The logger of the tap.
        """
        self._resolve = settings
        self._user_agent = user_agent
        self.logger = logger
        self.directory = Directory()
        self.results = Results()
        self.writer = SentryWriter()
        self.state_lines = StateLines(self.writer)
        #: The tap's state, which contains the bookmarks.
        self.state: dict[str, Any] = {}

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings, resolved against the start of the run."""
        return self._resolve()

    @functools.cached_property
    def client(self) -> SentryClient:
        """The client of the server."""
        return SentryClient(
            self.settings, self._user_agent, self.logger, self.writer.waiting
        )

    @functools.cached_property
    def scopes(self) -> TokenScopes:
        """The scopes of the token."""
        return TokenScopes(self.client)

    @functools.cached_property
    def refusals(self) -> Refusals:
        """Decides what a denied request means."""
        page = f"{self.settings.api_url}/settings/account/api/auth-tokens/"
        return Refusals(self.client, self.scopes, self.results, page)

    @functools.cached_property
    def parts(self) -> Parts:
        """Reads streams part by part and skips what cannot be read."""
        return Parts(
            self.directory,
            self.client.endpoints,
            self.refusals,
            self.results,
            is_strict=self.settings.strict,
        )

    @functools.cached_property
    def versions(self) -> Versions:
        """The versions of full lists."""
        started = int(self.settings.started.timestamp() * 1000)
        return Versions(self.writer, self.results, started)

    # State ----------------------------------------------------------------------------

    @functools.cached_property
    def bookmarks(self) -> Bookmarks:
        """The bookmarks of all streams."""
        return Bookmarks(
            self.state.setdefault("bookmarks", {}),
            self.state_lines.changed,
            self.settings.start,
        )

    def checkpoint(self) -> None:
        """Write a STATE line if one is due; the records it covers are written."""
        self.state_lines.write_state(dict(self.state))

    def write_final_state(self) -> None:
        """Write the state of everything that was completed."""
        self.state_lines.write_state(dict(self.state), is_final=True)
        self.writer.flush()
