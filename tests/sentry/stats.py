"""Event counts."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.sentry.answers import (
    Answer,
    RefusalError,
    internal_error,
    refuse,
    reply,
)
from tests.sentry.data.events import iso
from tests.sentry.endpoints import DATES, endpoint
from tests.sentry.issues import selected
from tests.sentry.lists import window_of
from tests.sentry.times import DAY, HOUR, floored, parse_period

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sentry.calls import Call
    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import (
        Project,
    )
    from tests.sentry.world import World


STATS = {
    "received": {"accepted", "filtered", "rate_limited"},
    "rejected": {"rate_limited"},
    "blacklisted": {"filtered"},
    "generated": {"accepted"},
}
#: Figures that an answer holds; others are missing without a word.
MOST_ROWS = 10_000
RESOLUTIONS = {"10s": 10, "1h": HOUR, "1d": DAY}
OUTCOMES = {
    *("accepted", "filtered", "rate_limited", "invalid", "abuse", "client_discard"),
    "cardinality_limited",
}
CATEGORIES = {
    *("error", "transaction", "attachment", "replay", "profile", "monitor"),
    *("profile_duration", "profile_duration_ui", "profile_chunk", "profile_chunk_ui"),
}


@endpoint("organizations/{org}/stats/", "org:read", "stat since until resolution group")
def organization_stats(sentry: World, call: Call) -> Answer:
    group = call.one("group") or "organization"
    stat = call.one("stat", "received")
    projects = call.organization.projects
    if group == "project":
        mine = [project for project in projects if project.is_member]
        return reply({row.id: series_of(sentry, call, [row], stat) for row in mine})
    if group != "organization" or stat == "generated":
        raise internal_error()
    return reply(series_of(sentry, call, projects, stat))


@endpoint(
    "projects/{org}/{project}/stats/",
    "project:read",
    "stat since until resolution",
)
def project_stats(sentry: World, call: Call) -> Answer:
    stat = call.one("stat", "received")
    return reply(series_of(sentry, call, [call.project], stat))


@endpoint("teams/{org}/{team}/stats/", "team:read", "stat since until resolution")
def team_stats(sentry: World, call: Call) -> Answer:
    if not call.team.projects:
        return reply([])
    return reply(series_of(sentry, call, call.team.projects, "generated"))


def series_of(
    sentry: World, call: Call, projects: list[Project], stat: str
) -> list[Any]:
    """Return the counts per interval, as the old endpoints do."""
    old = sentry.flavour.old_stats
    now = sentry.clock()
    since, until = period_of(sentry, call)
    if stat not in STATS:
        raise internal_error()
    span = until - since
    automatic = "10s" if span <= HOUR else "1h" if span <= 7 * DAY else "1d"
    resolution = call.one("resolution") or automatic
    if resolution not in RESOLUTIONS:
        raise internal_error() if old else refuse(400, "Invalid resolution")
    step = RESOLUTIONS[resolution]
    # Whole intervals are stepped back from `until`: the interval of `since` is missing
    # if it is later in its interval than `until` is.
    last = math.floor(until / step) * step
    buckets = range(last - math.floor(span / step) * step, last + 1, step)
    days = {"10s": HOUR, "1h": 7 * DAY, "1d": 90 * DAY}[resolution] if old else 90 * DAY
    oldest = max(now.timestamp() - days - step, last - (MOST_ROWS - 1) * step)
    kept = sentry.kept(None)
    return [
        [
            float(at) if old else at,
            count_errors(projects, stat, at, at + step, kept) if at >= oldest else 0,
        ]
        for at in buckets
    ]


def period_of(sentry: World, call: Call) -> tuple[float, float]:
    """Return `since` and `until`, by default the past day but for its first second."""
    old = sentry.flavour.old_stats
    found: dict[str, float] = {}
    for name in ("until", "since"):
        text = call.one(name)
        default = found["until"] - DAY + 1 if found else sentry.clock().timestamp()
        try:
            found[name] = float(text) if text else default
        except ValueError:
            detail = f"{name} must be a numeric timestamp."
            raise internal_error() if old else refuse(400, detail) from None
    if found["since"] > found["until"]:
        detail = "start must be before or equal to end"
        raise internal_error() if old else refuse(400, detail)
    return found["since"], found["until"]


@endpoint(
    "organizations/{org}/stats_v2/",
    "org:read",
    f"{DATES} field groupBy interval project category outcome reason",
)
def stats_v2(sentry: World, call: Call) -> Answer:
    if sentry.flavour.glitchtip:
        return ungrouped(sentry, call)
    groups = call.all("groupBy")
    fields = call.all("field")
    if not fields or not groups:
        name = "groupBy" if fields else "field"
        raise RefusalError(reply({name: ["This field is required."]}, 400))
    check_choices("field", fields, {"sum(quantity)", "sum(times_seen)"})
    check_choices("groupBy", groups, {"outcome", "category", "reason", "project"})
    check_choices("category", call.all("category"), CATEGORIES)
    check_choices("outcome", call.all("outcome"), OUTCOMES)
    if "category" not in groups and not call.all("category"):
        raise refuse(400, "Query must have category as groupby or filter")
    buckets = buckets_of(sentry, call)
    projects = call.organization.projects
    if call.all("project") or "project" in groups:
        projects = selected(sentry, call)
    counted = outcomes(call, groups, projects, buckets)
    intervals = [iso(datetime.fromtimestamp(at, UTC), "seconds") for at in buckets]
    answer = []
    for by, series in counted.items():
        values = [series[at] for at in buckets]
        group: Record = {
            "by": dict(by),
            "totals": dict.fromkeys(fields, sum(values)),
        }
        if "project" not in groups:
            group["series"] = dict.fromkeys(fields, values)
        answer.append(group)
    end = datetime.fromtimestamp(buckets.stop, UTC)
    return reply(
        {
            "start": intervals[0],
            "end": iso(end, "seconds"),
            "intervals": intervals,
            "groups": answer,
        }
    )


def ungrouped(sentry: World, call: Call) -> Answer:
    """Count accepted events as GlitchTip does: only an interval's first hour."""
    for name in ("category", "start", "end"):
        if not call.one(name):
            found = {"type": "missing", "loc": ["query", name]}
            raise RefusalError(
                reply({"detail": [found | {"msg": "Field required"}]}, 422)
            )
    step = int(parse_period(call.one("interval", "1h")).total_seconds())
    window = window_of(sentry, call)
    low, high = (
        floored(at or sentry.clock(), step) for at in (window.start, window.end)
    )
    buckets = range(low, high + 1, step)
    projects = selected(sentry, call)
    counts = [
        count_errors(projects, "generated", at, at + HOUR, by_event=False)
        for at in buckets
    ]
    series = {"sum(quantity)": [count or None for count in counts]}
    intervals = [iso(datetime.fromtimestamp(at, UTC), "seconds") for at in buckets]
    return reply(
        {
            "intervals": [text.replace("Z", "+00:00") for text in intervals],
            "groups": [{"series": series}],
        }
    )


