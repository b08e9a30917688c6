"""Functions over the rows of a table, such as `count()`."""

from __future__ import annotations

import math
import re
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tests.sentry.answers import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.sentry.data.events import Record

#: The types of columns and, where these do not tell, of values.
KINDS = {"timestamp": "date", "issue.id": "integer", "project.id": "integer"}
KINDS_OF_VALUES = {bool: "boolean", int: "number", float: "number", list: "array"}
FUNCTION = re.compile(r"(\w+)\((.*)\)")


def percentile(share: float) -> Callable[[Sequence[float]], float]:
    """Return a function that gives the value that this share does not exceed."""
    return lambda values: sorted(values)[math.ceil(share * len(values)) - 1]


#: Functions of the numbers in a column.
FIGURES: dict[str, Callable[[list[float]], float]] = {
    "avg": fmean,
    "max": max,
    "min": min,
    "p50": percentile(0.5),
    "p75": percentile(0.75),
    "p95": percentile(0.95),
    "p99": percentile(0.99),
    "sum": sum,
}


def is_function(field: str) -> bool:
    return FUNCTION.fullmatch(field) is not None


def check_function(field: str) -> None:
    """Refuse a function that is unknown, or that lacks its column."""
    if not (match := FUNCTION.fullmatch(field)):
        return
    name, column = match.groups()
    if name not in {"count", "count_unique", *FIGURES}:
        raise refuse(400, f"{name} is not a valid function")
    if (name == "count") is bool(column):
        raise refuse(400, f"{name}: expected {int(name != 'count')} argument(s)")


def aggregated(
    rows: Iterable[Record], fields: Sequence[str], weight: int = 1
) -> list[Record]:
    """Return a row for each group of equal values in the fields without functions.

    Args:
        rows: The rows.
        fields: Columns and functions. With functions alone there is exactly one row.
        weight: How many rows each stands for; only `count()` goes by it.
    """
    plain = [field for field in fields if not is_function(field)]
    groups: dict[tuple[str, ...], list[Record]] = {} if plain else {(): []}
    for row in rows:
        by = tuple(repr(row.get(field)) for field in plain)
        groups.setdefault(by, []).append(row)
    return [
        {field: figure(field, group, weight) for field in fields}
        for group in groups.values()
    ]


def figure(field: str, group: list[Record], weight: int) -> Any:
    """Return the value of a column or a function for a group."""
    if not (match := FUNCTION.fullmatch(field)):
        return group[0].get(field)
    name, column = match.groups()
    if name == "count":
        return len(group) * weight
    values = [value for row in group if (value := row.get(column)) is not None]
    if name == "count_unique":
        return len(set(map(repr, values)))
    if not all(type(value) in {int, float} for value in values):
        detail = f"column argument invalid: {column} is not a numeric column"
        raise refuse(400, f"{field}: {detail}")
    return FIGURES[name](values) if values else None


def kind_of(rows: Iterable[Record], field: str) -> tuple[str, str | None]:
    """Return the type and the unit of a field, as an answer describes them."""
    match = FUNCTION.fullmatch(field)
    if match and match[1].startswith("count"):
        return "integer", None
    column = match[2] if match else field
    if column.endswith((".duration", ".self_time")):
        return "duration", "millisecond"
    if column in KINDS:
        return KINDS[column], None
    if match or column.endswith(",number]"):
        return "number", None
    values = (value for row in rows if (value := row.get(field)) is not None)
    return KINDS_OF_VALUES.get(type(next(values, None)), "string"), None
