"""The simulator in a process of its own, of any size, with its limits.

    python -m tests.benchmarks.simulated '{"size": {"projects": 20}, "latency": 0.1}'

A line on its standard input is answered with how much was asked for since the last one,
and with how little would have done.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks.server import say
from tests.sentry import Limit, SentrySimulator
from tests.sentry.data import generated

EVENTS = "projects/{org}/{project}/events/"
#: Rows a page, and those of a page of full events.
PAGE, FULL_PAGE = 100, 10


def main() -> None:
    """Serve until nobody listens any more."""
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
    with simulator.served():
        say(simulator.url)
        while sys.stdin.readline():
            say(json.dumps(counts(simulator)))
            simulator.requests.clear()
            simulator.refused = 0


def counts(simulator: SentrySimulator) -> dict[str, Any]:
    """What was asked for, and what need have been."""
    return {
        "requests": len(simulator.requests),
        "refused": simulator.refused,
        "used": allowance_used(simulator),
        "least": sum(least(simulator)),
    }


def allowance_used(simulator: SentrySimulator) -> float | None:
    """The part of the limit of project events that whole windows made use of."""
    limit = simulator.rate_limits.get(EVENTS)
    times = [row.time for row in simulator.requests if row.template == EVENTS]
    if limit is None or not times:
        return None
    windows = Counter(int(time.timestamp() / limit.window) for time in times)
    # The first window had begun before, the last one ends after.
    whole = range(min(windows) + 1, max(windows))
    return sum(windows[number] for number in whole) / (limit.limit * len(whole))


def least(simulator: SentrySimulator) -> list[int]:
    """For each list of all sixteen streams, the requests that it takes.

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
    """How many pages a list has; there is at least one."""
    return max(1, math.ceil(rows / size))


if __name__ == "__main__":
    main()
