"""The simulator in a process of its own, with data of any size, and rate limits.

    python -m tests.benchmarks.simulated '{"size": {"projects": 20}, "latency": 0.1}'

Each line on standard input is answered with the number of requests since the last one,
and the least number that would have been enough.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.benchmarks.server import say
from tests.sentry import Limit, SentrySimulator
from tests.sentry.data import generated

EVENTS = "projects/{org}/{project}/events/"
EXPLORE = "organizations/{org}/events/"
#: The number of rows on a page, and on a page of full events.
PAGE, FULL_PAGE = 100, 10


def main() -> None:
    """Serve until standard input is closed."""
    options = json.loads(sys.argv[1])
    size = {"organizations": 1, "oddities": False, "full_kilobytes": 4}
    simulator = SentrySimulator(
        generated(now=datetime.now(UTC), **size | options["size"]),
        latency=options.get("latency", 0),
        rate_limits={
            template: Limit(**limit)
            for template, limit in options.get("limits", {}).items()
        },
    )
    add_spans(simulator, options.get("spans", 0))
    with simulator.served():
        say(simulator.url)
        while sys.stdin.readline():
            say(json.dumps(counts(simulator)))
            simulator.requests.clear()
            simulator.refused = 0


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
    return sum(windows[number] for number in whole) / (limit.limit * len(whole))


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
