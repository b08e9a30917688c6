"""Find the next page of a list of dated rows so that no row is lost between pages.

Sentry orders the events of an issue by whole seconds only and counts rows to find the
next page. Within a second the order changes with every request: a second that lies on
the border of two pages shows some rows twice and others not at all.

So the list is requested again from the end of that second on. Where that is impossible
or not worth a request, the rows of the second are counted: each row that comes twice
stands for one that is missing, and then the second alone is read again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from tap_sentry.api import pagination
from tap_sentry.windows import SECOND

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    #: The id of a row, and its date.
    Dated = tuple[Hashable, datetime]


#: After this many readings in a row without a new row, a second is given up.
FRUITLESS = 10


@dataclass(frozen=True)
class Tie:
    """The second that a page ends in, or the exact instant if cursors are dates."""

    moment: datetime
    #: The number of its rows that were sent, including repeated ones. Once the list is
    #: past the second, this is how many rows the second has.
    rows: int
    ids: frozenset[Hashable]
    #: The cursor of a page that holds its first row, if a cursor can express that.
    begin: str | None = None

    def extended(self, dated: list[Dated]) -> Tie:
        """Return the tie with the rows of one more page.

        A page that begins with newer rows holds the tie from its first row on, because
        the list has moved.
        """
        mine = [key for key, date in dated if date == self.moment]
        before = 0 if dated and dated[0][1] > self.moment else self.rows
        return replace(self, rows=before + len(mine), ids=self.ids.union(mine))

    @property
    def missing(self) -> int:
        """The number of its rows that are missing."""
        return max(0, self.rows - len(self.ids))


@dataclass(frozen=True)
class Repair:
    """A second that is read again because it was incomplete."""

    #: Where it begins, and where the list continues after it.
    begin: Place
    after: Place | None
    #: How many rows it has.
    size: int
    #: How many of them were found before this reading.
    found: int
    #: Consecutive readings that found no new row.
    fruitless: int = 0


@dataclass(frozen=True)
class Place:
    """A place in a list: the parameters of the request for its next page."""

    cursor: str | None = None
    #: The window; None stands for the bound of the list.
    start: datetime | None = None
    end: datetime | None = None
    #: The second that is read again after older rows have been read.
    second: datetime | None = None
    #: How often it was read again before.
    reading: int = 0
    #: The tie at the end of the previous page.
    tie: Tie | None = field(default=None, compare=False)
    repair: Repair | None = field(default=None, compare=False)
    #: Where to continue if the server does not cut the list by `end`.
    otherwise: Place | None = field(default=None, compare=False)

    @property
    def kept_cursor(self) -> str | None:
        """The cursor with which a later run can resume the list."""
        return self.cursor and (instant_cursor(self.cursor) or self.cursor)


@dataclass(frozen=True)
class NextPlace:
    """The place after a page, and the number of rows that could not be read."""

    place: Place | None
    missed: int = 0


def next_place(
    place: Place, dated: list[Dated], cursor: str | None, *, is_cut: bool
) -> NextPlace:
    """Return what follows the page at a place.

    `dated` has its rows, and `cursor` leads to the next page; `is_cut` means that the
    server lists nothing from `end` on.
    """
    if not pagination.is_in_time(cursor or place.cursor or ""):
        dated = [(key, date.replace(microsecond=0)) for key, date in dated]
    if place.repair and place.tie:
        return _repaired(place, place.tie, place.repair, dated, cursor)
    if any(older > newer for (_, newer), (_, older) in pairwise(dated)):
        # The rows are not ordered by date, so ties cannot be found.
        return NextPlace(replace(Place(cursor), end=place.end) if cursor else None)
    tie = place.tie and place.tie.extended(dated)
    if tie and cursor and all(date == tie.moment for _, date in dated):
        return NextPlace(replace(place, cursor=cursor, tie=tie, otherwise=None))
    after = _next(place, dated, cursor, is_cut=is_cut) if cursor else None
    if tie and tie.missing:
        return repaired(place, tie, after, is_cut=is_cut)
    return NextPlace(after)


def _next(place: Place, dated: list[Dated], cursor: str, *, is_cut: bool) -> Place:
    """Return the place after a page whose earlier seconds are complete."""
    plain = Place(cursor, end=place.end)
    if not dated:
        return plain
    moment = dated[-1][1]
    mine = [key for key, date in dated if date == moment]
    instant = instant_cursor(cursor)
    if instant == cursor:
        return plain
    begin = instant or row_cursor(cursor, -len(mine) - 1)
    tie = Tie(moment, len(mine), frozenset(mine), begin)
    plain = replace(plain, tie=tie)
    # Seconds with one row each, or a page of one second: most likely the border is
    # between two seconds, or `end` would not help. The rows on the next page show it.
    is_even = len(set(Counter(date for _, date in dated).values())) == 1
    if is_even or not is_cut or not pagination.counts_rows(cursor):
        return plain
    return Place(end=moment + SECOND, tie=replace(tie, rows=0), otherwise=plain)


def repaired(place: Place, tie: Tie, after: Place | None, *, is_cut: bool) -> NextPlace:
    """Return the place to read an incomplete second again, else the one after it."""
    if is_cut and pagination.counts_rows(place.cursor or ""):
        begin = Place(start=tie.moment, end=tie.moment + SECOND)
    elif tie.begin:
        begin = Place(tie.begin, end=place.end)
    else:
        return NextPlace(after, tie.missing)
    begin = replace(begin, second=tie.moment)
    repair = Repair(begin, after, size=tie.rows, found=len(tie.ids))
    return NextPlace(replace(begin, tie=replace(tie, rows=0), repair=repair))


def _repaired(
    place: Place, tie: Tie, repair: Repair, dated: list[Dated], cursor: str | None
) -> NextPlace:
    """Return what follows a page of a second that is read again."""
    tie = tie.extended(dated)
    if len(tie.ids) >= repair.size:
        return NextPlace(repair.after)
    if cursor and all(date >= tie.moment for _, date in dated):
        return NextPlace(replace(place, cursor=cursor, tie=tie))
    # It was read to its end, so its size is certain now, whatever moved before.
    if not tie.missing:
        return NextPlace(repair.after)
    is_fruitless = len(tie.ids) == repair.found
    fruitless = repair.fruitless + 1 if is_fruitless else 0
    if fruitless == FRUITLESS:
        return NextPlace(repair.after, tie.missing)
    repair = replace(repair, size=tie.rows, found=len(tie.ids), fruitless=fruitless)
    begin = replace(repair.begin, reading=place.reading + 1)
    return NextPlace(replace(begin, tie=replace(tie, rows=0), repair=repair))


def uncut(place: Place) -> NextPlace | None:
    """Return what replaces a new window if the server ignores windows."""
    if place.repair and place.start and place.tie:
        tie = replace(place.tie, rows=place.repair.size)
        return repaired(Place(), tie, place.repair.after, is_cut=False)
    return NextPlace(place.otherwise) if place.otherwise else None


def page_size(most: int, place: Place) -> int:
    """Return the page size; it changes each time that a second is read again.

    On a server that always orders equal dates alike, other page sizes show other rows.
    """
    return most - 7 * place.reading % (most // 2 or 1)


def instant_cursor(cursor: str) -> str | None:
    """Return the cursor of the first row at a cursor's instant, if it names one."""
    if not pagination.is_in_time(cursor):
        return None
    return cursor.partition(":")[0] + ":0:0"


def row_cursor(cursor: str, rows: int) -> str | None:
    """Return the cursor some rows further; None unless it counts rows (`0:100:0`)."""
    if not pagination.counts_rows(cursor):
        return None
    value, *rest = cursor.split(":")
    if value != "0" or len(rest) != len(("row", "is_previous")):
        return None
    return f"0:{max(0, int(rest[0]) + rows)}:0"
