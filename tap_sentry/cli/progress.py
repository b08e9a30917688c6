"""The table on a terminal: how far each stream is, and the summary at the end.

This module is only imported if stderr is a terminal, because importing `rich` is slow.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import IO, TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tap_sentry.cli import logs, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_sentry.cli.summary import StreamSummary
    from tap_sentry.tap import TapSentry

#: Frames per second: slow enough to read the numbers.
FRAMES = 2
HEADER = ("stream", "records", "requests", "held back", "done")
#: A spinner, for streams whose numbers do not change.
MARKS = "|/-\\"


class Terminal:
    """The terminal that stderr writes to."""

    def __init__(self) -> None:
        """Prepare the console; nothing is written yet."""
        self._stream = sys.stderr
        self._console = _Console(
            file=cast("IO[str]", _Steady(self._stream)), highlight=False
        )
        self._is_free = not sys.stdout.isatty()
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler)
            and handler.stream is self._stream
        ]
        for handler in self._handlers:
            handler.addFilter(is_for_people)

    @property
    def shows_progress(self) -> bool:
        """Whether lines can be redrawn and stdout does not write between them."""
        return self._console.is_interactive and self._is_free

    @contextlib.contextmanager
    def progress(self, tap: TapSentry) -> Iterator[None]:
        """Show a table of progress below the log lines."""
        if not self.shows_progress:
            yield
            return
        live = Live(
            console=self._console,
            get_renderable=lambda: table(summary.lines(tap), is_live=True),
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stdout=False,
        )
        above = _Above(self._console)
        with live:
            try:
                for handler in self._handlers:
                    handler.setStream(above)
                yield
            finally:
                for handler in self._handlers:
                    handler.setStream(self._stream)

    def print_summary(self, lines: list[StreamSummary]) -> None:
        """Print the table of the summary."""
        self._console.print(table(lines, is_live=False), soft_wrap=True)


def is_for_people(record: logging.LogRecord) -> bool:
    """Return whether a log record is for people: at DEBUG all are, else no metrics."""
    is_all = logging.getLogger().isEnabledFor(logging.DEBUG)
    return is_all or not logs.is_metric(record)


def table(lines: list[StreamSummary], *, is_live: bool) -> Text:
    """Format the table; `rich.table` would take ten times as long."""
    mark = MARKS[int(time.monotonic() * FRAMES) % len(MARKS)]
    rows = [HEADER]
    for line in lines:
        held = summary.duration(line.waited) if line.waited >= 1 else ""
        if is_live and line.waits >= 1:
            held = f"{summary.duration(line.waits)} to go"
        records = "" if line.records is None else f"{line.records:,}"
        rows.append((line.name, records, f"{line.requests:,}", held, line.extent))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    marks = ["", *(mark if is_live and line.is_open else "" for line in lines)]
    margin = 3 if is_live else 0
    text = [
        f"{at:{margin}}{name:{widths[0]}}  {records:>{widths[1]}}  "
        f"{requests:>{widths[2]}}  {held:>{widths[3]}}  {done}".rstrip()
        for at, (name, records, requests, held, done) in zip(marks, rows, strict=True)
    ]
    found = Text("\n".join(text), no_wrap=True, overflow="crop")
    found.stylize("dim", 0, len(text[0]))
    return found


class _Console(Console):
    """A console that never hides the cursor, which a killed tap could not restore."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 - theirs
        """Do nothing."""
        del show
        return False


class _Steady:
    """A terminal that may disappear without an error."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Above:
    """Writes log lines above the table."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(Text(text.rstrip("\n")), soft_wrap=True)

    def flush(self) -> None:
        """Do nothing: `write` prints at once."""
