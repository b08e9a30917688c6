"""Wait while a deprecated endpoint is temporarily switched off (410)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from tap_sentry.api import errors, rate_limits

if TYPE_CHECKING:
    import logging

    import requests

    from tap_sentry.api.pending import PendingRequest

#: The total time, in seconds, that a run waits for an endpoint in a brown-out.
BROWN_OUT = 180.0


class BrownOuts:
    """The endpoints that are switched off, and when the run gives up on each."""

    def __init__(self, logger: logging.Logger) -> None:
        """Start without any."""
        self._logger = logger
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def delay(
        self, pending: PendingRequest[Any], response: requests.Response
    ) -> float | None:
        """Return the seconds until the next attempt; None if the run gives up."""
        if not pending.waits_for_brown_out:
            return None
        now = time.time()
        with self._lock:
            is_first = pending.endpoint not in self._until
            until = self._until.setdefault(pending.endpoint, now + BROWN_OUT)
        if is_first:
            name = "X-Sentry-Replacement-Endpoint"
            replacement = response.headers.get(name, "not named")
            self._logger.warning(
                "Sentry is retiring %s (410). It is asked again for %d s; its "
                "replacement is %s",
                pending.endpoint,
                BROWN_OUT,
                errors.without_token(replacement, pending.request),
            )
        delay = max(next(pending.delays), rate_limits.FIRST_DELAY)
        return delay if now + delay < until else None
