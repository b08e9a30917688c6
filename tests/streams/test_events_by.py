"""Events of projects, read by project or by issue: the setting `events_by`."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tests import IS_SOAK
from tests.conftest import NOW, catalog_of, run
from tests.sentry import FLAVOURS, SAAS_LIMITS, TOKEN, SentrySimulator, Token
from tests.sentry.calls import SCOPES
from tests.sentry.data import Builder
from tests.streams import PUMP, Unused, at, let_pass, overcount, shops, told, true_keys

#: A project with 108 events of three issues, and one with as many issues as events.
MOVER, HARBOUR = "prime-mover", "quiet-harbour"
HOUR, DAY = 3600, 86_400
HERE = {"projects": [MOVER]}
EVENTS, ENTRIES = "project_events", "project_event_entries"
#: A stream of projects with its setting for full events, and that of their issues.
FORMS = {
    "light": (EVENTS, False, "issue_events"),
    "full": (EVENTS, True, "issue_events"),
    "entries": (ENTRIES, False, "issue_event_entries"),
}
PAIRS = [(EVENTS, "issue_events"), (ENTRIES, "issue_event_entries")]
OF_PROJECTS = "projects/{org}/{project}/events/"
OF_ISSUES = "organizations/{org}/issues/{issue}/events/"
ISSUES = "organizations/{org}/issues/"
STATS = "projects/{org}/{project}/stats/"


@pytest.fixture
def limits(sentry):
    """Give the server the limits of sentry.io."""
    sentry.rate_limits = dict(SAAS_LIMITS)
    sentry.windows = Unused()


@pytest.fixture
def asked(sentry):
    """A function that returns the requests per path template since the last call."""

    def asked():
        found = Counter(sentry.counts)
        sentry.counts.clear()
        return found

    return asked


def rows_of(output, stream):
    """Return the records of a stream by their keys."""
    return dict(zip(output.keys(stream), output.records(stream), strict=True))


def entry(output, stream, project):
    """Return the entry of a project in the last STATE, without a scan that is over."""
    found = output.state["bookmarks"][stream]["by_id"][project.id]
    return {name: value for name, value in found.items() if value is not None}


def add_issues(sentry, slug, number, *, each=1, **ago):
    """Add issues with a few events each, one issue after the other."""
    first = NOW - timedelta(**ago or {"days": 20})
    issues = [sentry.add_issue(slug, f"Error: number {n}") for n in range(number)]
    for place, issue in enumerate(issues):
        for more in range(each):
            moment = first + timedelta(minutes=place, seconds=more)
            sentry.add_event(slug, issue, moment)
    return issues


def keys_of(stream, *outputs):
    """Return the keys of a stream that any of the runs has written."""
    return {
        key
        for output in outputs
        if output.records(stream)
        for key in output.keys(stream)
    }


def remove_loose(sentry):
    """Remove the events that are in no issue."""
    with sentry.changing():
        events = sentry.project(PUMP).events
        for event in [event for event in events if event.issue is None]:
            events.remove(event)


def merge(sentry, issue, other):
    """Merge an issue into another one, as people do."""
    with sentry.changing():
        for event in issue.events:
            event.issue = other
            other.events.add(event)
        issue.project.issues.remove(issue)
        sentry.bodies.clear()


# The same records ---------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.usefixtures("limits")
def test_both_ways_give_the_same_records(sync, sentry, flavour, form):
    """Keys and values are the same; `auto` has also what is in no issue."""
    sentry.flavour = FLAVOURS[flavour]
    sentry.page_size = 5
    if sentry.flavour.old_records:
        # These servers know errors only.
        for issue in [i for i in sentry.project(PUMP).issues if i.category != "error"]:
            sentry.delete_issue(issue)
    stream, full, _ = FORMS[form]
    found = {
        way: rows_of(sync(stream, full_events=full, events_by=way), stream)
        for way in ("project", "issue", "auto")
    }

    assert found["project"].keys() == sentry.truth(stream)
    assert found["auto"] == found["project"]
    in_issues = {
        key: row for key, row in found["project"].items() if row["issue_id"] is not None
    }
    assert found["issue"] == in_issues
    assert 0 < len(found["project"]) - len(in_issues) <= 2


@pytest.mark.parametrize("status", ["resolved", "ignored", "muted", "pending_merge"])
def test_issues_of_every_status_are_read(sync, sentry, status):
    for issue in sentry.project(MOVER).issues[:2]:
        sentry.set_issue_status(issue, status)
    output = sync(EVENTS, events_by="issue", **HERE)

    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)


def test_events_of_merged_and_deleted_issues_are_those_of_the_project(sync, sentry):
    """Events of a merged issue are in the other one, those of a deleted are gone."""
    first, second, third = sentry.project(MOVER).issues
    merge(sentry, second, first)
    sentry.delete_issue(third)
    by_project, by_issue = (
        rows_of(sync(EVENTS, events_by=way, **HERE), EVENTS)
        for way in ("project", "issue")
    )

    assert by_project == by_issue
    assert {row["issue_id"] for row in by_issue.values()} == {first.id}
    assert sorted(by_issue) == true_keys(sentry, EVENTS, MOVER)


@pytest.mark.parametrize("streams", [(EVENTS,), (EVENTS, "issue_events")])
@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_events_that_are_no_errors_stay_out(sync, sentry, way, streams):
    """Performance issues have events; a project lists errors only."""
    remove_loose(sentry)
    output = sync(*streams, events_by=way, projects=[PUMP])

    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, PUMP)
    if "issue_events" in streams:
        keys = sorted(output.keys("issue_events"))
        assert keys == true_keys(sentry, "issue_events", PUMP)
        assert len(keys) > len(output.keys(EVENTS))


@pytest.mark.usefixtures("limits")
def test_an_issue_that_the_head_page_names_is_read(sync, sentry, asked):
    """The list of issues lags behind: an issue of the newest events may be missing."""
    hidden = sentry.add_issue(MOVER, "Error: brand new")
    sentry.add_event(MOVER, hidden, NOW - timedelta(seconds=3))
    sentry.unlisted.add(hidden.id)
    output = sync(EVENTS, **HERE)

    assert asked()[OF_PROJECTS] == 1
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)
    assert hidden.id in {row["issue_id"] for row in output.records(EVENTS)}


@pytest.mark.usefixtures("limits")
def test_a_project_with_events_of_no_issue_is_read_by_project(sync, sentry, asked):
    """Only the list of the project has such events; one is enough to see that."""
    for _ in range(2):
        sentry.add_event(MOVER, None, NOW - timedelta(seconds=3))
    output = sync(EVENTS, **HERE)

    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)
    assert len(output.keys(EVENTS)) == len(set(output.keys(EVENTS)))
    assert asked()[OF_PROJECTS] == 55


@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.parametrize("streams", [(EVENTS,), (EVENTS, "issue_events")])
@pytest.mark.usefixtures("limits")
def test_a_query_for_issues_does_not_cut_the_events_of_projects(
    sync, sentry, way, streams
):
    """`issue_query` is for the streams of issues."""
    output = sync(*streams, events_by=way, issue_query="is:resolved", **HERE)

    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)
    if "issue_events" in streams:
        resolved = {i.id for i in sentry.project(MOVER).issues if i.status[0] == "r"}
        rows = output.records("issue_events")
        assert {row["issue_id"] for row in rows} == resolved
        assert len(rows) == len(set(output.keys("issue_events"))) == 8


@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_chosen_issues_do_not_cut_the_events_of_projects(sync, sentry, way):
    """`issue_ids` is for the streams of issues, whose bookmarks stay."""
    issue = sentry.project(MOVER).issues[1]
    output = sync(EVENTS, "issue_events", events_by=way, issue_ids=[issue.id], **HERE)

    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)
    rows = output.records("issue_events")
    assert {row["issue_id"] for row in rows} == {issue.id}
    assert len(rows) == len(issue.events)
    assert "issue_events" not in output.state["bookmarks"]


@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_a_project_without_issues_is_read(sync, sentry, way):
    output = sync(EVENTS, events_by=way, projects=[HARBOUR])

    assert output.code == 0
    assert output.records(EVENTS) == []
    project = sentry.project(HARBOUR)
    assert entry(output, EVENTS, project) == {"bookmark": "2026-11-20T12:30:15Z"}


@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_a_project_may_be_renamed_at_any_moment(sync, sentry, way):
    """The old slug redirects, and the bookmark belongs to the id."""
    expected = true_keys(sentry, EVENTS, MOVER)
    answer, numbers = sentry.answer, iter(range(10_000))

    def renaming(method, url, headers):
        if next(numbers) == 6:
            sentry.rename_project(MOVER, "second-mover")
        return answer(method, url, headers)

    sentry.answer = renaming
    output = sync(EVENTS, events_by=way, **HERE)

    assert output.code == 0
    assert sorted(set(output.keys(EVENTS))) == expected


@pytest.mark.usefixtures("limits")
def test_issues_on_many_pages_are_read(sync, sentry, asked):
    """Every issue of a long list is read, in the order of their ids."""
    sentry.page_size = None
    add_issues(sentry, HARBOUR, 250)
    output = sync(EVENTS, events_by="issue", projects=[HARBOUR])

    found = asked()
    assert (found[OF_PROJECTS], found[OF_ISSUES]) == (0, 250)
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, HARBOUR)
    issues = [int(row["issue_id"]) for row in output.records(EVENTS)]
    assert issues == sorted(issues)


@pytest.mark.parametrize("flavour", ["self-hosted-9", "glitchtip"])
def test_an_issue_that_is_said_to_be_older_than_its_events_is_read(
    sync, sentry, monkeypatch, flavour
):
    """On old servers `lastSeen` can be older than the newest event of an issue."""
    sentry.flavour = FLAVOURS[flavour]
    stale, *others = add_issues(sentry, HARBOUR, 9)
    first = sync(EVENTS, events_by="issue", projects=[HARBOUR])
    let_pass(sentry, monkeypatch, days=1)
    for issue in (stale, *others[:2]):
        sentry.add_event(HARBOUR, issue)
    stale.last_seen = NOW - timedelta(days=30)
    let_pass(sentry, monkeypatch, minutes=1)
    second = sync(EVENTS, events_by="issue", projects=[HARBOUR], state=first.state)

    assert stale.id in {row["issue_id"] for row in second.records(EVENTS)}
    assert len(second.records(EVENTS)) == 3


# The choice ---------------------------------------------------------------------------


def test_without_limits_a_project_is_read_by_project(sync, asked):
    sync(EVENTS, **HERE)
    found = asked()

    assert (found[ISSUES], found[OF_ISSUES]) == (0, 0)
    assert found[OF_PROJECTS] >= 54


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("limits")
def test_with_limits_a_long_project_is_read_by_issue(sync, sentry, asked, form):
    """One page of the project, one count, the list of issues, then their lists."""
    stream, full, _ = FORMS[form]
    output = sync(stream, full_events=full, **HERE)

    found = asked()
    # Two pages of issues, and the head again; slices make a few more than 54 pages.
    assert (found[OF_PROJECTS], found[STATS], found[ISSUES]) == (1, 1, 3)
    assert 54 <= found[OF_ISSUES] <= 65
    assert sorted(output.keys(stream)) == true_keys(sentry, stream, MOVER)


@pytest.mark.usefixtures("limits")
def test_a_short_project_costs_no_further_request(sync, sentry, asked):
    """Projects of a page, or of a few, are read as with `events_by: project`."""
    sentry.page_size = 30
    add_issues(sentry, HARBOUR, 10)
    chosen = {"projects": [MOVER, HARBOUR]}
    found = []
    for way in ("auto", "project"):
        sync(EVENTS, events_by=way, **chosen)
        found.append(asked())

    assert found[0] == found[1]
    # Four pages; one page of old events needs no count.
    assert (found[0][OF_PROJECTS], found[0][STATS]) == (4 + 1, 1)


@pytest.mark.usefixtures("limits")
def test_an_idle_project_costs_one_request(sync, sentry, asked, monkeypatch):
    """A second run without new events requests the list of each project once."""
    first = sync(EVENTS)
    asked()
    let_pass(sentry, monkeypatch, hours=12)
    second = sync(EVENTS, state=first.state, lookback="0s")

    found = asked()
    assert second.records(EVENTS) == []
    assert (found[OF_PROJECTS], found[STATS], found[ISSUES]) == (5, 0, 0)
    assert found.total() == 5 + 1 + 3


def test_a_project_of_one_page_is_counted_until_one_shows_old_events(
    sync, sentry, asked
):
    """Lists that end after seven days do so for all projects of an organization."""
    sentry.page_size = None
    output = sync(EVENTS, concurrency=1)

    assert {*output.keys(EVENTS)} == sentry.truth(EVENTS)
    assert 0 < asked()[STATS] < sum(len(org.projects) for org in sentry.organizations)


@pytest.mark.usefixtures("limits")
def test_an_idle_project_is_not_counted_by_issue_either(
    sync, sentry, asked, monkeypatch
):
    first = sync(EVENTS, events_by="issue")
    asked()
    let_pass(sentry, monkeypatch, minutes=30)
    sync(EVENTS, events_by="issue", state=first.state, lookback="0s")

    assert asked()[STATS] == 0


@pytest.mark.usefixtures("limits")
def test_many_tiny_issues_are_read_by_project(sync, sentry, asked):
    """A request for each of so many issues takes longer than the pages."""
    sentry.page_size = 25
    add_issues(sentry, HARBOUR, 150)
    output = sync(EVENTS, projects=[HARBOUR])

    found = asked()
    assert (found[OF_PROJECTS], found[OF_ISSUES]) == (6, 0)
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, HARBOUR)


@pytest.mark.parametrize("kind", [404, 403, 500, "html", "not_a_list"])
@pytest.mark.usefixtures("limits")
def test_what_is_not_counted_is_read_by_project(sync, sentry, asked, kind):
    """Without a count nobody knows how long a list is; the audit is left out."""
    sentry.fault(kind, times=None, when=at(".*/stats/"))
    output = sync(EVENTS, **HERE)

    found = asked()
    assert (found[OF_PROJECTS], found[OF_ISSUES]) == (54, 0)
    assert output.code == 0
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)


@pytest.mark.parametrize(("kind", "most"), [("html", 5), (404, 1)])
def test_a_server_that_does_not_count_is_not_asked_for_each_project(
    sync, sentry, asked, kind, most
):
    """One answer that is no count is enough, after a few attempts."""
    more = {"empty": True} if kind == 404 else {}
    sentry.fault(kind, times=None, when=at(".*/stats/"), **more)
    sync(EVENTS, concurrency=1)

    assert asked()[STATS] <= most


@pytest.mark.parametrize(("kind", "details"), [(404, {"empty": True}), ("html", {})])
def test_a_count_that_fails_says_nothing_of_later_ones(
    sync, sentry, caplog, kind, details
):
    """A server that has counted before does count: a proxy may have answered."""

    def warnings():
        caplog.clear()
        sync(EVENTS, events_by="project", concurrency=1)
        return counted(caplog)

    sentry.project_event_days = 7
    first, second, *others = warnings()
    place = second.split("project ")[1].split()[0]
    here = at(f".*/{place}/stats/")
    sentry.fault(kind, times=None, when=here, **details)

    assert others
    assert warnings() == [first, *others]


@pytest.mark.parametrize("days", [None, 7])
@pytest.mark.usefixtures("limits")
def test_a_token_that_may_not_read_issues_reads_by_project(
    sync, sentry, asked, days, caplog
):
    """Nothing is skipped, also if the list of the project lacks events."""
    sentry.tokens[TOKEN] = Token(scopes=SCOPES - {"event:read"})
    sentry.project_event_days = days
    output = sync(EVENTS, **HERE)

    assert output.code == 0
    assert asked()[OF_ISSUES] == 0
    start = NOW - timedelta(days=days) if days else None
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER, start)
    assert "scan" not in entry(output, EVENTS, sentry.project(MOVER))
    assert not told(caplog, "skipped")
    assert len(told(caplog, "events that Sentry counts in", "%)")) == bool(days)


@pytest.mark.parametrize("kind", [500, 403, "html"])
@pytest.mark.usefixtures("limits")
def test_a_project_whose_issues_cannot_be_listed_is_read_by_project(
    sync, sentry, asked, kind
):
    sentry.fault(kind, times=None, when=at("(organizations|projects)/.*/issues/"))
    output = sync(EVENTS, **HERE)

    assert output.code == 0
    assert asked()[OF_ISSUES] == 0
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)


def test_with_issue_such_a_project_is_tried_again(sync, sentry):
    """Nothing is read, and its bookmark stays."""
    sentry.fault(500, times=None, when=at("(organizations|projects)/.*/issues/"))
    first = sync(EVENTS, events_by="issue", **HERE)
    sentry.faults.clear()
    second = resumed(sync, (EVENTS,), first, events_by="issue", **HERE)

    assert (first.code, first.records(EVENTS)) == (1, [])
    assert sorted(second.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)


def test_by_issue_means_every_project(sync, sentry, asked):
    """With `issue` no list of a project is requested, limits or not."""
    output = sync(EVENTS, events_by="issue", projects=[MOVER, HARBOUR])

    assert asked()[OF_PROJECTS] == 0
    assert sorted(output.keys(EVENTS)) == true_keys(sentry, EVENTS, MOVER)


@pytest.mark.parametrize("streams", [(EVENTS,), (EVENTS, "issue_events")])
@pytest.mark.usefixtures("limits")
def test_the_choice_does_not_depend_on_concurrency(sync, sentry, streams):
    """The records are the same, and in the same order."""
    sentry.page_size, sentry.order = 8, None
    add_issues(sentry, HARBOUR, 200)
    lines = [
        [
            (message["stream"], message.get("record"))
            for message in sync(*streams, concurrency=width).messages
            if message["type"] != "STATE"
        ]
        for width in (1, 2, 8, 16, 16)
    ]

    assert len(lines[0]) > 500
    assert all(found == lines[0] for found in lines)


# Sharing ------------------------------------------------------------------------------


def twice(sentry):
    """Return the requests for events of issues that were made more than once."""
    found = Counter(
        (request.path, str(sorted(request.params.items())))
        for request in sentry.requests
        if re.fullmatch(r"organizations/[^/]+/issues/\d+/events/", request.path)
    )
    return [request for request, number in found.items() if number > 1]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_pages_that_two_streams_need_are_requested_once(sync, sentry, pair, way):
    remove_loose(sentry)
    output = sync(*pair, events_by=way, projects=[MOVER, PUMP])

    assert twice(sentry) == []
    for stream in pair:
        keys = output.keys(stream)
        truth = {*true_keys(sentry, stream, MOVER), *true_keys(sentry, stream, PUMP)}
        assert set(keys) == truth
        assert len(keys) == len(truth)
        for slug in (MOVER, PUMP):
            bookmark = {"bookmark": "2026-11-20T12:30:15Z"}
            assert entry(output, stream, sentry.project(slug)) == bookmark


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
@pytest.mark.usefixtures("limits")
def test_shared_records_are_those_of_each_stream_alone(sync, pair):
    """Values too: columns, stream maps and order of one stream do not touch another."""
    both = sync(*pair, **HERE)
    alone = {stream: sync(stream, **HERE) for stream in pair}

    for stream in pair:
        assert both.records(stream) == alone[stream].records(stream)
    schemas = [m["stream"] for m in both.messages if m["type"] == "SCHEMA"]
    assert sorted(schemas) == sorted(pair)


@pytest.mark.usefixtures("limits")
def test_all_four_streams_can_be_read_at_once(sync, sentry):
    streams = [stream for pair in PAIRS for stream in pair]
    output = sync(*streams, "project_issues", **HERE)

    assert twice(sentry) == []
    for stream in streams:
        assert sorted(output.keys(stream)) == true_keys(sentry, stream, MOVER)


@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_a_run_that_goes_on_shares_what_is_new_as_well(sync, sentry, monkeypatch, way):
    """The rest of a scan is shared, and so is the scan after it."""
    pair = (EVENTS, "issue_events")
    first = stopped(sentry, sync, pair, 30, events_by=way, concurrency=1, **HERE)
    let_pass(sentry, monkeypatch, hours=2)
    for number in range(20):
        issue = sentry.project(MOVER).issues[number % 3]
        sentry.add_event(MOVER, issue, NOW + timedelta(minutes=number))
    sentry.requests.clear()
    second = sync(*pair, events_by=way, state=first.state, **HERE)

    assert twice(sentry) == []
    for stream in pair:
        truth = {*true_keys(sentry, stream, MOVER)}
        assert keys_of(stream, first, second) == truth
        bookmark = {"bookmark": "2026-11-20T14:30:15Z"}
        assert entry(second, stream, sentry.project(MOVER)) == bookmark


@pytest.mark.parametrize("ahead", [EVENTS, "issue_events"])
@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_streams_with_different_states_share_nothing(
    sync, sentry, monkeypatch, ahead, way
):
    """Each reads its own window, and neither loses a record."""
    first = sync(ahead, events_by=way, **HERE)
    let_pass(sentry, monkeypatch, hours=2)
    new = [
        sentry.add_event(MOVER, sentry.project(MOVER).issues[n % 3]) for n in range(20)
    ]
    let_pass(sentry, monkeypatch, minutes=1)
    output = sync(EVENTS, "issue_events", events_by=way, state=first.state, **HERE)

    behind = "issue_events" if ahead == EVENTS else EVENTS
    assert len(output.keys(ahead)) == len(new)
    truth = true_keys(sentry, behind, MOVER)
    assert sorted(output.keys(behind)) == truth
    for stream in (ahead, behind):
        bookmark = {"bookmark": "2026-11-20T14:31:15Z"}
        assert entry(output, stream, sentry.project(MOVER)) == bookmark


@pytest.mark.usefixtures("limits")
def test_a_report_shares_nothing_and_keeps_the_state(sync, sentry):
    """A report reads all records of its day and moves no bookmark."""
    state = sync(EVENTS, **HERE).state
    pair = (EVENTS, "issue_events")
    midnight = NOW.replace(hour=0, minute=0, second=0)
    output = sync(*pair, events_by="issue", report_date="1d", state=state, **HERE)

    for stream in pair:
        day = midnight - timedelta(days=1), midnight
        truth = true_keys(sentry, stream, MOVER, *day)
        assert sorted(output.keys(stream)) == truth != []
    mover = sentry.project(MOVER)
    assert entry(output, EVENTS, mover) == {"bookmark": "2026-11-20T12:30:15Z"}
    assert "issue_events" not in output.state["bookmarks"]


@pytest.mark.usefixtures("limits")
def test_a_shared_issue_that_cannot_be_read_is_tried_again_by_both(sync, sentry):
    """The states of both stay before it; what follows is read nevertheless."""
    pair = (EVENTS, "issue_events")
    first, second, third = sorted(sentry.project(MOVER).issues, key=lambda i: int(i.id))
    failing = at(f".*/issues/{second.id}/events/")
    sentry.fault(500, times=None, when=failing)
    before = sync(*pair, **HERE)

    assert before.code != 0 or before.records(EVENTS)
    issues = {row["issue_id"] for row in before.records(EVENTS)}
    assert issues >= {first.id, third.id}
    for stream in pair:
        (scan,) = entry(before, stream, sentry.project(MOVER))["scan"]
        assert int(first.id) < int(scan["issue"]) <= int(second.id)
    sentry.faults.clear()
    after = sync(*pair, state=before.state, **HERE)
    for stream in pair:
        keys = {*before.keys(stream), *after.keys(stream)}
        assert sorted(keys) == true_keys(sentry, stream, MOVER)
        assert "scan" not in entry(after, stream, sentry.project(MOVER))


# Completeness and audit ---------------------------------------------------------------

WEEK = NOW - timedelta(days=7)


def counted(caplog):
    """Return the warnings that compare the events with Sentry's count."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and "Sentry counts" in record.getMessage()
    ]


