"""The simulated Sentry server."""

from __future__ import annotations

import gzip
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import responses

from tests.sentry import (  # noqa: F401 - importing them declares the endpoints
    access,
    events,
    explore,
    faults,
    feedback,
    issue_details,
    issues,
    limits,
    monitors,
    organizations,
    people,
    projects,
    releases,
    settings,
    stats,
    teams,
    things,
    truth,
)
from tests.sentry.answers import Answer, RefusalError, reply
from tests.sentry.calls import API, Call, Fault, Key, Request
from tests.sentry.doors import Server, delivered
from tests.sentry.endpoints import find_endpoint
from tests.sentry.faults import FAULTS
from tests.sentry.world import World

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    import requests

    from tests.sentry.data.events import Record


class SentrySimulator(World):
    """A simulated Sentry server that tests can query, change and break."""

    def answer(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request of either kind, intercepted or from a socket."""
        call = self.begin(method, url, headers)
        try:
            with self.lock:
                answer = self.respond(call)
                call.request.status = answer.status
                self.refused += answer.status == 429
            # Sentry counts a request when it arrives, so the delay comes after that.
            if self.latency:
                time.sleep(self.latency)
        finally:
            self.end(call)
        if self.is_compressing and not answer.mishap:
            more = {**answer.headers, "Content-Encoding": "gzip"}
            answer = replace(answer, body=gzip.compress(answer.body), headers=more)
        date = format_datetime(self.clock(), usegmt=True)
        length = str(len(answer.body))
        body = b"" if method == "HEAD" else answer.body
        return replace(
            answer,
            headers={"Date": date, "Content-Length": length} | answer.headers,
            body=body,
        )

    @contextmanager
    def patched(self) -> Iterator[SentrySimulator]:
        """Intercept the `requests` calls of this process and answer them."""
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

            def callback(
                request: requests.PreparedRequest,
            ) -> tuple[int, dict[str, str], bytes | io.BufferedReader]:
                mock.calls.reset()  # the recorded calls would keep every body
                answer = self.answer(
                    str(request.method), str(request.url), dict(request.headers)
                )
                return answer.status, answer.headers, delivered(answer)

            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                base = re.compile(re.escape(self.url) + "/")
                mock.add_callback(method, base, callback, content_type=None)
            yield self

    @contextmanager
    def served(self, port: int = 0) -> Iterator[SentrySimulator]:
        """Serve on 127.0.0.1 and set `url` to the address."""
        server = Server(self, port)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        )
        former = self.url
        self.url = f"http://127.0.0.1:{server.server_port}{urlsplit(self.url).path}"
        self.is_served = True
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            server.hang_up()
            self.url = former
            self.is_served = False

    def asked(self, path: str = "") -> list[dict[str, str | list[str]]]:
        """Return the query parameters of requests whose path starts with a regex."""
        path = path.removeprefix("/").removeprefix("api/0/")
        return [
            {
                name: values if len(values) > 1 else values[0]
                for name, values in request.params.items()
            }
            for request in self.requests
            if re.match(path, request.path)
        ]

    def fault(
        self,
        kind: int | str,
        *,
        times: int | None = 1,
        when: Callable[[Request], bool] | None = None,
        after: int = 0,
        **details: Any,
    ) -> None:
        """Make `times` requests (None: all) fail, after skipping the first `after`.

        The details of a status are `body` (JSON), `html` and `headers`; of 429 also
        `reset` (seconds from now), `reset_at`, `retry_after` and `concurrent`; of 302
        `location`; of 404 `empty`; of 410 `replacement`. The details of `reset` are
        `where` (`before` or `middle`); of `hang` `where` and `seconds`; of `slow_large`
        `rows` and `seconds` (504 without it); of `not_a_list` `body`.
        """
        if isinstance(kind, str) and kind not in FAULTS:
            raise ValueError(kind)
        with self.lock:
            self.faults.append(Fault(kind, times, when, after, details))

    def take_fault(
        self, request: Request | None, kinds: set[str] | None = None
    ) -> Fault | None:
        """Take the next due fault; some kinds are taken only if `kinds` names them."""
        for fault in self.faults:
            if kinds is None:
                late = fault.kind == "slow_large"
                if late or (fault.kind == "refuse" and self.is_served):
                    continue
            elif fault.kind not in kinds:
                continue
            if request and fault.when and not fault.when(request):
                continue
            if (
                request
                and fault.kind == "slow_large"
                and request.rows <= fault.details.get("rows", 0)
            ):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
            return fault
        return None

    def refuses_connection(self) -> bool:
        """Return whether a new connection is to be closed before it is read."""
        with self.lock:
            return self.take_fault(None, {"refuse"}) is not None

    def truth(
        self,
        stream: str,
        start: datetime | None = None,
        end: datetime | None = None,
        **counts: Any,
    ) -> set[Key]:
        """Return the primary keys that a stream must have, in `key_properties` order.

        The bounds select events, feedback and counts by their date, and issues by the
        dates of their events (on servers that have no window for issues, by `firstSeen`
        and `lastSeen`). Counts take `stats` and `resolution`; their timestamps have the
        form `2026-11-01T00:00:00Z`.
        """
        return {key for key, _ in truth.true_rows(self, stream, start, end, **counts)}

    def records(
        self,
        stream: str,
        start: datetime | None = None,
        end: datetime | None = None,
        **counts: Any,
    ) -> dict[Key, Record]:
        """Return the full records of a stream by the keys that `truth` returns."""
        rows = truth.true_rows(self, stream, start, end, **counts)
        return {key: record() for key, record in rows}

    def begin(self, method: str, url: str, headers: Mapping[str, str]) -> Call:
        parts = urlsplit(url)
        prefix = urlsplit(self.url).path + API
        below = parts.path.startswith(prefix)
        path = parts.path.removeprefix(prefix)
        found, names = find_endpoint(path) if below else (None, {})
        params: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            params.setdefault(name, []).append(value)
        lower = {name.lower(): value for name, value in headers.items()}
        request = Request(
            method=method,
            host=parts.netloc,
            path=path,
            template=found.template if found else "",
            params=params,
            authorization=lower.get("authorization", ""),
            user_agent=lower.get("user-agent", ""),
            time=self.clock(),
        )
        template = request.template
        with self.lock:
            self.underway[template] += 1
            self.held[limits.bucket_of(self, request)] += 1
            request.underway = self.underway[template]
            self.concurrency[template] = max(
                self.concurrency[template], request.underway
            )
            self.counts[template] += 1
            self.requests.append(request)
        return Call(request, found, names)

    def end(self, call: Call) -> None:
        with self.lock:
            self.underway[call.request.template] -= 1
            self.held[limits.bucket_of(self, call.request)] -= 1

    def respond(self, call: Call) -> Answer:
        fault = self.take_fault(call.request)
        if fault and (failed := faults.failure_answer(self, call, fault)):
            return failed
        call.fault = fault
        try:
            answer = self.route(call)
        except RefusalError as refusal:
            answer = refusal.answer
        slow = self.take_fault(call.request, {"slow_large"})
        if slow and "seconds" in slow.details:
            return replace(answer, mishap="hang", seconds=slow.details["seconds"])
        if slow:
            return reply({"detail": "Query timeout. Please try again."}, 504)
        if self.flavour.closes_silently:
            answer = replace(answer, mishap="silent_close")
        return faults.spoiled(answer, fault) if fault else answer

    def route(self, call: Call) -> Answer:
        request = call.request
        if not (found := call.endpoint):
            raise RefusalError(
                access.absent_answer("page" if self.flavour.glitchtip else "empty")
            )
        if lacking := self.flavour.missing.get(found.template):
            raise RefusalError(access.absent_answer(lacking))
        if not found.scopes and not request.authorization:
            return reply({"version": "0", "auth": None, "user": None})
        call.token = access.authenticated(self, request)
        headers = limits.metered(self, request)
        try:
            access.permitted(self, call, found)
            answer = found.answer(self, call)
        except RefusalError as refusal:
            answer = refusal.answer
        return replace(answer, headers=answer.headers | headers)
