"""What the lists have in common: windows, page sizes, cursors and `Link` headers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

from tests.sentry.answers import Answer, internal_error, refuse
from tests.sentry.calls import API
from tests.sentry.flavours import OLD_COLUMNS
from tests.sentry.paging import Slice, again, by_page, by_token, by_value
from tests.sentry.times import Window, milliseconds, parse_date, parse_period

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.world import World


T = TypeVar("T")


#: What most lists say of a start that is too early.
TOO_EARLY = "Invalid date range: start is outside of the retention period"


def window_of(
    sentry: World,
    call: Call,
    default: timedelta | None = None,
    *,
    clamped: bool = True,
    too_early: str = TOO_EARLY,
) -> Window:
    """Parse `start` and `end`, or `statsPeriod`, which takes precedence."""
    now = sentry.clock()
    start, end = call.one("start"), call.one("end")
    low: datetime | None = None
    high: datetime | None = None
    try:
        if period := call.one("statsPeriod"):
            low, high = now - parse_period(period), now
        elif start and end:
            offsets = sentry.flavour.name != "self-hosted-9"
            low = parse_date(start, offsets=offsets)
            high = parse_date(end, offsets=offsets)
        elif start or end:
            raise refuse(400, "start and end are both required")
        elif default:
            low, high = now - default, now
    except ValueError as error:
        raise refuse(400, f"Invalid date range: {error}") from None
    if low and high and low >= high:
        raise refuse(400, "start must be before end")
    check_age(sentry, call, low, too_early)
    if sentry.flavour.precision == "seconds":
        low = low and low.replace(microsecond=0)
        high = high and high.replace(microsecond=0)
    kept = sentry.kept(low) if clamped else low
    outside = bool(kept and high and high <= kept)
    return Window(kept, high, outside)


def check_age(
    sentry: World, call: Call, start: datetime | None, too_early: str
) -> None:
    """Refuse a window that starts too early, if the server has a `refusal`."""
    is_asked = start and call.one("start")
    is_here = call.request.path.startswith(sentry.refusing)
    if not (sentry.refusal and is_asked and is_here):
        return
    kept, status = sentry.refusal
    if start and start < sentry.clock() - kept:
        if status == 500:
            raise internal_error()
        raise refuse(status, too_early)


def page_limit(sentry: World, call: Call, parameter: str, *, full: bool = False) -> int:
    """Return the maximum number of rows in a page."""
    tip = sentry.flavour.glitchtip
    parameter = "limit" if tip else parameter
    text = call.one(parameter) or ("50" if tip else "100")
    limit = int(text) if re.fullmatch(r"-?\d+", text) else 0
    if parameter == "limit" and not tip:
        limit = min(limit, 100)
    if not 1 <= limit <= 100:
        if sentry.flavour.bad_parameter == 500:
            raise internal_error()
        raise refuse(
            sentry.flavour.bad_parameter,
            f"Invalid {parameter} value. "
            + ("Cannot exceed 100." if limit > 100 else "Must be between 1 and 100."),
        )
    if full and not sentry.flavour.body:
        limit = min(limit, sentry.flavour.full_rows)
    return min(limit, sentry.page_size or limit)


def one_page(  # noqa: PLR0913, PLR0917 - each is independent
    sentry: World,
    call: Call,
    rows: Sequence[T],
    write: Callable[[T], bytes],
    slicer: Callable[[str | None, int], Slice],
    limit: int,
) -> Answer:
    """Return one page of a list; rows that are written as b"" are left out."""
    cursor = call.one("cursor") or None
    try:
        if sentry.flavour.glitchtip:
            part = by_token(cursor, limit, len(rows))
        else:
            part = slicer(cursor, limit)
    except (ValueError, KeyError, TypeError):
        if sentry.flavour.bad_parameter == 500:
            raise internal_error() from None
        status = sentry.flavour.bad_parameter
        raise refuse(status, "Invalid cursor parameter.") from None
    bodies = [body for row in rows[part.start : part.stop] if (body := write(row))]
    kind = call.fault.kind if call.fault else ""
    if kind in {"empty_page", "repeat_page"}:
        part = replace(part, following=again(part.here), more=True)
        bodies = [] if kind == "empty_page" else bodies
    call.request.rows = len(bodies)
    headers = {
        "Content-Type": "application/json",
        "Link": link_header(sentry, call, part),
    }
    return Answer(200, headers, b"[" + b", ".join(bodies) + b"]")


def link_header(sentry: World, call: Call, part: Slice) -> str:
    request, tip = call.request, sentry.flavour.glitchtip
    params = {name: row for name, row in request.params.items() if name != "cursor"}
    base = sentry.link_base or sentry.url
    url = f"{base}{API}{request.path}?{urlencode(params, doseq=True)}"
    links = []
    for name, cursor, results in (
        ("previous", part.previous, part.start > 0),
        ("next", part.following, part.more),
    ):
        link = f'<{url}&cursor={quote(cursor, safe=":")}>; rel="{name}"; '
        if tip and not results:
            link = f'<{url}>; rel="{name}"; results="false"'
        else:
            link += f'results="{str(results).lower()}"; cursor="{cursor}"'
        links.append(link)
    joined = ", ".join(links)
    return f"{{'{joined}'}}" if tip else joined  # GlitchTip sends a printed set


def pages(  # noqa: PLR0913 - likewise
    sentry: World,
    call: Call,
    rows: Sequence[T],
    write: Callable[[T], bytes],
    *,
    full: bool = False,
    slicer: Callable[[str | None, int, int], Slice] = by_page,
) -> Answer:
    """Return a page of a list whose cursors count pages or rows."""
    limit = page_limit(sentry, call, "per_page", full=full)
    total = len(rows)
    return one_page(
        sentry,
        call,
        rows,
        write,
        lambda cursor, limit: slicer(cursor, limit, total),
        limit,
    )


def values(  # noqa: PLR0913 - likewise
    sentry: World,
    call: Call,
    rows: Sequence[T],
    write: Callable[[T], bytes],
    when: Callable[[T], datetime],
    *,
    parameter: str = "per_page",
) -> Answer:
    """Return a page of a list, newest first, whose cursors hold dates."""

    def slicer(cursor: str | None, limit: int) -> Slice:
        return by_value(cursor, limit, rows, lambda row: milliseconds(when(row)))

    return one_page(
        sentry, call, rows, write, slicer, page_limit(sentry, call, parameter)
    )


def shaped(sentry: World, kind: str, record: Record) -> Record:
    """Remove the columns that an old server does not have."""
    if not sentry.flavour.old_records:
        return record
    columns = OLD_COLUMNS[kind].split()
    record = {name: record[name] for name in columns if name in record}
    if sentry.flavour.glitchtip and "teams" in record:
        record["teams"] = [team | {"id": int(team["id"])} for team in record["teams"]]
    return record
