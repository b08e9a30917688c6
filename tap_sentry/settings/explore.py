"""The tables of the setting `explore`: queries that a user defines.

https://docs.sentry.io/api/explore/query-explore-events-in-table-format/
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tap_sentry.settings.names import Names
from tap_sentry.settings.unknown import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The datasets, each with the fields that identify a row, if any do.
DATASETS: Mapping[str, tuple[str, ...]] = {
    "errors": ("id",),
    "spans": ("trace", "id"),
    "logs": ("sentry.item_id",),
    "tracemetrics": (),
    "uptime_results": (),
    "profile_functions": (),
}
INTERVALS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}
KEYS = ("name", "dataset", "fields", "query", "projects", "interval")
#: The most fields of a request.
MAX_FIELDS = 20
TIMESTAMP = "timestamp"
#: Columns that the tap adds.
ORGANIZATION, INTERVAL_START, HASH = "organization_id", "interval_start", "row_hash"
ADDED = frozenset({ORGANIZATION, INTERVAL_START, HASH})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAG = re.compile(r"tags\[\s*([^\],]+?)\s*(?:,\s*(string|number|boolean)\s*)?\]")
_FUNCTION = re.compile(r"([a-z][a-z0-9_]*)\((.*)\)")
_FIELD = re.compile(r"[A-Za-z_][\w.:-]*")
#: Terms of a query for what has a setting of its own.
_RESERVED = re.compile(r"(?:^|[\s(!])(timestamp|project|project\.id|project\.name):")

#: Fields that are no texts. Ids are texts everywhere.
_TYPES = {
    TIMESTAMP: "date-time",
    **dict.fromkeys(("timestamp.to_hour", "timestamp.to_day"), "date-time"),
    **dict.fromkeys(
        ("span.duration", "span.self_time", "transaction.duration"), "number"
    ),
    **dict.fromkeys(
        ("error.handled", "error.unhandled", "is_transaction", "device.simulator"),
        "boolean",
    ),
    **dict.fromkeys(("http.status_code", "severity_number"), "integer"),
}
_DATES = ("last_seen", "first_seen")


@dataclass(frozen=True)
class Column:
    """A column of a table: a field of Sentry's under a name for a warehouse."""

    name: str
    #: The field, as requests have it.
    field: str
    #: `string`, `integer`, `number`, `boolean` or `date-time`.
    type: str
    is_function: bool = False


@dataclass(frozen=True)
class Query:
    """A table: one query for each organization."""

    name: str
    dataset: str
    #: The columns that are requested, with those that the tap adds.
    columns: tuple[Column, ...]
    search: str
    projects: Names
    #: The length of the intervals that functions count in; None for a table of rows.
    interval: timedelta | None

    @property
    def stream(self) -> str:
        """The name of its stream."""
        return f"explore_{self.name}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify a record."""
        if self.interval:
            plain = (column.name for column in self.columns if not column.is_function)
            return (ORGANIZATION, INTERVAL_START, *plain)
        fields = DATASETS[self.dataset]
        named = [column.name for column in self.columns if column.field in fields]
        return (ORGANIZATION, *(named or [HASH]))

    @property
    def order(self) -> list[str]:
        """The fields that records are sorted by, so that no page repeats others.

        Each group is there once, and rows of a moment are in the order of their keys.
        """
        if not self.interval:
            return [TIMESTAMP, *DATASETS[self.dataset]]
        groups = [column.field for column in self.columns if not column.is_function]
        return groups or [self.columns[0].field]


def parse_queries(found: object) -> tuple[tuple[Query, ...], list[str]]:
    """Return the queries of the setting, and a line for each mistake in it."""
    if found is None:
        return (), []
    if not isinstance(found, (list, tuple)):
        return (), ["explore must be a list of tables"]
    queries, errors = [], []
    for number, item in enumerate(found, 1):
        if not isinstance(item, dict):
            errors.append(f"explore: table {number} must be an object")
            continue
        name = item.get("name")
        place = f"explore: {name if isinstance(name, str) and name else number}"
        mistakes = list(_mistakes(item))
        errors += [f"{place}: {mistake}" for mistake in mistakes]
        if not mistakes:
            queries.append(_query(item))
    names = Counter(query.name for query in queries)
    errors += [f"explore: {name} is listed twice" for name in names if names[name] > 1]
    return tuple(queries), errors


