"""The state of the tap, which is never ahead of the records that were written.

    {"bookmarks": {"project_events": {"by_id": {"1": {
        "bookmark": "2026-11-23T20:00:00Z",
        "scan": [{"start": …, "end": …, "at": …}]}}}}}

There is one entry per project, team or organization, by id, so that a renamed one keeps
its bookmark. The scan is in a list because Meltano merges states key by key: a list is
replaced as a whole, while an object would be mixed with that of an earlier scan, and
cannot be merged into a null at all. The SDK searches and copies its own partitions at
every step, which is quadratic in their number; this state is looked up and changed in
place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tap_sentry.api import pagination
from tap_sentry.windows import BEGINNING, Window, parse_instant, to_text

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

Entry = dict[str, Any]


@dataclass(frozen=True)
class Scan:
    """A pass over a window, newest first, and how far it has come."""

    window: Window
    #: The oldest date that was written.
    at: datetime | None = None
    #: Where the list continues.
    cursor: str | None = None
    #: The issue that is being read; those with smaller ids are done.
    issue: int | None = None
    #: Events written so far that the audit compares with Sentry's count; None if it
    #: cannot, because the window has become shorter.
    rows: int | None = 0

    @property
    def end(self) -> datetime:
        """The upper bound to request; dates of requests have whole seconds."""
        if self.at is None:
            return self.window.end
        second = self.at.replace(microsecond=0) + timedelta(seconds=1)
        return min(second, self.window.end)

    def since(self, start: datetime) -> Scan:
        """Return the part of the scan that is not before a start."""
        if start <= self.window.start:
            return self
        window = Window(start, self.window.end)
        if window.start < self.end:
            # The list of a project is compared from where the scan goes on.
            rows = self.rows if self.issue is None else None
            return replace(self, window=window, rows=rows)
        # The rest of the current list lies before the start.
        if self.issue is None:
            return Scan(Window(window.end, window.end))
        return Scan(window, issue=self.issue + 1, rows=None)

    def of_issue(self, issue: int) -> Scan:
        """Return the scan of one issue of the project."""
        return self if issue == self.issue else Scan(self.window, issue=issue)

    def resumable(self, cursor: str | None, floor: datetime | None = None) -> Scan:
        """Return the scan that resumes a list at the page with this cursor.

        A cursor in time is kept. One that counts rows of a list ordered by
        `dateCreated` is replaced by the date reached, but by none before `floor`; so is
        a new `end`, which has no cursor. With any other cursor the list is read again
        from the top.
        """
        if cursor is None or pagination.counts_rows(cursor):
            is_ahead = floor and self.at and self.at < floor
            return replace(self, at=floor if is_ahead else self.at, cursor=None)
        if pagination.is_in_time(cursor):
            return replace(self, at=None, cursor=cursor)
        return replace(self, at=None, cursor=None)

    def to_state(self) -> list[Entry]:
        """Return the scan as it is stored in the state."""
        entry: Entry = {
            "start": to_text(self.window.start),
            "end": to_text(self.window.end),
        }
        if self.issue is not None:
            entry["issue"] = str(self.issue)
        if self.rows != 0:
            entry["rows"] = self.rows
        if self.at is not None:
            entry["at"] = self.at.isoformat().replace("+00:00", "Z")
        if self.cursor is not None:
            entry["cursor"] = self.cursor
        return [entry]

    @classmethod
    def from_state(cls, entries: list[Entry]) -> Scan:
        """Return the scan of an entry in the state.

        Raises:
            ValueError: If it is not a scan.
        """
        try:
            (entry,) = entries
            window = Window(parse_instant(entry["start"]), parse_instant(entry["end"]))
            at, issue, cursor = (entry.get(name) for name in ("at", "issue", "cursor"))
            rows = entry.get("rows", 0)
            scan = cls(
                window,
                at=None if at is None else parse_instant(at),
                cursor=None if cursor is None else str(cursor),
                issue=None if issue is None else int(issue),
                rows=None if rows is None else int(rows),
            )
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(error) from None
        if window.end < BEGINNING or (scan.at and scan.at not in window):
            raise ValueError(entry)
        return scan


def plan(
    entry: Entry, *, start: datetime | None, end: datetime, lookback: timedelta
) -> list[Scan]:
    """Return what to read: the rest of an interrupted scan, then what is new.

    Args:
        entry: The entry of the context in the state.
        start: The `start_date`.
        end: The upper bound of the run.
        lookback: How far to read back before the bookmark.
    """
    first = start or BEGINNING
    scans = []
    bookmark = parse_instant(entry["bookmark"]) if entry.get("bookmark") else None
    if entry.get("scan"):
        scan = Scan.from_state(entry["scan"]).since(first)
        if scan.window.end <= end and (not bookmark or scan.window.end > bookmark):
            scans.append(scan)
            bookmark = scan.window.end
    if bookmark is None:
        scans.append(Scan(Window(first, end)))
    elif bookmark < end:
        scans.append(Scan(Window(max(first, bookmark - lookback), end)))
    return [scan for scan in scans if scan.window]


class Bookmarks:
    """The entries of all streams; only the main thread changes them."""

    def __init__(
        self,
        bookmarks: dict[str, dict[str, Any]],
        changed: Callable[[], None],
        start: datetime | None = None,
    ) -> None:
        """Keep the bookmarks of the tap's state.

        Args:
            bookmarks: The bookmarks, which are changed in place.
            changed: Called after each change.
            start: The `start_date` of the run.
        """
        self._bookmarks = bookmarks
        self._changed = changed
        self._start = start

    def _stream(self, stream: str) -> dict[str, Any]:
        """Return a stream's bookmarks; a new stream records its first `start_date`."""
        since = {"since": to_text(self._start)} if self._start else {}
        return self._bookmarks.setdefault(stream, since)

    def entry(self, stream: str, key: str) -> Entry:
        """Return the entry of a project, team or organization; empty if it has none."""
        by_id: dict[str, Entry] = self._bookmarks.get(stream, {}).get("by_id", {})
        return by_id.get(key, {})

    def update(self, stream: str, key: str, **values: object) -> None:
        """Write values into an entry."""
        by_id = self._stream(stream).setdefault("by_id", {})
        by_id.setdefault(key, {}).update(values)
        self._changed()

    def refreshed(self, stream: str, organization: str) -> datetime | None:
        """Return when all issues of an organization were last read."""
        dates = self._bookmarks.get(stream, {}).get("refreshed", {})
        return parse_instant(dates[organization]) if dates.get(organization) else None

    def refresh(self, stream: str, organization: str, at: datetime) -> None:
        """Record when all issues of an organization were read."""
        dates = self._stream(stream).setdefault("refreshed", {})
        dates[organization] = to_text(at)
        self._changed()

    def progress(self, stream: str, key: str, scan: Scan) -> None:
        """Record how far a scan has come."""
        self.update(stream, key, scan=scan.to_state())

    def finish(self, stream: str, key: str, scan: Scan) -> None:
        """Move the bookmark to the end of a complete scan, but never back."""
        entry = self.entry(stream, key)
        values = {
            "bookmark": max(entry.get("bookmark") or "", to_text(scan.window.end))
        }
        # Meltano merges the state of a failed run into the previous state: a scan that
        # is merely omitted would come back.
        nothing = {"scan": None} if "scan" in entry else {}
        self.update(stream, key, **values, **nothing)