def until(sentry, slug, moment):
    """Return the number of a project's events that Sentry keeps and are compared."""
    first = (NOW - timedelta(days=89)).replace(hour=0, minute=0, second=0)
    return len(sentry.project(slug).events.newest(first, moment))


MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_limits", [False, True])
def test_auto_reads_what_a_list_of_some_days_lacks(
    sync, sentry, caplog, form, has_limits
):
    """Where the list of a project ends after seven days, its issues are read too."""
    stream, full, _ = FORMS[form]
    if has_limits:
        sentry.rate_limits, sentry.windows = dict(SAAS_LIMITS), Unused()
    sentry.project_event_days = 7
    output = sync(stream, full_events=full, projects=[MOVER, HARBOUR])

    assert {*output.keys(stream)} == {*true_keys(sentry, stream, MOVER)}
    assert counted(caplog) == []


def test_auto_reads_what_a_single_page_lacks(sync, sentry):
    """A list that is cut may have one page, or none."""
    sentry.page_size = None
    sentry.project_event_days = 7
    add_issues(sentry, HARBOUR, 5)
    output = sync(EVENTS)

    assert sentry.truth(EVENTS, WEEK) < {*output.keys(EVENTS)}
    in_issues = {
        key
        for key in sentry.truth(EVENTS)
        if key in rows_of(output, EVENTS) or key[1] != sentry.project(PUMP).id
    }
    assert {*output.keys(EVENTS)} == in_issues


