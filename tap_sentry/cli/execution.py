"""Run a tap to its end: signals, exit codes and the closing messages."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singer_sdk.exceptions import SingerSDKError

from tap_sentry.api.errors import SentryError, blank
from tap_sentry.cli import summary
from tap_sentry.sync.writer import UnwritableError

if TYPE_CHECKING:
    from tap_sentry.cli.progress import Terminal
    from tap_sentry.tap import TapSentry

#: Signals that end a run.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds that a target has to read the remaining lines after a signal.
GRACE_PERIOD = 4.0


@dataclass(frozen=True)
class Ending:
    """The end of a run: its exit code and the last log line."""

    code: int = 0
    level: int = logging.INFO
    message: str = ""


class StopRun(BaseException):
    """A signal ends the run."""

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        super().__init__(number)
        self.number = number


class Execution:
    """One run of a tap as a command."""

    def __init__(self, tap: TapSentry, screen: Terminal | None = None) -> None:
        """Run `tap`; show its progress on `screen`, if stderr is a terminal."""
        self._tap = tap
        self._run = tap.run
        self._logger = tap.logger
        self._screen = screen
        #: Kills a run that does not end in time after a signal.
        self._deadline: threading.Timer | None = None

    def run(self) -> int:
        """Sync everything and return the exit code.

        0: every part was read, or skipped and listed while others were read.
        1: an error, or a stream of which no part could be read. 128 + n: signal n.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        # Pages in flight are many objects that live for a while. The default settings
        # of the garbage collector would visit them again and again.
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        if not any(stream.selected for stream in self._tap.streams.values()):
            self._logger.warning("The catalog selects no stream: nothing is read")
        started = time.monotonic()
        try:
            with self._screen.progress(self._tap) if self._screen else nullcontext():
                ending = self._sync()
            self._run.client.close()
            self._run.results.log(self._logger)
            self._report(time.monotonic() - started)
            self._run.write_final_state()
        except UnwritableError as error:
            return self._give_up(error)
        finally:
            # From here on a signal would only interrupt the exit of Python.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            if self._deadline:
                self._deadline.cancel()
        # These lines come last because `meltano config test` shows the last one only.
        failed = self._failed()
        for stream, reason in failed.items():
            self._logger.error(
                "%s returned no records: no part of it could be read (%s)",
                stream,
                reason,
            )
        if ending.message:
            self._logger.log(ending.level, "%s", ending.message)
        return ending.code or int(bool(failed))

    def _failed(self) -> dict[str, str]:
        """Return the streams that returned no records because every part failed.

        A stream that returned some records before a part failed is not among them.
        """
        records = {s.name: s.metrics[0].records for s in self._tap.sentry_streams}
        failed = self._run.results.failed
        return {name: reason for name, reason in failed.items() if not records[name]}

    def _sync(self) -> Ending:
        """Sync everything and return how that ended.

        Raises:
            UnwritableError: If lines cannot be written.
        """
        try:
            try:
                self._tap.sync_all()
            finally:
                self._run.writer.finish()
        except StopRun as stop:
            message = f"Stopped by {signal.Signals(stop.number).name}"
            return Ending(128 + stop.number, logging.INFO, message)
        except (SentryError, SingerSDKError) as error:
            return Ending(1, logging.ERROR, str(error))
        except UnwritableError:
            raise
        except Exception as error:
            self._logger.debug("Where it happened", exc_info=True)
            text = blank(str(error), self._run.settings.auth_token)
            message = (
                f"A bug in tap-sentry ({type(error).__name__}: {text}). Please "
                "report it with what TAP_SENTRY_LOGLEVEL=debug prints"
            )
            return Ending(1, logging.CRITICAL, message)
        return Ending()

    def _report(self, seconds: float) -> None:
        """Report what was read: as a table on a terminal, else one line per stream."""
        lines = summary.lines(self._tap)
        lines.append(summary.total(self._tap, lines, seconds))
        if self._screen:
            self._screen.print_summary(lines)
            return
        for line in lines:
            self._logger.info("%s", line)

    def _give_up(self, error: UnwritableError) -> int:
        """Log why no output can be written, and return the exit code."""
        self._logger.error("%s", error)
        # Python would report that it cannot flush stdout when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1

    def _on_signal(self, number: int, frame: object) -> None:
        """End the run between two lines, or kill it if the target stops reading."""
        del frame
        if self._deadline is None:
            self._deadline = threading.Timer(GRACE_PERIOD, os._exit, [128 + number])
            self._deadline.daemon = True
            self._deadline.start()
        self._run.writer.stop(StopRun(number))


def terminal(logger: logging.Logger) -> Terminal | None:
    """Return the terminal of stderr; None if stderr is not one, or logging is off."""
    if not (sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)):
        return None
    # Importing it is slow.
    from tap_sentry.cli.progress import Terminal  # noqa: PLC0415 - see above

    return Terminal()
