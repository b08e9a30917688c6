"""Tests of each stream: the whole tap runs against a simulated Sentry."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.conftest import NOW
from tests.sentry import SentrySimulator
from tests.sentry.data import Builder, Entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import pytest

    from tests.sentry import Key, Request
    from tests.sentry.answers import Answer

#: The two organizations of the simulator, and the larger one's largest project.
JURISDICTION = "the-interstellar-jurisdiction"
STERNWARTE = "sternwarte"
PUMP = "pump-station"


class Unused(dict[tuple[str, str], tuple[int, int]]):
    """Windows of limits in which nothing was granted yet: no test waits a minute."""

    def get(self, key, default=None):
        del key
        return default


def told(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    """Return the log messages that contain all of these words."""
    return [line for line in caplog.messages if all(word in line for word in words)]


def at(pattern: str) -> Callable[[Request], bool]:
    """Return a predicate for requests whose whole path matches a regex."""
    return lambda request: bool(re.fullmatch(pattern, request.path))


def true_keys(
    sentry: SentrySimulator,
    stream: str,
    slug: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Key]:
    """Return the keys that a stream must have for one project, sorted."""
    project = sentry.project(slug).id
    return sorted(key for key in sentry.truth(stream, start, end) if key[1] == project)


def let_pass(
    sentry: SentrySimulator, monkeypatch: pytest.MonkeyPatch, **duration: float
) -> None:
    """Advance the clocks of the server and of the tap."""
    then = sentry.clock() + timedelta(**duration)
    sentry.clock = lambda: then
    monkeypatch.setattr("tap_sentry.tap.now", lambda: then)


def shops(*ages: Iterable[float], **server: Any) -> SentrySimulator:
    """Simulate an organization, with events of some ages in seconds for each project.

    Each project has one issue. Pages have two rows unless `page_size` is given.
    """
    build = Builder(NOW, seed=4, kilobytes=0.1)
    acme = build.organization("acme", "Acme", ["code/attic"])
    team = build.team(acme, "ops")
    entries = Entries([{"type": "message", "data": {}}])
    for number, mine in enumerate(ages):
        shop = build.project(acme, f"shop-{number}", "python", [team], 1)
        issue = build.issue(shop, f"Error: {number}")
        dates = [NOW - timedelta(seconds=age) for age in mine]
        build.file(
            build.event(shop, issue, date, received=date, entries=entries)
            for date in dates
        )
    return SentrySimulator([acme], **{"clock": lambda: NOW, "page_size": 2, **server})


def overcount(sentry: SentrySimulator) -> None:
    """Make the server count twice as many events as it has."""
    answer = sentry.answer

    def answer_twice(method: str, url: str, headers: Any) -> Answer:
        given = answer(method, url, headers)
        if "/stats/" in url and given.status == HTTPStatus.OK:
            rows = [[at, count * 2] for at, count in json.loads(given.body)]
            body = json.dumps(rows).encode()
            length = {"Content-Length": str(len(body))}
            given = replace(given, body=body, headers=given.headers | length)
        return given

    sentry.answer = answer_twice  # type: ignore[method-assign] # of this server alone
