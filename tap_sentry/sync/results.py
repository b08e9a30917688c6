"""The results of a run: what was read, what was skipped and what is missing."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

#: The most skipped parts of one stream that are listed one by one.
MAX_LISTED = 20
#: The part of the events that Sentry counts which is enough. Some are counted that were
#: deleted, or that arrived after they were read.
ENOUGH = 0.995


@dataclass(frozen=True)
class Skipped:
    """A part of a stream that could not be read: a project, a team or an issue."""

    stream: str
    part: str
    reason: str
    is_refusal: bool = False
    #: Whether the plan or the server lacks the feature.
    is_unavailable: bool = False


class Results:
    """Collects, on the main thread, what the summary reports."""

    def __init__(self) -> None:
        """Start empty."""
        self.skipped: list[Skipped] = []
        #: How many parts of each stream were skipped.
        self.skips: Counter[str] = Counter()
        self._missing: dict[str, str] = {}
        self._replaced: dict[str, str] = {}
        self._unexpected: dict[str, str] = {}
        self._read: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()
        self._without_id: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()
        self._sampled: Counter[str] = Counter()
        self._counted: dict[str, list[tuple[str, int, int]]] = {}

    def add_read(self, stream: str) -> None:
        """Count a part of a stream that was read completely."""
        self._read[stream] += 1

    def add_skipped(self, skipped: Skipped) -> None:
        """Record a part of a stream that was skipped."""
        self.skipped.append(skipped)
        self.skips[skipped.stream] += 1

    def skipped_of(self, stream: str) -> list[Skipped]:
        """Return the skipped parts of one stream."""
        return [item for item in self.skipped if item.stream == stream]

    def add_missing(
        self, stream: str, reason: str, successor: str | None = None
    ) -> None:
        """Record that the server lacks a stream, or has another one instead."""
        if successor is None:
            self._missing.setdefault(stream, reason)
        else:
            self._replaced[stream] = successor

    def add_unexpected(self, stream: str, reason: str) -> None:
        """Record that the server sends a stream in an unexpected shape."""
        self._unexpected.setdefault(stream, reason)

    def add_missed(self, stream: str, number: int) -> None:
        """Count records that the server left out where it repeated others."""
        self._missed[stream] += number

    def add_cut(self, stream: str) -> None:
        """Count an issue of which the server may have more than the newest rows."""
        self._cut[stream] += 1

    def add_sampled(self, stream: str) -> None:
        """Count a window of which the server has read a part only."""
        self._sampled[stream] += 1

    def add_counted(self, stream: str, part: str, read: int, counted: int) -> None:
        """Record how many events of a part were read, and how many Sentry counts."""
        self._counted.setdefault(stream, []).append((part, read, counted))

    def share(self, stream: str) -> float | None:
        """Return the part of what Sentry counts that was read; None if not counted."""
        parts = self._counted.get(stream, ())
        counted = sum(number for _, _, number in parts)
        # More in one part do not make up for what another lacks.
        read = sum(min(read, number) for _, read, number in parts)
        return read / counted if counted else None

    def add_outside(self, stream: str) -> None:
        """Count a record dated outside the requested window."""
        self._outside[stream] += 1

    def add_without_id(self, stream: str) -> None:
        """Count a record without an id."""
        self._without_id[stream] += 1

    def is_whole(self, stream: str) -> bool:
        """Return whether no part and no record of a stream was left out."""
        left_out = (
            self.skips,
            self._without_id,
            self._missed,
            self._cut,
            self._sampled,
        )
        lacking = (self._missing, self._replaced, self._unexpected)
        return not any(counts[stream] for counts in left_out) and not any(
            stream in streams for streams in lacking
        )

    @property
    def failed(self) -> dict[str, str]:
        """Streams of which no part could be read, with the first reason.

        A feature that the plan or the server lacks is not a failure. A project that is
        gone (404) is one: Sentry sends the same response for what it hides, so a stream
        that is denied in this way would stay empty in every run without notice. A
        project that was deleted during the run is not listed in the next one.
        """
        reasons = dict(self._unexpected)
        for item in self.skipped:
            if not item.is_unavailable:
                reasons.setdefault(item.stream, f"{item.part}: {item.reason}")
        return {
            stream: reason
            for stream, reason in sorted(reasons.items())
            if not self._read[stream]
        }

    def log(self, logger: logging.Logger) -> None:
        """Log what was left out."""
        for stream, reason in sorted(self._missing.items()):
            logger.warning("%s is missing on this server: %s", stream, reason)
        for stream, successor in sorted(self._replaced.items()):
            logger.info(
                "%s is missing on this server; newer ones have %s", stream, successor
            )
        for stream, number in sorted(self._outside.items()):
            logger.info(
                "%s: left out %s dated outside the window",
                stream,
                number_of(number, "record"),
            )
        for stream, number in sorted(self._without_id.items()):
            logger.warning(
                "%s: left out %s without an id", stream, number_of(number, "record")
            )
        for stream, number in sorted(self._missed.items()):
            if number:
                logger.warning(
                    "%s: %s may be missing: between two pages of a list this server "
                    "repeats records of the same moment and leaves out others",
                    stream,
                    number_of(number, "record"),
                )
        for stream, number in sorted(self._cut.items()):
            logger.warning(
                "%s: older records of %s may be missing: Sentry sends only the newest",
                stream,
                number_of(number, "issue"),
            )
        for stream, number in sorted(self._sampled.items()):
            logger.warning(
                "%s: Sentry has read only a part of its data for %s: rows are missing, "
                "and figures are estimates",
                stream,
                number_of(number, "window"),
            )
        self._log_counted(logger)
        self._log_skipped(logger)

    def _log_counted(self, logger: logging.Logger) -> None:
        """Log the parts of which Sentry counts more events than were read."""
        for stream, parts in sorted(self._counted.items()):
            short = [
                (part, read, counted)
                for part, read, counted in parts
                if read < ENOUGH * counted
            ]
            for part, read, counted in short[:MAX_LISTED]:
                logger.warning(
                    "%s has %s of the %s events that Sentry counts in %s (%s)",
                    stream,
                    f"{read:,}",
                    f"{counted:,}",
                    part,
                    percentage(read / counted),
                )
            if (unlisted := len(short) - MAX_LISTED) > 0:
                more = number_of(unlisted, "more part")
                logger.warning("%s lacks events of %s", stream, more)

    def _log_skipped(self, logger: logging.Logger) -> None:
        """Log the parts that were skipped, not all of them if they are many."""
        listed: Counter[str] = Counter()
        unlisted: Counter[str] = Counter()
        for item in self.skipped:
            # A feature that is not available is so for all parts.
            if listed[item.stream] >= (1 if item.is_unavailable else MAX_LISTED):
                unlisted[item.stream] += 1
                continue
            listed[item.stream] += 1
            logger.warning("%s skipped %s: %s", item.stream, item.part, item.reason)
        for stream, number in unlisted.items():
            logger.warning("%s skipped %d more, not listed", stream, number)


def percentage(share: float) -> str:
    """Format a part of a whole, such as `99.98 %`; 100 % only if nothing is missing."""
    return f"{math.floor(share * 10_000) / 100:g} %"


def number_of(number: int, what: str) -> str:
    """Format a number of things, such as `1 record` or `1,200 records`."""
    if number == 1:
        return f"1 {what}"
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {plural}"
