"""How far back a server lets its lists be read.

Sentry keeps data for 90 or 30 days, by plan, and states nowhere which. It rejects a
window that begins earlier (400; some servers fail with 500). So a rejected window is
requested again from a later start, until the server answers.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tap_sentry.windows import Window, ceil, to_text

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from tap_sentry.api import errors

#: Retention periods, the longest first.
PERIODS = tuple(timedelta(days=days) for days in (90, 30, 14, 7))


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
        self._starts: dict[Hashable, datetime] = {}
        #: The starts that the server is known to accept.
        self._accepted: dict[Hashable, datetime] = {}
        #: Lists that are rejected from every start: the window is not the reason.
        self._hopeless: set[Hashable] = set()
        self._logged: set[str] = set()

    def start(self, key: Hashable) -> datetime | None:
        """Return the earliest start to request; None while there is no limit."""
        return self._starts.get(key)

    def clamp(self, key: Hashable, window: Window) -> Window:
        """Return the part of a window that may be requested."""
        start = self._starts.get(key)
        return Window(max(start, window.start), window.end) if start else window

    def shorten(self, key: Hashable, window: Window, step: timedelta) -> bool:
        """Choose a later start after a window was rejected.

        Args:
            key: The list of an organization.
            window: The window to read.
            step: What the start is a multiple of.

        Returns:
            False if there is none: the window is not why it was rejected.
        """
        rejected = self.clamp(key, window).start
        now = self._epoch + timedelta(seconds=time.monotonic())
        starts = [ceil(now - period, step) for period in PERIODS]
        if key not in self._hopeless:
            for start in starts:
                if rejected < start < window.end:
                    self._starts[key] = start
                    return True
            if rejected == starts[-1] and key not in self._accepted:
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
        if start is None or start <= window.start:
            return
        now = self._epoch + timedelta(seconds=time.monotonic())
        days = min(period for period in PERIODS if now - period <= start).days
        message = f"Sentry keeps {days} days of {name}: reading from {to_text(start)}"
        if message not in self._logged:
            self._logged.add(message)
            self._logger.log(self._level(start), "%s", message)

    def _level(self, start: datetime) -> int:
        """Return WARNING if the user asks for more than Sentry keeps, else INFO."""
        is_more = self._requested is not None and self._requested < start
        return logging.WARNING if is_more else logging.INFO


def may_be_too_old(error: errors.RejectedError | errors.TransientError) -> bool:
    """Return whether a request may have failed because its window begins too early."""
    response = error.response
    return (
        response is not None
        and response.status_code
        in {HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR}
        # With a cursor, that may be what the server rejects.
        and "cursor=" not in urlsplit(str(response.request.url)).query
    )