def test_by_project_tells_what_a_list_of_some_days_lacks(sync, sentry, caplog):
    """The warning has both numbers for each project, the summary the share of all."""
    caplog.set_level("INFO")
    sentry.project_event_days = 7
    output = sync(EVENTS, events_by="project")

    assert {*output.keys(EVENTS)} == sentry.truth(EVENTS, WEEK)
    lines = counted(caplog)
    assert len(lines) == 4
    read = {
        slug: until(sentry, slug, MIDNIGHT) - until(sentry, slug, WEEK)
        for slug in (MOVER, PUMP, "the-spoiled-yoghurt", "telescope")
    }
    whole = {slug: until(sentry, slug, MIDNIGHT) for slug in read}
    for slug, number in read.items():
        of = f"has {number} of the {whole[slug]} events"
        assert [line for line in lines if of in line and f"project {slug} (" in line]
    share = 10_000 * sum(read.values()) // sum(whole.values()) / 100
    assert told(caplog, f"{EVENTS}: ", f"{share:g} % of what Sentry counts")


@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_all_that_is_counted_is_a_hundred_percent(sync, caplog, way):
    """Events of today, and late ones, are not compared."""
    caplog.set_level("INFO")
    sync(EVENTS, events_by=way, **HERE)

    assert counted(caplog) == []
    assert told(caplog, f"{EVENTS}: ", "1 project, 100 % of what Sentry counts")