def check_choices(name: str, values: Iterable[str], known: set[str]) -> None:
    for value in values:
        if value not in known:
            raise refuse(400, f'Invalid {name}: "{value}"')


def buckets_of(sentry: World, call: Call) -> range:
    """Return the starts of the requested intervals."""
    try:
        step = int(parse_period(call.one("interval", "1h")).total_seconds())
    except ValueError:
        raise refuse(400, "Invalid interval") from None
    if not HOUR <= step <= DAY or DAY % step:
        raise refuse(400, "Interval has to divide a day and be one hour or more.")
    window = window_of(sentry, call, timedelta(days=90), clamped=False)
    now = sentry.clock()
    start = min(window.start or now, now)
    low = floored(start, step)
    high = math.ceil((window.end or now).timestamp() / step) * step
    buckets = range(low, max(high, low + step), step)
    if len(buckets) > 1000:
        raise refuse(
            400,
            "Your interval and date range would create too many results. "
            "Use a larger interval, or a smaller date range.",
        )
    return buckets


def outcomes(
    call: Call, groups: list[str], projects: list[Project], buckets: range
) -> dict[tuple[tuple[str, str | int], ...], Counter[int]]:
    """Count events by outcome; rows beyond 10,000 are silently left out."""
    filters = {name: call.all(name) for name in ("category", "outcome", "reason")}
    counted: dict[tuple[tuple[str, str | int], ...], Counter[int]] = {}
    rows = 0
    for project in projects:
        for (category, outcome, reason), hours in project.outcomes.items():
            known: dict[str, str | int] = {
                "category": category,
                "outcome": outcome,
                "reason": reason or "none",
                "project": int(project.id),
            }
            if any(
                values and known[name] not in values for name, values in filters.items()
            ):
                continue
            by = tuple((name, known[name]) for name in groups)
            for hour, quantity in hours.items():
                at = hour // buckets.step * buckets.step
                if at not in buckets:
                    continue
                series = counted.setdefault(by, Counter())
                rows += at not in series
                if at in series or rows <= MOST_ROWS:
                    series[at] += quantity
    return counted


def count_errors(  # noqa: PLR0913 - each is independent
    projects: Iterable[Project],
    stat: str,
    start: int,
    stop: int,
    kept: datetime | None = None,
    *,
    by_event: bool = True,
) -> int:
    """Count the errors in `[start, stop)` for one of the four old stats.

    Stored events are counted from `kept` on, the date before which none are left.
    """
    if stat == "generated" and by_event:
        low, high = (datetime.fromtimestamp(at, UTC) for at in (start, stop))
        low = max(low, kept) if kept else low
        return sum(len(project.events.newest(low, high)) for project in projects)
    return sum(
        hours[hour]
        for project in projects
        for (category, outcome, _), hours in project.outcomes.items()
        if category == "error" and outcome in STATS[stat]
        for hour in range(math.ceil(start / HOUR) * HOUR, stop, HOUR)
    )
