"""The simulator in a process of its own, with data of any size, and rate limits.

    python -m tests.benchmarks.simulated '{"size": {"projects": 20}, "latency": 0.1}'

Each line on standard input is answered with the number of requests since the last one,
and the least number that would have been enough; the line `keys` with the keys of all
events.
"""

from __future__ import annotations

import gc
import json
import math
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.benchmarks.server import say
from tests.sentry import SAAS_LIMITS, Limit, SentrySimulator
from tests.sentry.data import Organization, generated, uneven
from tests.sentry.events import write_event

EVENTS = "projects/{org}/{project}/events/"
EXPLORE = "organizations/{org}/events/"
#: The number of rows on a page, and on a page of full events.
PAGE, FULL_PAGE = 100, 10


def main() -> None:
    """Serve until standard input is closed."""
    options = json.loads(sys.argv[1])
    simulator = SentrySimulator(
        organizations(options),
        latency=options.get("latency", 0),
        rate_limits=limits(options),
    )
    add_spans(simulator, options.get("spans", 0))
    if form := options.get("form"):
        encode(simulator, form)
    # Hundreds of thousands of objects that stay; searching them for garbage takes long.
    gc.freeze()
    with simulator.served():
        say(simulator.url)
        while line := sys.stdin.readline():
            tell = keys if line.strip() == "keys" else counts
            say(json.dumps(tell(simulator)))
            simulator.requests.clear()
            simulator.refused = 0


def organizations(options: dict[str, Any]) -> list[Organization]:
    """Build the data: `uneven` has the arguments of that name, `size` all others."""
    now = datetime.now(UTC)
    if "uneven" in options:
        return uneven(now=now, **options["uneven"])
    size = {"organizations": 1, "oddities": False, "full_kilobytes": 4}
    return generated(now=now, **size | options["size"])


def limits(options: dict[str, Any]) -> dict[str, Limit]:
    """The rate limits: those of sentry.io, `hurry` times as fast, or the given ones.

    The reset that Sentry tells is a whole second. So limits for a second get larger,
    where those for a minute get windows that are shorter.
    """
    if hurry := options.get("hurry"):
        return {
            template: Limit(limit.limit, limit.window / hurry, limit.concurrent)
            if limit.window > 1
            else Limit(limit.limit * hurry, limit.window, limit.concurrent)
            for template, limit in SAAS_LIMITS.items()
        }
    given = options.get("limits", {})
    return {template: Limit(**limit) for template, limit in given.items()}


def encode(simulator: SentrySimulator, form: str) -> None:
    """Encode all events now, which takes ten times as long as to send them."""
    for organization in simulator.organizations:
        for project in organization.projects:
            for event in project.events:
                write_event(simulator, event, form)


def keys(simulator: SentrySimulator) -> list[str]:
    """The keys of the events of all projects."""
    return ["/".join(map(str, key)) for key in simulator.truth("project_events")]


def add_spans(simulator: SentrySimulator, number: int) -> None:
    """Add spans to the first project, evenly over the last twenty hours."""
    organization = simulator.organizations[0]
    simulator.explore = {}
    step = timedelta(hours=20) / max(number, 1)
    rows = [
        {
            "id": f"{count:016x}",
            "trace": f"{count // 7:032x}",
            "timestamp": simulator.clock() - step * count,
            "project": organization.projects[0].slug,
            "span.op": "db",
            "span.duration": count / 7,
        }
        for count in range(1, number + 1)
    ]
    simulator.add_explore_rows(organization.slug, "spans", rows)


def counts(simulator: SentrySimulator) -> dict[str, Any]:
    """The requests that were made, and how many were needed."""
    return {
        "explored": sum(row.template == EXPLORE for row in simulator.requests),
        "requests": len(simulator.requests),
        "refused": simulator.refused,
        "used": allowance_used(simulator),
        "least": sum(least(simulator)),
        "pages": {
            form: sum(
                pages(len(project.events), size)
                for organization in simulator.organizations
                for project in organization.projects
            )
            for form, size in (("light", PAGE), ("full", FULL_PAGE))
        },
    }


def allowance_used(simulator: SentrySimulator) -> float | None:
    """The part of the limit of project events that was used, over whole windows."""
    limit = simulator.rate_limits.get(EVENTS)
    times = [row.time for row in simulator.requests if row.template == EVENTS]
    if limit is None or not times:
        return None
    windows = Counter(int(time.timestamp() / limit.window) for time in times)
    # The first window began before the run, and the last one ends after it.
    whole = range(min(windows) + 1, max(windows))
    most = limit.limit * len(whole)
    return sum(windows[number] for number in whole) / most if most else None


def least(simulator: SentrySimulator) -> list[int]:
    """The least number of requests for each list of the sixteen streams.

    The issues of a project are listed once, for three streams.
    """
    asked = [pages(len(simulator.organizations))]
    members = 0
    for organization in simulator.organizations:
        members += sum(project.is_member for project in organization.projects)
        asked += [
            pages(len(organization.projects)),
            pages(len(organization.repositories)),
            pages(len(organization.teams)),
            1,  # counts
        ]
        for team in organization.teams:
            asked += [pages(len(team.projects)), int(bool(team.projects))]
        for project in organization.projects:
            users = {event.user for event in project.events if event.user}
            asked += [
                pages(len(project.issues)),
                pages(len(project.events)),
                pages(len(project.events), FULL_PAGE),
                pages(len(project.feedback)),
                pages(len(users)),
                1,  # counts
            ]
            for issue in project.issues:
                number = len(issue.events)
                asked += [pages(number), pages(number, FULL_PAGE)]
    return [*asked, pages(members)]


def pages(rows: int, size: int = PAGE) -> int:
    """The number of pages of a list, at least one."""
    return max(1, math.ceil(rows / size))


if __name__ == "__main__":
    main()
