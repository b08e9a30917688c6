"""The tap reads from a real server what the server holds."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jsonschema  # type: ignore[import-untyped] # no stubs among the tools
import pytest

from tests.live.command import KEYS, sync
from tests.live.crawler import (
    COUNTS,
    NOT_COMPARED,
    RESOLUTIONS,
    STATS,
    STREAMS,
    parse,
    text,
)
from tests.live.lists import LISTS
from tests.live.truth import EVENTS
from tests.live.truth import KEYS as TOLD
from tests.live.values import differences

pytestmark = pytest.mark.live

#: Streams of dated records, with the column of their date.
DATED = {
    "project_issues": "lastSeen",
    "project_events": "dateCreated",
    "project_event_entries": "dateCreated",
    "project_feedback": "dateCreated",
    "issue_events": "dateCreated",
    "issue_event_entries": "dateCreated",
    "issue_activities": "dateCreated",
    "issue_comments": "dateCreated",
    "organization_replays": "started_at",
    "organization_incidents": "dateStarted",
    "organization_audit_logs": "dateCreated",
    "monitor_checkins": "dateCreated",
}
LOOKBACK = timedelta(hours=1)
#: Streams whose records change for a longer time, and are read again for as long.
CHANGING = {
    "organization_incidents": timedelta(days=7),
    "monitor_checkins": timedelta(days=1),
}
#: Lists with a bookmark that are read in full for each issue, release or repository.
WHOLE = tuple(
    stream
    for stream, listing in LISTS.items()
    if listing.place in {"issue", "release", "repository"} and stream not in DATED
)
BOOKMARKED = (*DATED, *WHOLE)
#: Lists that every run reads in full.
FULL = tuple(stream for stream in LISTS if stream not in BOOKMARKED)
#: Columns that change with every event, deploy or visit. They are compared only if the
#: server is known to be at rest.
MOVING = {
    "authors",
    "commitCount",
    "deployCount",
    "environments",
    "firstEvent",
    "lastCommit",
    "lastDeploy",
    "lastEvent",
    "lastTriggered",
    "lastVisited",
    "latestEvent",
    "latestGroup",
    "newGroups",
    "topValues",
    "totalValues",
    "uniqueValues",
}

RETRIED = re.compile(r"GET \S+/api/0(\S+): .*; try \d+ of \d+")
LACKED = re.compile(r"This server does not have (\S+) ")
ABSENT = re.compile(r"(\w+) (?:is missing on this server|skipped \w)")
MISSED = re.compile(r"(\w+): (\d+) records? may be missing")

FORMATS = jsonschema.FormatChecker(())


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value):
    """Whether a value is a date with its offset from UTC."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value).tzinfo)


# The run ------------------------------------------------------------------------------


def test_the_run_ends_well(run):
    assert run.code == 0, run.log


def test_only_what_the_server_lacks_is_asked_for_in_vain(run):
    assert repeated(run.log) == set()


def repeated(log):
    """The paths that were requested again although the server has them."""
    lacked = [re.sub("{.*?}", "[^/]+", path) for path in LACKED.findall(log)]
    return {
        path
        for path in RETRIED.findall(log)
        if not any(re.fullmatch(pattern, path) for pattern in lacked)
    }


def test_no_token_is_in_any_line(server, run):
    assert server.token not in run.log
    assert server.token not in run.output.read_text(encoding="utf-8")


# Records ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
def test_the_keys_of_a_stream_are_those_that_the_server_lists(
    stream, server, run, crawl, table
):
    reason = "left out" if stream in server.without else NOT_COMPARED.get(stream)
    if reason:
        table.others[stream] = reason
        return
    found = run.keys_of(stream)
    if stream in crawl.unread and not found and not crawl.keys[stream]:
        table.others[stream] = "the server lacks it"
        return
    expected = crawl.keys[stream] | (crawl.optional[stream] & set(found))
    difference = table.compare(stream, "its lists", found, expected)
    # Paging by cursor misses a row for each row that it returns twice.
    extra = {key[:3] for key in difference.extra}

    assert not difference.missing, str(difference)
    assert len(extra) <= crawl.repeated[stream], str(difference)


def test_the_log_names_the_lists_that_the_server_lacks(server, run, crawl):
    """Those that it does not have, and those that it refuses to send."""
    lists = LISTS.keys() - server.without

    assert lists.intersection(ABSENT.findall(run.log)) == lists & crawl.absent


@pytest.mark.parametrize("stream", STREAMS)
def test_no_key_comes_twice(stream, run):
    assert [key for key, number in run.keys[stream].items() if number > 1] == []


def test_every_record_fits_its_schema(run):
    """Every column of a record is declared, and none of its keys is null."""
    wrong = [fault for stream in STREAMS for fault in faults(run, stream)]

    assert wrong[:5] == []


def faults(run, stream):
    """The faults in the records of a stream."""
    if stream not in run.schemas:
        return
    message = run.schemas[stream]
    schema, keys = message["schema"], message[KEYS]
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    for record in run.records(stream):
        for error in validator.iter_errors(record):
            yield stream, error.json_path, error.message
        if undeclared := record.keys() - schema["properties"].keys():
            yield stream, "undeclared", undeclared
        if nulls := [name for name in keys if record.get(name) is None]:
            yield stream, "null", nulls


