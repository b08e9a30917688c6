"""Explore: tables of errors, spans, logs and the like."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tests.sentry.aggregates import aggregated, check_function, is_function, kind_of
from tests.sentry.answers import refuse, reply, written
from tests.sentry.endpoints import DATES, PAGED, endpoint
from tests.sentry.events import chance_of
from tests.sentry.issues import selected
from tests.sentry.lists import pages, window_of
from tests.sentry.paging import by_row

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call
    from tests.sentry.data.events import Event, Record
    from tests.sentry.data.objects import Organization, Project
    from tests.sentry.times import Window
    from tests.sentry.world import World

DATASETS = {
    "saas": "errors spans logs tracemetrics uptime_results profile_functions",
    "self-hosted-24": (
        "discover errors metricsEnhanced metrics profiles issuePlatform "
        "profileFunctions spansIndexed spansMetrics"
    ),
}
#: Datasets that are kept for less time than events.
KEPT = {"logs": timedelta(days=30)}
MOST_FIELDS = 20
#: Rows beyond are missing without a word.
MOST_ROWS = 10_000
TOO_EARLY = "Invalid date range. Please try a more recent date range."
#: A term of a search; other forms are not simulated.
TERM = re.compile(r'(tags\[[^\]]+\]|[\w.-]+):("[^"]*"|[^\s"<>*\[!][^\s"*]*)')


@endpoint(
    "organizations/{org}/events/",
    "org:read",
    f"{DATES} {PAGED} dataset field sort* query project environment* "
    "disableAggregateExtrapolation",
)
def explore(sentry: World, call: Call) -> Answer:
    dataset = dataset_of(sentry, call)
    fields, order = fields_of(call)
    window = explore_window(sentry, call, dataset)
    projects = selected(sentry, call)
    if not projects:
        query = "Need at least one valid project to query."
        return reply({"data": [], "meta": {"tips": {"query": query, "columns": None}}})
    bounds = (window.start, window.end)
    query = call.one("query")
    rows = explore_rows(sentry, call.organization, dataset, *bounds, query, projects)
    if environments := call.all("environment"):
        rows = [row for row in rows if row.get("environment") in environments]
    is_partial = is_sampled(sentry, dataset, window)
    if is_partial:
        rows = rows[::2]
    columns = list(fields)
    if any(map(is_function, fields)):
        weight = (
            1 if call.one("disableAggregateExtrapolation") == "1" else sentry.weight
        )
        rows = aggregated(rows, fields, weight * (2 if is_partial else 1))
    elif dataset == "errors":
        columns = [*dict.fromkeys([*fields, "id", "project.name"])]
    ties = chance_of(sentry, call) if sentry.order is not None else None
    rows = ordered(rows, order, ties)[:MOST_ROWS]
    precision = "seconds" if dataset == "errors" else "microseconds"

    def write(row: Record) -> bytes:
        return written({name: shown(row.get(name), precision) for name in columns})

    answer = pages(sentry, call, rows, write, slicer=by_row)
    meta = meta_of(rows, columns, dataset)
    if sentry.flavour.name == "saas":
        meta["dataScanned"] = "partial" if is_partial else "full"
    body = b'{"data": ' + answer.body + b', "meta": ' + written(meta) + b"}"
    return replace(answer, body=body)


def dataset_of(sentry: World, call: Call) -> str:
    """Return the dataset of a request, which the server must have."""
    known = DATASETS[sentry.flavour.name].split()
    dataset = call.one("dataset")
    if dataset not in known:
        raise refuse(400, f"dataset must be one of: {', '.join(known)}")
    if sentry.flavour.name != "saas" and dataset != "errors":
        raise refuse(400, f"Not simulated: the dataset {dataset!r}")
    return dataset


def fields_of(call: Call) -> tuple[list[str], list[str]]:
    """Return the fields of a request, and those that it sorts by."""
    fields, order = call.all("field"), call.all("sort")
    if not fields:
        raise refuse(400, "No columns selected")
    if len(fields) > MOST_FIELDS:
        detail = "fields at a time. Please delete some and try again."
        raise refuse(400, f"You can view up to {MOST_FIELDS} {detail}")
    for field in fields:
        check_function(field)
        if "|" in field:
            raise refuse(400, f"Not simulated: the equation {field!r}")
    if not {name.removeprefix("-") for name in order} <= {*fields}:
        raise refuse(400, "Cannot sort by a field that is not selected")
    return [*dict.fromkeys(fields)], order


def explore_window(sentry: World, call: Call, dataset: str) -> Window:
    """Return the window of a request, which must be of whole seconds and kept."""
    for name in ("start", "end"):
        if "." in call.one(name):
            raise refuse(400, f"Invalid date range: {name} has a fraction of a second")
    window = window_of(
        sentry, call, timedelta(days=90), clamped=False, too_early=TOO_EARLY
    )
    is_asked = call.one("start") and not call.one("statsPeriod")
    if is_asked and window.start and window.start < oldest_of(sentry, dataset):
        raise refuse(400, TOO_EARLY)
    return window


def oldest_of(sentry: World, dataset: str) -> datetime:
    """Return the date since which a dataset is kept."""
    kept = [sentry.flavour.retention, KEPT.get(dataset)]
    return sentry.clock() - min(age for age in kept if age)


def is_sampled(sentry: World, dataset: str, window: Window) -> bool:
    """Return whether a window is so long that only a part of its rows is scanned."""
    exact = sentry.explore_exact
    if dataset == "errors" or exact is None or not window.start or not window.end:
        return False
    return window.end - window.start > exact


def explore_rows(  # noqa: PLR0913, PLR0917 - each is independent
    sentry: World,
    organization: Organization,
    dataset: str,
    start: datetime | None,
    end: datetime | None,
    query: str = "",
    projects: Iterable[Project] | None = None,
) -> list[Record]:
    """Return all rows of `[start, end)` that the server keeps, the oldest first.

    Each has all its columns; `timestamp` is a date. Without `projects`, the rows are
    those of all projects that a token may read.
    """
    if projects is None:
        projects = [row for row in organization.projects if not row.forbidden]
    projects = [*projects]
    oldest = oldest_of(sentry, dataset)
    start = max(start, oldest) if start else oldest
    key = "sentry.item_id" if dataset == "logs" else "id"

    def build() -> list[Record]:
        rows = all_rows(sentry, organization, dataset, projects)
        return sorted(rows, key=lambda row: (row["timestamp"], str(row.get(key))))

    ids = tuple(project.id for project in projects)
    rows = sentry.remembered(("explore rows", dataset, organization.id, ids), build)
    first = bisect_left(rows, start, key=itemgetter("timestamp"))
    last = bisect_left(rows, end, key=itemgetter("timestamp")) if end else len(rows)
    return [*filter(matching(query), rows[first:last])]


def all_rows(
    sentry: World, organization: Organization, dataset: str, projects: list[Project]
) -> Iterator[Record]:
    """Yield the rows of some projects."""
    if dataset == "errors":
        for project in projects:
            yield from errors_of(sentry, project)
        return
    ids = {project.slug: int(project.id) for project in projects}
    for row in sentry.explore.get(dataset, ()):
        slug = row["project"]
        if row["organization"] == organization.slug and slug in ids:
            more = {"project.name": slug, "project.id": ids[slug]}
            yield {k: v for k, v in row.items() if k != "organization"} | more


def errors_of(sentry: World, project: Project) -> list[Record]:
    """Return the errors of a project; tests may add some behind the server's back."""
    key = ("explore", project.id, len(project.events))
    return sentry.remembered(key, lambda: [*map(error_row, project.events)])


