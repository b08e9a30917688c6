"""Property tests: every record arrives, whatever happens and wherever runs stop.

Hypothesis generates histories of a Sentry server: events that arrive late and out of
order, ties, issues that are resolved, projects that are renamed; in between, runs of
the tap that are killed and resumed. `HYPOTHESIS_PROFILE=long` tries many more.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st

from tests import IS_SOAK
from tests.conftest import NOW, catalog_of
from tests.killed import limited, run_until_killed
from tests.sentry import FLAVOURS, TOKEN, SentrySimulator
from tests.sentry.data import Builder, Entries, Feedback
from tests.sync.test_state import merged

pytestmark = pytest.mark.usefixtures("quiet")

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

START = NOW - timedelta(days=3)
LOOKBACK = timedelta(hours=1)
PAGE = 2
STATS = ("received", "generated")
COUNTS = ("organization_event_counts", "team_event_counts", "project_event_counts")
#: The streams that resume within a project, and the column with a record's date.
SCANNED = (
    "project_events",
    "project_event_entries",
    "issue_events",
    "issue_event_entries",
    "project_feedback",
)
STREAMS = ("project_issues", *SCANNED, *COUNTS)


# Histories ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Events:
    """Events with the same date arrive, `late` seconds after it."""

    project: int
    issue: int | None
    late: float
    number: int = 1
    entries: int = 1


@dataclass(frozen=True)
class Report:
    """A user's feedback arrives."""

    project: int
    late: float


@dataclass(frozen=True)
class Status:
    """An issue changes its status."""

    issue: int
    status: str


@dataclass(frozen=True)
class Rename:
    """A project gets another slug."""

    project: int


@dataclass(frozen=True)
class Pause:
    """Time passes."""

    seconds: int


@dataclass(frozen=True)
class Run:
    """The tap runs, and is killed after a number of requests or written lines."""

    requests: int | None = None
    lines: int | None = None
    #: Whether a run that is stopped still writes its final STATE.
    is_told: bool = False
    #: Events that arrive during the run, each after a number of requests.
    meanwhile: tuple[tuple[int, Events], ...] = ()
    streams: frozenset[str] = frozenset(STREAMS)
    #: Whether STATE is merged into the previous one, as Meltano can do.
    is_merged: bool = False
    #: The setting `issue_refresh`.
    refresh: str = "1d"
    #: The `STATE_SHARE` of the run; 0 means a STATE line after every page.
    share: int = 40


#: Seconds by which events are late; the tap may miss those of `OUT_OF_TIME`.
IN_TIME = (0, 0.4, 1, 1, 61.3, 61.3, 900, 1800, 3000, 3540, -0.7, -1800)
OUT_OF_TIME = (7200.5, 100_000, -5_000, -200_000_000, 210_000_000)
EVENTS = st.builds(
    Events,
    project=st.integers(0, 2),
    issue=st.sampled_from((0, 0, 1, 2, 3, None)),
    late=st.sampled_from((*IN_TIME, *IN_TIME, *OUT_OF_TIME)),
    number=st.sampled_from((1, 1, 2, 3, 5)),
    entries=st.integers(0, 2),
)
#: Events that exist before the first run; all of them arrived in time.
PAST = st.builds(
    Events,
    project=st.sampled_from((0, 0, 0, 1, 2)),
    issue=st.sampled_from((0, 0, 1, 2, 3, None)),
    late=st.integers(0, 4 * 86_400),
    number=st.sampled_from((1, 1, 3, 4, 5)),
    entries=st.integers(0, 2),
)
HAPPENINGS = st.one_of(
    EVENTS,
    EVENTS,
    EVENTS,
    st.builds(Report, st.integers(0, 2), st.sampled_from(IN_TIME)),
    st.builds(
        Status, st.integers(0, 11), st.sampled_from(("resolved", "ignored", "open"))
    ),
    st.builds(Rename, st.integers(0, 2)),
)
PAUSES = st.builds(Pause, st.sampled_from((0, 1, 20, 600, 3000, 3600, 7300, 100_000)))
RUNS = st.builds(
    Run,
    requests=st.none() | st.integers(1, 90),
    lines=st.none() | st.integers(1, 120),
    is_told=st.booleans(),
    meanwhile=st.just(())
    | st.lists(st.tuples(st.integers(1, 60), EVENTS), max_size=3).map(tuple),
    streams=st.just(frozenset(STREAMS))
    | st.just(frozenset(STREAMS))
    | st.frozensets(st.sampled_from(STREAMS), min_size=1, max_size=4),
    is_merged=st.booleans(),
    refresh=st.sampled_from(("1d", "0s", "2h")),
    share=st.sampled_from((0, 0, 1, 40)),
)
#: Changes on the server, a pause, then a run.
CHAPTERS = st.tuples(st.lists(HAPPENINGS, max_size=6), PAUSES, RUNS)


