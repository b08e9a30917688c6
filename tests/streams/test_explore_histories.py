"""Any history of rows, runs and kills: the runs together have all rows."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import IS_SOAK
from tests.conftest import NOW
from tests.killed import limited, run_until_killed
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.explore import explore_rows
from tests.streams.test_explore import LOGS, SPANS, catalog_of, span

pytestmark = pytest.mark.usefixtures("quiet")

LOOKBACK = timedelta(minutes=30)
#: The most rows of a list that this smaller Sentry sends. All bursts in one second have
#: more, but those of one of the four projects have not.
DEEPEST, PAGE = 400, 10


class Step(NamedTuple):
    """What arrives before a run, and how the run goes."""

    #: For each burst: minutes before now, seconds that it lasts, and its rows.
    bursts: list[tuple[int, int, int]]
    minutes: int
    requests: int | None
    exact: timedelta | None
    concurrency: int


STEPS = st.builds(
    Step,
    bursts=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 90),
            st.sampled_from([1, 3, 40, 130]),
        ),
        min_size=1,
        max_size=3,
    ),
    minutes=st.sampled_from([1, 20, 90]),
    requests=st.sampled_from([None, 5, 25, 60, 120]),
    exact=st.sampled_from([None, timedelta(hours=1), timedelta(minutes=7)]),
    concurrency=st.sampled_from([1, 8]),
)


class History:
    """A server that receives rows, and a tap that reads it now and then."""

    def __init__(self, dataset):
        self.now = NOW
        self.sentry = SentrySimulator(clock=lambda: self.now, page_size=PAGE)
        self.sentry.explore = {}
        self.organization = self.sentry.organizations[0]
        self.projects = [project.slug for project in self.organization.projects]
        self.dataset = dataset
        self.table = SPANS if dataset == "spans" else LOGS
        self.column = "id" if dataset == "spans" else "sentry_item_id"
        self.numbers = itertools.count(1)
        self.state = None
        #: Rows that a STATE followed, and the rows of the last run.
        self.acknowledged, self.last = set(), []

    def arrive(self, bursts):
        for minutes, seconds, number in bursts:
            first = self.now - timedelta(minutes=min(minutes, 29))
            rows = [
                span(
                    next(self.numbers),
                    first + timedelta(seconds=seconds * n / number),
                    project=self.projects[n % 4],
                )
                for n in range(number)
            ]
            if self.dataset == "logs":
                for row in rows:
                    row["sentry.item_id"] = row.pop("id")
            rows = [row for row in rows if row["timestamp"] < self.now]
            self.sentry.add_explore_rows(self.organization.slug, self.dataset, rows)

    def held(self):
        end = self.now.replace(microsecond=0)
        rows = explore_rows(self.sentry, self.organization, self.dataset, None, end)
        return {row[self.column.replace("_item", ".item")] for row in rows}

    def read(self, step):
        self.sentry.explore_exact = step.exact
        config = {
            "auth_token": TOKEN,
            "api_url": self.sentry.url,
            "organizations": [self.organization.slug],
            "explore": [self.table],
            "start_date": "3d" if self.state is None else "9d",
            "lookback": f"{LOOKBACK // timedelta(minutes=1)}m",
            "concurrency": step.concurrency,
        }
        output = run_until_killed(
            self.sentry,
            config,
            catalog_of(self.table),
            self.state,
            limited(self.sentry.answer, step.requests),
            share=1.0,
            now=self.now,
            ends=step.requests is None,
        )
        self.keep(output.messages)
        return output.code

    def keep(self, messages):
        self.last, fresh = [], []
        for message in messages:
            if message["type"] == "RECORD":
                fresh.append(message["record"][self.column])
                self.last.append(message["record"])
            elif message["type"] == "STATE":
                self.acknowledged.update(fresh)
                fresh.clear()
                self.state = message["value"]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A Sentry and a tap with small numbers, so that every limit is met."""
    monkeypatch.setattr("tests.sentry.explore.MOST_ROWS", DEEPEST)
    monkeypatch.setattr("tap_sentry.streams.explore.ExploreTable.many_rows", DEEPEST)
    monkeypatch.setattr("tap_sentry.streams.explore_rows.MOST_ROWS", 60)
    monkeypatch.setattr("tap_sentry.streams.explore_rows.AIM", 45)


@settings(
    max_examples=300 if IS_SOAK else 8,
    deadline=None,
    # A failure is told at once; to make it smaller would take minutes.
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(STEPS, min_size=2, max_size=4),
    dataset=st.sampled_from(["spans", "logs"]),
)
def test_the_runs_together_have_all_rows(steps, dataset):
    """Late rows within `lookback`, hot seconds, kills and samples lose no row."""
    history = History(dataset)
    for step in steps:
        history.arrive(step.bursts)
        history.read(step)
        history.now += timedelta(minutes=step.minutes)
    first = len(history.held())
    final = Step([], 0, None, None, 4)
    code = history.read(final)

    assert code == 0
    assert history.acknowledged == history.held()
    assert len(history.acknowledged) == first
    history.read(final)
    bound = history.now - LOOKBACK - timedelta(seconds=1)
    assert all(row["timestamp"] >= bound.isoformat() for row in history.last)