@pytest.mark.parametrize("stream", LISTS)
def test_the_columns_of_a_list_are_those_that_the_server_sends(stream, run, crawl):
    moving = set() if os.environ.get("SENTRY_TRUTH") else MOVING
    wrong = [
        (key, *difference)
        for record in run.records(stream)
        if (key := run.key(stream, record)) in crawl.sent[stream]
        for difference in differences(
            record,
            crawl.sent[stream][key],
            run.schemas[stream]["schema"]["properties"],
        )
        if difference[0] not in moving
    ]

    assert wrong[:5] == []


def test_the_target_stores_every_record_once(run):
    for stream in STREAMS:
        assert sorted(run.keys_of(stream)) == sorted(run.keys[stream].elements())


# Event counts -------------------------------------------------------------------------


@pytest.mark.parametrize("stream", COUNTS)
def test_the_counts_are_those_that_the_server_gives(stream, server, run, crawl):
    """Counts are equal, except in the newest two intervals, which still grow."""
    complete = server.end - 2 * RESOLUTIONS["1d"]
    found = {
        run.key(stream, record): record["count"]
        for record in run.records(stream)
        if parse(record["timestamp"]) <= complete
    }

    assert found == {
        key: count
        for key, count in crawl.counts[stream].items()
        if parse(key[-1]) <= complete
    }


# What the server really holds ---------------------------------------------------------


# The files lack the other streams, which are compared with the server's lists only.
@pytest.mark.needs("SENTRY_TRUTH")
@pytest.mark.parametrize("stream", [*TOLD, *EVENTS])
def test_the_keys_of_a_stream_are_those_in_the_database(stream, run, truth, table):
    expected = truth.keys(stream)
    found = [key for key in run.keys_of(stream) if key[0] in truth.organizations]
    difference = table.compare(stream, "database", found, expected)
    # If a server leaves out rows in spite of retries, the log counts them.
    said = {name: int(number) for name, number in MISSED.findall(run.log)}

    assert not difference.extra, str(difference)
    assert len(difference.missing) == said.get(stream, 0), str(difference)


@pytest.fixture(scope="session", params=RESOLUTIONS)
def counted(request, server, truth, target, tmp_path_factory):
    """A run for the event counts over the whole period that the files cover."""
    resolution = request.param
    first, _ = truth.span(resolution)
    return resolution, sync(
        replace(server, start=first),
        tmp_path_factory.mktemp(resolution),
        *COUNTS,
        target=target,
        stats=STATS,
        stats_resolution=resolution,
    )


@pytest.mark.needs("SENTRY_TRUTH")
@pytest.mark.parametrize("stream", COUNTS)
def test_the_counts_are_those_in_the_database(stream, counted, truth, table):
    resolution, run = counted
    first, last = truth.span(resolution)
    found = [
        (*run.key(stream, record), str(record["count"]))
        for record in run.records(stream)
        if record["organization_id"] in truth.organizations
        and first <= parse(record["timestamp"]) <= last
        and record["count"]
    ]
    counts = truth.counts(resolution)[stream]
    expected = {(*key, str(count)) for key, count in counts.items()}
    difference = table.compare(stream, f"stats_{resolution}", found, expected)

    assert run.code == 0, run.log
    assert not difference, str(difference)


# State --------------------------------------------------------------------------------


def test_the_state_says_how_far_everything_was_read(server, run, crawl):
    """Every bookmark of a project or organization is the end of the run."""
    unread = crawl.unread.union(ABSENT.findall(run.log), server.without)
    end = text(server.end)

    for stream in {*BOOKMARKED} - unread:
        is_below_project = stream.startswith(("project_", "issue_"))
        owner = "organization_projects" if is_below_project else "organizations"
        entries = entries_of(run, stream)
        assert entries.keys() == {key[-1] for key in crawl.keys[owner]}
        assert {entry["bookmark"] for entry in entries.values()} <= {end}
        assert not any(entry.get("scan") for entry in entries.values())


def entries_of(run, stream):
    """The bookmarks of a stream in the last STATE."""
    return run.states[-1]["bookmarks"].get(stream, {}).get("by_id", {})


@pytest.fixture(scope="module")
def second(server, run, target, tmp_path_factory):
    """A run right after the first, with its state."""
    return sync(
        replace(server, end=datetime.now(UTC).replace(microsecond=0)),
        tmp_path_factory.mktemp("second"),
        state=run.states[-1],
        target=target,
        stats=STATS,
    )


def test_a_second_run_ends_well(second):
    assert second.code == 0, second.log
    assert repeated(second.log) == set()


@pytest.mark.parametrize(("stream", "column"), DATED.items())
def test_a_second_run_reads_no_more_than_the_lookback_again(
    stream, column, server, second
):
    old = [
        record[column]
        for record in second.records(stream)
        if record[column]
        and parse(record[column]) < server.end - CHANGING.get(stream, LOOKBACK)
    ]

    assert old == []


@pytest.mark.parametrize("stream", FULL)
def test_a_second_run_reads_full_lists_again(stream, run, second):
    assert second.keys[stream].keys() >= run.keys[stream].keys()


@pytest.mark.parametrize("stream", COUNTS)
def test_a_second_run_reads_two_buckets_again(stream, server, second):
    day = RESOLUTIONS["1d"]
    oldest = min(
        (parse(record["timestamp"]) for record in second.records(stream)),
        default=server.end,
    )

    assert oldest > server.end - 2 * day


@pytest.mark.parametrize("stream", [*BOOKMARKED, *COUNTS])
def test_a_second_run_moves_every_bookmark_on(stream, run, second):
    before, after = entries_of(run, stream), entries_of(second, stream)

    assert after.keys() >= before.keys()
    for key, entry in before.items():
        for name, value in entry.items():
            if name != "scan":
                assert after[key][name] > value
