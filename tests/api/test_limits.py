"""Rate limits: what the headers say, and how many requests a gate lets through.

Times are those of `time.time()`, in seconds, and given to each step: nothing waits.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_sentry.api import rate_limits as limits
from tap_sentry.api.rate_limits import (
    LONGEST_RETRY_AFTER,
    LONGEST_WINDOW,
    Limits,
    RateLimiter,
    read,
)

#: The start of a minute, so that dates in headers have no fraction.
NOW = 1_795_178_400.0


def headers(limit=40, remaining=39, reset=NOW + 1, concurrent=25, **others):
    """The headers of an answer of sentry.io."""
    values = {
        "Limit": limit,
        "Remaining": remaining,
        "Reset": reset,
        "ConcurrentLimit": concurrent,
        "ConcurrentRemaining": concurrent - 1,
    }
    named = {f"X-Sentry-Rate-Limit-{name}": str(n) for name, n in values.items()}
    return named | {
        name.replace("_", "-"): str(value) for name, value in others.items()
    }


def answer(now=NOW, **values):
    return read(headers(**values), now)


def opened(limit=40, remaining=39, reset=NOW + 1, concurrent=25):
    """A gate whose first answer has come."""
    gate = RateLimiter()
    gate.send()
    gate.receive(
        answer(limit=limit, remaining=remaining, reset=reset, concurrent=concurrent)
    )
    return gate


def let_through(gate, now):
    """How many requests the gate lets through at once, none of them answered."""
    number = 0
    while gate.wait(now) == 0 and number < 1000:
        gate.send()
        number += 1
    return number


# The headers --------------------------------------------------------------------------


def test_all_headers_are_read():
    """Everything that Sentry says about a limit is known."""
    assert read(headers(), NOW) == Limits(
        limit=40,
        remaining=39,
        reset=NOW + 1,
        concurrent=25,
        clock=None,
        retry_after=None,
    )


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", " "])
def test_a_limit_that_is_no_number_is_no_limit(text):
    """A proxy may write anything into a header."""
    assert read({"X-Sentry-Rate-Limit-Limit": text}, NOW).limit is None


@pytest.mark.parametrize("text", ["", "soon", "2026-11-20"])
def test_a_reset_that_is_no_number_is_no_reset(text):
    """The same for the time of the reset."""
    assert read({"X-Sentry-Rate-Limit-Reset": text}, NOW).reset is None


def test_an_answer_without_headers_says_nothing():
    """Self-hosted servers have no limits."""
    nothing = Limits(
        limit=None,
        remaining=None,
        reset=None,
        concurrent=None,
        clock=None,
        retry_after=None,
    )

    assert nothing == read({}, NOW)


@pytest.mark.parametrize("offset", [-3600, -1, 0, 5, 90])
def test_the_date_tells_the_clock_of_the_server(offset):
    """Resets are by the server's clock, so its difference from ours counts."""
    assert offset == read({"Date": formatdate(NOW + offset, usegmt=True)}, NOW).clock


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Nov 2026 25:00:00 GMT"])
def test_a_date_that_is_none_says_nothing_of_the_clock(date):
    """A wrong date is left alone."""
    assert read({"Date": date}, NOW).clock is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("86400", LONGEST_RETRY_AFTER),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        (formatdate(NOW + 86_400, usegmt=True), LONGEST_RETRY_AFTER),
        ("", None),
        ("later", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text, seconds):
    """Both forms are read; what is past means now, what is far away is cut."""
    assert seconds == read({"Retry-After": text}, NOW).retry_after


# A budget -----------------------------------------------------------------------------


def test_an_unknown_endpoint_gets_one_request():
    """Its headers have to be known before there are more."""
    gate = RateLimiter()

    assert let_through(gate, NOW) == 1
    assert gate.wait(NOW) is None


def test_the_first_answer_opens_the_gate():
    """What is left of the window is sent at once."""
    assert let_through(opened(remaining=39), NOW) == 25
    assert let_through(opened(remaining=7), NOW) == 7


def test_an_endpoint_without_limits_is_open():
    """A server that names no limit has none."""
    gate = RateLimiter()
    gate.send()
    gate.receive(read({}, NOW))

    assert let_through(gate, NOW) == 1000


def test_an_endpoint_that_gave_no_answer_gets_one_request_again():
    """A dropped connection says nothing about limits, and must not close the gate."""
    gate = RateLimiter()
    gate.send()
    gate.receive(None)

    assert let_through(gate, NOW) == 1


