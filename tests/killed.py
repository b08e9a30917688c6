"""Runs of the tap that are killed at one of their requests or lines."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.cli.execution import Execution
from tap_sentry.tap import TapSentry
from tests.conftest import NOW, Output

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from typing_extensions import Buffer

    from tests.sentry import SentrySimulator
    from tests.sentry.answers import Answer


class UnansweredError(Exception):
    """The run is killed while it waits for a response."""


class Killed(BaseException):
    """The run is killed while it writes."""


class Stdout(io.TextIOWrapper):
    """Stdout that kills the run after `most` lines, if that is given."""

    def __init__(self, most: int | None) -> None:
        self.caught = Caught(most)
        super().__init__(self.caught, write_through=True)


class Caught(io.BytesIO):
    """Collects lines, and kills the run once there are `most` of them."""

    def __init__(self, most: int | None) -> None:
        super().__init__()
        self.most = most

    def write(self, data: Buffer) -> int:
        lines = bytes(data).splitlines(keepends=True)
        if self.most is None:
            return super().write(b"".join(lines))
        super().write(b"".join(lines[: self.most]))
        self.most -= min(len(lines), self.most)
        if not self.most:
            raise Killed
        return len(bytes(data))


def limited(
    answer: Callable[[str, str, Any], Answer], most: int | None
) -> Callable[[str, str, Any], Answer]:
    """Return a server's `answer` that kills the run after a number of requests."""
    asked = 0

    def limited(method: str, url: str, headers: Any) -> Answer:
        nonlocal asked
        asked += 1
        if most is not None and asked > most:
            raise UnansweredError
        return answer(method, url, headers)

    return limited


def run_until_killed(  # noqa: PLR0913 - how a run begins, and how it ends
    sentry: SentrySimulator,
    config: dict[str, Any],
    catalog: dict[str, Any],
    state: dict[str, Any] | None,
    answer: Callable[[str, str, Any], Answer],
    *,
    lines: int | None = None,
    share: float = 0,
    now: datetime = NOW,
    ends: bool,
) -> Output:
    """Run the tap on a patched server, until it ends or is killed.

    Args:
        sentry: The server.
        config: The settings.
        catalog: The selected streams.
        state: The state of the run before.
        answer: Answers in place of the server; `UnansweredError` kills the run.
        lines: The number of lines after which the run is killed.
        share: The share of the output that STATE lines may have.
        now: The time of the run.
        ends: Whether the run reports its end as a process does, also if it is killed.

    Returns:
        Its output; the exit code is -1 if it was killed.
    """
    stdout, code = Stdout(lines), 0
    with pytest.MonkeyPatch.context() as patch, sentry.patched():
        patch.setattr("tap_sentry.tap.now", lambda: now)
        patch.setattr(sentry, "answer", answer)
        patch.setattr("tap_sentry.sync.writer.STATE_SHARE", share)
        # No STATE line depends on how fast this machine is.
        patch.setattr("tap_sentry.sync.writer.STATE_SECONDS", math.inf)
        patch.setattr(sys, "stdout", stdout)
        # It is meant for a process that ends with the run.
        patch.setattr("signal.signal", lambda *_: None)
        tap = TapSentry(
            config=config, catalog=copy.deepcopy(catalog), state=copy.deepcopy(state)
        )
        try:
            if ends:
                code = Execution(tap).run()
            else:
                tap.sync_all()
        except (Killed, UnansweredError):
            code = -1
        finally:
            tap.run.client.scheduler.close()
            with contextlib.suppress(Killed):
                tap.run.writer.flush()
    messages = stdout.caught.getvalue().splitlines()
    return Output([json.loads(line) for line in messages], code)
