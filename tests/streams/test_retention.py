"""Windows that begin before what Sentry keeps."""

from __future__ import annotations

import itertools
import logging
from datetime import timedelta

import pytest

from tap_sentry.api.retention import Retention
from tap_sentry.api.scheduler import ATTEMPTS
from tap_sentry.windows import BEGINNING, DAY, HOUR, Window
from tests.conftest import NOW
from tests.simulator import FLAVOURS
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, told

COUNTS = ("organization_event_counts", "team_event_counts")
LISTS = ("project_issues", "project_events", "issue_events")
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
NEXT_HOUR = NOW.replace(minute=0, second=0) + HOUR


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.INFO, logger="tap-sentry")


def keys(output, stream):
    """The keys of all records, sorted."""
    return sorted(output.keys(stream))


def first_whole(days, stream):
    """The start of the first interval that lies wholly within so many days."""
    interval = MIDNIGHT + DAY if stream in COUNTS else NEXT_HOUR
    return interval - timedelta(days=days)


def test_the_default_window_of_counts_is_shortened(sync, sentry, caplog):
    """Ninety days ago, rounded down, is already too early for a Sentry of today."""
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
    """To the longest period that the server accepts, said once as a warning."""
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
    """Each list of an organization is refused a few times at most."""
    sentry.refusal = (30 * DAY, 400)
    sync("issue_events", concurrency=1, organizations=[STERNWARTE])

    refused = [request for request in sentry.requests if request.status == 400]
    # Each list: from the beginning, and from 90 days ago.
    assert len(refused) == 4
    assert len(sentry.requests) > 20


@pytest.mark.parametrize("stream", [*COUNTS, *LISTS])
def test_concurrency_changes_nothing(sync, sentry, stream):
    """Lists that were requested ahead of time from the older start are read again."""
    sentry.refusal = (14 * DAY, 400)
    sentry.order = None
    fast, slow = (sync(stream, concurrency=number) for number in (8, 1))

    assert fast.records(stream)
    assert fast.records(stream) == slow.records(stream)
    assert fast.state == slow.state


def test_organizations_have_plans_of_their_own(sync, sentry, caplog):
    """What one of them loses, others keep."""
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
    """The bookmark stands at the end of the window, whatever its start became."""
    sentry.refusal = (30 * DAY, 400)
    state = sync("project_events", "organization_event_counts").state
    sentry.requests.clear()
    output = sync("project_events", "organization_event_counts", state=state)

    assert output.code == 0
    assert {request.status for request in sentry.requests} == {200}


def test_a_window_that_is_refused_altogether_is_an_error(sync, sentry, caplog):
    """Each period is tried once; then the reason is not the age."""
    sentry.fault(400, times=None, body={"detail": "No"}, when=at(".*/stats_v2/"))
    output = sync("organization_event_counts")

    assert output.code == 1
    assert told(caplog, "organization_event_counts skipped", "status 400, No")
    assert not told(caplog, "Sentry keeps")
    assert len(sentry.asked("organizations/.*/stats_v2/")) == 2 * 5


def test_what_is_no_matter_of_age_is_found_out_once(sync, sentry):
    """Other projects are asked from the start that the user wants, once each."""
    sentry.fault(400, times=None, body={"detail": "No"}, when=at(".*/events/"))
    output = sync("project_events", organizations=[STERNWARTE], concurrency=1)

    projects = len(sentry.organization(STERNWARTE).projects)
    assert output.code == 1
    assert len(sentry.asked("projects/.*/events/")) == projects + 4


def test_a_passing_failure_is_not_taken_for_the_end_of_the_data(sync, sentry, caplog):
    """A request that failed is sent once more before its start is given up."""
    stream = "organization_event_counts"
    sentry.fault(500, times=ATTEMPTS, when=at(f"organizations/{STERNWARTE}/stats_v2/"))
    sync("organizations", organizations=[STERNWARTE])
    sentry.requests.clear()
    output = sync(
        stream, "organizations", organizations=[STERNWARTE], start_date="100d"
    )

    start = MIDNIGHT - 100 * DAY
    organization = sentry.organization(STERNWARTE).id
    truth = {key for key in sentry.truth(stream, start) if key[0] == organization}
    assert output.code == 0
    assert set(output.keys(stream)) == truth
    assert not told(caplog, "Sentry keeps")


def test_a_bad_cursor_is_no_matter_of_age(sync, sentry, caplog):
    """A scan whose cursor is refused is read again from its top."""
    part = {"start": "2010-01-01T00:00:00Z", "end": "2026-11-20T00:00:00Z"}
    project = sentry.project(PUMP)
    state = {
        "bookmarks": {
            "project_events": {
                "by_id": {project.id: {"scan": {**part, "cursor": "0:bad:0"}}}
            }
        }
    }
    output = sync("project_events", projects=[PUMP], state=state)

    assert output.code == 0
    assert not told(caplog, "Sentry keeps")


def test_old_servers_that_keep_everything_are_asked_for_everything(sync, sentry):
    """Nothing is cut that a server lets be read."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    sync("project_events", projects=[PUMP])

    starts = {str(request["start"]) for request in sentry.asked("projects/.*/events/")}
    assert starts == {"2010-01-01T00:00:00Z"}


def test_a_start_that_the_clock_passes_moves_on(caplog):
    """Not to the next shorter period."""
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


def test_a_window_that_ends_early_is_not_moved_beyond_its_end():
    """Of a month long ago nothing is left to read."""
    retention = Retention(NOW, None, logging.getLogger("tap-sentry"))
    month = Window(NOW - 60 * DAY, NOW - 31 * DAY)

    assert not retention.shorten("list", month, HOUR)
    assert retention.clamp("list", month) == month
