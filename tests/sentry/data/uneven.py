"""An organization as a large customer has it: few projects and issues make the most."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from tests.sentry.data.builder import Builder

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tests.sentry.data.objects import Organization

DAY = 86400.0
#: How long a burst lasts, in seconds, and the part of an issue's events that it holds.
BURST, IN_BURST = 600.0, 1 / 3
STATUSES = ["unresolved"] * 7 + ["resolved", "resolved", "ignored"]


def uneven(  # noqa: PLR0913 - each is a size
    *,
    projects: int = 20,
    issues: int = 2000,
    events: int = 300_000,
    days: float = 89,
    skew: float = 1,
    now: datetime,
    seed: int = 1,
    full_kilobytes: float = 4,
) -> list[Organization]:
    """Build one organization; numbers are totals, each issue has at least one event.

    Args:
        projects: The number of projects.
        issues: The number of issues, of any status; large projects have more.
        events: The number of events; a third of each issue's come in one burst.
        days: How far back the events go. Fewer than Sentry keeps, so that none is
            deleted while they are read.
        skew: How unequal projects are: the n-th has a share of 1 / n ** skew. With 0
            they are equal.
        now: The date of the newest events.
        seed: Any number; the same builds the same.
        full_kilobytes: The size of the entries of an event.
    """
    build = Builder(now, seed, full_kilobytes)
    organization = build.organization("uneven", "Uneven", ["code/uneven", "code/old"])
    team = build.team(organization, "everybody")
    sizes = [1 / rank**skew for rank in range(1, projects + 1)]
    happened = []
    for rank, (mine, number) in enumerate(
        zip(shares(issues, sizes), shares(events, sizes), strict=True), start=1
    ):
        project = build.project(
            organization, f"project-{rank}", "python", [team], users=50
        )
        for cause, count in enumerate(
            shares(number, [1 / place for place in range(1, mine + 1)]), start=1
        ):
            issue = build.issue(
                project,
                f"Error{cause}: cause number {cause} of project {rank}",
                status=build.random.choice(STATUSES),
            )
            happened += build.happen(issue, ages(build.random, count, days * DAY))
    build.file(happened)
    return [organization]


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Divide a total by weights into whole numbers, each of which is at least one."""
    rest = total - len(weights)
    whole = sum(weights)
    bounds = [round(rest * part / whole) for part in accumulate(weights, initial=0)]
    return [1 + high - low for low, high in pairwise(bounds)]


def ages(chance: random.Random, number: int, oldest: float) -> Iterator[float]:
    """Yield the ages of an issue's events, in seconds: a burst, and some all along."""
    first = chance.uniform(2 * BURST, oldest)
    burst = chance.uniform(2 * BURST, first)
    for _ in range(number):
        if chance.random() < IN_BURST:
            yield burst - chance.random() * BURST
        else:
            yield chance.uniform(60, first)
