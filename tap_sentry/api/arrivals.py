"""Wake the main thread when a response has arrived."""

from __future__ import annotations

import contextlib
import queue

#: How long the main thread waits before Python handles signals. One that arrives just
#: before the wait begins, or in another thread, does not interrupt it.
SIGNAL_SECONDS = 0.5


class Arrivals:
    """Counts the responses that the main thread has not noticed yet."""

    def __init__(self) -> None:
        """Start with none."""
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def add(self) -> None:
        """Record that a response has arrived; threads of the pool call this."""
        self._queue.put(None)

    def wait(self) -> None:
        """Wait for at least one response, and take note of all.

        No lock is held here, so a signal interrupts the wait.
        """
        has_arrived = False
        while not has_arrived:
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=SIGNAL_SECONDS)
                has_arrived = True
        while not self._queue.empty():
            self._queue.get()