def load(
    state: dict[str, Any], logger: logging.Logger, *, latest: datetime
) -> dict[str, Any]:
    """Return the usable bookmarks of a state, and log the others.

    Args:
        state: The state that was passed in.
        logger: Where unusable parts are logged.
        latest: The latest valid bookmark; later ones come from a wrong clock.
    """
    bookmarks = state.get("bookmarks")
    if not isinstance(bookmarks, dict):
        if state:
            logger.warning("The state has no bookmarks: everything is read again")
        return {}
    loaded = {}
    for stream, found in bookmarks.items():
        if not isinstance(found, dict):
            continue
        kept: Entry = {}
        # An organization without projects has nothing but `refreshed`.
        by_id = found.get("by_id", {} if "refreshed" in found else None)
        if isinstance(by_id, dict):
            kept["by_id"] = {
                key: usable
                for key, entry in by_id.items()
                if (usable := _usable(stream, key, entry, logger, latest))
            }
            if refreshed := _usable(
                stream, "refreshed", found.get("refreshed"), logger, latest
            ):
                kept["refreshed"] = refreshed
            since = {"since": found.get("since")}
            kept |= _usable(stream, "since", since, logger, latest)
        elif found:
            logger.warning(
                "The state of %s has another layout and is not from this tap: "
                "the stream is read from its beginning",
                stream,
            )
        loaded[stream] = kept
    return loaded


def synced_later(bookmarks: dict[str, Any], start: datetime) -> dict[str, datetime]:
    """Return the streams whose first `start_date` was after `start`, with that date."""
    firsts = {
        stream: parse_instant(found["since"])
        for stream, found in bookmarks.items()
        if found.get("since") and found.get("by_id")
    }
    return {stream: first for stream, first in firsts.items() if first > start}


def _usable(
    stream: str, key: str, entry: object, logger: logging.Logger, latest: datetime
) -> Entry:
    """Return the values of an entry that are valid."""
    if not isinstance(entry, dict):
        return {}
    usable: Entry = {}
    for name, value in entry.items():
        if value is None:
            continue
        try:
            if name == "scan":
                Scan.from_state(value)
                usable[name] = value
                continue
            instant = parse_instant(value)
            if instant > latest:
                logger.warning(
                    "The state has a bookmark in the future (%s of %s, %s): "
                    "it is not used, and the stream is read from its beginning",
                    stream,
                    key,
                    value,
                )
                continue
        except (ValueError, TypeError, AttributeError):
            logger.warning(
                "The state of %s has a value that is not a date (%s of %s): "
                "it is not used",
                stream,
                name,
                key,
            )
            continue
        # A date before all that Sentry holds has no effect.
        if instant > BEGINNING:
            usable[name] = to_text(instant)
    return usable


class NoStateManager:
    """Stands in for the SDK's state manager and keeps nothing.

    The SDK would write a state of its own beside the tap's: one partition for each
    context, which is quadratic in their number.
    """

    #: The SDK sets this to False, which has no effect: each access makes a new manager.
    is_flushed = True
    #: The SDK reads this before it writes a STATE message.
    stream_state: ClassVar[Entry] = {}

    def _nothing(self, *_: object, **__: object) -> None:
        """Do nothing."""

    write_starting_replication_value = _nothing
    write_replication_key_signpost = _nothing
    increment_state = _nothing
    finalize_state = _nothing
    finalize_progress_markers = _nothing
    get_state_partition_context = _nothing
    get_state_partitions = _nothing
    get_starting_replication_value = _nothing

    def get_context_state(self, context: object) -> Entry:  # noqa: ARG002 - the SDK's
        """Return an entry that is not kept."""
        return {}

    def is_state_non_resumable(self) -> bool:
        """Return False: an interrupted run resumes from the tap's own state."""
        return False
