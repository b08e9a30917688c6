"""Read a stream part by part: skip what cannot be read, or stop the run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from singer_sdk.exceptions import FatalAPIError

from tap_sentry.api import errors
from tap_sentry.sync.results import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_sentry.api.endpoints import Endpoints
    from tap_sentry.sync.directory import Directory
    from tap_sentry.sync.refusals import Refusals
    from tap_sentry.sync.results import Results

    Context = Mapping[str, Any]


#: The hint for a server that does not respond like Sentry.
NO_SENTRY = "check that api_url is the address of a Sentry server"


class PartSource(Protocol):
    """What a stream declares about its parts."""

    @property
    def name(self) -> str:
        """The name of the stream."""

    @property
    def is_essential(self) -> bool:
        """Whether nothing can be read without it."""

    @property
    def successor(self) -> str | None:
        """The stream that newer servers have instead, if any."""


@dataclass
class Outcome:
    """The outcome of reading one part."""

    #: Whether it is settled: the part was read, or it does not exist.
    is_final: bool = True
    #: Whether the part was read.
    is_read: bool = False


@dataclass(frozen=True)
class Parts:
    """Reports the parts of streams, such as projects and issues, that were skipped."""

    directory: Directory
    endpoints: Endpoints
    refusals: Refusals
    results: Results
    #: Whether the run stops instead of skipping.
    is_strict: bool

    @contextlib.contextmanager
    def reading(self, source: PartSource, context: Context | None) -> Iterator[Outcome]:
        """Skip and report the part that the `with` block reads, if it cannot be read.

        This is the one place where errors of the API client become the SDK's.

        Args:
            source: The stream that the part belongs to.
            context: The context of the part.

        Raises:
            FatalAPIError: If the run cannot go on.
        """
        stream, is_essential = source.name, source.is_essential
        outcome = Outcome()
        skips = self.results.skips[stream]
        try:
            yield outcome
        except errors.FatalError as error:
            raise FatalAPIError(str(error)) from error
        except errors.MissingEndpointError as error:
            # What looks missing may be a proxy that answers in Sentry's place.
            outcome.is_final = False
            if is_essential:
                self.skip(stream, context, str(error), is_essential=True)
            if error.is_unexpected:
                self.results.add_unexpected(stream, str(error))
            else:
                self.results.add_missing(stream, str(error), source.successor)
        except errors.ForbiddenError as error:
            outcome.is_final = False
            self.deny(stream, context, error, is_essential=is_essential)
        except errors.SKIPPABLE_ERRORS as error:
            outcome.is_final = not isinstance(error, errors.TransientError)
            self.skip(stream, context, str(error), is_essential=is_essential)
        else:
            outcome.is_read = True
            # A part with skipped parts of its own, such as issues of a project, counts
            # as read only if one of those was read.
            if self.results.skips[stream] == skips:
                self.results.add_read(stream)

    def deny(
        self,
        stream: str,
        context: Context | None,
        error: errors.ForbiddenError,
        *,
        is_essential: bool = False,
    ) -> None:
        """Skip a part that Sentry denies access to; stop if the token lacks a scope.

        Raises:
            FatalAPIError: If the run cannot go on.
        """
        try:
            reason = self.refusals.reason(stream, error, is_whole_stream=not context)
        except errors.FatalError as fatal:
            raise FatalAPIError(str(fatal)) from error
        self.skip(stream, context, reason, is_essential=is_essential, denial=error)

    def skip(
        self,
        stream: str,
        context: Context | None,
        reason: str,
        *,
        is_essential: bool = False,
        denial: errors.ForbiddenError | None = None,
    ) -> None:
        """Skip one project, team or issue and report it, or stop the run.

        Raises:
            FatalAPIError: If nothing can be read without it, or with `strict`.
        """
        part = self.directory.describe(context or {})
        if is_essential:
            msg = f"{stream} cannot be read: {reason}"
            if not self.endpoints.has_any:
                msg += f"; {NO_SENTRY}"
            raise FatalAPIError(msg)
        # A plan or server without the feature says nothing about the token.
        is_unavailable = denial is not None and denial.is_unavailable_feature
        if self.is_strict and not is_unavailable:
            msg = f"{stream} cannot read {part}: {reason} (strict is on)"
            raise FatalAPIError(msg)
        is_refusal = denial is not None and not is_unavailable
        skipped = Skipped(stream, part, reason, is_refusal, is_unavailable)
        self.results.add_skipped(skipped)
