"""Events."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.sentry.answers import (
    Answer,
    RefusalError,
    internal_error,
    refuse,
    written,
)
from tests.sentry.data.events import iso
from tests.sentry.endpoints import DATES, PAGED, endpoint
from tests.sentry.flavours import SNAKE_CASE
from tests.sentry.lists import pages, values, window_of
from tests.sentry.paging import BySecond, by_row
from tests.sentry.times import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.sentry.calls import Call
    from tests.sentry.data.events import Event, Record
    from tests.sentry.world import World


@endpoint(
    "projects/{org}/{project}/events/",
    "project:read",
    f"{DATES} {PAGED} full query",
)
def project_events(sentry: World, call: Call) -> Answer:
    project = call.project
    window = Window(sentry.kept(None), None)
    if sentry.flavour.event_dates:
        try:
            window = window_of(sentry, call)
        except RefusalError:
            detail = "Invalid date range parameters provided"
            raise refuse(400, detail) from None
    window = limited(sentry, window)
    rows: Sequence[Event] = project.events.newest(window.start, window.end)
    if sentry.flavour.glitchtip:
        rows = sentry.remembered(
            ("received", project.id), lambda: by_receipt(project.events)
        )
    if query := call.one("query").lower():
        rows = [event for event in rows if query in event.message.lower()]
    return event_pages(sentry, call, window, rows, full=bool(call.one("full")))


def limited(sentry: World, window: Window) -> Window:
    """Cut a window where lists go back a few days only; nothing tells that they do."""
    if sentry.project_event_days is None:
        return window
    first = sentry.clock() - timedelta(days=sentry.project_event_days)
    return replace(window, start=max(window.start or first, first))


@endpoint(
    "organizations/{org}/issues/{issue}/events/",
    "event:read",
    f"{DATES} {PAGED} full query",
)
@endpoint("issues/{issue}/events/", "event:read", f"{DATES} {PAGED} full query")
def issue_events(sentry: World, call: Call) -> Answer:
    issue = call.issue
    window = Window(None, None)
    if sentry.flavour.issue_event_dates:
        default = timedelta(days=90) if sentry.flavour.retention else None
        window = window_of(sentry, call, default)
    if call.one("query"):
        raise refuse(400, "Not simulated: a query for events of an issue")
    rows: Sequence[Event] = issue.events.newest(window.start, window.end)
    if sentry.flavour.glitchtip:
        rows = sentry.remembered(
            ("received", issue.id), lambda: by_receipt(issue.events)
        )
    full = call.one("full").lower() in {"1", "true"}
    return event_pages(sentry, call, window, rows, full=full)


def event_pages(
    sentry: World, call: Call, window: Window, rows: Sequence[Event], *, full: bool
) -> Answer:
    if window.outside:
        raise internal_error()  # Sentry does not handle this case
    form = sentry.flavour.body or ("full" if full else "light")
    if form == "glitchtip" and "issue" in call.parts:
        form = "snake"

    def write(event: Event) -> bytes:
        return write_event(sentry, event, form)

    if sentry.flavour.value_cursors:
        return values(sentry, call, rows, write, lambda event: event.created)
    if not sentry.flavour.glitchtip:
        rows = BySecond(rows, lambda event: event.created, tie_break(sentry, call))
    return pages(sentry, call, rows, write, full=full, slicer=by_row)


def tie_break(sentry: World, call: Call) -> Callable[[Event], Any]:
    """Return the sort key within a second: by id for projects, random for issues."""
    if "issue" not in call.parts or sentry.order is None:
        return lambda event: -int(event.id, 16)
    chance = chance_of(sentry, call)
    return lambda _: chance.random()


def chance_of(sentry: World, call: Call) -> random.Random:
    """Return random numbers that differ with every request."""
    request = call.request
    asked = f"{request.path} {sorted(request.params.items())}"
    # Answers with an injected fault do not count.
    sentry.answered[asked] += call.fault is None
    seed = f"{sentry.order} {asked} {sentry.answered[asked]}"
    return random.Random(seed)  # noqa: S311 - nothing is secret here


def write_event(sentry: World, event: Event, form: str) -> bytes:
    """Encode an event; everything but its entries is cached."""
    key = (event.number, form)
    if not (head := sentry.bodies.get(key)):
        head = sentry.bodies[key] = written(event_record(sentry, event, form))
    if form != "light":
        head = head[:-1] + b', "entries": ' + event.entries.json + b"}"
    return sentry.rewrite(event, head) if sentry.rewrite else head


def event_record(sentry: World, event: Event, form: str) -> Record:
    if form == "light":
        return event.light()
    record = event.full()
    if "dateCreated" in record:
        record["dateCreated"] = iso(event.created, sentry.flavour.precision)
    if form == "full":
        return record
    del record["occurrence"]
    if form == "nine":
        record["id"] = str(event.number)
        record["tags"] = [tag | {"_meta": None} for tag in record["tags"]]
        return record
    for column in ("_meta", "size", "fingerprints", "groupingConfig", "crashFile"):
        record.pop(column, None)
    record["projectID"] = int(record["projectID"])
    if record["groupID"]:
        record["groupID"] = int(record["groupID"])
    if form == "snake":
        return {SNAKE_CASE.get(name, name): value for name, value in record.items()}
    return record


def by_receipt(events: Iterable[Event]) -> list[Event]:
    """Sort events as GlitchTip does: by receipt, newest first."""
    return sorted(events, key=lambda event: event.received, reverse=True)
