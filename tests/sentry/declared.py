"""Declare lists whose rows are made from what an organization or a project is.

A declaration is the endpoint and, for the stream that reads it, the keys that the
stream must have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.sentry.answers import reply, written
from tests.sentry.endpoints import DATES, PAGED, endpoint
from tests.sentry.lists import pages, window_of
from tests.sentry.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call, Key
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization
    from tests.sentry.world import World

    #: Returns the rows of an organization, project, team or issue.
    Rows: TypeAlias = Callable[[World, Any], list[Record]]


@dataclass(frozen=True)
class Declared:
    """The records of a stream, and where they are read."""

    templates: tuple[str, ...]
    #: The columns that identify a row within its organization.
    key: tuple[str, ...]
    #: Returns the rows of an organization, with the columns of the key.
    rows: Callable[[World, Organization], Iterable[Record]]
    #: The column with the date that the stream goes by, if it goes by one.
    date: str | None = None

    def truth(
        self,
        sentry: World,
        organization: Organization,
        start: datetime | None,
        end: datetime,
    ) -> Iterator[tuple[Key, Callable[[], Record]]]:
        """Yield the keys of an organization, with the records."""
        for row in self.rows(sentry, organization):
            if self.date:
                date = parse_date(row[self.date])
                if date >= end or (start and date < start):
                    continue
            key = tuple(str(row[name]) for name in self.key)
            yield (organization.id, *key), row.copy


#: The records of streams, by name.
DECLARED: dict[str, Declared] = {}


def declare(  # noqa: PLR0913 - most have a default
    stream: str,
    template: str,
    scopes: str,
    rows: Rows,
    *,
    key: tuple[str, ...] = ("id",),
    parameters: str = "",
    field: str | None = None,
    date: str | None = None,
    is_paged: bool = True,
) -> None:
    """Declare the list of a stream.

    Args:
        stream: The stream that reads it.
        template: The path.
        scopes: Scopes, any of which gives access.
        rows: Returns the rows of an organization, or of a project if that is in the
            path.
        key: The columns that identify a row there.
        parameters: The parameters that it takes besides those of pages. With those for
            dates the list is cut by `date`.
        field: The field that holds the rows; None if the body is the list.
        date: The column that the stream goes by, if it goes by a date.
        is_paged: Whether it is sent in pages.
    """
    is_of_project = "{project}" in template

    def all_rows(sentry: World, organization: Organization) -> Iterator[Record]:
        if not is_of_project:
            yield from rows(sentry, organization)
            return
        for project in organization.projects:
            if not project.forbidden:
                for row in rows(sentry, project):
                    yield row | {"project_id": project.id}

    names = ("project_id", *key) if is_of_project else key
    DECLARED[stream] = Declared((template,), names, all_rows, date)

    @endpoint(template, scopes, f"{PAGED if is_paged else ''} {parameters}")
    def answer(sentry: World, call: Call) -> Answer:
        found = rows(sentry, call.project if is_of_project else call.organization)
        if date and DATES in parameters:
            found = within(sentry, call, found, date)
        return listed(sentry, call, found, field, is_paged=is_paged)


def within(sentry: World, call: Call, rows: list[Record], date: str) -> list[Record]:
    """Return the rows of the window that a request asks for."""
    window = window_of(sentry, call, timedelta(days=90))
    return [
        row
        for row in rows
        if not (window.start and parse_date(row[date]) < window.start)
        and not (window.end and parse_date(row[date]) >= window.end)
    ]


def listed(
    sentry: World,
    call: Call,
    rows: list[Record],
    field: str | None = None,
    *,
    is_paged: bool = True,
) -> Answer:
    """Answer with a list, in pages or whole, as it is or in a field of an object."""
    if not is_paged:
        call.request.rows = len(rows)
        return reply({field: rows} if field else rows)
    answer = pages(sentry, call, rows, written)
    # Sentry 9.1.2 sends the bare list.
    if field and not sentry.flavour.old_records:
        body = b'{"' + field.encode() + b'": ' + answer.body + b"}"
        return replace(answer, body=body)
    return answer
