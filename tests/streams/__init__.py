"""What each stream gives: the whole tap, run on a simulated Sentry."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pytest

    from tests.sentry import Key, Request, SentrySimulator

#: The two organizations of the simulator, and the larger one's larger project.
JURISDICTION = "the-interstellar-jurisdiction"
STERNWARTE = "sternwarte"
PUMP = "pump-station"


def told(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    """The lines of the log with all of these words."""
    return [line for line in caplog.messages if all(word in line for word in words)]


def at(pattern: str) -> Callable[[Request], bool]:
    """Whether a request is one for a path like this (a regex)."""
    return lambda request: bool(re.fullmatch(pattern, request.path))


def true_keys(
    sentry: SentrySimulator,
    stream: str,
    slug: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Key]:
    """The keys that a stream must have of one project, sorted."""
    project = sentry.project(slug).id
    return sorted(key for key in sentry.truth(stream, start, end) if key[1] == project)


def let_pass(
    sentry: SentrySimulator, monkeypatch: pytest.MonkeyPatch, **duration: float
) -> None:
    """Let some time pass, for the server and for the tap."""
    then = sentry.clock() + timedelta(**duration)
    sentry.clock = lambda: then
    monkeypatch.setattr("tap_sentry.tap.now", lambda: then)
