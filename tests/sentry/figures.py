"""Figures by day: usage by outcome and reason, and the sessions of releases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.sentry.answers import refuse, reply
from tests.sentry.data.events import iso
from tests.sentry.endpoints import DATES, endpoint
from tests.sentry.issues import selected
from tests.sentry.stats import buckets_of, check_choices
from tests.sentry.times import DAY, HOUR, floored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sentry.answers import Answer
    from tests.sentry.calls import Call, Key
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization
    from tests.sentry.world import World

FIELDS = (
    "sum(session)",
    "count_unique(user)",
    "crash_free_rate(session)",
    "crash_free_rate(user)",
)
#: Releases with sessions, of which one in so many crashes; a few more by project.
CRASHES = {"frontend@2026.11+7": 18, "1.1.0": 95}
#: Points that an answer holds at most; groups beyond are missing without a word.
POINTS = 10_000


def sessions_of(
    sentry: World, organization: Organization
) -> Iterator[tuple[Record, int, int]]:
    """Yield groups with the hour and the number of their sessions."""
    last = floored(sentry.builder.now, DAY)
    for place, project in enumerate(organization.projects[:2], 1):
        if project.forbidden:
            continue
        for number, release in enumerate(CRASHES):
            for environment in ("production", ""):
                by = {
                    "project": int(project.id),
                    "release": release,
                    "environment": environment,
                }
                for day in range(1, 6):
                    yield by, last - day * DAY + 12 * HOUR, 100 * day * place + number


@endpoint(
    "organizations/{org}/sessions/",
    "org:read",
    f"{DATES} cursor per_page field groupBy interval project environment query",
)
def sessions(sentry: World, call: Call) -> Answer:
    fields, groups = call.all("field"), call.all("groupBy")
    check_choices("field", fields, set(FIELDS))
    check_choices("groupBy", groups, {"project", "release", "environment"})
    if set(groups) != {"project", "release", "environment"}:
        raise refuse(400, "Not simulated: other groups")
    buckets = buckets_of(sentry, call)
    oldest = sentry.clock() - timedelta(days=90)
    if buckets.stop <= oldest.timestamp():
        message = "Invalid date range. Please try a more recent date range."
        raise refuse(400, message)
    projects = {int(project.id) for project in selected(sentry, call)}
    counted: dict[tuple[object, ...], dict[int, int]] = {}
    bys: dict[tuple[object, ...], Record] = {}
    for by, hour, number in sessions_of(sentry, call.organization):
        at = hour // buckets.step * buckets.step
        if at in buckets and by["project"] in projects:
            key = tuple(by.values())
            bys[key] = by
            counted.setdefault(key, {})[at] = number
    most = POINTS // (len(buckets) + 1)
    answer = []
    for key, figures in [*counted.items()][:most]:
        by = bys[key]
        series = {
            field: [figure(field, by, figures.get(at, 0)) for at in buckets]
            for field in fields
        }
        totals = {field: figure(field, by, sum(figures.values())) for field in fields}
        answer.append({"by": by, "totals": totals, "series": series})
    call.request.rows = len(answer)
    intervals = [iso(datetime.fromtimestamp(at, UTC), "seconds") for at in buckets]
    end = iso(datetime.fromtimestamp(buckets.stop, UTC), "seconds")
    body = {"start": intervals[0], "end": end, "intervals": intervals, "query": ""}
    last = f'<{sentry.url}>; rel="next"; results="false"; cursor="0:5000:0"'
    return reply(body | {"groups": answer}, Link=last)


def figure(field: str, by: Record, number: int) -> float | None:
    """Return a figure of a group: sessions, users, or the part without a crash."""
    if field.startswith("crash_free"):
        crashes = number // (CRASHES[by["release"]] + by["project"] % 8)
        return 1 - crashes / number if number else None
    return number // 2 if field == "count_unique(user)" else number


def usage_rows(
    _: World, organization: Organization, start: datetime, end: datetime
) -> Iterator[tuple[Key, Record]]:
    """Yield what the usage of an organization must be, by day."""
    totals: dict[Key, int] = {}
    first = floored(start, DAY)
    for project in organization.projects:
        if project.forbidden:
            continue
        for (category, outcome, reason), hours in project.outcomes.items():
            for hour, quantity in hours.items():
                if not first <= hour < end.timestamp():
                    continue
                day = datetime.fromtimestamp(hour // DAY * DAY, UTC)
                named = (category, outcome, reason or "none")
                key = (organization.id, project.id, *named, iso(day, "seconds"))
                totals[key] = totals.get(key, 0) + quantity
    for found, quantity in totals.items():
        yield found, {"quantity": quantity}


def health_rows(
    sentry: World, organization: Organization, start: datetime, end: datetime
) -> Iterator[tuple[Key, Record]]:
    """Yield what the release health of an organization must be, by day."""
    for by, hour, number in sessions_of(sentry, organization):
        day = hour // DAY * DAY
        if not floored(start, DAY) <= day < end.timestamp():
            continue
        when = iso(datetime.fromtimestamp(day, UTC), "seconds")
        own = (str(by["project"]), by["release"], by["environment"])
        yield (organization.id, *own, "1d", when), {"sessions": number}
