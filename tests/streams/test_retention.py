"""Windows that begin before the data that Sentry keeps."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from tap_sentry.api.retention import Retention
from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, DAY, HOUR, Window
from tests.conftest import NOW
from tests.sentry import FLAVOURS
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, told, true_keys

COUNTS = ("organization_event_counts", "team_event_counts")
LISTS = ("project_issues", "project_events", "issue_events")
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
NEXT_HOUR = NOW.replace(minute=0, second=0) + HOUR


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.INFO, logger="tap-sentry")


def keys(output, stream):
    """Return the keys of all records, sorted."""
    return sorted(output.keys(stream))


def first_whole(days, stream):
    """Return the start of the first interval that lies wholly within so many days."""
    interval = MIDNIGHT + DAY if stream in COUNTS else NEXT_HOUR
    return interval - timedelta(days=days)


def test_the_default_window_of_counts_is_shortened(sync, sentry, caplog):
    """Current Sentry rejects the default start, 90 days rounded down: it moves up."""
    sentry.refusal = (90 * DAY, 400)
    output = sync(*COUNTS)

    assert output.code == 0
    assert not told(caplog, "skipped")
    for stream in COUNTS:
        start = first_whole(90, stream)
        assert keys(output, stream) == sorted(sentry.truth(stream, start))
        line = f"Sentry keeps 90 days of {stream}: reading from {start:%Y-%m-%dT%H}"
        (record,) = [r for r in caplog.records if line in r.getMessage()]
        assert record.levelno == logging.INFO


@pytest.mark.parametrize("refusal", [*itertools.product([90, 30, 14, 7], [400, 500])])
@pytest.mark.parametrize("stream", [*COUNTS, *LISTS])
def test_a_start_that_is_refused_moves_up(sync, sentry, caplog, stream, refusal):
    """A rejected start moves to the longest accepted period, with one warning."""
    days, status = refusal
    sentry.refusal = (days * DAY, status)
    output = sync(stream, start_date="200d", full_events=False)

    start = first_whole(days, stream)
    assert output.code == 0
    assert keys(output, stream) == sorted(sentry.truth(stream, start))
    assert not told(caplog, "skipped")
    line = f"Sentry keeps {days} days of {stream}: reading from {start:%Y-%m-%dT%H}"
    (record,) = [r for r in caplog.records if line in r.getMessage()]
    assert record.levelno == logging.WARNING


def test_the_start_is_remembered(sync, sentry):
    """Each list of an organization is rejected a few times at most."""
    sentry.refusal = (30 * DAY, 400)
    sync("issue_events", concurrency=1, organizations=[STERNWARTE])

    refused = [request for request in sentry.requests if request.status == 400]
    # Each list is rejected from the beginning and from 90 days ago.
    assert len(refused) == 4
    assert len(sentry.requests) > 20


@pytest.mark.parametrize("stream", [*COUNTS, *LISTS])
def test_concurrency_changes_nothing(sync, sentry, stream):
    """Lists that were prefetched from a rejected start are read again."""
    sentry.refusal = (14 * DAY, 400)
    sentry.order = None
    fast, slow = (sync(stream, concurrency=number) for number in (8, 1))

    assert fast.records(stream)
    assert fast.records(stream) == slow.records(stream)
    assert fast.state == slow.state


def test_organizations_have_plans_of_their_own(sync, sentry, caplog):
    """A shorter retention in one organization does not affect the others."""
    sentry.refusal = (7 * DAY, 400)
    sentry.refusing = f"organizations/{STERNWARTE}/"
    output = sync("organization_event_counts")

    ids = [sentry.organization(slug).id for slug in (STERNWARTE, JURISDICTION)]
    stream = "organization_event_counts"
    short, long = (
        {key for key in sentry.truth(stream, start) if key[0] == organization}
        for organization, start in zip(
            ids, (first_whole(7, stream), MIDNIGHT - 90 * DAY), strict=True
        )
    )
    assert set(output.keys(stream)) == short | long
    assert len(told(caplog, "Sentry keeps")) == 1


def test_a_next_run_reads_on(sync, sentry):
    """The bookmark is the end of the window, even if the start was moved."""
    sentry.refusal = (30 * DAY, 400)
    state = sync("project_events", "organization_event_counts").state
    sentry.requests.clear()
    output = sync("project_events", "organization_event_counts", state=state)

    assert output.code == 0
    assert {request.status for request in sentry.requests} == {200}


def test_a_window_that_is_refused_altogether_is_an_error(sync, sentry, caplog):
    """Each period is tried once; then the first error is reported."""
    here = at(".*/stats_v2/")
    sentry.fault(400, body={"detail": "No such field"}, when=here)
    sentry.fault(400, times=None, body={"detail": "No"}, when=here)
    output = sync("organization_event_counts", organizations=[STERNWARTE])

    assert output.code == 1
    assert told(caplog, "organization_event_counts skipped", "400, No such field")
    assert not told(caplog, "Sentry keeps")
    assert len(sentry.asked("organizations/.*/stats_v2/")) == 5


def test_what_is_no_matter_of_age_is_found_out_once(sync, sentry):
    """Later starts are tried for one project only; others cost one request each."""
    sentry.fault(400, times=None, body={"detail": "No"}, when=at(".*/events/"))
    output = sync("project_events", organizations=[JURISDICTION], concurrency=1)

    projects = len(sentry.organization(JURISDICTION).projects)
    assert projects > 2
    assert output.code == 1
    assert len(sentry.asked("projects/.*/events/")) == projects + 4


def test_a_project_that_is_refused_costs_the_others_nothing(sync, sentry, caplog):
    """A rejected project does not move the start of the others."""
    projects = sentry.organization(JURISDICTION).projects
    lost = min(projects, key=lambda project: project.slug)
    path = f"projects/.*/{lost.slug}/events/"
    sentry.fault(400, times=None, body={"detail": "No"}, when=at(path))
    output = sync("project_events", organizations=[JURISDICTION], concurrency=1)

    ids = {project.id for project in projects} - {lost.id}
    truth = {key for key in sentry.truth("project_events") if key[1] in ids}
    assert set(output.keys("project_events")) == truth
    assert not told(caplog, "Sentry keeps")
    rest = [
        request for request in sentry.requests if f"/{lost.slug}/" not in request.path
    ]
    starts = {value for request in rest for value in request.params.get("start", [])}
    assert "2010-01-01T00:00:00Z" in starts
    week = f"{NEXT_HOUR - 7 * DAY:%Y-%m-%dT%H:%M:%SZ}"
    assert week not in starts


def test_a_passing_failure_is_not_taken_for_the_end_of_the_data(sync, sentry, caplog):
    """A failed request is repeated once before its start is given up."""
    sizes = ATTEMPTS + 1 + ATTEMPTS
    sentry.fault(500, times=sizes, when=at(f"projects/.*/{PUMP}/events/"))
    output = sync("project_events", projects=[PUMP], start_date="200d")

    assert output.code == 0
    assert not told(caplog, "Sentry keeps")
    starts = [
        request.params["start"]
        for request in sentry.requests
        if request.path.endswith("/events/")
    ]
    assert starts[sizes] > starts[0]
    # The failed request once more, and then the list.
    assert starts.count(starts[0]) >= sizes + 2


def test_a_bad_cursor_is_no_matter_of_age(sync, sentry):
    """A scan whose cursor is rejected is read again from the top, in full."""
    sentry.flavour = replace(FLAVOURS["saas"], value_cursors=True)
    at = NOW - HOUR
    cursor = f"{at.timestamp() * 1000:.0f}:0:0"
    scan = Scan(Window(BEGINNING, NOW - HOUR / 2), at=at, cursor=cursor)
    sentry.fault(
        400, times=None, when=lambda request: cursor in request.params.get("cursor", ())
    )
    project = sentry.project(PUMP).id
    part = {"by_id": {project: {"scan": scan.to_state()}}}
    state = {"bookmarks": {"project_events": part}}
    output = sync("project_events", projects=[PUMP], state=state, concurrency=1)

    assert output.code == 0
    assert keys(output, "project_events") == true_keys(sentry, "project_events", PUMP)
    refused = [request for request in sentry.requests if request.status == 400]
    assert len(refused) <= 2


def test_old_servers_that_keep_everything_are_asked_for_everything(sync, sentry):
    """A window that the server accepts is not shortened."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    sync("project_events", projects=[PUMP])

    starts = {str(request["start"]) for request in sentry.asked("projects/.*/events/")}
    assert starts == {"2010-01-01T00:00:00Z"}


