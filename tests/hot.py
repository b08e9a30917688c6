"""Hot issues: many events a second, in an order that changes with every request.

Pages end within such seconds, and merely following the cursors loses events there.
Each seed builds another project, which the tap reads; some runs are interrupted and
resumed from their last STATE.

    python -m tests.hot --seeds 300
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.conftest import NOW
from tests.sentry import SentrySimulator
from tests.sentry.data import Builder, Entries
from tests.soak import quicken, sync

if TYPE_CHECKING:
    from tests.sentry.data import Organization

STREAMS = ("issue_events", "issue_event_entries")
#: Events in a hot second.
HOT = 20
#: The most requests for each page of a list, where pages hold several seconds.
MOST = 1.1


@dataclass(frozen=True)
class Case:
    """The hot issue of a seed, and how it is read."""

    seed: int
    #: Rows per page.
    page: int
    #: The number of seconds, and of hot ones; the others have one event or none.
    seconds: int
    hot: int
    #: The request at which the first run is interrupted.
    broken: int | None = None

    @classmethod
    def of(cls, seed: int) -> Case:
        """Alternate between long hot stretches and pages that one second fills."""
        chance = random.Random(seed)  # noqa: S311 - nothing is secret here
        page = (100, 10)[seed % 2]
        seconds, hot = ((60, 45), (60, 3))[seed % 2]
        broken = chance.randrange(2, 9) if seed % 4 > 1 else None
        return cls(seed, page, seconds, hot, broken)

    def organizations(self) -> list[Organization]:
        """Build one organization, with one issue in one project."""
        build = Builder(NOW, seed=self.seed, kilobytes=0.1)
        acme = build.organization("acme", "Acme", ["code/attic"])
        shop = build.project(acme, "shop", "python", [build.team(acme, "ops")], 2)
        issue = build.issue(shop, "Error: hot")
        hot = {*build.random.sample(range(self.seconds), self.hot)}
        sizes = [
            HOT if second in hot else build.random.choice((0, 1, 1))
            for second in range(self.seconds)
        ]
        entries = Entries([{"type": "message", "data": {}}])
        build.file(
            build.event(
                shop,
                issue,
                NOW - timedelta(hours=1, seconds=second),
                entries=entries,
            )
            for second, size in enumerate(sizes)
            for _ in range(size)
        )
        return [acme]

    def sentry(self) -> SentrySimulator:
        """Return a server with the issue."""
        simulator = SentrySimulator(
            self.organizations(),
            flavour="self-hosted-24",
            clock=lambda: NOW,
            page_size=self.page,
        )
        simulator.order = self.seed
        return simulator


@dataclass
class Figures:
    """Counts over all hot issues."""

    seeds: int = 0
    events: int = 0
    lost: int = 0
    #: Rows that one run wrote twice.
    twice: int = 0
    #: Requests and full pages of the lists read without interruption, by page size.
    requests: dict[int, int] = field(default_factory=dict)
    pages: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def share(self, page: int) -> float:
        """Return the requests per page of the lists with this page size."""
        return self.requests.get(page, 0) / self.pages.get(page, 1)

    def __str__(self) -> str:
        """Format the figures, one per line."""
        lines = [
            ("seeds", self.seeds),
            ("events expected", self.events),
            ("lost", self.lost),
            ("written twice in one run", self.twice),
            *(
                (f"requests for each page of {page}", f"{self.share(page):.2f}")
                for page in sorted(self.pages)
            ),
        ]
        return "\n".join(f"{name:36}{value}" for name, value in lines)


def read(case: Case, figures: Figures) -> None:
    """Read the issue of a case and count the results."""
    sentry = case.sentry()
    events = {event.id for event in sentry.project("shop").events}
    found: dict[str, set[str]] = {stream: set() for stream in STREAMS}
    with pytest.MonkeyPatch.context() as patch, sentry.patched():
        quicken(patch)
        state = None
        settings = {"start_date": None, "concurrency": 1 + case.seed % 3}
        if case.broken:
            path = "issues/{issue}/events/"
            sentry.fault(
                401, times=1, after=case.broken, when=lambda at: path in at.template
            )
        for _ in range(1 + bool(case.broken)):
            run = sync(sentry, *STREAMS, state=state, **settings)
            state = run.last_state
            for stream in STREAMS:
                rows = [
                    row.get("eventID") or row["event_id"] for row in run.records(stream)
                ]
                figures.twice += len(rows) - len(set(rows))
                found[stream] |= set(rows)
    figures.seeds += 1
    for stream in STREAMS:
        figures.events += len(events)
        if lost := events - found[stream]:
            figures.lost += len(lost)
            figures.notes.append(f"{stream}: {len(lost)} lost: {case}")
    if not case.broken:
        page, pages = case.page, 0
        for limit in (page, min(page, sentry.flavour.full_rows)):
            pages += -(-len(events) // limit)
        asked = sum("/events/" in request.path for request in sentry.requests)
        figures.pages[page] = figures.pages.get(page, 0) + pages
        figures.requests[page] = figures.requests.get(page, 0) + asked


def try_out(seeds: int, first: int = 0) -> Figures:
    """Read the hot issues of a range of seeds."""
    figures = Figures()
    for seed in range(first, first + seeds):
        read(Case.of(seed), figures)
    return figures


def main() -> int:
    """Read hot issues and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.hot")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures = try_out(options.seeds, options.first)
    for note in figures.notes:
        sys.stderr.write(f"{note}\n")
    sys.stdout.write(f"{figures}\n")
    bad = figures.lost or figures.twice or figures.share(100) > MOST
    return 0 if figures.seeds and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
