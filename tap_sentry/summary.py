"""What a run read, skipped and could not find: told as it goes and at its end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    from tap_sentry.meters import StreamCounter
    from tap_sentry.tap import TapSentry

#: Skipped slices of one stream that are listed one by one.
LISTED = 20


@dataclass(frozen=True)
class Skipped:
    """One project, team or issue that one stream could not read."""

    stream: str
    slice: str
    reason: str
    is_refusal: bool = False
    #: Whether the plan or the server lacks the feature.
    is_unavailable: bool = False


@dataclass(frozen=True)
class Line:
    """How far one stream is, or all of them together."""

    name: str
    #: None: read because others hang on it, but not written.
    records: int | None
    requests: int
    #: Seconds that limits have held it back, and from now on will.
    waited: float
    waits: float
    #: How much of all that is, such as `3 of 9 projects, 1 skipped`.
    extent: str
    is_open: bool

    def __str__(self) -> str:
        """All of it in one line."""
        records = counted(self.records, "record") if self.records else "no records"
        requests = counted(self.requests, "request")
        message = f"{self.name}: {records} read with {requests}"
        if self.waited >= 1:
            message += f", held back by limits for {duration(self.waited)}"
        return f"{message}, {self.extent}" if self.extent else message


def lines(tap: TapSentry) -> list[Line]:
    """A line for each stream that has been asked for, in the order of the streams.

    Changes nothing once the streams have their meters: a thread calls it while the main
    thread reads and writes.
    """
    now = time.time()
    known = tap.known_names
    skipped = Counter(item.stream for item in list(tap.summary.skipped))
    found = []
    for stream in tap.reports:
        counter = stream.meters[0]
        requests = tap.fetcher.sent[stream]
        if not (counter.is_open or counter.contexts or requests):
            continue
        # Streams can share an endpoint; one that asked nothing was not held back.
        paths = {stream.path, stream.fallback_path} if requests else {None}
        gates = tap.fetcher.gates_of(paths)
        found.append(
            Line(
                stream.name,
                counter.records if stream.selected else None,
                requests,
                waited=sum(gate.waited(now) for gate in gates),
                waits=max((gate.opens_in(now) for gate in gates), default=0.0),
                extent=extent(counter, known[counter.kind], skipped[stream.name]),
                is_open=counter.is_open,
            )
        )
    return found


def total(tap: TapSentry, found: list[Line], seconds: float) -> Line:
    """All streams together."""
    now = time.time()
    return Line(
        "total",
        sum(line.records or 0 for line in found),
        sum(line.requests for line in found),
        waited=sum(gate.waited(now) for gate in tap.fetcher.gates_of()),
        waits=0.0,
        extent=f"in {duration(seconds)}",
        is_open=False,
    )


def extent(counter: StreamCounter, known: int, skipped: int) -> str:
    """Such as `3 of 9 projects, 1 skipped`."""
    parts = []
    if counter.kind:
        whole = counted(max(known, counter.contexts), counter.kind)
        is_part = counter.contexts < known
        parts.append(f"{counter.contexts:,} of {whole}" if is_part else whole)
    if skipped:
        parts.append(f"{skipped:,} skipped")
    return ", ".join(parts)


def counted(number: int, what: str) -> str:
    """Such as `1 record` or `1,200 records`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Such as `12 s`, `3 min 20 s` or `2 h 5 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class Summary:
    """Collects, on the main thread, what the user should know at the end."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.skipped: list[Skipped] = []
        #: How many slices of each stream were left out.
        self.skips: Counter[str] = Counter()
        self._missing: dict[str, str] = {}
        self._unexpected: dict[str, str] = {}
        self._read: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()
        self._without_id: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()

    def read(self, stream: str) -> None:
        """One slice was read to its end."""
        self._read[stream] += 1

    def skip(self, skipped: Skipped) -> None:
        """One slice was left out."""
        self.skipped.append(skipped)
        self.skips[skipped.stream] += 1

    def skipped_of(self, stream: str) -> list[Skipped]:
        """The slices of one stream that were left out."""
        return [item for item in self.skipped if item.stream == stream]

    def missing(self, stream: str, reason: str) -> None:
        """The server lacks a whole stream."""
        self._missing.setdefault(stream, reason)

    def unexpected(self, stream: str, reason: str) -> None:
        """The server has a stream, in a shape that is not understood."""
        self._unexpected.setdefault(stream, reason)

    def outside(self, stream: str) -> None:
        """A record was dated outside the window that was asked for."""
        self._outside[stream] += 1

    def without_id(self, stream: str) -> None:
        """A record has nothing that it could be told by."""
        self._without_id[stream] += 1

    def missed(self, stream: str, number: int) -> None:
        """The server repeated so many records where it should have sent others."""
        self._missed[stream] += number

    @property
    def failed(self) -> dict[str, str]:
        """Streams of which no part was read though the server has them; the first why.

        What a plan or a server lacks is no failure. A project that is gone (404) is
        one: Sentry answers the same for what it hides, so a stream that is refused
        like that in every run would stay empty unnoticed, while a project that was
        deleted during the run is not listed by the next one.
        """
        reasons = dict(self._unexpected)
        for item in self.skipped:
            if not item.is_unavailable:
                reasons.setdefault(item.stream, f"{item.slice}: {item.reason}")
        return {
            stream: reason
            for stream, reason in sorted(reasons.items())
            if not self._read[stream]
        }

    def log(self, logger: logging.Logger) -> None:
        """Tell what was left out."""
        for stream, reason in sorted(self._missing.items()):
            logger.warning("%s is missing on this server: %s", stream, reason)
        for stream, number in sorted(self._outside.items()):
            logger.info(
                "%s: %s records were dated outside the window and left out",
                stream,
                f"{number:,}",
            )
        for stream, number in sorted(self._without_id.items()):
            logger.warning("%s: %d records without an id were left out", stream, number)
        for stream, number in sorted(self._missed.items()):
            if number:
                logger.warning(
                    "%s: %s may be missing: between two pages of a list this server "
                    "repeats records of the same moment and leaves out others",
                    stream,
                    counted(number, "record"),
                )
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
