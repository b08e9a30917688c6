"""The client of one Sentry server."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from tap_sentry.api import urls
from tap_sentry.api.connection import BearerToken, ServerSession
from tap_sentry.api.endpoints import Endpoints
from tap_sentry.api.prefetch import Prefetcher
from tap_sentry.api.retention import Retention
from tap_sentry.api.scheduler import RequestScheduler

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from tap_sentry.api.pending import PendingRequest
    from tap_sentry.settings import Settings

T = TypeVar("T")

#: The most redirects within the server to follow, such as those of a renamed project.
MAX_REDIRECTS = 5


class SentryClient:
    """Sends requests to one Sentry server and follows its redirects."""

    def __init__(
        self,
        settings: Settings,
        user_agent: str,
        logger: logging.Logger,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            settings: The address of the server, the token and the limits to keep to.
            user_agent: The name and version of the program, sent with each request.
            logger: Where retries and waits are logged.
            waiting: The context in which the main thread waits for responses.
        """
        self._settings = settings
        self.session = ServerSession(settings)
        self.authenticator = BearerToken(settings.auth_token)
        own = {"Accept": "application/json", "User-Agent": user_agent}
        #: A request for the root of the API; all other requests are copies of it.
        self._root = requests.Request(
            "GET",
            f"{settings.api_url}/api/0",
            headers={**requests.utils.default_headers(), **own},
            auth=self.authenticator,
        ).prepare()
        self.scheduler = RequestScheduler(
            settings.concurrency, logger, send=self.send, waiting=waiting
        )
        self.prefetcher = Prefetcher(self.scheduler.budget)
        self.scheduler.meanwhile = self.prefetcher.top_up
        self.endpoints = Endpoints()
        self.retention = Retention(settings.started, settings.start, logger)

    @property
    def timeout(self) -> int:
        """Seconds to wait for a response."""
        return self._settings.request_timeout

    @property
    def base_url(self) -> str:
        """The URL of the API, without a trailing slash."""
        return str(self._root.url)

    def url(self, path: str, names: Mapping[str, str]) -> str:
        """Return the URL of a path template with these names in it."""
        quoted = {name: urls.quote_part(value) for name, value in names.items()}
        return self.base_url + path.format_map(quoted)

    def prepare(
        self, url: str, params: Mapping[str, Any] | None = None
    ) -> requests.PreparedRequest:
        """Return a request with the token for a URL that is quoted already.

        `requests.Request.prepare` would quote, parse and merge everything again, which
        takes ten times as long.
        """
        # A shallow copy: all requests share their headers, which nothing changes.
        request = copy.copy(self._root)
        query = urls.query_string(params or {})
        request.url = f"{url}?{query}" if query else url
        return request

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request; follow redirects within the server only."""
        for _ in range(MAX_REDIRECTS):
            response = self.session.send(request, timeout=self.timeout)
            if not response.is_redirect:
                break
            target = urls.redirect_target(response)
            if target is None or urls.origin(target) != urls.origin(response.url):
                break
            response.close()
            request = self.prepare(requests.utils.requote_uri(target))
        return response

    def result(self, pending: PendingRequest[T]) -> T:
        """Send a request and wait for its result.

        Raises:
            SentryError: If it fails for good.
        """
        return self.scheduler.result(self.scheduler.submit(pending))

    def close(self) -> None:
        """Drop the requests that are not sent yet and close the connections."""
        self.scheduler.close()
        self.session.close()
