"""Soak test: run the tap under seeded mixtures of faults until everything is read.

Each mixture is a small Sentry, behind a real socket, whose responses fail in several
ways at once. The tap reads it, and resumes from its last STATE for as long as it
reports that something is missing. All runs together must write what an undisturbed run
writes.

    python -m tests.soak --mixtures 300 --seconds 600
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import logging
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.api import brown_outs, scheduler
from tap_sentry.api import rate_limits as limits
from tap_sentry.api.client import SentryClient
from tap_sentry.cli.execution import Execution
from tap_sentry.tap import TapSentry
from tests.conftest import NOW, Output, catalog_of
from tests.sentry import ENDPOINTS, FLAVOURS, TOKEN, SentrySimulator
from tests.sentry.data import Builder, Entries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tests.sentry import Fault, Request
    from tests.sentry.data import Organization

PAGE = 2
#: The timeout of a request in seconds, and the one for a server that hangs.
TIMEOUT, SHORT_TIMEOUT = 10, 0.25
START = "3d"

#: The streams that resume within a project.
SCANNED = (
    *("project_events", "project_event_entries", "project_feedback"),
    *("issue_events", "issue_event_entries"),
)
COUNTS = {
    "organization_event_counts": "organization_id",
    "team_event_counts": "team_id",
    "project_event_counts": "project_id",
}

#: Transient faults: the kind of the simulator's fault, and its details.
PASSING: dict[str, tuple[int | str, dict[str, Any]]] = {
    "408": (408, {}),
    "429, reset": (429, {"reset": 0.01}),
    "429, reset in the past": (429, {"reset": -30}),
    "429, reset an hour ahead": (429, {"reset": 3600}),
    "429, Retry-After": (429, {"retry_after": 0.05}),
    "429, no hint": (429, {}),
    "429, concurrency": (429, {"concurrent": True}),
    "500": (500, {}),
    "502": (502, {}),
    "503": (503, {"empty": True}),
    "504": (504, {}),
    "410": (410, {}),
    "refused": ("refuse", {}),
    "reset": ("reset", {}),
    "reset in the body": ("reset", {"where": "middle"}),
    "short body": ("short", {}),
    "hang": ("hang", {"seconds": 0.6}),
    "truncated JSON": ("truncated", {}),
    "HTML with 200": ("html", {}),
    "no list": ("not_a_list", {}),
    "empty page": ("empty_page", {}),
    "page twice": ("repeat_page", {}),
    "silent close": ("silent_close", {}),
    "302, same origin": (302, {}),
    "hang in the body": ("hang", {"seconds": 0.6, "where": "middle"}),
}


# A small Sentry -----------------------------------------------------------------------


def small(now: datetime = NOW) -> list[Organization]:
    """Build three organizations; lists of the first project have three pages of two."""
    build = Builder(now, seed=5, kilobytes=0.1)
    ago = now.__sub__
    acme = build.organization("acme", "Acme", [f"code/{n}" for n in range(5)])
    ops, qa = build.team(acme, "ops"), build.team(acme, "qa")
    for name in ("sales", "support", "idle"):
        build.team(acme, name)
    shop = build.project(acme, "shop", "python", [ops, qa], 5)
    pay = build.project(acme, "pay", "go", [ops], 1)
    for name in ("quiet", "silent", "tacit"):
        build.project(acme, name, "node", [ops])
    globex = build.organization("globex", "Globex", ["code/globex", "code/attic"])
    web = build.project(globex, "web", "php", [build.team(globex, "all")], 1)
    initech = build.organization("initech", "Initech", ["code/none"])
    entries = Entries([{"type": "message", "data": {"n": n}} for n in "ab"])
    events = []
    for project, issue_sizes in ((shop, (5, 2, 1, 1, 1)), (pay, (2,)), (web, (1,))):
        users = build.pools[project.id]
        for number, size in enumerate(issue_sizes):
            issue = build.issue(project, f"Error: {number} of {project.slug}")
            mine = [
                build.event(
                    project,
                    issue,
                    # Two events of the first issue have the same date.
                    ago(timedelta(hours=7 * (event or 1) + number)),
                    user=users[(number + event) % len(users)],
                    entries=entries,
                )
                for event in range(size)
            ]
            events += mine
    build.file(events)
    for number in range(5):
        issue = shop.issues[number % 2]
        build.report(issue, shop, timedelta(hours=5 * number + 1), f"Broken {number}")
    return [acme, globex, initech]


class Faulty(SentrySimulator):
    """A simulator that counts the faults it injected."""

    def __init__(
        self, flavour: str = "saas", now: datetime = NOW, **options: Any
    ) -> None:
        """Build the small organizations."""
        super().__init__(
            small(now),
            flavour=flavour,
            clock=lambda: now,
            **{"page_size": PAGE} | options,
        )
        self.injected: Counter[int | str] = Counter()
        #: Whether a response may be delayed; the tap's timeout is then short.
        self.hangs = False

    def fault(self, kind: int | str, **options: Any) -> None:
        """Add a fault."""
        self.hangs = self.hangs or kind == "hang" or "seconds" in options
        super().fault(kind, **options)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self.lock:
            self.faults.clear()

    def take_fault(
        self, request: Request | None, kinds: set[str] | None = None
    ) -> Fault | None:
        fault = super().take_fault(request, kinds)
        if fault is not None:
            self.injected[fault.kind] += 1
        return fault


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Shorten all waits, and start every run at `NOW`."""
    patch.setattr("tap_sentry.tap.now", lambda: NOW)
    patch.setattr(limits, "FIRST_DELAY", 0.001)
    patch.setattr(limits, "LONGEST_DELAY", 0.01)
    patch.setattr(limits, "LONGEST_WINDOW", 0.05)
    patch.setattr(brown_outs, "BROWN_OUT", 0.1)
    patch.setattr(scheduler, "MAX_REJECTIONS", 8)


