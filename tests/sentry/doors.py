"""The two ways to reach the server: intercepted `requests` calls and a socket."""

from __future__ import annotations

import io
import socket
import struct
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
from urllib3.exceptions import ProtocolError

if TYPE_CHECKING:
    from tests.sentry.answers import Answer
    from tests.sentry.simulator import SentrySimulator


class Torn(io.RawIOBase):
    """A body whose connection is reset halfway."""

    def __init__(self, half: bytes) -> None:
        self._half = half

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._half:
            raise ConnectionResetError(104, "Connection reset by peer")
        part, self._half = self._half[: len(buffer)], self._half[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def delivered(answer: Answer) -> bytes | io.BufferedReader:
    """Return the body for `requests`, or raise the error of the transport."""
    if answer.mishap == "refuse":
        message = "Failed to establish a new connection: Connection refused"
        raise requests.ConnectionError(message)
    if answer.mishap == "reset":
        reset = ConnectionResetError(104, "Connection reset by peer")
        raise requests.ConnectionError(ProtocolError("Connection aborted.", reset))
    if answer.mishap in {"hang", "hang_body"}:
        message = "Read timed out."
        raise requests.ReadTimeout(message)
    if answer.mishap == "reset_body":
        return io.BufferedReader(Torn(answer.body[: len(answer.body) // 2]))
    return answer.body


class Server(ThreadingHTTPServer):
    """The HTTP server of a simulator."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, simulator: SentrySimulator, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.simulator = simulator
        self._connections: set[socket.socket] = set()

    def verify_request(self, request: Any, *_: Any) -> bool:
        if self.simulator.refuses_connection():
            linger(request)
            return False
        self._connections.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        self.close_request(request)

    def hang_up(self) -> None:
        """Close the connections that clients have left open."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def linger(connection: socket.socket) -> None:
    """Make closing a connection send a reset."""
    option = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)


class Handler(BaseHTTPRequestHandler):
    """The handler of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        url = urljoin(f"http://{self.headers.get('Host', '')}", self.path)
        headers = dict(self.headers.items())
        answer = self.server.simulator.answer(self.command, url, headers)
        if answer.mishap == "hang":
            time.sleep(answer.seconds)
        if answer.mishap in {"reset", "reset_body"}:
            linger(self.connection)
        if answer.mishap in {"reset", "reset_body", "silent_close"}:
            self.close_connection = True
        if answer.mishap == "reset":
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        whole = len(answer.body)
        body = (
            answer.body[: whole // 2] if answer.mishap == "reset_body" else answer.body
        )
        if answer.mishap == "hang_body":
            self.wfile.write(body[: whole // 2])
            self.wfile.flush()
            time.sleep(answer.seconds)
            body = body[whole // 2 :]
        self.wfile.write(body)
        self.wfile.flush()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815, theirs

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - inherited
        """Log nothing."""
