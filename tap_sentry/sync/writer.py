"""Write Singer messages: whole lines, in order, with few system calls."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import MsgSpecWriter, serialize_jsonl
from singer_sdk.singerlib import RecordMessage, SchemaMessage, StateMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.singerlib import Message

#: Bytes that are buffered before they are written.
BUFFER = 64 * 1024
#: A STATE line is due when the lines since the last one are this many times as long …
STATE_SHARE = 40
#: … and at the latest after this many seconds.
STATE_SECONDS = 10.0


class UnwritableError(Exception):
    """Lines cannot be written: the target has ended, or a disk is full."""


class SentryWriter(MsgSpecWriter):
    """Buffers lines, and omits a SCHEMA that equals the last one of its stream.

    A system call for each line would take longer than formatting the line, above all
    with `PYTHONUNBUFFERED`, and each call releases the GIL to the decoding threads.
    """

    def __init__(self) -> None:
        """Start with an empty buffer."""
        super().__init__()
        #: The versions of the records of streams, by the name of the stream.
        self.versions: dict[str, int] = {}
        self._schemas: dict[str, SchemaMessage] = {}
        self._buffer = bytearray()
        #: Bytes of all lines so far.
        self.written = 0
        self._is_busy = True
        self._is_stopped = False
        self._stop: BaseException | None = None

    def write_message(self, message: Message) -> None:
        """Add one line; a STATE is flushed at once."""
        if isinstance(message, SchemaMessage):
            if self._schemas.get(message.stream) == message:
                return
            self._schemas[message.stream] = message
        elif self.versions and isinstance(message, RecordMessage):
            message.version = self.versions.get(message.stream)
        line = self.format_message(message)
        self.written += len(line)
        self._buffer += line
        if len(self._buffer) >= BUFFER or isinstance(message, StateMessage):
            self.flush()
        self._stop_now()

    def serialize_message(self, message: Message) -> bytearray:
        """Format one line without `to_dict`, which copies the whole state or schema."""
        if not isinstance(message, (SchemaMessage, StateMessage)):
            return super().serialize_message(message)
        names = [field.name for field in dataclasses.fields(message)]
        values = {name: getattr(message, name) for name in names}
        return serialize_jsonl({k: v for k, v in values.items() if v is not None})

    def stop(self, reason: BaseException) -> None:
        """Raise an exception in the main thread: between two lines, or while it waits.

        Signal handlers call this, so that no line is cut and no state is ahead of the
        lines. Only the first call counts; a second one would interrupt the shutdown.
        """
        if self._is_stopped:
            return
        self._is_stopped = True
        self._stop = reason
        if not self._is_busy:
            self._stop_now()

    def finish(self) -> None:
        """Ignore further calls of `stop`, so that the run ends undisturbed."""
        self._is_stopped = True
        self._stop_now()

    def _stop_now(self) -> None:
        if self._stop is not None:
            reason, self._stop = self._stop, None
            raise reason

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Flush all lines; within this context `stop` raises at once."""
        self.flush()
        self._is_busy = False
        try:
            self._stop_now()
            yield
        finally:
            self._is_busy = True

    def flush(self) -> None:
        """Write all buffered lines to stdout.

        Raises:
            UnwritableError: If it cannot be written.
        """
        # Looked up for each call: the SDK's test runner replaces stdout.
        out = sys.stdout.buffer
        try:
            with memoryview(self._buffer) as lines:
                done = 0
                while done < len(lines):
                    # An unbuffered stream (`PYTHONUNBUFFERED`) may write only a part.
                    with lines[done:] as rest:
                        done += out.write(rest) or 0
            out.flush()
        except BrokenPipeError:
            msg = "The target has ended before the tap"
            raise UnwritableError(msg) from None
        except OSError as error:
            msg = f"The output cannot be written: {error.strerror}"
            raise UnwritableError(msg) from None
        self._buffer.clear()


class StateLines:
    """Decides when a STATE line is written.

    It replaces the SDK's writer, which copies and compares the whole state at every
    call. The SDK itself writes the state of the last run when a run starts.
    """

    def __init__(
        self, writer: SentryWriter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write STATE lines to `writer`."""
        self._writer = writer
        self._clock = clock
        self._changed = False
        self._written = 0
        self._length = 0
        self._at = clock()

    def changed(self) -> None:
        """Record that the state has changed; the records it covers are written."""
        self._changed = True

    def write_state(self, state: dict[str, Any], *, is_final: bool = False) -> None:
        """Write the state if it has changed and a line is due.

        Many targets pass a state on only if no record follows it. At the end the state
        is therefore written again if records followed the last line.
        """
        if is_final:
            is_wanted = self._changed or self._is_buried(state)
        else:
            is_wanted = self._changed and self._is_due()
        if not is_wanted:
            return
        before = self._writer.written
        self._writer.write_message(StateMessage(value=state))
        self._written = self._writer.written
        self._length = self._written - before
        self._at = self._clock()
        self._changed = False

    def _is_buried(self, state: dict[str, Any]) -> bool:
        """Return whether lines were written after the last STATE line."""
        return bool(state.get("bookmarks")) and self._writer.written > self._written

    def _is_due(self) -> bool:
        since = self._writer.written - self._written
        return (
            since >= STATE_SHARE * self._length
            or self._clock() - self._at >= STATE_SECONDS
        )
