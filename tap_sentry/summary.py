"""What a run read, skipped and could not find: told at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

#: Skipped slices of one stream that are listed one by one.
LISTED = 20


@dataclass(frozen=True)
class Skipped:
    """One project, team or issue that one stream could not read."""

    stream: str
    slice: str
    reason: str
    is_refusal: bool = False


class Summary:
    """Collects, on the main thread, what the user should know at the end."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.skipped: list[Skipped] = []
        self._missing: dict[str, str] = {}
        self._read: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()
        self._without_id: Counter[str] = Counter()

    def read(self, stream: str) -> None:
        """One slice was read to its end."""
        self._read[stream] += 1

    def skip(self, skipped: Skipped) -> None:
        """One slice was left out."""
        self.skipped.append(skipped)

    def missing(self, stream: str, reason: str) -> None:
        """The server lacks a whole stream."""
        self._missing.setdefault(stream, reason)

    def outside(self, stream: str) -> None:
        """A record was dated outside the window that was asked for."""
        self._outside[stream] += 1

    def without_id(self, stream: str) -> None:
        """A record has nothing that it could be told by."""
        self._without_id[stream] += 1

    @property
    def refused(self) -> list[str]:
        """Streams that gave nothing at all because they were refused."""
        refused = {item.stream for item in self.skipped if item.is_refusal}
        return sorted(name for name in refused if not self._read[name])

    def log(self, logger: logging.Logger) -> None:
        """Tell it."""
        for stream, reason in sorted(self._missing.items()):
            logger.warning("%s is missing on this server: %s", stream, reason)
        for stream, number in sorted(self._outside.items()):
            logger.info(
                "%s: %d records were dated outside the window and left out",
                stream,
                number,
            )
        for stream, number in sorted(self._without_id.items()):
            logger.warning("%s: %d records without an id were left out", stream, number)
        listed: Counter[str] = Counter()
        for item in self.skipped:
            listed[item.stream] += 1
            if listed[item.stream] <= LISTED:
                logger.warning(
                    "%s skipped %s: %s", item.stream, item.slice, item.reason
                )
        for stream, number in listed.items():
            if number > LISTED:
                logger.warning(
                    "%s skipped %d more, not listed", stream, number - LISTED
                )
        for stream in self.refused:
            logger.error("%s gave nothing: every request was refused", stream)
