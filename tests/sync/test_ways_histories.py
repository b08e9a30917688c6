"""Any history of events, read by project or by issue: the runs together have all.

In between, runs are killed and resumed, requests fail, the setting `events_by` changes,
and streams that share their pages come and go.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st

from tests import IS_SOAK
from tests.sentry import SAAS_LIMITS
from tests.sentry.data import Entries
from tests.streams import Unused
from tests.sync.test_histories import (
    IN_TIME,
    OUT_OF_TIME,
    START,
    Events,
    Pause,
    Rename,
    Run,
    Status,
    Story,
    bookmarks,
    entry_of,
    schemas,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("quiet")

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

LIGHT = ("project_events", "issue_events")
ENTRIES = ("project_event_entries", "issue_event_entries")
STREAMS = (*LIGHT, *ENTRIES)
#: Attempts after which a request is given up.
ATTEMPTS = 5


# Histories ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Hidden:
    """An issue arrives that no list shows before some time has passed."""

    project: int
    number: int
    late: float


@dataclass(frozen=True)
class Deletion:
    """An issue is deleted, and its events with it."""

    issue: int


@dataclass(frozen=True)
class Failing:
    """Some requests for events fail, after a number of them."""

    kind: int | str
    after: int
    times: int


@dataclass(frozen=True)
class WayRun(Run):
    """The tap runs with a value of `events_by`, on a server that fails at times."""

    way: str = "auto"
    failing: tuple[Failing, ...] = ()
    width: int = 1


ISSUES = st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5))
EVENTS = st.builds(
    Events,
    project=st.sampled_from((0, 0, 1, 2)),
    issue=ISSUES,
    late=st.sampled_from((*IN_TIME, *IN_TIME, *OUT_OF_TIME)),
    number=st.sampled_from((1, 1, 2, 3, 7)),
    entries=st.integers(0, 2),
)
PAST = st.builds(
    Events,
    project=st.sampled_from((0, 0, 0, 1, 2)),
    issue=ISSUES,
    late=st.integers(0, 4 * 86_400),
    number=st.sampled_from((1, 1, 1, 3, 4, 9)),
    entries=st.integers(0, 2),
)
HAPPENINGS = st.one_of(
    EVENTS,
    EVENTS,
    EVENTS,
    st.builds(
        Status,
        st.integers(0, 17),
        st.sampled_from(("resolved", "ignored", "muted", "pending_deletion")),
    ),
    st.builds(Rename, st.integers(0, 2)),
    st.builds(Hidden, st.integers(0, 2), st.integers(6, 9), st.integers(0, 900)),
    st.builds(Deletion, st.integers(0, 17)),
)
PAUSES = st.builds(Pause, st.sampled_from((0, 1, 20, 600, 3600, 7300, 100_000)))
FAILINGS = st.builds(
    Failing,
    kind=st.sampled_from((500, 502, "reset", "truncated", "empty_page", "repeat_page")),
    after=st.integers(0, 60),
    times=st.sampled_from((1, 1, 2, 3, ATTEMPTS + 1)),
)
RUNS = st.builds(
    WayRun,
    requests=st.none() | st.integers(1, 120),
    lines=st.none() | st.integers(1, 150),
    is_told=st.booleans(),
    meanwhile=st.just(())
    | st.lists(st.tuples(st.integers(1, 80), EVENTS), max_size=3).map(tuple),
    streams=st.sampled_from(
        (LIGHT, LIGHT, ENTRIES, STREAMS, LIGHT[:1], LIGHT[1:], ENTRIES[:1])
    ).map(frozenset),
    is_merged=st.booleans(),
    share=st.sampled_from((0, 0, 1, 40)),
    way=st.sampled_from(("auto", "auto", "issue", "project")),
    failing=st.just(()) | st.lists(FAILINGS, max_size=2).map(tuple),
    width=st.sampled_from((1, 1, 3, 8)),
)
CHAPTERS = st.tuples(st.lists(HAPPENINGS, max_size=6), PAUSES, RUNS)


@dataclass(frozen=True)
class History:
    """The past and the chapters of a server."""

    flavour: str
    has_limits: bool
    is_full: bool
    past: list[Events]
    chapters: list[tuple[list[Any], Pause, WayRun]]


HISTORIES = st.builds(
    History,
    flavour=st.sampled_from(
        ("saas", "saas", "saas", "self-hosted-24", "self-hosted-9", "glitchtip")
    ),
    has_limits=st.sampled_from((True, True, True, False)),
    is_full=st.booleans(),
    past=st.lists(PAST, min_size=10, max_size=24),
    chapters=st.lists(CHAPTERS, min_size=1, max_size=5),
)


@dataclass
class WayStory(Story):
    """A server whose events are read in both ways."""

    has_limits: bool = False
    is_full: bool = False
    #: Whether an issue was given up, so that more may be written again.
    has_given_up: bool = False
    deleted: set[str] = field(default_factory=set)
    ways: Counter[str] = field(default_factory=Counter)
    moments: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self):
        super().__post_init__()
        if self.has_limits:
            self.sentry.rate_limits = dict(SAAS_LIMITS)
            self.sentry.windows = Unused()

    def happens(self, step):
        match step:
            case Hidden(project, number, late):
                is_new = (project, number) not in self.issues
                self.arrive(Events(project, number, late))
                if is_new:
                    self.sentry.unlisted.add(self.issues[project, number].id)
            case Deletion(number):
                if self.issues:
                    place = [*self.issues][number % len(self.issues)]
                    issue = self.issues.pop(place)
                    self.deleted |= {event.id for event in issue.events}
                    self.sentry.delete_issue(issue)
            case Pause(seconds):
                super().happens(step)
                if seconds > 60:
                    self.sentry.unlisted.clear()
            case _:
                super().happens(step)

    def arrive(self, step):
        """Add events; no two issues are last seen in the same millisecond.

        An issue that leaves such a tie while a list is read would hide another one.
        """
        super().arrive(replace(step, late=step.late + next(self.moments) / 1000))

    def issue(self, project, number):
        """Return an issue; a new one has an event from the start, as real ones do."""
        if (project, number) not in self.issues:
            slug = self.projects[project].slug
            issue = self.sentry.add_issue(slug, f"Error: {number} of {slug}")
            self.issues[project, number] = issue
            date = self.now - timedelta(milliseconds=next(self.moments))
            self.sentry.add_event(slug, issue, date, entries=Entries([]))
        return self.issues[project, number]

    def settings(self, step):
        """Return the settings of a run."""
        return {
            "events_by": step.way,
            "full_events": self.is_full,
            "concurrency": step.width,
        }

    def output(self, step):
        """Run the tap with the limits and the faults of `step`."""
        self.sentry.faults.clear()
        for failing in step.failing:
            self.sentry.fault(
                failing.kind,
                times=failing.times,
                after=failing.after,
                when=lambda request: request.path.endswith("/events/"),
            )
            self.has_given_up |= failing.times >= ATTEMPTS
        output = super().output(step)
        self.sentry.faults.clear()
        return output

    def run(self, step):
        output = super().run(step)
        for stream in ("project_events", "project_event_entries"):
            for project in self.projects:
                for scan in entry_of(self.state, stream, project.id).get("scan") or ():
                    self.ways["by issue" if "issue" in scan else "by project"] += 1
        return output

    def check_twice(self, former, output):
        """Check that few records are written again, unless an issue was given up."""
        if not self.has_given_up:
            super().check_twice(former, output)

    def check_all(self):
        """Check keys, values and state against a run that nothing interrupts."""
        fresh = WayStory(self.flavour)
        fresh.sentry, fresh.projects, fresh.now = self.sentry, self.projects, self.now
        fresh.is_full = self.is_full
        whole = fresh.run(WayRun(streams=frozenset(STREAMS), way="project"))
        assert whole.code == 0
        for stream in STREAMS:
            truth = self.sentry.truth(stream, START, self.now)
            assert truth == fresh.written[stream].keys()
            written = self.written[stream]
            lost = {key for key in truth - written.keys() if key[2] not in self.excused}
            assert not lost, (stream, lost)
            more = {key[2] for key in written.keys() - truth}
            assert more <= self.deleted, stream
            for key in truth & written.keys():
                assert written[key] == fresh.written[stream][key]
        assert bookmarks(self.state) == bookmarks(fresh.state)
        for stream in STREAMS:
            for project in self.projects:
                assert not entry_of(self.state, stream, project.id).get("scan")


@pytest.fixture(scope="module")
def figures():
    """Collect figures over all histories and print them at the end (`pytest -s`)."""
    found: Counter[str] = Counter()
    yield found
    sys.stderr.write(f"\nhistories: {dict(sorted(found.items()))}\n")


@settings(
    max_examples=2000 if IS_LONG else 150 if IS_SOAK else 10,
    deadline=None,
    derandomize=not IS_LONG,
    suppress_health_check=list(HealthCheck),
    # Shrinking a history takes minutes.
    phases=set(Phase) if IS_LONG else {Phase.explicit, Phase.generate},
)
@given(history=HISTORIES)
def test_both_ways_lose_nothing(history, figures):
    story = WayStory(
        history.flavour, has_limits=history.has_limits, is_full=history.is_full
    )
    for step in history.past:
        story.happens(step)
    for happenings, pause, run in history.chapters:
        for step in (*happenings, pause, run):
            story.happens(step)

    story.happens(Pause(61))
    last = story.run(WayRun(streams=frozenset(STREAMS)))

    note(f"{story.ways}")
    assert last.code == 0
    assert {*schemas(last)} == {*STREAMS}
    story.check_all()
    figures["histories"] += 1
    figures["runs"] += story.runs
    figures["records"] += sum(map(len, story.written.values()))
    for way, number in story.ways.items():
        figures[f"states within a scan {way}"] += number
    for stream, number in story.twice.items():
        figures[f"most twice, {stream}"] = max(figures[f"most twice, {stream}"], number)
    event(story.flavour)