@pytest.mark.usefixtures("limits")
def test_an_issue_that_no_list_shows_makes_the_project_be_read_too(
    sync, sentry, asked, caplog
):
    """The count tells that something lacks, and the other way has it."""
    caplog.set_level("INFO")
    issue = sentry.project(MOVER).issues[0]
    hidden = sentry.add_issue(MOVER, "Error: never listed")
    sentry.unlisted.add(hidden.id)
    for hour in range(10):
        sentry.add_event(MOVER, hidden, NOW - timedelta(days=9, hours=hour))
    for second in range(2):
        sentry.add_event(MOVER, issue, NOW - timedelta(seconds=second + 1))
    output = sync(EVENTS, **HERE)

    assert {*output.keys(EVENTS)} == {*true_keys(sentry, EVENTS, MOVER)}
    assert told(caplog, "were read by issue: reading it by project too")
    assert asked()[OF_PROJECTS] == 1 + 60
    assert counted(caplog) == []


@pytest.mark.usefixtures("limits")
def test_an_issue_that_the_audit_finds_is_in_both_streams(sync, sentry):
    """The stream that shares the pages reads the events of that issue, too."""
    hidden = sentry.add_issue(MOVER, "Error: not listed yet")
    sentry.unlisted.add(hidden.id)
    for hour in range(10):
        sentry.add_event(MOVER, hidden, NOW - timedelta(days=9, hours=hour))
    for second in range(2):
        issue = sentry.project(MOVER).issues[0]
        sentry.add_event(MOVER, issue, NOW - timedelta(seconds=second + 1))
    output = sync(EVENTS, "issue_events", **HERE)

    project = sentry.project(MOVER)
    for stream in (EVENTS, "issue_events"):
        assert {*output.keys(stream)} == {*true_keys(sentry, stream, MOVER)}
        assert entry(output, stream, project) == {"bookmark": "2026-11-20T12:30:15Z"}


