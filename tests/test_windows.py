"""The meaning of the date settings, and the splitting of a period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tap_sentry.windows import (
    BEGINNING,
    DAY,
    UNITS,
    Window,
    ceil,
    floor,
    parse_date,
    parse_day,
    parse_duration,
    parse_instant,
    split,
    to_text,
)

NOW = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)

quick = settings(deadline=None, max_examples=50)

instants = st.datetimes(
    datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.just(UTC),
)
steps = st.timedeltas(timedelta(seconds=1), timedelta(days=1000))
offsets = st.integers(-14 * 60, 14 * 60).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11-01", "2026-11-01", "2026-11-02"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2026-12-31", "2026-12-31", "2027-01-01"),
        ("0d", "2026-11-20", "2026-11-21"),
        ("1d", "2026-11-19", "2026-11-20"),
        ("10d", "2026-11-10", "2026-11-11"),
        ("2w", "2026-11-06", "2026-11-07"),
        (" 1d\n", "2026-11-19", "2026-11-20"),
    ],
)
def test_a_day_is_a_whole_utc_day(text, start, end):
    """A date and a number of days or weeks back both name one whole UTC day."""
    assert Window(at(start), at(end)) == parse_day(text, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "36h", "30m", "2026-11-01T00:00:00Z", "2026-11", "2026-1-1", "today", "1d1d"],
)
def test_what_names_no_day_is_refused(text):
    """Hours and instants, which name no whole day, are refused."""
    with pytest.raises(ValueError, match="is not a day such as 2026-11-01 or 1d"):
        parse_day(text, NOW)


@pytest.mark.parametrize("text", ["2026-13-01", "2026-02-30", "2025-02-29"])
def test_a_day_that_no_calendar_has_is_refused(text):
    """A date that does not exist is refused, even if its digits are well-formed."""
    with pytest.raises(ValueError, match=text):
        parse_day(text, NOW)


@pytest.mark.parametrize(
    ("text", "as_start", "as_end"),
    [
        ("2026-11-01", "2026-11-01", "2026-11-02"),
        ("5d", "2026-11-15", "2026-11-16"),
        ("0d", "2026-11-20", "2026-11-21"),
        ("1w", "2026-11-13", "2026-11-14"),
        ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00", "2026-11-01T12:00:00"),
        ("2026-11-01T00:00:00Z", "2026-11-01", "2026-11-01"),
        ("2026-11-01T12:00:00", "2026-11-01T12:00:00", "2026-11-01T12:00:00"),
        ("2026-11-01 12:00", "2026-11-01T12:00:00", "2026-11-01T12:00:00"),
        ("2026-11-01T12:00:00+02:00", "2026-11-01T10:00:00", "2026-11-01T10:00:00"),
        (
            "2026-11-01T01:00:00.5+02:00",
            "2026-10-31T23:00:00.5",
            "2026-10-31T23:00:00.5",
        ),
        ("36h", "2026-11-19T00:30:15", "2026-11-19T00:30:15"),
        ("24h", "2026-11-19T12:30:15", "2026-11-19T12:30:15"),
        ("90m", "2026-11-20T11:00:15", "2026-11-20T11:00:15"),
        ("15s", "2026-11-20T12:30:00", "2026-11-20T12:30:00"),
    ],
)
def test_an_end_includes_its_day_and_excludes_its_instant(text, as_start, as_end):
    """An end includes its day (also 10d or 2w); instants and hours are exact."""
    assert at(as_start) == parse_date(text, NOW)
    assert at(as_end) == parse_date(text, NOW, is_end=True)


def test_ten_to_five_days_back_are_six_whole_days():
    """`10d` to `5d` are the tenth to the fifth day back, both included."""
    window = Window(parse_date("10d", NOW), parse_date("5d", NOW, is_end=True))

    assert window.end - window.start == 6 * DAY
    assert at("2026-11-10") in window
    assert at("2026-11-15T23:59:59") in window
    assert at("2026-11-16") not in window


@pytest.mark.parametrize(
    "text",
    [
        *("", "10", "d", "-1d", "1.5d", "1D", "10 d", "yesterday", "1d2h", "2026-11"),
        *("2026-W45", "2026-305", "20261101", "01.11.2026", "999999d", "999999w"),
        *("2026-02-30", "2026-13-01", "2026-11-01T25:00:00Z", "2026-11-01T12:00:00Q"),
        "2026-11-01T12:00/2026-11-02T12:00",
    ],
)
def test_what_is_no_date_is_refused(text):
    """Other notations and impossible dates are refused instead of guessed."""
    with pytest.raises((ValueError, OverflowError)):
        parse_date(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("30m", 1800), ("36h", 129_600), ("2w", 1_209_600)],
)
def test_durations_are_read_by_their_unit(text, seconds):
    """A duration is a number and one of s, m, h, d, w."""
    assert seconds == parse_duration(text).total_seconds()


@quick
@given(st.integers(0, 999_999), st.sampled_from(sorted(UNITS)))
def test_every_number_of_every_unit_is_a_duration(number, unit):
    """A duration is its number times its unit, however large the number is."""
    assert number * UNITS[unit] == parse_duration(f" {number}{unit} ")


@quick
@given(st.text(alphabet="0123456789smhdw .-+", max_size=8))
def test_a_duration_has_one_number_and_one_unit(text):
    """Any text but a number and a unit is refused."""
    assume(not (text.strip()[:-1].isdigit() and text.strip()[-1:] in UNITS))

    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)


@quick
@given(instants, offsets)
def test_an_instant_means_the_same_in_every_zone(instant, zone):
    """A date with an offset is parsed as that instant in UTC, to the microsecond."""
    text = instant.astimezone(zone).isoformat()

    assert instant == parse_date(text, NOW)
    assert instant == parse_instant(text)
    assert parse_date(text, NOW).tzinfo is UTC


@quick
@given(instants)
def test_what_is_written_is_read_again(instant):
    """Dates written to requests and state are parsed as the same second."""
    second = instant.replace(microsecond=0)

    assert second == parse_instant(to_text(instant))
    assert second == parse_date(to_text(instant), NOW)


@quick
@given(instants)
def test_a_day_is_written_and_read_as_that_day(instant):
    """The day of an instant contains it, and starts at its floor."""
    window = parse_day(f"{instant:%Y-%m-%d}", NOW)

    assert instant in window
    assert window.start == floor(instant, DAY)


def test_dates_of_records_without_a_zone_are_utc():
    """Dates without a zone, which old servers send, are in UTC."""
    assert at("2026-11-01T12:00:00.5") == parse_instant("2026-11-01T12:00:00.5")
    assert at("2026-11-01T12:00:00") == parse_instant("2026-11-01T12:00:00Z")


def test_other_zones_are_written_as_utc():
    """Dates in requests and state are in UTC, in whole seconds."""
    instant = datetime(2026, 11, 1, 1, 2, 3, 999_999, tzinfo=timezone(2 * HOUR))

    assert to_text(instant) == "2026-10-31T23:02:03Z"


@quick
@given(instants, steps)
def test_floor_and_ceil_enclose_an_instant(instant, step):
    """`floor` and `ceil` return the multiples of the step at or next to an instant."""
    low, high = floor(instant, step), ceil(instant, step)

    assert low <= instant <= high
    assert high - low in {timedelta(0), step}
    assert (low == instant) == (high == instant)
    assert not (low - datetime(1970, 1, 1, tzinfo=UTC)) % step
    assert (floor(low, step), ceil(low, step)) == (low, low)


@pytest.mark.parametrize(
    ("instant", "step", "low", "high"),
    [
        ("2026-11-20T12:30:15", DAY, "2026-11-20", "2026-11-21"),
        ("2026-11-20T12:30:15", HOUR, "2026-11-20T12:00:00", "2026-11-20T13:00:00"),
        ("2026-11-20", DAY, "2026-11-20", "2026-11-20"),
    ],
)
def test_buckets_start_with_the_utc_day_and_hour(instant, step, low, high):
    """Days and hours start where those of UTC start."""
    assert (at(low), at(high)) == (floor(at(instant), step), ceil(at(instant), step))


@quick
@given(instants, st.timedeltas(-DAY, 900 * DAY), st.timedeltas(HOUR, 1000 * DAY))
def test_parts_cover_a_window_without_gap_or_overlap(start, length, step):
    """Consecutive parts of at most one step cover exactly the window."""
    window = Window(start, start + length)
    assume(length // step < 500)
    parts = list(split(window, step))

    assert bool(parts) == bool(window)
    assert all(one.end == two.start for one, two in pairwise(parts))
    assert all(part and part.end - part.start <= step for part in parts)
    assert all(part.end - part.start == step for part in parts[:-1])
    assert not parts or Window(parts[0].start, parts[-1].end) == window


@quick
@given(instants, steps)
def test_a_window_holds_its_start_and_not_its_end(start, length):
    """Windows are half-open, so that two in a row share no instant."""
    window = Window(start, start + length)

    assert window
    assert start in window
    assert window.end not in window
    assert window.end - timedelta(microseconds=1) in window
    # A window that starts at `BEGINNING` has no lower bound.
    assert start == BEGINNING or start - timedelta(microseconds=1) not in window


def test_a_window_that_ends_where_it_starts_is_empty():
    """A window that ends at or before its start is empty and contains nothing."""
    assert not Window(NOW, NOW)
    assert not Window(NOW, NOW - HOUR)
    assert NOW not in Window(NOW, NOW)
