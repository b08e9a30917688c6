"""Find the earliest start from which a server lets a list be read.

Sentry keeps data for 90 or 30 days, depending on the plan, and does not state which. It
rejects a window that begins earlier (400; some servers fail with 500). So a rejected
window is requested again from a later start, until the server answers.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tap_sentry.windows import Window, ceil, to_text

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tap_sentry.api import errors

#: Retention periods, the longest first.
PERIODS = tuple(timedelta(days=days) for days in (90, 30, 14, 7))


@dataclass(frozen=True)
class Start:
    """The earliest start of a list, and the retention period it follows from."""

    instant: datetime
    period: timedelta


class Retention:
    """The earliest start that the server accepts, for each list of an organization."""

    def __init__(
        self, started: datetime, requested: datetime | None, logger: logging.Logger
    ) -> None:
        """Start without any limit.

        Args:
            started: The time at which the run starts.
            requested: The start that the user asks for.
            logger: Where shortened windows are logged.
        """
        self._epoch = started - timedelta(seconds=time.monotonic())
        self._requested = requested
        self._logger = logger
        self._starts: dict[Hashable, Start] = {}
        #: The starts that the server is known to accept.
        self._accepted: dict[Hashable, Start] = {}
        #: Lists that are rejected from every start: the window is not the reason.
        self._hopeless: set[Hashable] = set()
        self._logged: set[tuple[str, timedelta]] = set()

    @property
    def _now(self) -> datetime:
        return self._epoch + timedelta(seconds=time.monotonic())

    def start(self, key: Hashable) -> datetime | None:
        """Return the earliest start to request; None while there is no limit."""
        start = self._starts.get(key)
        return start.instant if start else None

    def clamp(self, key: Hashable, window: Window) -> Window:
        """Return the part of a window that may be requested."""
        start = self.start(key)
        return Window(max(start, window.start), window.end) if start else window

    def has_passed(self, key: Hashable) -> bool:
        """Return whether the start of a list has become too old during the run."""
        start = self._accepted.get(key)
        return start is not None and start.instant < self._now - start.period

    def shorten(self, key: Hashable, window: Window, step: timedelta) -> bool:
        """Choose a later start after a window was rejected.

        Args:
            key: The list of an organization.
            window: The window to read.
            step: What the start is a multiple of.

        Returns:
            False if there is none: the window is not the reason for the rejection.
        """
        rejected = self.clamp(key, window).start
        now = self._now
        starts = [Start(ceil(now - period, step), period) for period in PERIODS]
        if key not in self._hopeless:
            for start in starts:
                if rejected < start.instant < window.end:
                    self._starts[key] = start
                    return True
            if rejected == starts[-1].instant and key not in self._accepted:
                self._hopeless.add(key)
        self.restore(key)
        return False

    def restore(self, key: Hashable) -> None:
        """Return to the start that was accepted, or to no limit."""
        self._starts.pop(key, None)
        if key in self._accepted:
            self._starts[key] = self._accepted[key]

    def accept(self, key: Hashable) -> None:
        """Keep a start that the server accepts."""
        self._accepted[key] = self._starts[key]

    def log(self, key: Hashable, name: str, window: Window) -> None:
        """Log once for each stream that its window is shortened, if it is."""
        start = self._accepted.get(key)
        if start is None or start.instant <= window.start:
            return
        if (name, start.period) not in self._logged:
            self._logged.add((name, start.period))
            level = self._level(start.instant)
            days, since = start.period.days, to_text(start.instant)
            message = f"Sentry keeps {days} days of {name}: reading from {since}"
            self._logger.log(level, "%s", message)

    def _level(self, start: datetime) -> int:
        """Return WARNING if the user asks for more than Sentry keeps, else INFO."""
        is_more = self._requested is not None and self._requested < start
        return logging.WARNING if is_more else logging.INFO


def may_be_too_old(error: errors.RejectedError | errors.TransientError) -> bool:
    """Return whether a request may have failed because its window begins too early."""
    response = error.response
    return response is not None and response.status_code in {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }


def has_cursor(error: errors.RejectedError | errors.TransientError) -> bool:
    """Return whether a request had a cursor, which the server may have rejected."""
    response = error.response
    return response is not None and (
        "cursor=" in urlsplit(str(response.request.url)).query
    )