def test_no_more_are_under_way_than_the_server_allows():
    """The concurrent limit holds whatever the budget is; each answer frees a place."""
    gate = opened(limit=40, remaining=30, concurrent=3)

    assert let_through(gate, NOW) == 3
    assert gate.wait(NOW) is None

    gate.receive(answer(limit=40, remaining=27, concurrent=3))

    assert let_through(gate, NOW) == 1


def test_the_budget_of_a_window_is_used_to_its_last_request():
    """The limit is kept at, not far below: 40 of 40 in the window, no 41st."""
    gate = RateLimiter()
    sent = 0
    for remaining in reversed(range(40)):
        assert gate.wait(NOW) == 0

        gate.send()
        sent += 1
        gate.receive(answer(limit=40, remaining=remaining))

    assert sent == 40
    assert gate.wait(NOW + 0.25) == pytest.approx(0.75)


def test_requests_under_way_count_against_what_is_left():
    """An answer does not yet know of those that were sent after its request."""
    gate = opened(remaining=10, concurrent=25)
    for _ in range(10):
        gate.send()
    # The first of them: nine are left, and nine are on their way.
    gate.receive(answer(remaining=9))

    assert gate.wait(NOW) == pytest.approx(1.0)


def test_a_window_that_others_use_too_is_told_by_the_answers():
    """Another client with the same token takes from the same budget."""
    gate = opened(remaining=20)
    gate.send()
    gate.receive(answer(remaining=4))

    assert let_through(gate, NOW) == 4


def test_answers_that_overtake_each_other_leave_nothing_unused():
    """Answers that were counted before one that is known already free their place."""
    gate = opened(remaining=10, concurrent=25)
    for _ in range(5):
        gate.send()
    gate.receive(answer(remaining=5))
    # It may not know of the four under way.
    assert let_through(gate, NOW) == 1

    for remaining in (9, 7, 8, 6):
        gate.receive(answer(remaining=remaining))

    assert let_through(gate, NOW) == 4


def test_a_request_without_an_answer_may_have_been_counted():
    """Of a connection that broke nobody knows whether the server saw the request."""
    gate = opened(limit=20, remaining=10, concurrent=99)
    gate.send()
    gate.receive(None)

    assert let_through(gate, NOW) == 9


def test_a_new_window_has_the_whole_limit():
    """After the reset everything may be sent that the limit allows."""
    gate = opened(limit=20, remaining=0, reset=NOW + 1, concurrent=99)

    assert gate.wait(NOW) == 1.0
    assert let_through(gate, NOW + 1) == 20


def test_requests_under_way_count_in_the_new_window():
    """They may arrive there only after the reset."""
    gate = opened(limit=20, remaining=5, reset=NOW + 1, concurrent=99)

    assert let_through(gate, NOW) == 5
    assert let_through(gate, NOW + 1) == 15


def test_a_late_answer_of_the_old_window_takes_nothing_from_the_new_one():
    """It was counted in the window that is over."""
    gate = opened(limit=20, remaining=1, reset=NOW + 1, concurrent=99)
    gate.send()

    assert gate.wait(NOW + 1) == 0

    gate.send()
    gate.receive(answer(limit=20, remaining=0, reset=NOW + 1, concurrent=99))

    # Twenty less the one sent since.
    assert let_through(gate, NOW + 1) == 19


def test_an_answer_of_the_new_window_counts():
    """What it says is left is left, less what is under way."""
    gate = opened(limit=20, remaining=0, reset=NOW + 1, concurrent=99)
    assert gate.wait(NOW + 1) == 0

    gate.send()
    gate.send()
    gate.receive(answer(limit=20, remaining=10, reset=NOW + 2, concurrent=99))

    assert let_through(gate, NOW + 1) == 9


def test_an_answer_of_a_former_window_does_not_reopen_a_spent_one():
    """The reset tells which window an answer belongs to; the latest one holds."""
    gate = opened(limit=20, remaining=2, reset=NOW + 2, concurrent=99)
    gate.send()
    gate.send()
    gate.receive(answer(limit=20, remaining=15, reset=NOW + 1, concurrent=99))

    # Two are left, of which one is under way.
    assert let_through(gate, NOW) == 1
    assert gate.wait(NOW) == pytest.approx(2.0)


@pytest.mark.parametrize("offset", [-30, 0, 30])
def test_the_reset_is_by_the_clock_of_the_server(offset):
    """A server whose clock is wrong is waited for just as long."""
    gate = RateLimiter()
    gate.send()
    gate.receive(
        answer(
            limit=5,
            remaining=0,
            reset=NOW + offset + 10,
            Date=formatdate(NOW + offset, usegmt=True),
        )
    )

    assert gate.wait(NOW) == pytest.approx(10)
    assert gate.wait(NOW + 9.5) == pytest.approx(0.5)
    assert gate.wait(NOW + 10) == 0