def error_row(event: Event) -> Record:
    """Return what the errors dataset has of an event; tags are columns, too."""
    issue, user, project = event.issue, event.user, event.project
    tags = {tag["key"]: tag["value"] for tag in event.tags() if tag["key"]}
    return tags | {
        **{f"tags[{key}]": value for key, value in tags.items()},
        "id": event.id,
        "trace": event.id,
        "timestamp": event.created.replace(microsecond=0),
        "title": event.title,
        "message": event.message,
        "event.type": event.kind,
        "level": event.level,
        "platform": project.platform or "other",
        "transaction": issue.culprit if issue else None,
        "location": issue.location if issue else None,
        "project": project.slug,
        "project.name": project.slug,
        "project.id": int(project.id),
        "issue": issue.short_id if issue else None,
        "issue.id": int(issue.id) if issue else None,
        "release": event.release,
        "environment": event.environment,
        "user": user.tag if user else None,
        "user.id": user.id if user else None,
        "user.email": user.email if user else None,
        "user.username": user.username if user else None,
        "user.ip": user.ip_address if user else None,
    }


def matching(query: str) -> Callable[[Record], bool]:
    """Parse a search of terms like `level:error`; others are refused with 400."""
    terms = [(name, value.strip('"')) for name, value in TERM.findall(query)]
    rest = TERM.sub("", query).strip()
    if rest or "timestamp" in dict(terms):
        raise refuse(400, f"Error parsing search query: {query!r} is not simulated")
    return lambda row: all(text_of(row.get(name)) == value for name, value in terms)


def text_of(value: object) -> str:
    """Return a value as a search has it; `""` stands for none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def ordered(
    rows: list[Record], order: list[str], ties: random.Random | None
) -> list[Record]:
    """Sort rows, empty values last; equal rows come in any order."""
    rows = ties.sample(rows, len(rows)) if ties else [*rows]
    for name in reversed(order):
        rows = ordered_by(rows, name.removeprefix("-"), name.startswith("-"))
    return rows


def ordered_by(rows: list[Record], field: str, is_descending: bool) -> list[Record]:  # noqa: FBT001 - the last of the three says the direction
    """Sort rows by one field, and leave the order of equal rows as it is."""
    filled = [row for row in rows if row.get(field) is not None]
    filled.sort(
        key=lambda row: (isinstance(row[field], str), row[field]),
        reverse=is_descending,
    )
    return filled + [row for row in rows if row.get(field) is None]


def shown(value: Any, precision: str) -> Any:
    """Return a value as an answer has it."""
    return value.isoformat(timespec=precision) if isinstance(value, datetime) else value


def meta_of(rows: list[Record], columns: list[str], dataset: str) -> Record:
    """Return what an answer says of its columns."""
    kinds = {name: kind_of(rows, name) for name in columns}
    return {
        "fields": {name: kind for name, (kind, _) in kinds.items()},
        "units": {name: unit for name, (_, unit) in kinds.items()},
        "isMetricsData": False,
        "isMetricsExtractedData": False,
        "tips": {"query": None, "columns": None},
        "datasetReason": "unchanged",
        "dataset": dataset,
    }
