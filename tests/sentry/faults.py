"""The faults that a test can inject."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tests.sentry.answers import FORBIDDEN, WEB_PAGE, Answer, reply, web_page, written
from tests.sentry.calls import API, Fault, Limit
from tests.sentry.limits import limit_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.sentry.calls import Call, Fault
    from tests.sentry.world import World


FAULTS = {
    *("refuse", "reset", "short", "hang", "truncated", "html", "not_a_list"),
    *("empty_page", "repeat_page", "silent_close", "slow_large"),
}


def failure_answer(sentry: World, call: Call, fault: Fault) -> Answer | None:
    """Return the answer that replaces the endpoint's, if the fault has one."""
    details = fault.details
    where = details.get("where", "before")
    headers = dict(details.get("headers", {}))
    answer: Answer | None = None
    if fault.kind == "refuse" or (fault.kind == "reset" and where == "before"):
        answer = Answer(0, {}, b"", mishap=str(fault.kind))
    elif fault.kind == "html":
        answer = web_page(200)
    elif fault.kind == "not_a_list":
        answer = reply(details.get("body", {"detail": "Welcome to the proxy"}))
    elif isinstance(fault.kind, int) and "body" in details:
        answer = reply(details["body"], fault.kind, **headers)
    elif isinstance(fault.kind, int) and "html" in details:
        answer = web_page(fault.kind, details["html"].encode(), **headers)
    elif isinstance(fault.kind, int):
        answer = status_answer(sentry, fault.kind, call, details)
        answer = replace(answer, headers=answer.headers | headers)
    return answer


def status_answer(
    sentry: World, status: int, call: Call, details: Mapping[str, Any]
) -> Answer:
    """Return what Sentry, or a proxy in front of it, answers with a status."""
    timeout = {"code": "request-timeout", "message": "Proxied request timed out"}
    bodies: dict[int, object] = {
        302: {},
        401: {"detail": "Invalid token"},
        403: {"detail": FORBIDDEN},
        404: {"detail": "The requested resource does not exist"},
        408: {"detail": timeout | {"extra": {}}},
        410: {"message": "This API no longer exists."},
        500: {"detail": "Internal Error", "errorId": uuid.uuid4().hex},
        504: {"detail": "Query timeout. Please try with a smaller date range."},
    }
    query = urlencode(call.request.params, doseq=True)
    here = f"{urlsplit(sentry.url).path}{API}{call.request.path}?{query}"
    headers = {
        302: {"Location": details.get("location", here)},
        410: {
            "X-Sentry-Deprecation-Date": "2026-01-23T00:00:00+00:00",
            "X-Sentry-Replacement-Endpoint": details.get("replacement", "a/new/"),
        },
    }
    if status == 429:
        return too_many(sentry, details)
    if status not in bodies or details.get("empty"):
        page = b"" if details.get("empty") else WEB_PAGE
        return web_page(status, page)
    return reply(bodies[status], status, **headers.get(status, {}))


def too_many(sentry: World, details: Mapping[str, Any]) -> Answer:
    """Return a 429 as the middleware does: JSON with the content type of HTML."""
    now = sentry.clock().timestamp()
    text = "You are attempting to use this endpoint too frequently. Limit is 40"
    headers: dict[str, str] = {}
    if details.get("concurrent"):
        text = "You are attempting to go above the allowed concurrency for this"
        headers = limit_headers(Limit(), 1, now + 60, 0)
    elif "reset" in details or "reset_at" in details:
        reset = details.get("reset_at", now + details.get("reset", 0))
        headers = limit_headers(Limit(), 60, reset, 998)
    if "retry_after" in details:
        headers["Retry-After"] = str(details["retry_after"])
    return web_page(429, written({"detail": text}), **headers)


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """Apply a fault to a good answer."""
    if fault.kind == "truncated":
        return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])
    if fault.kind == "short":
        longer = {"Content-Length": str(len(answer.body) + 10)}
        return replace(answer, headers=answer.headers | longer, mishap="silent_close")
    if fault.kind == "reset":
        return replace(answer, mishap="reset_body")
    if fault.kind == "hang":
        seconds = fault.details.get("seconds", 60)
        is_late = fault.details.get("where") == "middle"
        return replace(
            answer, mishap="hang_body" if is_late else "hang", seconds=seconds
        )
    if fault.kind == "silent_close":
        return replace(answer, mishap="silent_close")
    return answer
