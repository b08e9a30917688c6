"""Tables of rows that a user defines: events, spans, log lines and others."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tap_sentry.api import errors
from tap_sentry.api.responses import read_body
from tap_sentry.records import bodies
from tap_sentry.settings.explore import HASH, TIMESTAMP, Query
from tap_sentry.streams.explore import COLUMNS, SCANNED, ExploreTable, described
from tap_sentry.streams.intervals import ALL_PROJECTS
from tap_sentry.streams.schema import ORGANIZATION_ID, key, schema_of
from tap_sentry.windows import DAY, HOUR, SECOND, Window, floor, split, to_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from datetime import datetime

    import requests
    from singer_sdk import Tap

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context

MINUTE = timedelta(minutes=1)
#: The most rows of a request that a window is cut down to.
MOST_ROWS = 2_000
#: How many rows the windows shall have that a larger one is cut into.
AIM = 1_500
#: How many windows are counted before the first of them is read.
AHEAD = 32
#: Up to this part, what Sentry counts may differ from the rows that it returns.
TOLERANCE = 0.01
COUNT = "count()"


@dataclass(frozen=True)
class Found:
    """What Sentry counts in a window."""

    rows: int
    #: Whether it has looked at a part of its data only.
    is_partial: bool


class ExploreRows(ExploreTable):
    """A table of rows: events, spans, log lines and others.

    Rows are read in windows of at most `MOST_ROWS` rows, by ascending time. Sentry
    counts the rows of each window, so that none is missing without notice.
    """

    replication_key = TIMESTAMP
    # All of a window, so that windows are read side by side.
    max_held = MOST_ROWS // 100

    def __init__(self, tap: Tap, run: Run, query: Query) -> None:
        """Start with nothing counted."""
        super().__init__(tap, run, query)
        #: The longest window of which Sentry looks at all data.
        self.exact = DAY if query.dataset == "errors" else HOUR
        self._found: dict[Hashable, Found] = {}

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The columns of the table."""
        keys = self.explored.keys
        hashed = [key(HASH, "A hash of all columns, by which the row is known.")]
        return schema_of(
            ORGANIZATION_ID,
            *(hashed if HASH in keys else ()),
            *(
                (key if column.name in keys else COLUMNS[column.type])(
                    column.name, described(column)
                )
                for column in self.explored.columns
            ),
        )

    @property
    def id_column(self) -> str:  # type: ignore[override] # by the query
        """The last column of the key."""
        return self.explored.keys[-1]

    def begin(self, start: datetime) -> datetime:
        """Return where a first run begins."""
        return floor(start, SECOND)

    def begin_again(self, bookmark: datetime) -> datetime:
        """Return where a run begins that follows one up to the bookmark."""
        return floor(bookmark - self.run.settings.lookback, SECOND)

    # Counting -------------------------------------------------------------------------

    def prefetch_count(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Prefetch:
        """Return the list with the count of a window as its only row."""
        query = {
            **self.query(part),
            "project": list(projects) or ALL_PROJECTS,
            "field": COUNT,
            "sort": COUNT,
            # Without it, Sentry counts what clients did not send because they sample.
            "disableAggregateExtrapolation": "1",
        }
        make = functools.partial(self.reader.paged_list, context, query)
        return self.reader.prefetch(context, make, part=(COUNT, part, projects))

    def known(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Found | None:
        """Return what Sentry counts in a window; None before it has arrived."""
        key = (context["organization_id"], part, projects)
        if key not in self._found:
            wanted = self.prefetch_count(context, part, projects)
            rows = self.run.client.prefetcher.peek(wanted.key)
            return None if rows is None else found_in(rows)
        return self._found[key]

    def found(self, context: Context, part: Window, projects: tuple[str, ...]) -> Found:
        """Return what Sentry counts in a window."""
        key = (context["organization_id"], part, projects)
        if key not in self._found:
            wanted = self.prefetch_count(context, part, projects)
            self._found[key] = found_in(self.take(wanted))
        return self._found[key]

    def parse_response(self, response: requests.Response) -> Iterator[Row]:
        """Yield the rows of a response, or its count."""
        for sent in read_body(response, self.decode):
            if COUNT in sent:
                yield sent
                continue
            row = self.project(sent)
            if self.id_column == HASH:
                row[HASH] = hash_of(row)
            if bodies.decode_value(row.get(self.id_column)) is None:
                self.run.results.add_without_id(self.name)
            else:
                yield row

    # Reading --------------------------------------------------------------------------

    def read_part(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Iterator[tuple[Window, list[Row]]]:
        """Yield the rows of a window, in smaller windows if it has many."""
        found = self.found(context, part, projects)
        if smaller := shares(part, found, self.exact):
            for share in smaller:
                yield from self.read_part(context, share, projects)
            return
        rows = []
        if found.rows:
            rows = self.rows_of(context, part, projects)
            if lacks(rows, found) and found.rows < self.many_rows:
                # Rows may have been on their way.
                rows = self.rows_of(context, part, projects)
            self.check(context, part, rows, found)
        yield part, rows

    def fetch(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> list[Row]:
        """Return the rows of a window, each once."""
        rows = super().fetch(context, part, projects)
        names = self.primary_keys[1:]
        keys = (tuple(bodies.decode_value(row.get(n)) for n in names) for row in rows)
        return list(dict(zip(keys, rows, strict=True)).values())

    def check(
        self, context: Context, part: Window, rows: list[Row], found: Found
    ) -> None:
        """Say if a window has fewer rows than Sentry counts.

        Raises:
            TransientError: If `strict` is on.
        """
        if found.is_partial:
            self.run.results.add_sampled(self.name)
        elif lacks(rows, found):
            msg = (
                f"{self.run.directory.describe(context)} has {len(rows):,} rows from "
                f"{to_text(part.start)} to {to_text(part.end)}, where Sentry counts "
                f"{found.rows:,}"
            )
            if self.run.settings.strict:
                raise errors.TransientError(msg)
            self.logger.warning("%s: %s", self.name, msg)

    def expected_pages(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> int:
        """Return the number of pages of a window, by its count."""
        found = self.known(context, part, projects)
        return math.ceil(found.rows / self.page_sizes[0]) if found else 1

    def prefetch_parts(
        self, context: Context, projects: tuple[str, ...]
    ) -> Iterator[Prefetch | None]:
        """Yield the counts of the windows, and the rows of those that are counted."""
        rest = self.reader.retained(context, self.window(context))
        todo, asked = deque(split(rest, self.interval)), deque[Window]()
        while todo or asked:
            while todo and len(asked) < AHEAD:
                asked.append(todo.popleft())
                yield self.prefetch_count(context, asked[-1], projects)
            if (found := self.known(context, asked[0], projects)) is None:
                yield None
                continue
            part = asked.popleft()
            if smaller := shares(part, found, self.exact):
                todo.extendleft(reversed([*smaller, *asked]))
                asked.clear()
            elif found.rows:
                yield self.prefetch_part(context, part, projects)


def shares(part: Window, found: Found, exact: timedelta) -> list[Window]:
    """Return the smaller windows to read instead of one; none if it is small enough.

    Args:
        part: The window.
        found: What Sentry counts in it.
        exact: The longest window of which Sentry looks at all data.
    """
    length = part.end - part.start
    step = length
    if found.rows:
        step = min(step, exact)
    if found.is_partial and length > MINUTE:
        step = min(step, length / 2)
    if found.rows > MOST_ROWS:
        step = min(step, length * AIM / found.rows)
    step = max(timedelta(seconds=step // SECOND), SECOND)
    return list(split(part, step)) if step < length else []


def lacks(rows: list[Row], found: Found) -> bool:
    """Return whether there are noticeably fewer rows than Sentry counts."""
    return found.rows - len(rows) > found.rows * TOLERANCE


def found_in(rows: list[Row]) -> Found:
    """Return the count in an answer; no row means none."""
    if not rows:
        return Found(0, is_partial=False)
    scanned = bodies.decode_value(rows[0].get(SCANNED))
    return Found(int(bodies.decode_value(rows[0][COUNT]) or 0), scanned == "partial")


def hash_of(row: Row) -> str:
    """Return a hash of the values of a row."""
    values = sorted(bodies.decode_values(row).items())
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:32]
