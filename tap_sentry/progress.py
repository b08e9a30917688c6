"""What a person sees on a terminal: how far each stream is, and the sum at the end.

Only imported where stderr is a terminal, for `rich` takes its time.
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

from tap_sentry import logs, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_sentry.summary import Line
    from tap_sentry.tap import TapSentry

#: Frames a second: numbers can be read, and drawing them costs next to nothing.
FRAMES = 2
HEADER = ("stream", "records", "requests", "held back", "done")
#: Shows that something is going on where the numbers stand still.
MARKS = "|/-\\"


class Terminal:
    """The terminal of stderr, for as long as the tap runs."""

    def __init__(self) -> None:
        """Write nothing yet."""
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
        """Whether lines can be redrawn, and no records are written between them."""
        return self._console.is_interactive and self._is_free

    @contextlib.contextmanager
    def progress(self, tap: TapSentry) -> Iterator[None]:
        """Show how far a run is, below what it logs."""
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

    def tell(self, lines: list[Line]) -> None:
        """Show what came of it."""
        self._console.print(table(lines, is_live=False), soft_wrap=True)


def is_for_people(record: logging.LogRecord) -> bool:
    """Whether a record is no metric, unless everything is wanted."""
    is_all = logging.getLogger().isEnabledFor(logging.DEBUG)
    return is_all or not logs.is_metric(record)


def table(lines: list[Line], *, is_live: bool) -> Text:
    """The lines as columns. Written out here: `rich.table` takes ten times as long."""
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
    """A console that leaves the cursor alone: however the tap ends, it is there."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 - theirs
        """Do nothing."""
        del show
        return False


class _Steady:
    """A terminal that may go away without taking the run with it."""

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
    """Where log lines go while the table is shown: above it, as they are."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(Text(text.rstrip("\n")), soft_wrap=True)

    def flush(self) -> None:
        """Nothing waits."""
