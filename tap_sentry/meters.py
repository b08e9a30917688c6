"""The metrics of the SDK, for a stream as a whole: it logs them for each context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk import metrics

if TYPE_CHECKING:
    from types import TracebackType

    from singer_sdk.helpers.types import Context


class StreamCounter(metrics.Counter):
    """Counts the records of a stream, through all of its contexts."""

    def with_context(self, value: Context | None) -> None:
        """Count for all contexts."""

    def exit(self) -> None:
        """Go on with the next context."""

    def end(self) -> None:
        """Log what was counted."""
        super().exit()


class StreamTimer(metrics.Timer):
    """Adds up the seconds that a stream is read for, its children included."""

    seconds = 0.0

    def with_context(self, value: Context | None) -> None:
        """Time all contexts."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Go on with the next context."""
        self.seconds += super().elapsed()

    def elapsed(self) -> float:
        """Seconds in all."""
        return self.seconds

    def end(self) -> None:
        """Log the time."""
        super().__exit__(None, None, None)
