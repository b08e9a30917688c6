"""The answers of the simulated server."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

FORBIDDEN = "You do not have permission to perform this action."
WEB_PAGE = b"<!doctype html><html><head><title>Not a Sentry API</title></head></html>"


@dataclass(frozen=True)
class Answer:
    """An answer of the server, and what goes wrong while it is sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    #: `refuse`, `reset`, `reset_body`, `hang`, `hang_body` or `silent_close`.
    mishap: str = ""
    seconds: float = 0


class RefusalError(Exception):
    """Raised to send another answer than the requested one."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def written(value: object) -> bytes:
    """Encode JSON as UTF-8, or as ASCII if it contains lone surrogates."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def reply(value: object, status: int = 200, **headers: str) -> Answer:
    """Return an answer with JSON."""
    return Answer(
        status, {"Content-Type": "application/json"} | headers, written(value)
    )


def web_page(status: int, body: bytes = WEB_PAGE, **headers: str) -> Answer:
    """Return an answer with the content type of HTML, whatever its body."""
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"} | headers, body)


def refuse(status: int, detail: object) -> RefusalError:
    """Return a refusal with Sentry's usual body."""
    return RefusalError(reply({"detail": detail}, status))


def internal_error() -> RefusalError:
    """Return the refusal that Sentry sends for an unexpected error."""
    body = {"detail": "Internal Error", "errorId": uuid.uuid4().hex}
    return RefusalError(reply(body, 500))
