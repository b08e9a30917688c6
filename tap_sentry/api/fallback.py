"""Choose between the path of a list and its fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tap_sentry.api import errors, rate_limits
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.scheduler import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tap_sentry.api.client import SentryClient
    from tap_sentry.api.source import Context, ListSource
    from tap_sentry.records.bodies import Row

T = TypeVar("T")


class PathReader:
    """Reads a list from its path, or from the fallback where the server lacks it."""

    def __init__(self, source: ListSource, client: SentryClient) -> None:
        """Request nothing yet."""
        self._source = source
        self._client = client
        self._endpoints = client.endpoints

    @property
    def current_path(self) -> str:
        """The path template in use."""
        return self._endpoints.current(self._source.path, self._source.fallback_path)

    @property
    def is_unverified(self) -> bool:
        """Whether it is not known yet which of two paths the server has."""
        path = self.current_path
        return self._source.fallback_path not in {None, path} and (
            not self._endpoints.has_answered(path)
        )

    def with_fallback(
        self, context: Context | None, read: Callable[[], Iterator[T]]
    ) -> Iterator[T]:
        """Yield what `read` yields, from the fallback where the server lacks the list.

        Raises:
            MissingEndpointError: If the server has neither of the two.
            RejectedError: If it lacks this list while it has others of its kind.
            TransientError: If it sends a web page where it sent lists before.
        """
        path = self.current_path
        if path in self._endpoints.missing:
            is_unexpected = path in self._endpoints.unexpected
            reason = self._endpoints.reasons[path]
            msg = f"this server does not have {path} ({reason})"
            if is_unexpected:
                msg = f"the answers of {path} are not understood ({reason})"
            raise errors.MissingEndpointError(msg, is_unexpected=is_unexpected)
        try:
            yield from read()
        except errors.SentryError as error:
            if self._endpoints.has_answered(path):
                if isinstance(error, errors.MissingEndpointError):
                    # A proxy whose server is down sends 404 as well.
                    if error.is_web_page:
                        raise errors.TransientError(*error.args) from error
                    raise errors.RejectedError(*error.args) from error
                raise
            if self._is_missing(error, context):
                self._drop(path, error)
            elif not isinstance(error, errors.UnverifiedEndpointError):
                raise
            yield from self.with_fallback(context, read)

    def _is_missing(self, error: errors.SentryError, context: Context | None) -> bool:
        """Return whether an error of the first page means that the list is missing.

        Old servers fail permanently (500) where they do not have it.
        """
        if isinstance(error, (errors.MissingEndpointError, errors.BrownOutError)):
            return True
        if isinstance(error, errors.UnverifiedEndpointError):
            return self._is_replaced(context)
        if isinstance(error, errors.UnexpectedJSONError) or (
            isinstance(error, errors.TransientError)
            and errors.is_web_page(error.response)
        ):
            return self._endpoints.has_any
        return (
            self.is_unverified
            and errors.is_failure(error)
            and self._answers(context, ATTEMPTS)
        )

    def _is_replaced(self, context: Context | None) -> bool:
        """Return whether the server has the fallback only, after a first failure.

        The failure may be temporary. If the fallback answers, a single row is requested
        from the endpoint once more. From then on, its requests are retried like those
        to other endpoints.
        """
        path = self._source.path
        self._endpoints.tried.add(path)
        if not self._answers(context, 1):
            return False
        self._client.scheduler.pause(next(rate_limits.expo()))
        pending = self._probe(context, path)
        pending.is_trial = True
        try:
            self._client.result(pending)
        except (errors.UnverifiedEndpointError, errors.MissingEndpointError):
            return True
        except errors.RejectedError:
            # The server has the endpoint, but rejects one of the parameters.
            pass
        except errors.SKIPPABLE_ERRORS:
            return False
        self._endpoints.add_answer(path, self._source.needed_scopes)
        return False

    def _answers(self, context: Context | None, attempts: int) -> bool:
        """Return whether the fallback answers a request for a single row."""
        pending = self._probe(context, str(self._source.fallback_path))
        pending.attempts = ATTEMPTS - attempts
        try:
            self._client.result(pending)
        except errors.SKIPPABLE_ERRORS:
            return False
        return True

    def _probe(self, context: Context | None, path: str) -> PendingRequest[list[Row]]:
        """Return the request for a single row, to see if the server has a path."""
        source = self._source
        is_fallback = path == source.fallback_path
        params = dict(source.fallback_params if is_fallback else source.params)
        params |= source.probe_query(context or {}, path)
        if source.page_size_name:
            params[source.page_size_name] = 1

        def read(response: requests.Response) -> list[Row]:
            source.validate_response(response)
            return list(source.parse_response(response))

        request = self._client.prepare(source.url(path, context), params)
        return PendingRequest(source.name, path, request, read)

    def _drop(self, path: str, error: errors.SentryError) -> None:
        """Record that the server lacks a path, and log it once.

        The end of the run warns of streams that are missing.
        """
        self._endpoints.missing.add(path)
        self._endpoints.reasons[path] = str(error)
        instead = self.current_path
        msg = "This server does not have %s (%s)%s"
        if isinstance(error, errors.UnexpectedJSONError):
            self._endpoints.unexpected.add(path)
            msg = "The answers of %s are not understood (%s)%s"
        suffix = f": {instead} is read instead" if instead != path else ""
        self._client.scheduler.logger.info(msg, path, error, suffix)
