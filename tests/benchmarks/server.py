"""A server that takes next to no time: rows and pages are encoded only once.

    python -m tests.benchmarks.server

The path of its address selects the data: `/light/100/20000` is one project with 20,000
light events, 100 a page; with `/light/100/0` the project is empty. The rows repeat
after a while. Each line on standard input is answered with the numbers of requests and
rows since the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from email.utils import formatdate
from functools import cache
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks import data

HEADERS = (
    "HTTP/1.1 {status}\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {length}\r\n"
    "Date: {date}\r\n"
    'Link: <http://sentry.example.com/>; rel="previous"; results="false"; '
    'cursor="0:0:1", <http://sentry.example.com/>; rel="next"; results="{more}"; '
    'cursor="0:{following}:0"\r\n'
    "\r\n"
)
#: The last segments of the paths of the lists that hold the rows.
LISTS = {"events", "issues"}


class Connection(asyncio.Protocol):
    """A connection from a tap."""

    #: Requests and rows since the last line on standard input.
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            target = request.split(b" ", 2)[1].decode()
            self._transport.writelines(self.answer(target))

    def answer(self, target: str) -> tuple[bytes, bytes]:
        """The headers and the body of the response to a request."""
        self.counts["requests"] += 1
        url = urlsplit(target)
        _, kind, size, total, *_, name, _ = url.path.split("/")
        following, more, status = 0, False, "200 OK"
        if name in LISTS:
            cursor = parse_qs(url.query).get("cursor", ["0:0:0"])[0]
            start = int(cursor.split(":")[1])
            following = start + int(size)
            more = following < int(total)
            number = min(int(size), int(total) - start)
            self.counts["rows"] += number
            body = page(kind, start % data.DISTINCT, number)
        elif name in LONE:
            body = LONE[name]()
        else:
            status, body = "404 Not Found", b'{"detail": "No such list"}'
        headers = HEADERS.format(
            status=status,
            length=len(body),
            date=formatdate(usegmt=True),
            more="true" if more else "false",
            following=following,
        )
        return headers.encode(), body


#: Lists of one row.
LONE = {"organizations": cache(data.organization), "projects": cache(data.project)}


@cache
def page(kind: str, start: int, number: int) -> bytes:
    """The body of a page."""
    return b"[" + b",".join(data.rows(kind)[start : start + number]) + b"]"


async def main() -> None:
    """Serve until standard input is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    say(f"http://127.0.0.1:{port}")
    while await asyncio.to_thread(sys.stdin.readline):
        say(json.dumps(Connection.counts))
        Connection.counts.clear()


def say(line: str) -> None:
    """Print a line for the benchmark, and flush it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