def _query(item: Mapping[str, Any]) -> Query:
    dataset, fields = item["dataset"], _requested(item)
    return Query(
        name=item["name"],
        dataset=dataset,
        columns=tuple(column_of(field) for field in fields),
        search=(item.get("query") or "").strip(),
        projects=Names.of(item.get("projects") or ()),
        interval=INTERVALS[item["interval"]] if item.get("interval") else None,
    )


def _requested(item: Mapping[str, Any]) -> list[str]:
    """Return the fields of a table, with those that the tap adds to rows."""
    fields = [field.strip() for field in item["fields"]]
    if any(map(_FUNCTION.fullmatch, fields)):
        return fields
    added = (*DATASETS[item["dataset"]], TIMESTAMP)
    return [*(field for field in added if field not in fields), *fields]


def column_of(field: str) -> Column:
    """Return the column of a field: its name, and its type as far as it is known."""
    if function := _FUNCTION.fullmatch(field):
        name, argument = function[1], function[2].strip()
        kind = "number"
        if name.startswith("count"):
            kind = "integer"
        elif name in _DATES or (name in {"min", "max"} and argument == TIMESTAMP):
            kind = "date-time"
        return Column(_snake(f"{name} {argument}"), field, kind, is_function=True)
    if tag := _TAG.fullmatch(field):
        return Column(_snake(f"tags {tag[1]}"), field, tag[2] or "string")
    is_number = field.startswith("measurements.")
    kind = _TYPES.get(field, "number" if is_number else "string")
    return Column(_snake(field), field, kind)


def _snake(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower()


def _mistakes(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the definition of a table."""
    for key in item:
        if key not in KEYS:
            hint = suggestion(str(key), KEYS)
            yield f"there is no {key!r}" + (f": {hint}" if hint else "")
    name, dataset = item.get("name"), str(item.get("dataset"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "name must be up to 40 of a-z, 0-9 and _, and begin with a letter"
    if dataset not in DATASETS:
        given = item.get("dataset")
        yield f"dataset must be one of {', '.join(DATASETS)}, not {given!r}"
    if not isinstance(item.get("query") or "", str):
        yield "query must be a string"
    elif term := _RESERVED.search(item.get("query") or ""):
        setting = "start_date" if term[1] == TIMESTAMP else "projects"
        yield f"query must not contain {term[1]}: use the setting {setting}"
    yield from _wrong_texts("projects", item.get("projects") or [])
    if not (fields := item.get("fields")):
        yield "fields must name at least one field"
        return
    wrong = list(_wrong_texts("fields", fields))
    yield from wrong
    if not wrong:
        yield from _wrong_fields([field.strip() for field in fields], item)


def _wrong_texts(name: str, found: object) -> Iterator[str]:
    if not isinstance(found, (list, tuple)):
        yield f"{name} must be a list"
    elif not all(isinstance(text, str) and text.strip(" !") for text in found):
        yield f"{name} must contain non-empty strings only"


def _wrong_fields(fields: list[str], item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the fields."""
    for field in fields:
        if not any(kind.fullmatch(field) for kind in (_TAG, _FUNCTION, _FIELD)):
            yield f"{field!r} is not a field"
    yield from _wrong_interval(fields, item)
    if str(item.get("dataset")) not in DATASETS:
        return
    requested = _requested(item)
    if len(requested) > MAX_FIELDS:
        yield (
            f"Sentry returns at most {MAX_FIELDS} fields; these are {len(requested)} "
            f"with {TIMESTAMP} and the key"
        )
    columns: dict[str, str] = dict.fromkeys(ADDED, "the tap")
    for field in requested:
        column = column_of(field).name
        if columns.get(column) == field:
            yield f"{field} is listed twice"
        elif column in columns:
            yield f"the column {column} of {field} is taken by {columns[column]}"
        columns[column] = field


def _wrong_interval(fields: list[str], item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the interval that functions need, and others do not."""
    functions = [field for field in fields if _FUNCTION.fullmatch(field)]
    interval = item.get("interval")
    if interval is not None and str(interval) not in INTERVALS:
        yield f"interval must be one of {', '.join(INTERVALS)}, not {interval!r}"
    elif functions and interval is None:
        yield f"{functions[0]} needs an interval, 1h or 1d"
    elif interval and not functions:
        yield "interval needs a function in the fields, such as count()"
    if functions and TIMESTAMP in fields:
        yield f"{TIMESTAMP} cannot be used with {functions[0]}: see {INTERVAL_START}"
