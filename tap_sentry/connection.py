"""How the tap talks to the one server: connections, certificates, proxy and token."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
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
    """Sends requests to the server of the settings, and keeps no cookie."""

    def __init__(self, settings: Settings) -> None:
        """Read the environment once: all requests go to one place."""
        super().__init__()
        adapter = ServerAdapter(pool_maxsize=settings.concurrency)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        # `Session.send` does not look at REQUESTS_CA_BUNDLE by itself.
        self.verify = settings.ca_bundle
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.proxies = requests.utils.get_environ_proxies(settings.api_url)
        self.trust_env = False
        logs.hide(settings.auth_token)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: where a redirect leads, and whether to follow, is the stream's."""
        del resp


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