@pytest.mark.parametrize("way", ["issue", "auto"])
@pytest.mark.parametrize("failing", [1, 3])
@pytest.mark.usefixtures("limits")
def test_issues_that_fail_are_told_of_both_streams(sync, sentry, caplog, way, failing):
    """What the stream that shares the pages lacks is told as if it read them itself."""
    issues = sentry.project(MOVER).issues
    gone = {issue.id for issue in issues[:failing]}
    for issue in gone:
        sentry.fault(404, times=None, when=at(f".*/issues/{issue}/events/"))
    output = sync(EVENTS, "issue_events", events_by=way, **HERE)

    assert len(told(caplog, "issue_events skipped", "issue")) == failing
    kept = sum(len(issue.events) for issue in issues if issue.id not in gone)
    assert len({*output.keys("issue_events")}) == kept
    assert bool(told(caplog, "issue_events returned no records")) == (failing == 3)
    assert len(issues) == 3


def test_by_issue_tells_that_an_issue_is_missing(sync, sentry, caplog):
    """With `events_by: issue` the projects are not read."""
    hidden = sentry.project(MOVER).issues[1]
    sentry.unlisted.add(hidden.id)
    output = sync(EVENTS, events_by="issue", **HERE)

    assert hidden.id not in {row["issue_id"] for row in output.records(EVENTS)}
    whole = until(sentry, MOVER, MIDNIGHT)
    lacking = len(hidden.events.newest(None, MIDNIGHT))
    (line,) = counted(caplog)
    assert f"has {whole - lacking} of the {whole} events" in line


