"""How the tap talks to the one server: connections, certificates, proxy and token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from tap_sentry import logs

if TYPE_CHECKING:
    from urllib3.connectionpool import ConnectionPool

    from tap_sentry.settings import Settings


class ServerAdapter(HTTPAdapter):
    """Sends all requests to one server, whose connections are looked up once."""

    _connections: ConnectionPool | None = None

    def get_connection_with_tls_context(
        self, *args: Any, **options: Any
    ) -> ConnectionPool:
        """The connections to the server; `requests` looks them up each time."""
        if self._connections is None:
            found = super().get_connection_with_tls_context(*args, **options)
            self._connections = found
        return self._connections


class ServerSession(requests.Session):
    """Sends requests to the server of the settings, and keeps nothing of what comes."""

    def __init__(self, settings: Settings) -> None:
        """Read the environment once: all requests go to one place."""
        super().__init__()
        self.server = ServerAdapter(pool_maxsize=settings.concurrency)
        self.authorities = settings.ca_bundle
        self.proxies = requests.utils.get_environ_proxies(settings.api_url)
        logs.hide(settings.auth_token)

    def send(
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Send a request; its body is yet to be read.

        There are no cookies to keep and no hooks to call, and whether to follow a
        redirect is the stream's to say: `requests` would look for all of them.
        """
        return self.server.send(
            request,
            stream=True,
            verify=self.authorities,
            proxies=self.proxies,
            **options,
        )


class BearerToken(AuthBase):
    """Adds the token to a request, and leaves its URL alone.

    The SDK's authenticators drop empty parameters such as `query=`; a header of the
    session would give way to a `.netrc`.
    """

    def __init__(self, token: str) -> None:
        """Keep the token."""
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