# Runs ---------------------------------------------------------------------------------


@dataclass
class Run(Output):
    """The output of a run, and what it reported as skipped or missing.

    What this kind of server lacks by itself is not reported here.
    """

    skipped: list[str] = field(default_factory=list)
    #: The streams that skipped something other than a feature that is switched off.
    unfinished: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    #: The output as it was written.
    lines: bytes = b""

    @property
    def is_complete(self) -> bool:
        """Whether the run reports that everything was read."""
        return not (self.code or self.unfinished or self.missing)

    def rows(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The records by stream and key, the last of each."""
        return dict(self.pairs())

    def pairs(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """The records with their stream and key, in the order written."""
        keys: dict[str, list[str]] = {}
        for message in self.messages:
            stream = message.get("stream", "")
            if message["type"] == "SCHEMA":
                keys[stream] = message["key_properties"]
            elif message["type"] == "RECORD":
                record = message["record"]
                yield (stream, *(record[name] for name in keys[stream])), record

    def without_state(self) -> list[dict[str, Any]]:
        """The messages in the order written, without STATE and extraction times."""
        return [
            {name: value for name, value in message.items() if name != "time_extracted"}
            for message in self.messages
            if message["type"] != "STATE"
        ]

    @property
    def last_state(self) -> dict[str, Any] | None:
        """The last STATE, if there is any."""
        states = [m["value"] for m in self.messages if m["type"] == "STATE"]
        return states[-1] if states else None


@functools.cache
def _catalog(streams: tuple[str, ...]) -> dict[str, Any]:
    return catalog_of(*streams)


def sync(
    sentry: SentrySimulator,
    *streams: str,
    state: dict[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Run the tap as its command line does; without names it reads all streams."""
    config = {
        "auth_token": TOKEN,
        "api_url": sentry.url,
        "start_date": START,
        "lookback": "0s",
        "stats": ["received", "generated"],
        **settings,
    }
    caught = io.BytesIO()
    former = sys.stdout
    sys.stdout = wrapper = io.TextIOWrapper(caught, write_through=True)
    hangs = isinstance(sentry, Faulty) and sentry.hangs
    timeout = SHORT_TIMEOUT if hangs else TIMEOUT
    patch = pytest.MonkeyPatch()
    patch.setattr(SentryClient, "timeout", timeout)
    try:
        tap = TapSentry(
            config=config,
            catalog=json.loads(json.dumps(_catalog(streams))),
            state=json.loads(json.dumps(state)) if state else None,
        )
        code = Execution(tap).run()
    finally:
        patch.undo()
        sys.stdout = former
        wrapper.detach()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    tap.run.client.session.close()
    skipped = tap.run.results.skipped
    return Run(
        [json.loads(line) for line in caught.getvalue().splitlines()],
        code,
        [f"{item.stream} {item.part}" for item in skipped],
        [item.stream for item in skipped if not item.is_unavailable],
        sorted(tap.run.client.endpoints.missing - lacking(sentry)),
        caught.getvalue(),
    )


def lacking(sentry: SentrySimulator) -> set[str]:
    """Return the paths that a kind of server lacks, as streams write them."""
    return {
        f"/{template}".replace("{org}", "{organization}").replace(
            "{version}", "{release}"
        )
        for template in sentry.flavour.missing
    }


# Mixtures -----------------------------------------------------------------------------


#: How many of these responses may follow each other before a list counts as missing.
LACKING = {"HTML with 200": 3, "no list": 1}


@dataclass(frozen=True)
class Planned:
    """A planned fault."""

    name: str
    template: str | None
    after: int
    times: int | None

    def put(self, sentry: SentrySimulator) -> None:
        """Add the fault to the simulator."""
        kind, details = PASSING[self.name]
        template = self.template
        sentry.fault(
            kind,
            times=self.times,
            after=self.after,
            when=None if template is None else lambda seen: seen.template == template,
            **details,
        )


@dataclass(frozen=True)
class Mixture:
    """The server, settings and faults of one run."""

    flavour: str
    concurrency: int
    strict: bool
    faults: tuple[Planned, ...]

    @classmethod
    def of(cls, seed: int) -> Mixture:
        """Return the mixture of a seed."""
        chance = random.Random(seed)  # noqa: S311 - nothing is secret here
        templates = [None, None, *(found.template for found in ENDPOINTS)]

        def planned() -> Planned:
            name = chance.choice(list(PASSING))
            # No run can finish a list whose pages never end.
            times = chance.choice((1, 1, 2, 3, 4, 6, 12, None))
            if name in {"empty page", "page twice"}:
                times = times or 12
            # A server that never stops sending these counts as one without the list.
            if name in LACKING:
                times = min(times or LACKING[name], LACKING[name])
            template = chance.choice(templates)
            after = chance.choice((0, 0, 1, 2, chance.randrange(60)))
            # The older list of issues, which lacks columns, is read if the newer one
            # fails twice before it was ever answered.
            if (name, template, after) == ("500", "organizations/{org}/issues/", 0):
                times = 1
            return Planned(name, template, after, times)

        return cls(
            chance.choice(("saas", "saas", *FLAVOURS)),
            chance.choice((1, 2, 8)),
            chance.random() < 0.1,
            tuple(planned() for _ in range(chance.randint(1, 8))),
        )


@dataclass
class Figures:
    """Counts over all mixtures."""

    mixtures: int = 0
    runs: int = 0
    injected: Counter[int | str] = field(default_factory=Counter)
    expected: int = 0
    lost: int = 0
    #: Records that were not expected, or whose content differs.
    wrong: int = 0
    beyond: int = 0
    #: Mixtures that were complete after the first run.
    recovered: int = 0
    seconds: float = 0
    #: Failures to investigate.
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Format the figures, one per line."""
        return "\n".join(
            f"{name:36}{value}"
            for name, value in (
                ("mixtures run", self.mixtures),
                ("of these complete in one run", self.recovered),
                ("runs of the tap", self.runs),
                ("faults injected", self.injected.total()),
                ("records expected", self.expected),
                ("lost", self.lost),
                ("wrong", self.wrong),
                ("duplicated beyond the allowance", self.beyond),
                ("seconds", round(self.seconds)),
            )
        )


@functools.cache
def undisturbed(flavour: str) -> Run:
    """Run the tap without faults."""
    sentry = Faulty(flavour)
    with pytest.MonkeyPatch.context() as patch, sentry.served():
        quicken(patch)
        return sync(sentry)


def try_out(mixture: Mixture, figures: Figures) -> None:
    """Run a mixture until the tap reports that all is read, and count the results."""
    expected = undisturbed(mixture.flavour).rows()
    missing = undisturbed(mixture.flavour).missing
    written: dict[tuple[Any, ...], dict[str, Any]] = {}
    state: dict[str, Any] | None = None
    sentry = Faulty(mixture.flavour)
    with pytest.MonkeyPatch.context() as patch, sentry.served():
        quicken(patch)
        for fault in mixture.faults:
            fault.put(sentry)
        settings = {"concurrency": mixture.concurrency, "strict": mixture.strict}
        for attempt in range(3):
            run = sync(sentry, state=state, **settings)
            figures.runs += 1
            figures.beyond += twice(run)
            if state is not None:
                surplus = needless(run, written, state)
                figures.beyond += 0 if mixture.flavour == "glitchtip" else surplus
            written |= run.rows()
            state = run.last_state or state
            claims = replace(run, missing=[x for x in run.missing if x not in missing])
            if claims.is_complete:
                figures.recovered += not attempt
                break
            # After an incomplete run, the faults end.
            sentry.clear_faults()
            settings = {}
        else:
            figures.notes.append(f"never complete: {mixture}")
    figures.mixtures += 1
    figures.injected += sentry.injected
    figures.expected += len(expected)
    lost = expected.keys() - written.keys()
    figures.lost += len(lost)
    figures.wrong += len(written.keys() - expected.keys())
    figures.wrong += sum(
        written[key] != row for key, row in expected.items() if key in written
    )
    if lost:
        figures.notes.append(f"lost {sorted(lost)[:5]} …: {mixture}")


def twice(run: Run) -> int:
    """Return how many records one run wrote again."""
    return sum(number - 1 for number in Counter(key for key, _ in run.pairs()).values())


def needless(
    run: Run, written: dict[tuple[Any, ...], Any], state: dict[str, Any]
) -> int:
    """Return how many records were written again although the state covers them.

    Two pages of each interrupted list may be written again, and all of a list of
    issues. Streams that are read whole in every run do not count.
    """
    again: Counter[tuple[str, str]] = Counter()
    events: set[tuple[Any, ...]] = set()
    beyond = 0
    for key, row in run.pairs():
        stream = key[0]
        if key not in written:
            continue
        by_id = state.get("bookmarks", {}).get(stream, {}).get("by_id", {})
        if stream in SCANNED:
            # The entries of an event count once.
            if (event := (stream, *key[1:4])) not in events:
                events.add(event)
                again[stream, row["project_id"]] += 1
        elif stream == "project_issues":
            beyond += "bookmark" in (by_id.get(row["project_id"]) or {})
    for (stream, project), number in again.items():
        entry = state.get("bookmarks", {}).get(stream, {}).get("by_id", {}).get(project)
        done = "bookmark" in (entry or {})
        beyond += max(0, number - (0 if done else 2 * PAGE))
    return beyond


def soak(mixtures: int, seconds: float, first: int = 0) -> Figures:
    """Try one mixture after another, for at most the given seconds."""
    figures = Figures()
    start = time.monotonic()
    for seed in range(first, first + mixtures):
        try_out(Mixture.of(seed), figures)
        figures.seconds = time.monotonic() - start
        if figures.seconds > seconds:
            break
    return figures


def main() -> int:
    """Run the soak test and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--mixtures", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=600, help="at most")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures = soak(options.mixtures, options.seconds, options.first)
    for note in figures.notes:
        sys.stderr.write(f"{note}\n")
    sys.stdout.write(f"{figures}\n")
    bad = figures.lost or figures.wrong or figures.beyond or figures.notes
    return 0 if figures.mixtures and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
