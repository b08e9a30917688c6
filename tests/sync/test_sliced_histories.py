"""Property tests: lists that are read in slices arrive whole, wherever runs stop.

Hypothesis generates projects with bursts, hot seconds and quiet weeks, small pages,
faults, and runs that are killed after any number of requests and resumed.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tap_sentry.streams.scan_lists import ScanLists
from tests import IS_SOAK
from tests.conftest import NOW, catalog_of
from tests.killed import limited, run_until_killed
from tests.sentry import FLAVOURS, TOKEN
from tests.streams import at, shops
from tests.sync.test_histories import entry_of, schemas

pytestmark = pytest.mark.usefixtures("quiet")

START = NOW - timedelta(days=80)
STREAMS = ("project_events", "issue_events")
EVENTS, STATS = "/events/", "/stats/"
#: Servers that cut both lists by dates, one of them, or none.
SERVERS = {
    "saas": FLAVOURS["saas"],
    "keeps a month": replace(FLAVOURS["saas"], retention=timedelta(days=30)),
    "cursors in time": replace(
        FLAVOURS["saas"], value_cursors=True, precision="milliseconds"
    ),
    **{name: FLAVOURS[name] for name in FLAVOURS if name != "saas"},
}


@dataclass(frozen=True)
class Burst:
    """Events within some seconds, the newest of them `age` seconds ago."""

    age: int
    seconds: int
    number: int

    def ages(self):
        """Return the ages of the events."""
        step = self.seconds / self.number
        return [self.age + step * number for number in range(self.number)]


@dataclass(frozen=True)
class Disturbance:
    """A fault of some requests."""

    kind: int | str
    where: str
    times: int | None
    after: int


@dataclass(frozen=True)
class Run:
    """A run that is killed after a number of requests, unless that is None."""

    requests: int | None
    concurrency: int
    is_told: bool
    disturbances: tuple[Disturbance, ...]


@dataclass(frozen=True)
class History:
    """The events of each project, and the runs."""

    server: str
    stream: str
    page: int
    shops: list[list[Burst]]
    runs: list[Run]


DAY = 86_400
BURSTS = st.builds(
    Burst,
    age=st.sampled_from((60, 61, 3600, 90_000, 5 * DAY))
    | st.integers(60, 70 * DAY)
    # Partly older than the window.
    | st.just(80 * DAY - 20),
    seconds=st.sampled_from((0, 3, 40, 4000, 9 * DAY)),
    number=st.sampled_from((1, 5, 12, 40, 60)),
)
DISTURBANCES = st.builds(
    Disturbance,
    kind=st.sampled_from((500, 502, 429, "html", "truncated", "empty_page")),
    where=st.just(EVENTS),
    times=st.sampled_from((1, 3, 30)),
    after=st.integers(0, 60),
) | st.builds(
    Disturbance,
    kind=st.sampled_from((500, 403, 404, "html", "not_a_list")),
    where=st.just(STATS),
    times=st.sampled_from((1, None)),
    after=st.just(0),
)
RUNS = st.builds(
    Run,
    # Nothing is left for the runs after one that is not killed.
    requests=st.sampled_from((None, *range(3, 40), *range(40, 120, 5))),
    concurrency=st.integers(2, 16),
    is_told=st.booleans(),
    disturbances=st.just(()) | st.lists(DISTURBANCES, max_size=2).map(tuple),
)
HISTORIES = st.builds(
    History,
    server=st.sampled_from((*["saas"] * 6, *["keeps a month"] * 2, *SERVERS)),
    stream=st.sampled_from((*["project_events"] * 3, "issue_events")),
    page=st.integers(1, 3),
    # Most have more pages than are read of a list before it is left.
    shops=st.lists(
        st.tuples(
            st.builds(Burst, st.integers(60, DAY), st.just(20 * DAY), st.just(70)),
            st.lists(BURSTS, max_size=3),
        ).map(lambda pair: [pair[0], *pair[1]]),
        min_size=1,
        max_size=2,
    ),
    runs=st.lists(RUNS, min_size=2, max_size=5),
)


@functools.cache
def cached_catalog(stream):
    return catalog_of(stream)


class Story:
    """A server, and what has been read of it."""

    def __init__(self, history, figures):
        ages = [
            [age for burst in bursts for age in burst.ages()]
            for bursts in history.shops
        ]
        self.sentry = shops(*ages, page_size=history.page)
        self.sentry.flavour = SERVERS[history.server]
        self.stream, self.page = history.stream, history.page
        self.history = history
        self.states: list[dict[str, object]] = []
        self.state = {}
        self.written, self.acknowledged = set(), set()
        self.is_sliced = False
        self.figures = figures

    def read(self, run):
        """Run the tap, check what it writes again, and keep its output and state."""
        self.sentry.faults.clear()
        for fault in run.disturbances:
            where = at(f".*{fault.where}")
            self.sentry.fault(
                fault.kind, times=fault.times, after=fault.after, when=where
            )
        output = self.output(run)
        again: set[tuple[object, str]] = set()
        fresh: list[tuple[object, ...]] = []
        for message in output.messages:
            if message["type"] == "STATE":
                self.acknowledged.update(fresh)
                fresh.clear()
            elif message["type"] == "RECORD":
                record = message["record"]
                names = schemas(output)[self.stream]
                key = tuple(record[name] for name in names)
                if key in self.acknowledged and not self.is_reached(record):
                    again.add((key[1], record["dateCreated"][:19]))
                self.written.add(key)
                fresh.append(key)
        states = [m["value"] for m in output.messages if m["type"] == "STATE"]
        self.state = states[-1] if states else self.state
        self.states.append(self.state)
        note(f"{run}: {output.code}, {len(output.messages)} lines, {self.state}")
        most = max(Counter(project for project, _ in again).values(), default=0)
        # A list with opaque cursors, as those after empty pages are, is read again.
        kinds = {fault.kind for run in self.history.runs for fault in run.disturbances}
        if not self.sentry.flavour.glitchtip and "empty_page" not in kinds:
            self.figures["most twice"] = max(self.figures["most twice"], most)
            assert most <= 2 * self.page, (self.history, run, self.states)
        return output

    def is_reached(self, record):
        """Return whether a record may come again: its second was not complete."""
        entry = entry_of(self.state, self.stream, record["project_id"])
        dates = [scan.get("at", "") for scan in entry.get("scan") or ()]
        return record["dateCreated"][:19] in {date[:19] for date in dates}

    def output(self, run):
        """Run the tap with a limit on its requests."""
        config = {
            "auth_token": TOKEN,
            "start_date": START.isoformat(),
            "lookback": "0s",
            "concurrency": run.concurrency,
        }
        prove, proofs = ScanLists.prove, []

        def proved(lists):
            proofs.append(prove(lists))
            return proofs[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ScanLists, "prove", proved)
            output = run_until_killed(
                self.sentry,
                config,
                cached_catalog(self.stream),
                self.state,
                limited(self.sentry.answer, run.requests),
                ends=run.is_told or run.requests is None,
            )
        self.is_sliced = self.is_sliced or True in proofs
        self.figures["requests"] += len(self.sentry.requests)
        self.sentry.requests.clear()
        self.figures["runs"] += 1
        self.figures["runs in slices"] += True in proofs
        self.figures["runs cut short"] += output.code != 0
        return output


def bookmarks(state):
    """Return the bookmarks of a state, without scans that are over."""
    found: dict[str, dict[str, dict[str, object]]] = defaultdict(dict)
    for stream, part in state["bookmarks"].items():
        for key, entry in part["by_id"].items():
            found[stream][key] = {
                name: value for name, value in entry.items() if value is not None
            }
    return found


@pytest.fixture(scope="module")
def figures():
    """Collect figures over all histories, and check that most are read in slices."""
    found: Counter[str] = Counter()
    yield found
    sys.stderr.write(f"\nsliced histories: {dict(sorted(found.items()))}\n")
    assert found["histories in slices"] > found["histories"] / 2


@settings(
    max_examples=400 if IS_SOAK else 12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # Shrinking a history takes minutes.
    phases={Phase.explicit, Phase.generate},
)
@given(history=HISTORIES)
def test_the_union_of_all_runs_is_what_the_server_has(history, figures):
    """Killed and disturbed runs together write each event, and nothing else."""
    story, whole = (Story(history, figures) for _ in range(2))
    for run in history.runs:
        story.read(run)
    last = story.read(Run(None, 8, is_told=False, disturbances=()))
    plain = whole.output(Run(None, 1, is_told=False, disturbances=()))

    truth = story.sentry.truth(history.stream, START, NOW)
    kept = story.sentry.kept(START)
    assert last.code == plain.code == 0
    assert story.written == {*plain.keys(history.stream)}
    assert story.written <= truth
    assert story.written >= story.sentry.truth(history.stream, kept, NOW)
    assert bookmarks(story.state) == bookmarks(plain.state)
    for entry in bookmarks(story.state)[history.stream].values():
        assert datetime.fromisoformat(entry["bookmark"]) == NOW
    figures["histories"] += 1
    figures["histories in slices"] += story.is_sliced
    figures["events"] += len(truth)