def test_a_start_that_the_clock_passes_moves_on(caplog):
    """A start that became too old moves on with the clock, not to a shorter period."""
    logger = logging.getLogger("tap-sentry")
    window = Window(BEGINNING, NOW)
    retention = Retention(NOW, None, logger)
    assert retention.shorten("list", window, HOUR)
    retention.accept("list")
    retention.log("list", "events", window)
    first = retention.start("list")

    retention._epoch += HOUR  # noqa: SLF001 - an hour later
    assert retention.shorten("list", window, HOUR)
    assert first is not None
    assert retention.start("list") == first + HOUR
    assert "keeps 90 days" in caplog.text


def test_a_list_goes_on_when_the_clock_passes_its_start(sync, sentry, monkeypatch):
    """A list whose start becomes too old continues without reading rows again."""
    sentry.refusal = (90 * DAY, 400)
    sentry.order = None
    whole = sync("project_events", projects=[PUMP], concurrency=1)

    ticks = itertools.count()
    sentry.clock = lambda: NOW + next(ticks) * HOUR / 20
    monkeypatch.setattr(
        "tap_sentry.api.retention.Retention._now", property(lambda _: sentry.clock())
    )
    output = sync("project_events", projects=[PUMP], concurrency=1)

    refused = [request for request in sentry.requests if request.status == 400]
    assert len(refused) > 2
    assert output.code == 0
    assert output.keys("project_events") == whole.keys("project_events")


def test_a_window_that_ends_early_is_not_moved_beyond_its_end():
    """A window that ended before the data that Sentry keeps stays as it is."""
    retention = Retention(NOW, None, logging.getLogger("tap-sentry"))
    month = Window(NOW - 60 * DAY, NOW - 31 * DAY)

    assert not retention.shorten("list", month, HOUR)
    assert retention.clamp("list", month) == month
