"""The registry of simulated endpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from tests.sentry.answers import written
from tests.sentry.calls import Endpoint
from tests.sentry.lists import pages, shaped, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.world import World


T = TypeVar("T")


ENDPOINTS: list[Endpoint] = []
PAGED = "cursor per_page"
DATES = "start end statsPeriod"


def endpoint(
    template: str, scopes: str, parameters: str = ""
) -> Callable[
    [Callable[[World, Call], Answer]],
    Callable[[World, Call], Answer],
]:
    """Register the function that answers requests for a path template.

    Parameters whose name ends in `*` may be repeated.
    """

    def register(
        answer: Callable[[World, Call], Answer],
    ) -> Callable[[World, Call], Answer]:
        ENDPOINTS.append(
            Endpoint(
                template,
                re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)),
                frozenset(scopes.split()),
                frozenset(parameters.split()),
                answer,
            )
        )
        return answer

    return register


def plain_list(  # noqa: PLR0913 - most have a default
    template: str,
    scopes: str,
    parameters: str,
    *,
    kind: str,
    rows: Callable[[World, Call], Iterable[T]],
    record: Callable[[Call, T], Record] = lambda _, row: row.record(),  # type: ignore[attr-defined] # most have it
    order: Callable[[T], Any] | None = None,
    date: Callable[[T], datetime] | None = None,
) -> None:
    """Declare a list endpoint that needs nothing but paging.

    Args:
        template: The path template.
        scopes: Scopes, any of which gives access.
        parameters: The query parameters that it accepts.
        kind: The name in `OLD_COLUMNS` of the columns that old servers send.
        rows: Returns all rows for a request.
        record: Returns the record that is sent for a row.
        order: The sort key of the rows; cursors count pages.
        date: The date that rows are sorted by, newest first; cursors hold it.
    """

    @endpoint(template, scopes, parameters)
    def answer(sentry: World, call: Call) -> Answer:
        def write(row: T) -> bytes:
            return written(shaped(sentry, kind, record(call, row)))

        if date:
            newest = sorted(rows(sentry, call), key=date, reverse=True)
            return values(sentry, call, newest, write, date)
        ordered = (
            sorted(rows(sentry, call), key=order) if order else [*rows(sentry, call)]
        )
        return pages(sentry, call, ordered, write)


def find_endpoint(path: str) -> tuple[Endpoint | None, dict[str, str]]:
    for found in ENDPOINTS:
        if match := found.pattern.fullmatch(path):
            return found, match.groupdict()
    return None, {}
