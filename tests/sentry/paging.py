"""Pages and cursors."""

from __future__ import annotations

import base64
import itertools
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tests.sentry.answers import refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


T = TypeVar("T")


@dataclass(frozen=True)
class Slice:
    """The bounds of a page, and its cursors."""

    start: int
    stop: int
    here: str
    following: str
    previous: str
    more: bool


def parse_cursor(text: str) -> tuple[float, int]:
    """Parse `value:offset:is_prev`; paging backwards is not simulated."""
    value, offset, backwards = text.split(":")
    if int(backwards):
        raise ValueError(text)
    return float(value), int(offset)


def by_page(text: str | None, limit: int, total: int) -> Slice:
    """Page as Sentry's OffsetPaginator: `rows:page:0`."""
    value, page = parse_cursor(text) if text else (float(limit), 0)
    size = int(value) or limit
    start = page * size
    if start < 0:
        raise refuse(400, "Pagination offset cannot be negative")
    stop = min(start + min(size, limit), total)
    return Slice(
        start,
        stop,
        text or f"{limit}:0:0",
        f"{limit}:{page + 1}:0",
        f"{limit}:{page - 1}:1",
        more=stop < total,
    )


def by_row(text: str | None, limit: int, total: int) -> Slice:
    """Page as Sentry's GenericOffsetPaginator: `0:row:0`."""
    _, start = parse_cursor(text) if text else (0.0, 0)
    if start < 0:
        raise refuse(400, "Pagination offset cannot be negative")
    stop = min(start + limit, total)
    return Slice(
        start,
        stop,
        text or "0:0:0",
        f"0:{start + limit}:0",
        f"0:{max(0, start - limit)}:1",
        more=stop < total,
    )


class BySecond(Sequence[T]):
    """A list ordered by whole seconds, newest first, and by a key within each."""

    def __init__(
        self,
        rows: Sequence[T],
        when: Callable[[T], datetime],
        key: Callable[[T], Any],
    ) -> None:
        self._rows = rows
        self._second = lambda index: when(rows[index]).replace(microsecond=0)
        self._key = key

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self[places : places + 1][0]
        if not places:
            return []
        low, high = places.start, places.stop - 1
        while low and self._second(low - 1) == self._second(places.start):
            low -= 1
        while high + 1 < len(self) and self._second(high + 1) == self._second(high):
            high += 1
        ordered: list[T] = []
        for _, group in itertools.groupby(range(low, high + 1), self._second):
            ordered += sorted((self._rows[place] for place in group), key=self._key)
        return ordered[places.start - low : places.stop - low]


def by_value(
    text: str | None, limit: int, rows: Sequence[T], when: Callable[[T], int]
) -> Slice:
    """Page as Sentry's DateTimePaginator: `milliseconds:rows to skip:0`, descending."""

    def before(value: float) -> int:
        return bisect_left(rows, -value, key=lambda row: -when(row))

    start = 0
    if text:
        value, skipped = parse_cursor(text)
        start = min(before(value) + skipped, len(rows))
    stop = min(start + limit, len(rows))
    more = stop < len(rows)
    top = when(rows[start]) if start < len(rows) else 0
    last = when(rows[stop if more else stop - 1]) if stop else 0
    return Slice(
        start,
        stop,
        text or f"{top}:0:0",
        f"{last}:{stop - before(last)}:0",
        f"{top}:0:1",
        more=more,
    )


def by_token(text: str | None, limit: int, total: int) -> Slice:
    """Page as GlitchTip, with cursors in base64, which may end in `=`."""

    def token(offset: int) -> str:
        return base64.b64encode(json.dumps({"o": offset}).encode()).decode()

    offset = int(json.loads(base64.b64decode(text, validate=True))["o"]) if text else 0
    stop = min(offset + limit, total)
    return Slice(
        offset,
        stop,
        text or token(0),
        token(stop),
        token(max(0, offset - limit)),
        more=stop < total,
    )


def again(cursor: str) -> str:
    """Return a different cursor for the same position."""
    if ":" not in cursor:
        place = json.loads(base64.b64decode(cursor))
        place["n"] = place.get("n", 0) + 1
        return base64.b64encode(json.dumps(place).encode()).decode()
    value, colon, rest = cursor.partition(":")
    return f"{value}{'0' if '.' in value else '.0'}{colon}{rest}"
