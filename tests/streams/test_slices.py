"""How the window of a long list is cut into slices."""

from __future__ import annotations

import itertools
from datetime import timedelta
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_sentry.api.paged_list import Page
from tap_sentry.api.ties import Place, Tie
from tap_sentry.streams.cuts import between, by_count, by_rate
from tap_sentry.streams.slices import GUESSED, Slices
from tap_sentry.sync.state import Scan
from tap_sentry.windows import BEGINNING, DAY, HOUR, SECOND, Window, floor
from tests.conftest import NOW

TOP = floor(NOW, HOUR)


def ago(hours, seconds=0):
    """Return an instant before the top of the hour."""
    return TOP - timedelta(hours=hours, seconds=seconds)


#: Hours with their counts, most of them without rows, by ascending time.
COUNTS = st.lists(
    st.sampled_from((0, 0, 0, 0, 1, 7, 300, 12_345)), min_size=1, max_size=60
).map(
    lambda counts: [
        (ago(number), count) for number, count in reversed([*enumerate(counts, 1)])
    ]
)
#: Windows with any whole seconds as bounds.
WINDOWS = st.tuples(st.integers(0, 200_000), st.integers(1, 200_000)).map(
    lambda pair: Window(ago(0, sum(pair)), ago(0, pair[0]))
)
MOST = st.sampled_from((1, 2.5, 30, 300))


def expected_rows(window, counts):
    """Return how many rows a window has if those of each hour are spread evenly."""
    return sum(
        count
        * (max(timedelta(), min(at + HOUR, window.end) - max(at, window.start)))
        / HOUR
        for at, count in counts
    )


def assert_cover(slices, window):
    """Check that slices are consecutive parts of a window, the newest first."""
    assert slices[0].end == window.end
    assert slices[-1].start == window.start
    for newer, older in itertools.pairwise(slices):
        assert newer.start == older.end
    assert all(slices)
    assert not [cut for part in slices[1:] if (cut := part.end).microsecond]


# By count -----------------------------------------------------------------------------


@settings(deadline=None)
@given(window=WINDOWS, counts=COUNTS, most=MOST)
def test_counted_slices_cover_the_window(window, counts, most):
    """Slices by count have neither gaps nor overlaps, whatever is counted."""
    assert_cover(by_count(window, counts, most), window)


@settings(deadline=None)
@given(window=WINDOWS, counts=COUNTS, most=MOST)
def test_counted_slices_have_few_rows(window, counts, most):
    """A slice has no more rows than it shall, but for the seconds of its two bounds."""
    for part in by_count(window, counts, most):
        # Cuts are rounded down to a second.
        second = max((rows for _, rows in counts), default=0) * (SECOND / HOUR)
        is_second = part.end - part.start == SECOND
        assert is_second or expected_rows(part, counts) <= most + second + 1e-6


@settings(deadline=None)
@given(window=WINDOWS, counts=COUNTS, most=MOST)
def test_no_slice_is_needless(window, counts, most):
    """There are as many slices as the rows need, and the last one has rows."""
    slices = by_count(window, counts, most)

    rows = expected_rows(window, counts)
    assert len(slices) <= max(1, rows / most + 1)
    assert rows == 0 or expected_rows(slices[-1], counts) > 0


def test_hours_without_rows_are_part_of_a_slice():
    """Quiet hours are neither slices of their own nor do they end one."""
    counts = [(ago(hour), 100 if hour in {1, 40} else 0) for hour in range(90, 0, -1)]
    window = Window(ago(90), TOP)

    assert by_count(window, counts, 100) == [
        Window(ago(39), TOP),
        Window(ago(90), ago(39)),
    ]
    assert by_count(window, counts, 200) == [window]


def test_a_part_of_an_hour_counts_in_part():
    """Of the hour in which a list was left, what is left of it is counted."""
    window = Window(ago(1), ago(1) + HOUR / 4)

    assert by_count(window, [(ago(1), 1200)], 100) == [
        Window(ago(1, -300 * third), ago(1, -300 * (third + 1))) for third in (2, 1, 0)
    ]


def test_what_is_older_than_the_count_belongs_to_the_last_slice():
    """The last slice goes back to the start of the window."""
    counts = [(ago(hour), 50) for hour in (3, 2, 1)]
    window = Window(BEGINNING, TOP)

    assert [part.start for part in by_count(window, counts, 50)] == [
        ago(1),
        ago(2),
        BEGINNING,
    ]


@pytest.mark.parametrize("counts", [[], [(ago(1), 0)], [(ago(500), 9000)]])
def test_without_rows_there_is_one_slice(counts):
    """A window whose rows are not counted is not cut."""
    window = Window(ago(8), TOP)

    assert by_count(window, counts, 10) == [window]


# By rate ------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    window=WINDOWS,
    span=st.integers(0, 5_000_000),
    age=st.integers(0, 60),
)
def test_guessed_slices_cover_the_window(window, span, age):
    """Slices by rate cover the window, and none ends before what is surely kept."""
    oldest = NOW - age * DAY
    slices = by_rate(window, timedelta(seconds=span / 7), oldest, GUESSED)

    assert_cover(slices, window)
    assert len(slices) <= GUESSED + 1
    assert all(part.end > oldest for part in slices[1:])
    lengths = {part.end - part.start for part in slices[:-1]}
    assert len(lengths) <= 1
    assert all(length >= SECOND for length in lengths)


def test_slices_by_rate_have_one_length():
    """Slices have the length that is asked for; what is older is left whole."""
    slices = by_rate(Window(ago(1000), TOP), HOUR * 0.75, ago(720), GUESSED)

    assert slices[0] == Window(TOP - HOUR * 0.75, TOP)
    assert slices[-1] == Window(ago(1000), ago(6))


# Between cuts -------------------------------------------------------------------------


@settings(deadline=None)
@given(
    window=WINDOWS,
    cuts=st.lists(st.integers(-100, 400_100).map(lambda second: ago(0, second))),
)
def test_cuts_in_any_order_make_parts(window, cuts):
    """Cuts that are doubled, disordered or outside do no harm."""
    parts = between(window, cuts)

    assert_cover(parts, window)
    assert {part.end for part in parts[1:]} == {
        cut for cut in cuts if window.start < cut < window.end
    }


# Lists that are made twice ------------------------------------------------------------


@pytest.mark.parametrize("is_last", [True, False])
def test_the_older_form_of_a_list_says_nothing(is_last):
    """A list is made again if its path changes; the one before may still arrive."""
    read = []

    def pages(_context, part, _place, cutter):
        read.append(part.window)
        if part != scan:
            cutter.leaver(part)(Page([], None), is_end=True)
        return iter(())

    scan = Scan(Window(ago(9), TOP))
    lists = Mock(is_limited=False, is_refuted=False, surely_kept=ago(9), pages=pages)
    lists.date_of = lambda row: row
    counts = Mock(take=lambda *_: [])
    slices = Slices(lists, {}, scan, counts)
    older, newer = [slices.leaver(scan) for _ in range(2)]
    places = [Place("x", tie=Tie(ago(n + 1), 1, frozenset())) for n in range(4)]
    found = [Page([ago(n), ago(n + 1)], place) for n, place in enumerate(places)]
    is_end = False
    left = [newer(page, is_end) for page in found]
    older(Page([], None) if is_last else found[0], is_last)

    assert left == [False, False, False, True]
    assert [*slices.pages()] == []
    assert_cover(read[1:], Window(ago(9), ago(4) + SECOND))
