"""What the server says."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

FORBIDDEN = "You do not have permission to perform this action."
WEB_PAGE = b"<!doctype html><html><head><title>Not a Sentry API</title></head></html>"


@dataclass(frozen=True)
class Answer:
    """What the server says, and what happens to it on the way."""

    status: int
    headers: dict[str, str]
    body: bytes
    #: `refuse`, `reset`, `reset_body`, `hang` or `silent_close`.
    mishap: str = ""
    seconds: float = 0


class RefusalError(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def written(value: object) -> bytes:
    """Write JSON in UTF-8, or in ASCII where that cannot be (lone surrogates)."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def reply(value: object, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON."""
    return Answer(
        status, {"Content-Type": "application/json"} | headers, written(value)
    )


def web_page(status: int, body: bytes = WEB_PAGE, **headers: str) -> Answer:
    """Answer with HTML, or with nothing that calls itself HTML."""
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"} | headers, body)


def refuse(status: int, detail: object) -> RefusalError:
    """Refuse with Sentry's usual body."""
    return RefusalError(reply({"detail": detail}, status))


def internal_error() -> RefusalError:
    """Fail as Sentry does when it did not expect something."""
    body = {"detail": "Internal Error", "errorId": uuid.uuid4().hex}
    return RefusalError(reply(body, 500))