@pytest.mark.parametrize("has_limits", [False, True])
def test_counts_that_are_too_high_are_followed_three_times(
    sync, sentry, caplog, has_limits
):
    """After three projects that were read by project too for nothing, none is.

    A list of a project that goes back more than seven days is whole.
    """
    caplog.set_level("INFO")
    if has_limits:
        sentry.rate_limits, sentry.windows = dict(SAAS_LIMITS), Unused()
    for slug in (HARBOUR, "the-spoiled-yoghurt"):
        add_issues(sentry, slug, 2, each=20)
    remove_loose(sentry)
    overcount(sentry)
    output = sync(EVENTS)

    assert {*output.keys(EVENTS)} == sentry.truth(EVENTS)
    assert len(told(caplog, "reading it by")) == (3 if has_limits else 0)
    assert len(counted(caplog)) == 5


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("is_first_old", [True, False])
def test_what_was_read_decides_which_short_lists_are_compared(
    caplog, is_first_old, concurrency
):
    """Lists after one with old events are whole, whatever was prefetched before."""
    caplog.set_level("INFO")
    build = Builder(NOW, seed=3)
    acme = build.organization("acme", "Acme", ["code/attic"])
    team = build.team(acme, "ops")
    for slug in ("first", "second"):
        build.project(acme, slug, "python", [team], 0)
    sentry: Any = SentrySimulator([acme], clock=lambda: NOW, page_size=3)
    add_issues(sentry, "first", 5, days=20 if is_first_old else 3)
    add_issues(sentry, "second", 2, days=3 if is_first_old else 20)
    overcount(sentry)
    answer = sentry.answer

    def first_is_slow(method, url, headers):
        if "first/events/" in url and "cursor" in url:
            time.sleep(0.1)
        return answer(method, url, headers)

    sentry.answer = first_is_slow
    with sentry.served():
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        output = run(config | {"concurrency": concurrency}, catalog_of(EVENTS))

    assert len({*output.keys(EVENTS)}) == 7
    again = told(caplog, "were read by project: reading it by issue too")
    assert len(again) == (not is_first_old)
    assert all("project first " in line for line in again)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_days_are_compared_where_hours_are_not_kept(caplog, concurrency):
    """Old servers, which ignore dates, keep the counts of hours for seven days."""
    caplog.set_level("INFO")
    ages = [*range(60, 20 * HOUR, 600), *range(20 * DAY, 40 * DAY, DAY)]
    sentry = shops(sorted(ages * 3), flavour="self-hosted-9")
    overcount(sentry)
    with sentry.patched():
        config = {"auth_token": TOKEN, "api_url": sentry.url}
        run(config | {"concurrency": concurrency}, catalog_of(EVENTS))

    counts = [seen.params for seen in sentry.requests if seen.template == STATS]
    assert any(count["resolution"] == ["1h"] for count in counts) == (concurrency > 1)
    (line,) = counted(caplog)
    assert "has 195 of the 390 events" in line


@pytest.mark.parametrize("is_strict", [False, True])
def test_an_issue_that_cannot_be_read_again_is_not_skipped(
    sync, sentry, caplog, is_strict
):
    """The list of its project has been read, so even a strict run goes on."""
    caplog.set_level("INFO")
    sentry.project_event_days = 7
    issue = sentry.project(MOVER).issues[0]
    gone = at(f"organizations/.*/issues/{issue.id}/events/")
    sentry.fault(404, times=None, when=gone)
    output = sync(EVENTS, strict=is_strict, **HERE)

    assert told(caplog, "were read by project: reading it by issue too")
    assert not told(caplog, "skipped") + told(caplog, "cannot read")
    lacking = {event.id for event in issue.events.newest(None, WEEK)}
    everything = {*true_keys(sentry, EVENTS, MOVER)}
    assert {*output.keys(EVENTS)} == {k for k in everything if k[-1] not in lacking}
    assert 0 < len({*output.keys(EVENTS)}) < len(everything)


def test_an_audit_that_helps_counts_anew(sync, sentry, caplog):
    """Only projects in a row that were read again for nothing count."""
    caplog.set_level("INFO")
    for slug in (HARBOUR, "the-spoiled-yoghurt"):
        add_issues(sentry, slug, 2, each=20)
    sentry.project_event_days = 7
    overcount(sentry)
    output = sync(EVENTS)

    assert len(told(caplog, "were read by project: reading it by issue too")) == 5
    loose = [e for e in sentry.project(PUMP).events.newest(None, WEEK) if not e.issue]
    assert len(sentry.truth(EVENTS)) == len({*output.keys(EVENTS)}) + len(loose)