@dataclass(frozen=True)
class History:
    """The past and the chapters of a server, and the settings of its runs."""

    flavour: str
    resolution: str
    concurrency: int
    past: list[Events]
    chapters: list[tuple[list[Any], Pause, Run]]


HISTORIES = st.sampled_from(sorted(FLAVOURS)).flatmap(
    lambda flavour: st.builds(
        History,
        flavour=st.just(flavour),
        # Sentry 9 keeps hourly counts for a week, and a history can be longer.
        resolution=st.sampled_from(
            ("1d",) if flavour == "self-hosted-9" else ("1d", "1h")
        ),
        concurrency=st.sampled_from((1, 1, 3)),
        past=st.lists(PAST, min_size=8, max_size=16),
        chapters=st.lists(CHAPTERS, min_size=1, max_size=5),
    )
)


@functools.cache
def cached_catalog(streams):
    return catalog_of(*streams)


def instant(text):
    return datetime.fromisoformat(text)


@dataclass
class Story:
    """A server, the records read from it so far, and the state of the last run."""

    flavour: str
    resolution: str = "1d"
    concurrency: int = 1
    now: datetime = NOW
    state: dict[str, Any] = field(default_factory=dict)
    #: For each stream: the last record written for each key.
    written: dict[str, dict[tuple[Any, ...], Any]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    #: For each stream: keys that a STATE followed, with the upper bound of the run.
    acknowledged: dict[str, dict[tuple[Any, ...], datetime]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    #: Events whose date is `lookback` or more away from their arrival.
    excused: dict[str, Any] = field(default_factory=dict)
    twice: Counter[str] = field(default_factory=Counter)
    runs: int = 0

    def __post_init__(self):
        build = Builder(NOW, seed=3, kilobytes=0.1)
        organization = build.organization("acme", "Acme", ["code/attic"])
        team = build.team(organization, "ops")
        self.projects = [
            build.project(organization, f"shop-{number}", "python", [team], 1)
            for number in range(3)
        ]
        self.sentry = SentrySimulator(
            [organization],
            flavour=self.flavour,
            clock=lambda: self.now,
            page_size=PAGE,
        )
        self.issues: dict[tuple[int, int], Any] = {}
        self.numbers = count(1)

    # Changes on the server ------------------------------------------------------------

    def happens(self, step):
        match step:
            case Events():
                self.arrive(step)
            case Report(project, late):
                self.projects[project].feedback.append(
                    Feedback(
                        id=str(next(self.numbers)),
                        event_id="0" * 32,
                        created=self.now - timedelta(seconds=max(late, 0)),
                        comments="It broke",
                        issue=self.issue(project, 0),
                    )
                )
            case Status(issue, status):
                if self.issues:
                    known = list(self.issues.values())
                    self.sentry.set_issue_status(known[issue % len(known)], status)
            case Rename(project):
                slug = f"shop-{project}-{next(self.numbers)}"
                self.sentry.rename_project(self.projects[project].id, slug)
            case Pause(seconds):
                self.now += timedelta(seconds=seconds)
            case Run():
                self.run(step)

    def issue(self, project, number):
        """Return an issue; a new one has an event from the start, as real ones do."""
        if (project, number) not in self.issues:
            slug = self.projects[project].slug
            issue = self.sentry.add_issue(slug, f"Error: {number} of {slug}")
            self.issues[project, number] = issue
            self.sentry.add_event(slug, issue, self.now, entries=Entries([]))
        return self.issues[project, number]

    def arrive(self, step):
        slug = self.projects[step.project].slug
        issue = None if step.issue is None else self.issue(step.project, step.issue)
        date = self.now - timedelta(seconds=step.late)
        entries = Entries([{"type": "message", "data": {"n": n}} for n in "ab"])
        entries.rows = entries.rows[: step.entries]
        for _ in range(step.number):
            # Events from before the first run arrived in time.
            received = self.now if self.runs else min(date, self.now)
            added = self.sentry.add_event(
                slug, issue, date, received=received, entries=entries
            )
            # On servers that order by arrival, events dated ahead may be missed too.
            if self.runs and abs(step.late) >= LOOKBACK.total_seconds():
                self.excused[added.id] = added

    # Runs -----------------------------------------------------------------------------

    def run(self, step):
        """Run the tap as `step` describes, check its output and keep its state."""
        self.runs += 1
        former = copy.deepcopy(self.state)
        output = self.output(step)
        self.check_states(former, output)
        self.check_twice(former, output)
        self.keep(output)
        states = [m["value"] for m in output.messages if m["type"] == "STATE"]
        if states:
            self.state = merged(states[-1], former) if step.is_merged else states[-1]
        note(f"{step}: {output.code}, {len(output.messages)} lines, {self.state}")
        return output

    def settings(self, step):
        """Return the settings of a run."""
        return {
            "stats": list(STATS),
            "stats_resolution": self.resolution,
            "issue_refresh": step.refresh,
            "concurrency": self.concurrency,
        }

    def output(self, step):
        """Run the tap with the limits of `step` on its requests and its output."""
        config = {"auth_token": TOKEN, "start_date": START.isoformat()}
        return run_until_killed(
            self.sentry,
            config | self.settings(step),
            cached_catalog(step.streams),
            self.state,
            self.limited(step),
            lines=step.lines,
            share=step.share,
            now=self.now,
            ends=step.is_told or step.requests is None,
        )

    def limited(self, step):
        """Return the simulator's `answer`, limited to the requests of the run."""
        answer, asked = limited(self.sentry.answer, step.requests), count(1)
        due = list(step.meanwhile)

        def answer_later(method, url, headers):
            number = next(asked)
            while due and due[0][0] <= number:
                self.arrive(due.pop(0)[1])
            return answer(method, url, headers)

        return answer_later

    def keep(self, output):
        """Keep the records, and the keys of those that a STATE followed."""
        keys = schemas(output)
        fresh = []
        for message in output.messages:
            if message["type"] == "RECORD":
                stream, record = message["stream"], message["record"]
                key = tuple(record[name] for name in keys[stream])
                self.written[stream][key] = record
                fresh.append((stream, key))
            elif message["type"] == "STATE":
                for stream, key in fresh:
                    self.acknowledged[stream][key] = self.now
                fresh.clear()

    # Checks ---------------------------------------------------------------------------

    def check_states(self, former, output):
        """Check that no bookmark is ahead of the clock or moves backwards."""
        previous = bookmarks(former)
        for message in output.messages:
            if message["type"] == "STATE":
                present = bookmarks(message["value"])
                for place, date in previous.items():
                    assert present[place] >= date
                assert all(date <= self.now for date in present.values())
                previous = present

    def check_twice(self, former, output):
        """Check that few records are written again after a STATE.

        Allowed are two pages of each project, and ties with the date of its scan. The
        records of a second count as one: they may come on a page of their own.
        """
        keys = schemas(output)
        again = defaultdict(set)
        for message in output.messages:
            if message["type"] == "RECORD" and message["stream"] in SCANNED:
                stream, record = message["stream"], message["record"]
                key = tuple(record[name] for name in keys[stream])
                place = stream, record["project_id"]
                known = self.acknowledged[stream].get(key)
                date = instant(record["dateCreated"])
                if known and is_needless(entry_of(former, *place), known, date):
                    again[place].add((*key[:2], date.replace(microsecond=0)))
        for (stream, _), rows in again.items():
            self.twice[stream] = max(self.twice[stream], len(rows))
            # GlitchTip's cursors are opaque: an interrupted list is read again.
            if self.flavour != "glitchtip":
                assert len(rows) <= 2 * PAGE, (stream, rows)

    def check_all(self):
        """Check that the union of all output is what the server has."""
        for stream in STREAMS:
            window: dict[str, Any] = {"start": START, "end": self.now}
            if stream in COUNTS:
                window |= {"stats": STATS, "resolution": self.resolution}
            truth = self.sentry.records(stream, **window)
            written = self.written[stream]
            lost = truth.keys() - written.keys()
            if "event" in stream and stream not in COUNTS:
                lost = {key for key in lost if key[2] not in self.excused}
            assert not lost, (stream, lost)
            assert not written.keys() - truth.keys(), stream
            if stream == "project_issues":
                for key, record in truth.items():
                    for name in ("status", "lastSeen"):
                        assert written[key][name] == record[name]
                    assert written[key]["count"] == int(record["count"])
            elif stream in COUNTS:
                self.check_counts(truth, written)

    def check_counts(self, truth, written):
        size = 86_400 if self.resolution == "1d" else 3600
        late = {
            int(added.created.timestamp()) // size * size
            for added in self.excused.values()
        }
        for key, record in truth.items():
            if int(instant(key[-1]).timestamp()) not in late:
                assert written[key]["count"] == record["count"], key


def is_needless(entry, known, date):
    """Return whether a record of this date need not be written again.

    `known` is the upper bound of the run that wrote it before.
    """
    if not entry.get("scan"):
        if "bookmark" not in entry or known > instant(entry["bookmark"]):
            # The scan that wrote it is not complete and should be in the state.
            return True
        return date < instant(entry["bookmark"]) - LOOKBACK
    (scan,) = entry["scan"]
    end = instant(scan["end"])
    if "at" in scan and date.replace(microsecond=0) == instant(scan["at"]).replace(
        microsecond=0
    ):
        return False
    # A record that the scan had not reached lies in its lookback, or was written by
    # the previous scan of the same run.
    finished = instant(entry["bookmark"]) if "bookmark" in entry else None
    is_overlap = finished is not None and date < finished
    return known >= end and date < end - LOOKBACK and not is_overlap


def schemas(output):
    """Return the key columns of each stream."""
    return {
        message["stream"]: message["key_properties"]
        for message in output.messages
        if message["type"] == "SCHEMA"
    }


def entry_of(state, stream, key):
    """Return the entry of a project in a state."""
    streams = state.get("bookmarks", {})
    return streams.get(stream, {}).get("by_id", {}).get(key) or {}


def bookmarks(state):
    """Return all bookmarks of a state, by stream, id and name."""
    return {
        (stream, key, name): instant(value)
        for stream, found in state.get("bookmarks", {}).items()
        for key, entry in found.get("by_id", {}).items()
        for name, value in entry.items()
        if name != "scan"
    }


@pytest.fixture(scope="module")
def figures():
    """Collect figures over all histories and print them at the end (`pytest -s`)."""
    found: Counter[str] = Counter()
    yield found
    sys.stderr.write(f"\nhistories: {dict(sorted(found.items()))}\n")


@settings(
    max_examples=2000 if IS_LONG else 50 if IS_SOAK else 10,
    deadline=None,
    derandomize=not IS_LONG,
    suppress_health_check=list(HealthCheck),
    # Shrinking a history takes minutes.
    phases=set(Phase) if IS_LONG else {Phase.explicit, Phase.generate},
)
@given(history=HISTORIES)
def test_the_union_of_all_runs_is_what_the_server_has(history, figures):
    story = Story(history.flavour, history.resolution, history.concurrency)
    for step in history.past:
        story.happens(step)
    for happenings, pause, run in history.chapters:
        for step in (*happenings, pause, run):
            story.happens(step)

    story.happens(Pause(1))
    last = story.run(Run(refresh="0s"))

    assert last.code == 0
    assert {
        date
        for (stream, _, _), date in bookmarks(story.state).items()
        if stream not in COUNTS
    } == {story.now}
    story.check_all()
    for stream, number in story.twice.items():
        name = f"most twice, {story.flavour}, {stream}"
        figures[name] = max(figures[name], number)
    figures["histories"] += 1
    figures["runs"] += story.runs
    figures["late beyond the lookback"] += len(story.excused)
    seen = {key[2] for key in story.written["project_events"]}
    figures["of these arrived"] += len(seen & story.excused.keys())
    event(story.flavour)
