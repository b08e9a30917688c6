"""The HTTP connection to a Sentry server: certificates, proxy and token."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from tap_sentry.api import errors

if TYPE_CHECKING:
    from urllib3.connectionpool import ConnectionPool

    from tap_sentry.settings import Settings

#: The loggers of urllib3 that repeat parts of what a server sends.
_URLLIB3_LOGGERS = ("urllib3.connection", "urllib3.connectionpool")


class ServerAdapter(HTTPAdapter):
    """Sends all requests to one server and looks up its connection pool once."""

    _pool: ConnectionPool | None = None

    def get_connection_with_tls_context(
        self, *args: Any, **options: Any
    ) -> ConnectionPool:
        """Return the connection pool; `requests` looks it up for every request."""
        if self._pool is None:
            pool = super().get_connection_with_tls_context(*args, **options)
            self._pool = pool
        return self._pool

    def close(self) -> None:
        """Close the connections, including those of the cached pool."""
        super().close()
        if self._pool is not None:
            self._pool.close()


class ServerSession(requests.Session):
    """Sends requests to the server of the settings; keeps no cookies."""

    def __init__(self, settings: Settings) -> None:
        """Read the proxy settings of the environment once, for this server."""
        super().__init__()
        self.server = ServerAdapter(pool_maxsize=settings.concurrency)
        self.authorities = settings.ca_bundle
        self.proxies = requests.utils.get_environ_proxies(settings.api_url)
        for name in _URLLIB3_LOGGERS:
            logging.getLogger(name).addFilter(TokenFilter(settings.auth_token))

    def send(
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Send a request and return the response with its body unread.

        This skips the cookies, hooks and redirects of `requests.Session.send`: Sentry
        needs none of them, and the client follows redirects itself.
        """
        return self.server.send(
            request,
            stream=True,
            verify=self.authorities,
            proxies=self.proxies,
            **options,
        )

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self.server.close()


class BearerToken(AuthBase):
    """Adds the token to a request and leaves its URL unchanged.

    The SDK's authenticators drop empty parameters such as `query=`. A header of the
    session would be overridden by a `.netrc`.
    """

    def __init__(self, token: str) -> None:
        """Keep the token."""
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class TokenFilter(logging.Filter):
    """Removes the token from log records, which may repeat what the server sent."""

    token: str

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without the token and without a traceback."""
        record.msg = errors.blank(record.getMessage(), self.token)
        record.args = record.exc_info = None
        return True