@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.parametrize(("days", "resolution"), [(6, "1h"), (30, "1d")])
@pytest.mark.usefixtures("limits")
def test_short_windows_are_counted_by_hour(sync, sentry, days, resolution, way):
    """Old servers keep counts by hour for a week."""
    sync(EVENTS, start_date=f"{days}d", events_by=way, concurrency=1, **HERE)

    (query,) = sentry.asked(".*/stats/")
    assert (query["stat"], query["resolution"]) == ("generated", resolution)


@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_today_and_late_events_do_not_warn(sync, sentry, caplog, monkeypatch, way):
    """Hours that may still get events are not compared, those of before are not read.

    An event that arrives later than `lookback` belongs to a window that is over.
    """
    first = sync(EVENTS, events_by=way, **HERE)
    let_pass(sentry, monkeypatch, hours=4)
    issues = sentry.project(MOVER).issues
    for minute in range(40):
        sentry.add_event(MOVER, issues[minute % 3], NOW + timedelta(minutes=minute))
    for day in range(9):
        sentry.add_event(MOVER, issues[0], NOW - timedelta(days=day, hours=2))
    sentry.project(MOVER).events.newest()
    caplog.clear()
    second = sync(EVENTS, events_by=way, state=first.state, **HERE)

    assert len(second.records(EVENTS)) >= 40
    assert counted(caplog) == []


@pytest.mark.parametrize("start", ["3d", "30d"])
def test_events_that_arrive_while_the_others_are_read_do_not_warn(
    sync, sentry, caplog, start
):
    """The count is newer than the list, but for hours and days that are over."""
    answer = sentry.answer

    def answered(method, url, headers):
        if "/stats/" in url:
            for minute in range(20):
                issue = sentry.project(MOVER).issues[0]
                sentry.add_event(MOVER, issue, NOW - timedelta(minutes=2 * minute))
        return answer(method, url, headers)

    sentry.answer = answered
    output = sync(EVENTS, start_date=start, **HERE)

    assert len(output.records(EVENTS)) > 0
    assert counted(caplog) == []
    assert len(output.records(EVENTS)) == len({*output.keys(EVENTS)})


def test_a_server_without_counts_is_not_audited(sync, sentry, caplog):
    sentry.flavour = FLAVOURS["glitchtip"]
    caplog.set_level("INFO")
    sync(EVENTS, **HERE)

    assert not told(caplog, "Sentry counts")


# State --------------------------------------------------------------------------------


def stopped(sentry, sync, streams, after, **settings):
    """Run until a number of requests for pages of events, then stop."""
    sentry.fault(401, after=after, when=at(".*/events/"))
    output = sync(*streams, **settings)
    sentry.faults.clear()
    return output


def resumed(sync, streams, output, **settings):
    """Run with the state of a run that was stopped, if it had written one."""
    states = [m["value"] for m in output.messages if m["type"] == "STATE"]
    return sync(*streams, state=states[-1] if states else None, **settings)


@pytest.mark.parametrize("streams", [(EVENTS,), (ENTRIES,), *PAIRS], ids="+".join)
@pytest.mark.parametrize(
    ("way", "full"), [("project", False), ("issue", False), ("auto", True)]
)
@pytest.mark.usefixtures("limits")
def test_a_run_that_is_stopped_anywhere_goes_on(sync, sentry, streams, way, full):
    """Nothing is lost, and at most two pages of each stream are written again."""
    settings = {"events_by": way, "full_events": full, "concurrency": 1, **HERE}
    whole = sync(*streams, **settings)
    truth = {stream: {*true_keys(sentry, stream, MOVER)} for stream in streams}
    assert {stream: {*whole.keys(stream)} for stream in streams} == truth
    pages = sum(request.path.endswith("/events/") for request in sentry.requests)
    for after in range(0, pages, 1 if IS_SOAK else 9):
        first = stopped(sentry, sync, streams, after, **settings)
        second = resumed(sync, streams, first, **settings)

        assert (first.code, second.code) == (1, 0)
        for stream in streams:
            again = keys_of(stream, first) & keys_of(stream, second)
            assert keys_of(stream, first, second) == truth[stream]
            assert len({key[2] for key in again}) <= 2 * 2
            mover = sentry.project(MOVER)
            assert entry(second, stream, mover) == entry(whole, stream, mover)


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
@pytest.mark.usefixtures("limits")
def test_a_state_is_ahead_of_no_stream_that_shares_the_pages(sync, sentry, pair):
    """Pages of slices are shorter, so a row of one stream may be held for a while."""
    output = sync(*pair, events_by="issue", concurrency=8, **HERE)
    shop, sides = sentry.project(MOVER), dict.fromkeys(pair, 0)
    held = 0
    for message in output.messages:
        if message["type"] == "RECORD":
            sides[message["stream"]] += 1
            held = max(held, sides[pair[0]] - sides[pair[1]])
        elif message["type"] == "STATE":
            stored = message["value"]["bookmarks"]
            scans = [stored[name]["by_id"].get(shop.id) for name in pair]
            # What either has written beyond its state is written again.
            assert scans[0] == scans[1]
            assert sides[pair[0]] == sides[pair[1]] or not scans[0]
    assert held > 1
    assert sides[pair[0]] == sides[pair[1]] > 40