def test_the_clock_is_the_largest_difference_seen():
    """A date is up to a second old when it arrives, so the newest one is the best."""
    gate = opened()
    for offset in (3, 5, 4):
        gate.send()
        gate.receive(answer(Date=formatdate(NOW + offset, usegmt=True)))

    assert gate.clock == 5


def test_a_server_that_stops_naming_limits_is_open():
    """A limit that is gone does not hold anything back."""
    gate = opened(remaining=0)
    gate.in_flight += 1
    gate.receive(read({}, NOW))

    assert gate.wait(NOW) == 0


# 429 ----------------------------------------------------------------------------------


def test_a_refusal_is_waited_out_until_the_reset():
    """429 with nothing left: the window has to end first."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 12), NOW) == pytest.approx(12)
    assert gate.wait(NOW) == pytest.approx(12)
    assert gate.wait(NOW + 11) == pytest.approx(1)
    assert gate.wait(NOW + 12) == 0


def test_the_reset_of_a_refusal_is_by_the_clock_of_the_server_too():
    """A reset that is an hour ahead by a clock that is an hour ahead is near."""
    gate = RateLimiter()
    gate.send()
    refusal = answer(
        remaining=0, reset=NOW + 3612, Date=formatdate(NOW + 3600, usegmt=True)
    )
    gate.receive(refusal)

    assert gate.close(refusal, NOW) == pytest.approx(12)


@pytest.mark.parametrize("text", ["30", formatdate(NOW + 30, usegmt=True)])
def test_retry_after_goes_before_the_reset(text):
    """What a server says in the standard header holds."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 5, Retry_After=text), NOW) == 30
    assert gate.wait(NOW + 29) == pytest.approx(1)


@pytest.mark.parametrize(
    "said",
    [
        {},
        headers(remaining=0, reset=NOW - 5),
        headers(remaining=0, reset=NOW),
        # Something is left, so it was not this limit that refused.
        headers(remaining=7, reset=NOW + 40),
        {"Retry-After": "0"},
    ],
)
def test_a_refusal_that_names_no_time_is_backed_off_from(said, monkeypatch):
    """Without a time to come, each refusal doubles the wait, with jitter."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 1.0)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 60.0)
    gate = RateLimiter()
    waits: list[float] = []
    now = NOW
    for _ in range(9):
        waits.append(gate.close(read(said, now), now))
        now += waits[-1] + 1

    assert all(
        longest / 2 <= wait <= longest
        for wait, longest in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True)
    )


def test_refusals_that_come_together_are_one(monkeypatch):
    """Eight requests were under way; the limit is waited for once."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 1.0)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 60.0)
    gate = RateLimiter()
    waits = [gate.close(read({}, NOW), NOW + number / 100) for number in range(8)]

    assert max(waits) == waits[0]
    assert gate.closed_until == pytest.approx(NOW + waits[0])


def test_a_reset_an_hour_ahead_is_a_wrong_clock():
    """Sentry counts by the minute at most, so nothing is waited for longer."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 3600), NOW) == LONGEST_WINDOW


def test_a_success_ends_the_back_off(monkeypatch):
    """The next refusal starts with a short wait."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 1.0)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 60.0)
    gate = RateLimiter()
    for _ in range(5):
        gate.close(read({}, NOW), NOW)
    gate.reopen()

    assert gate.close(read({}, NOW), NOW) <= 1


def test_a_second_refusal_never_shortens_the_wait():
    """Of two refusals that came together, the longer wait holds."""
    gate = opened()
    gate.close(read({"Retry-After": "50"}, NOW), NOW)
    gate.close(read({"Retry-After": "10"}, NOW), NOW)

    assert gate.wait(NOW) == 50


# Whatever comes -----------------------------------------------------------------------

numbers = st.integers(0, 5)
moments = st.integers(-100, 100).map(lambda step: NOW + step / 4)
answers = st.one_of(
    st.none(),
    st.builds(
        Limits,
        limit=st.none() | numbers,
        remaining=st.none() | numbers,
        reset=st.none() | moments,
        concurrent=st.none() | st.integers(0, 3),
        clock=st.none() | st.sampled_from([-3600.0, -1.0, 0.0, 60.0]),
        retry_after=st.none(),
    ),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), answers, moments), max_size=40))
