"""What `--plan` estimates, compared with what runs take."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.cli.plan import show
from tap_sentry.tap import TapSentry
from tests import IS_SOAK
from tests.conftest import NOW, catalog_of, run
from tests.sentry import SAAS_LIMITS, TOKEN, SentrySimulator
from tests.sentry.data.sizes import generated
from tests.sentry.data.uneven import uneven

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sentry.data.objects import Organization

#: How far requests may be off: a part of them, or so many of a stream.
PART, FEW = 0.15, 3
#: Streams of events: those of projects can be read from the lists of those of issues.
EVENTS = {
    *("project_events", "project_event_entries"),
    *("issue_events", "issue_event_entries", "project_issues"),
}
#: The limits of sentry.io for requests at a time; the others do not matter here.
AT_A_TIME = {name: replace(limit, limit=10**6) for name, limit in SAAS_LIMITS.items()}
SUMMARY = re.compile(r"(\w+): .* read with ([\d,]+) request")


def estimated(config: dict[str, Any], catalog: Any, state: Any) -> Counter[str]:
    """Return the requests of each stream that `--plan` estimates, and their total."""
    said: list[str] = []
    tap = TapSentry(config=config, catalog=catalog, state=state)
    assert show(tap, "json", said.append) == 0
    lines = json.loads(said[0])
    return Counter({line["stream"]: line["requests"] for line in lines})


@pytest.fixture
def compare(caplog) -> Callable[..., Any]:
    """Compare a forecast with a run; return the output of the run."""

    def compare(
        sentry: SentrySimulator, *streams: str, state: Any = None, **settings: Any
    ) -> Any:
        config = {"auth_token": TOKEN, "api_url": sentry.url, **settings}
        catalog = catalog_of(*streams) if streams else None
        expected = estimated(config, catalog, state)
        cost = len(sentry.requests)
        sentry.requests.clear()
        caplog.clear()
        with caplog.at_level(logging.INFO):
            output = run(config, catalog, state)
        made = Counter[str]()
        for line in caplog.messages:
            if (found := SUMMARY.match(line)) and found[1] != "total":
                made[found[1]] = int(found[2].replace(",", ""))
        total = expected.pop("total")

        assert output.code == 0
        assert total == pytest.approx(len(sentry.requests), rel=PART)
        assert grouped(expected).keys() <= grouped(made).keys()
        for name, number in grouped(made).items():
            foreseen = grouped(expected)[name]
            assert foreseen == pytest.approx(number, rel=PART, abs=FEW), name
        # A forecast is worth little that takes as long as the run.
        assert cost <= len(sentry.requests) + FEW
        return output

    return compare


def grouped(requests: Counter[str]) -> Counter[str]:
    """Return the requests with those of all events as one, and none that are zero."""
    found = Counter[str]()
    for name, number in requests.items():
        found["events" if name in EVENTS else name] += number
    return +found


def large(**sizes: Any) -> list[Organization]:
    """An organization of ten unequal projects."""
    more = {"projects": 10, "issues": 200, "events": 5_000, "full_kilobytes": 1}
    return uneven(now=NOW, **more | sizes)


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-24", "self-hosted-9"])
def test_runs_on_servers_that_count(compare, flavour):
    """The default selection and all streams, on each kind of server."""
    simulator = SentrySimulator(clock=lambda: NOW, flavour=flavour)
    with simulator.patched():
        compare(simulator)
        simulator.requests.clear()
        names = {entry["stream"] for entry in catalog_of()["streams"]}
        # Old servers lack the links, which are found missing one by one.
        compare(simulator, *names - {"issue_links"})


#: Streams and settings, some of them in a short form of the tests.
RUNS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    ((), {}),
    (("project_events",), {"full_events": True}),
    (("project_events", "project_event_entries"), {}),
    (("project_events", "project_issues"), {"start_date": "10d"}),
    (("project_events", "project_issues"), {"report_date": "2026-11-10"}),
    (("project_events", "project_issues", "issue_events"), {}),
    (("project_events", "issue_events"), {"events_by": "issue"}),
    (
        ("project_events", "project_event_entries", "issue_events"),
        {"events_by": "issue", "full_events": True},
    ),
    (("project_events",), {"events_by": "project"}),
    (("issue_events",), {"full_events": True}),
    (("issue_tags", "issue_events"), {"issue_query": "is:unresolved"}),
    (("issue_activities", "issue_comments", "issue_hashes"), {}),
]
WORLDS: list[dict[str, int]] = [
    {"issues": 2000},
    {"projects": 3, "issues": 30, "events": 12_000},
    {"skew": 0},
    {"projects": 40, "issues": 200, "events": 2_000},
]


@pytest.mark.parametrize(("streams", "settings"), RUNS if IS_SOAK else RUNS[1::3])
@pytest.mark.parametrize("limits", [{}, AT_A_TIME], ids=["free", "limited"])
def test_runs_on_unequal_projects(compare, streams, settings, limits):
    """Whatever way the events are read, whole or in slices, alone or shared."""
    simulator = SentrySimulator(large(), clock=lambda: NOW, rate_limits=limits)
    with simulator.patched():
        compare(simulator, *streams, **settings)


@pytest.mark.parametrize("sizes", WORLDS if IS_SOAK else WORLDS[:1])
@pytest.mark.parametrize("limits", [{}, AT_A_TIME], ids=["free", "limited"])
def test_runs_on_worlds_of_other_sizes(compare, sizes, limits):
    """Equal projects, many issues, few large projects, many small ones."""
    simulator = SentrySimulator(large(**sizes), clock=lambda: NOW, rate_limits=limits)
    with simulator.patched():
        compare(simulator, "project_events", "project_issues")


def test_a_second_run(compare, monkeypatch):
    """A run with the state of another one reads what is new, and few old things."""
    world = generated(now=NOW, organizations=3, teams=6, projects=15, events=3000)
    now: list[datetime] = [NOW]
    simulator = SentrySimulator(world, clock=lambda: now[0])
    monkeypatch.setattr("tap_sentry.tap.now", lambda: now[0])
    with simulator.patched():
        state = compare(simulator).state
        for organization in world:
            for project in organization.projects:
                simulator.add_event(project.slug, project.issues[0])
        now[0] += timedelta(hours=6)
        simulator.requests.clear()
        compare(simulator, state=state)


def test_heavy_streams(compare):
    """What is below releases, monitors and repositories is requested for each."""
    simulator = SentrySimulator(clock=lambda: NOW)
    with simulator.patched():
        simulator.more_monitors = 30
        compare(
            simulator,
            *("organization_monitors", "monitor_checkins", "repository_commits"),
            *("organization_releases", "release_deploys", "release_commits"),
        )