@pytest.mark.parametrize("then", ["project", "issue", "auto"])
@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.parametrize("streams", [(EVENTS,), (EVENTS, "issue_events")], ids=len)
@pytest.mark.usefixtures("limits")
def test_a_scan_goes_on_as_it_began(  # noqa: PLR0913, PLR0917 - fixtures
    sync, sentry, asked, streams, way, then
):
    """The setting may change in between; the rest of the scan is read as it began."""
    first = stopped(sentry, sync, streams, 20, events_by=way, concurrency=1, **HERE)
    (scan,) = entry(first, EVENTS, sentry.project(MOVER))["scan"]
    assert ("issue" in scan) == (way != "project")
    asked()
    second = sync(*streams, events_by=then, state=first.state, **HERE)

    found = asked()
    assert bool(found[OF_PROJECTS]) == (way == "project")
    assert bool(found[OF_ISSUES]) == (way != "project" or len(streams) > 1)
    for stream in streams:
        truth = {*true_keys(sentry, stream, MOVER)}
        assert keys_of(stream, first, second) == truth


@pytest.mark.usefixtures("limits")
def test_the_state_of_version_1_0_is_taken(sync, sentry):
    """It has no `rows`, and scans by project only; nothing is lost or warned of."""
    first = stopped(
        sentry, sync, (EVENTS,), 30, events_by="project", concurrency=1, **HERE
    )
    (scan,) = entry(first, EVENTS, sentry.project(MOVER))["scan"]
    assert scan.keys() == {"start", "end", "at"}
    second = sync(EVENTS, state=first.state, **HERE)

    keys = {*first.keys(EVENTS), *second.keys(EVENTS)}
    assert keys == {*true_keys(sentry, EVENTS, MOVER)}


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
@pytest.mark.usefixtures("limits")
def test_a_scan_of_issues_of_version_1_0_is_taken(sync, sentry, pair):
    """It has no `rows`."""
    first = stopped(sentry, sync, pair[1:], 30, concurrency=1, **HERE)
    (scan,) = entry(first, pair[1], sentry.project(MOVER))["scan"]
    assert scan.keys() == {"start", "end", "at", "issue"}
    second = sync(*pair, state=first.state, **HERE)

    keys = {*first.keys(pair[1]), *second.keys(pair[1])}
    assert keys == {*true_keys(sentry, pair[1], MOVER)}
    assert {*second.keys(pair[0])} == {*true_keys(sentry, pair[0], MOVER)}


@pytest.mark.parametrize("after", [3, 10, 20, 31, 45])
@pytest.mark.parametrize("streams", [(EVENTS,), (EVENTS, "issue_events")], ids=len)
@pytest.mark.parametrize("way", ["project", "issue", "auto"])
@pytest.mark.usefixtures("limits")
def test_the_audit_of_a_scan_that_was_stopped_is_right(  # noqa: PLR0913, PLR0917 - fixtures and cases
    sync, sentry, caplog, streams, way, after
):
    """The events of before count too: nothing is read again, and nothing warned of."""
    caplog.set_level("INFO")
    first = stopped(sentry, sync, streams, after, events_by=way, concurrency=1, **HERE)
    caplog.clear()
    second = sync(*streams, state=first.state, **HERE)

    assert len({*second.keys(EVENTS)}) == len(second.keys(EVENTS))
    assert counted(caplog) == []
    assert told(caplog, f"{EVENTS}: ", "1 project, 100 % of what Sentry counts")
    assert not told(caplog, "reading it by")


@pytest.mark.parametrize("after", [20, 40])
@pytest.mark.usefixtures("limits")
def test_a_scan_that_goes_on_from_a_later_start_is_not_compared(
    sync, sentry, caplog, after
):
    """Nobody knows how many of the events of before are in the shorter window."""
    caplog.set_level("INFO")
    settings = {"events_by": "issue", "concurrency": 1, **HERE}
    first = stopped(sentry, sync, (EVENTS,), after, **settings)
    caplog.clear()
    second = sync(EVENTS, state=first.state, start_date="9d", **HERE)

    assert counted(caplog) == []
    assert not told(caplog, "reading it by")
    assert len({*second.keys(EVENTS)}) == len(second.keys(EVENTS))


@pytest.mark.parametrize("after", [4, 20, 40, 52])
@pytest.mark.usefixtures("limits")
def test_the_audit_of_a_scan_that_was_stopped_sees_what_lacks(
    sync, sentry, caplog, after
):
    """An issue that vanished from the list in between is missed in the end."""
    settings = {"events_by": "issue", "concurrency": 1, **HERE}
    first = stopped(sentry, sync, (EVENTS,), after, **settings)
    last = max(sentry.project(MOVER).issues, key=lambda issue: int(issue.id))
    sentry.unlisted.add(last.id)
    caplog.clear()
    second = sync(EVENTS, state=first.state, **settings)

    whole = until(sentry, MOVER, MIDNIGHT)
    dates = {
        **{key: row["dateCreated"] for key, row in rows_of(first, EVENTS).items()},
        **{key: row["dateCreated"] for key, row in rows_of(second, EVENTS).items()},
    }
    read = sum(date < "2026-11-20" for date in dates.values())
    assert read < whole
    (line,) = counted(caplog)
    ((found, of),) = re.findall(r"has (\d+) of the (\d+) events", line)
    assert int(of) == whole
    # The second of the last event before the stop is read again.
    assert read <= int(found) <= read + 1


@pytest.mark.parametrize("hours", [30, 150, 200])
def test_a_rest_of_some_days_is_counted_as_the_window_is(sync, sentry, caplog, hours):
    """What is left of a long scan can be short; its count is by day all the same."""
    caplog.set_level("INFO")
    add_issues(sentry, HARBOUR, 3, each=40, hours=hours)
    first = stopped(
        sentry, sync, (EVENTS,), 15, start_date="12d", projects=[HARBOUR], concurrency=1
    )
    assert entry(first, EVENTS, sentry.project(HARBOUR))["scan"]
    caplog.clear()
    sync(EVENTS, state=first.state, start_date="12d", projects=[HARBOUR])

    assert counted(caplog) == []
    assert not told(caplog, "reading it by")