def test_a_gate_never_stays_closed(steps):
    """With nothing under way a request is let through, sooner or later, whatever came.

    Resets that lie ahead by at most the minute that Sentry counts in, plus a clock
    that is wrong by an hour, must have passed after two hours.
    """
    gate = RateLimiter()
    for sends, said, now in steps:
        if sends and gate.wait(now) == 0:
            gate.send()
        elif gate.in_flight:
            gate.receive(said)
    while gate.in_flight:
        gate.receive(None)

    assert gate.wait(NOW + 7200) == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30))
def test_no_window_gets_more_than_its_limit(limit, seconds, concurrent):
    """A server that counts in fixed windows never has to refuse."""
    gate = RateLimiter()
    counted: dict[float, int] = {}
    now = NOW
    for _ in range(200):
        while (wait := gate.wait(now)) == 0:
            # All that may be under way at once, then their answers.
            window = NOW + ((now - NOW) // seconds) * seconds
            batch = 0
            while gate.wait(now) == 0:
                gate.send()
                batch += 1
            for _ in range(batch):
                counted[window] = counted.get(window, 0) + 1
                gate.receive(
                    Limits(
                        limit=limit,
                        remaining=max(0, limit - counted[window]),
                        reset=window + seconds,
                        concurrent=concurrent,
                        clock=0.0,
                        retry_after=None,
                    )
                )
        assert wait is not None

        now += wait

    assert len(counted) == 200
    assert set(counted.values()) == {limit}


def test_numbers_without_end_say_nothing():
    """Python refuses to read them."""
    said = read(dict.fromkeys(headers(remaining=1, reset=1), "9" * 5000), NOW)

    assert (said.limit, said.remaining, said.concurrent) == (None, None, None)


@dataclass
class Counting:
    """A server that counts each request when it arrives, in fixed windows."""

    limit: int
    seconds: int
    #: Seconds until a request arrives, and until its answer does.
    transit: float
    #: Its clock less ours.
    clock: float
    latency: float = 0
    counted: Counter[float] = field(default_factory=Counter)

    def answer(self, sent: float) -> Limits:
        """What it says to a request that was sent then."""
        arrived = sent + self.transit + self.clock
        window = arrived // self.seconds
        self.counted[window] += 1
        answered = sent + self.latency
        return Limits(
            limit=self.limit,
            remaining=max(0, self.limit - self.counted[window]),
            reset=(window + 1) * self.seconds,
            concurrent=None,
            clock=math.floor(answered + self.clock) - answered,
            retry_after=None,
        )


def ask(server, latencies, width):
    """Ask a server for 40 windows, so many at once, as fast as a gate allows."""
    gate = RateLimiter()
    under_way: list[tuple[float, int, Limits]] = []
    number = itertools.count()
    now, end = NOW, NOW + 40 * server.seconds
    while now < end:
        wait = gate.wait(now) if len(under_way) < width else None
        if wait == 0:
            gate.send()
            server.latency = server.transit + next(latencies)
            answered = now + server.latency
            heapq.heappush(under_way, (answered, next(number), server.answer(now)))
            # Nothing takes no time at all.
            now += 0.001
            continue
        steps = [now + wait] if wait else []
        steps += [under_way[0][0]] if under_way else []
        now = max(now, min(steps))
        while under_way and under_way[0][0] <= now:
            gate.receive(heapq.heappop(under_way)[2])
    return [server.counted[window] for window in sorted(server.counted)]


#: A limit of some seconds, how long a request takes to arrive, and the server's clock.
servers = st.builds(
    Counting,
    limit=st.integers(1, 40),
    seconds=st.sampled_from([1, 1, 2, 60]),
    transit=st.floats(0, 0.4),
    clock=st.floats(-100, 100),
)


@settings(deadline=None)
@given(servers, st.lists(st.floats(0, 3), min_size=1), st.integers(1, 32))
def test_a_server_never_has_to_refuse(server, latencies, width):
    """However late the answers come, and in whatever order."""
    assert max(ask(server, itertools.cycle(latencies), width)) <= server.limit


# Derandomized: the clock decides whether an answer that takes just one window costs one
# window or two, and with two the bound is not met.
@settings(deadline=None, derandomize=True)
@given(servers, st.floats(0, 3))
def test_the_whole_allowance_is_used(server, latency):
    """In each window, or in the time that an answer takes if that is longer.

    The half second is for the clock of the server, which is not known any better.
    """
    used = ask(server, itertools.repeat(latency), width=1000)
    late = max(1.0, (server.transit + latency + 0.5) / server.seconds)

    assert sum(used) >= 0.9 * server.limit * 38 / late
