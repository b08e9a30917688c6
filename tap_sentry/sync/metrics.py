"""The SDK's metrics, logged once per stream instead of once per context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from singer_sdk import metrics

if TYPE_CHECKING:
    from types import TracebackType

    from singer_sdk.helpers.types import Context


class StreamCounter(metrics.Counter):
    """Counts the records of all contexts of a stream."""

    #: What a context is: an organization, team or project; empty without contexts.
    kind = ""
    #: How many contexts have been read, and whether one is being read now.
    contexts = 0
    is_open = False
    _logged = 0

    @property
    def records(self) -> int:
        """All records so far."""
        return self._logged + self.value

    def with_context(self, value: Context | None) -> None:
        """Count for all contexts."""
        self.kind = list(value)[-1].rpartition("_")[0] if value else ""

    def __enter__(self) -> Self:
        self.is_open = True
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.is_open = False
        self.contexts += exc_type is None
        super().__exit__(exc_type, exc_val, exc_tb)

    def exit(self) -> None:
        """Log nothing: other contexts follow."""

    def end(self) -> None:
        """Log the count."""
        super().exit()

    def _pop(self) -> None:
        """Keep the count, which the SDK resets whenever it logs."""
        self._logged += self.value
        super()._pop()


class StreamTimer(metrics.Timer):
    """Adds up the seconds of all contexts of a stream, its children included."""

    seconds = 0.0

    def with_context(self, value: Context | None) -> None:
        """Time all contexts."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Log nothing: other contexts follow."""
        self.seconds += super().elapsed()

    def elapsed(self) -> float:
        """Return the seconds of all contexts."""
        return self.seconds

    def end(self) -> None:
        """Log the time."""
        super().__exit__(None, None, None)
