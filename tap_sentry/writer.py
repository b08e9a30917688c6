"""Writes Singer messages: whole lines, in order, few system calls."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import MsgSpecWriter, serialize_jsonl
from singer_sdk.singerlib import SchemaMessage, StateMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.singerlib import Message

#: Bytes that are gathered before they are written.
BUFFER = 64 * 1024
#: A STATE is due when the lines since the last one are this many times its length …
STATE_SHARE = 40
#: … and at the latest after so many seconds.
STATE_SECONDS = 10.0


class UnwritableError(Exception):
    """The lines cannot be written: the target has ended, or a disk is full."""


class SentryWriter(MsgSpecWriter):
    """Gathers lines before it writes them; leaves out a SCHEMA that is told already.

    One system call for each line would cost more than making it, all the more where
    `PYTHONUNBUFFERED` is set; and each lets go of the interpreter to other threads.
    """

    def __init__(self) -> None:
        """Start with nothing written."""
        super().__init__()
        self._schemas: dict[str, SchemaMessage] = {}
        self._buffer = bytearray()
        #: Bytes of all lines so far.
        self.written = 0
        self._is_busy = True
        self._is_stopped = False
        self._stop: BaseException | None = None

    def write_message(self, message: Message) -> None:
        """Add one line; a STATE reaches the target at once."""
        if isinstance(message, SchemaMessage):
            if self._schemas.get(message.stream) == message:
                return
            self._schemas[message.stream] = message
        line = self.format_message(message)
        self.written += len(line)
        self._buffer += line
        if len(self._buffer) >= BUFFER or isinstance(message, StateMessage):
            self.flush()
        self._stop_now()

    def serialize_message(self, message: Message) -> bytearray:
        """One line. `to_dict` would copy all that is in a state or schema first."""
        if not isinstance(message, (SchemaMessage, StateMessage)):
            return super().serialize_message(message)
        names = [field.name for field in dataclasses.fields(message)]
        values = {name: getattr(message, name) for name in names}
        return serialize_jsonl({k: v for k, v in values.items() if v is not None})

    def stop(self, reason: BaseException) -> None:
        """Raise in the main thread: at once while it waits, else between lines.

        For signal handlers, so that no line is cut and no state is ahead of the lines.
        The first reason ends the run; a second one would cut its end short.
        """
        if self._is_stopped:
            return
        self._is_stopped = True
        self._stop = reason
        if not self._is_busy:
            self._stop_now()

    def finish(self) -> None:
        """Let no further signal cut short what is still to be told."""
        self._is_stopped = True
        self._stop_now()

    def _stop_now(self) -> None:
        if self._stop is not None:
            reason, self._stop = self._stop, None
            raise reason

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Hand over all lines, then let a signal interrupt what is done within."""
        self.flush()
        self._is_busy = False
        try:
            self._stop_now()
            yield
        finally:
            self._is_busy = True

    def flush(self) -> None:
        """Hand every line to the target.

        Raises:
            UnwritableError: If it cannot be written.
        """
        # Looked up here: the SDK's test runner puts another one in its place.
        out = sys.stdout.buffer
        try:
            with memoryview(self._buffer) as lines:
                done = 0
                while done < len(lines):
                    # Unbuffered (`PYTHONUNBUFFERED`), it may take only a part.
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
    """Decides when the state is worth a line.

    Stands in for the SDK's writer, which copies and compares the whole state at every
    call, but for the state of the last run: that the SDK tells by itself as it starts.
    """

    def __init__(
        self, writer: SentryWriter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to `writer`."""
        self._writer = writer
        self._clock = clock
        self._changed = False
        self._written = 0
        self._length = 0
        self._at = clock()

    def changed(self) -> None:
        """The state has moved on; everything up to it is written."""
        self._changed = True

    def write_state(self, state: dict[str, Any], *, is_final: bool = False) -> None:
        """Write the state if it has changed and a line is due; at the end in any case.

        Many targets pass a state on only if no record follows it: where a run ends with
        records that move no bookmark, the state is told again.
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
        """Whether the state says something, and lines were written since it was."""
        return bool(state.get("bookmarks")) and self._writer.written > self._written

    def _is_due(self) -> bool:
        since = self._writer.written - self._written
        return (
            since >= STATE_SHARE * self._length
            or self._clock() - self._at >= STATE_SECONDS
        )
