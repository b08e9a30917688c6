"""Rate limits: reading the headers, and the requests that a limiter allows.

Times are those of `time.time()`, in seconds, and passed to each step, so nothing waits.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import itertools
import logging
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_sentry.api import rate_limits as limits
from tap_sentry.api.pending import PendingRequest
from tap_sentry.api.rate_limits import (
    LONGEST_RETRY_AFTER,
    LONGEST_WINDOW,
    Limits,
    RateLimiter,
    read,
)
from tap_sentry.api.scheduler import RequestScheduler

#: The start of a minute, so that dates in headers have no fraction.
NOW = 1_795_178_400.0


def headers(limit=40, remaining=39, reset=NOW + 1, concurrent=25, **others):
    """Return the headers of a response of sentry.io."""
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
    """Return a limiter that has received its first response."""
    gate = RateLimiter()
    gate.send()
    gate.receive(
        answer(limit=limit, remaining=remaining, reset=reset, concurrent=concurrent)
    )
    return gate


def let_through(gate, now):
    """Return how many requests the limiter allows before any is answered."""
    number = 0
    while gate.wait(now) == 0 and number < 1000:
        gate.send()
        number += 1
    return number


# The headers --------------------------------------------------------------------------


def test_all_headers_are_read():
    """`read` returns every limit that the headers state."""
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
    """A limit that is not a whole number, as a proxy may send, is ignored."""
    assert read({"X-Sentry-Rate-Limit-Limit": text}, NOW).limit is None


@pytest.mark.parametrize("text", ["", "soon", "2026-11-20"])
def test_a_reset_that_is_no_number_is_no_reset(text):
    """A reset that is not a number is ignored."""
    assert read({"X-Sentry-Rate-Limit-Reset": text}, NOW).reset is None


def test_an_answer_without_headers_says_nothing():
    """A response without the headers, as from a self-hosted server, has no limits."""
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
    """The `Date` header gives the offset of the clock by which resets are stated."""
    assert offset == read({"Date": formatdate(NOW + offset, usegmt=True)}, NOW).clock


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Nov 2026 25:00:00 GMT"])
def test_a_date_that_is_none_says_nothing_of_the_clock(date):
    """An invalid `Date` header is ignored."""
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
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text, seconds):
    """Both forms of `Retry-After` are read, the past as 0, and long waits are cut."""
    assert seconds == read({"Retry-After": text}, NOW).retry_after


# The rate limiter ---------------------------------------------------------------------


def test_an_unknown_endpoint_gets_one_request():
    """An endpoint gets a single request until its response has stated the limits."""
    gate = RateLimiter()

    assert let_through(gate, NOW) == 1
    assert gate.wait(NOW) is None


def test_the_first_answer_opens_the_gate():
    """The first response allows what remains, up to the concurrent limit."""
    assert let_through(opened(remaining=39), NOW) == 25
    assert let_through(opened(remaining=7), NOW) == 7


def test_an_endpoint_without_limits_is_open():
    """An endpoint whose responses state no limit is not limited."""
    gate = RateLimiter()
    gate.send()
    gate.receive(read({}, NOW))

    assert let_through(gate, NOW) == 1000


def test_an_endpoint_that_gave_no_answer_gets_one_request_again():
    """A dropped connection states no limits, so a single request may follow it."""
    gate = RateLimiter()
    gate.send()
    gate.receive(None)

    assert let_through(gate, NOW) == 1


def test_no_more_are_under_way_than_the_server_allows():
    """The concurrent limit applies whatever remains; each response allows one more."""
    gate = opened(limit=40, remaining=30, concurrent=3)

    assert let_through(gate, NOW) == 3
    assert gate.wait(NOW) is None

    gate.receive(answer(limit=40, remaining=27, concurrent=3))

    assert let_through(gate, NOW) == 1


def test_the_budget_of_a_window_is_used_to_its_last_request():
    """A window with a limit of 40 gets exactly 40 requests."""
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
    """Requests in flight are subtracted: a response may not have counted them yet."""
    gate = opened(remaining=10, concurrent=25)
    for _ in range(10):
        gate.send()
    # The first response: nine remain, and nine are in flight.
    gate.receive(answer(remaining=9))

    assert gate.wait(NOW) == pytest.approx(1.0)


def test_a_window_that_others_use_too_is_told_by_the_answers():
    """A response that shows another client's requests lowers what may be sent."""
    gate = opened(remaining=20)
    gate.send()
    gate.receive(answer(remaining=4))

    assert let_through(gate, NOW) == 4


def test_answers_that_overtake_each_other_leave_nothing_unused():
    """Responses that arrive out of order leave no part of the limit unused."""
    gate = opened(remaining=10, concurrent=25)
    for _ in range(5):
        gate.send()
    gate.receive(answer(remaining=5))
    # It may not count the four in flight.
    assert let_through(gate, NOW) == 1

    for remaining in (9, 7, 8, 6):
        gate.receive(answer(remaining=remaining))

    assert let_through(gate, NOW) == 4


def test_a_request_without_an_answer_may_have_been_counted():
    """A request without a response counts, because the server may have received it."""
    gate = opened(limit=20, remaining=10, concurrent=99)
    gate.send()
    gate.receive(None)

    assert let_through(gate, NOW) == 9


def test_a_new_window_has_the_whole_limit():
    """After the reset the whole limit is available again."""
    gate = opened(limit=20, remaining=0, reset=NOW + 1, concurrent=99)

    assert gate.wait(NOW) == 1.0
    assert let_through(gate, NOW + 1) == 20


def test_requests_under_way_count_in_the_new_window():
    """Requests in flight count in the new window too, as they may arrive in it."""
    gate = opened(limit=20, remaining=5, reset=NOW + 1, concurrent=99)

    assert let_through(gate, NOW) == 5
    assert let_through(gate, NOW + 1) == 15


def test_a_late_answer_of_the_old_window_takes_nothing_from_the_new_one():
    """A late response of the old window does not reduce what the new one allows."""
    gate = opened(limit=20, remaining=1, reset=NOW + 1, concurrent=99)
    gate.send()

    assert gate.wait(NOW + 1) == 0

    gate.send()
    gate.receive(answer(limit=20, remaining=0, reset=NOW + 1, concurrent=99))

    # Twenty minus the one sent since the reset.
    assert let_through(gate, NOW + 1) == 19


def test_an_answer_of_the_new_window_counts():
    """A response of the new window sets what remains, minus requests in flight."""
    gate = opened(limit=20, remaining=0, reset=NOW + 1, concurrent=99)
    assert gate.wait(NOW + 1) == 0

    gate.send()
    gate.send()
    gate.receive(answer(limit=20, remaining=10, reset=NOW + 2, concurrent=99))

    assert let_through(gate, NOW + 1) == 9


def test_an_answer_of_a_former_window_does_not_reopen_a_spent_one():
    """A response with an earlier reset does not reopen the current window."""
    gate = opened(limit=20, remaining=2, reset=NOW + 2, concurrent=99)
    gate.send()
    gate.send()
    gate.receive(answer(limit=20, remaining=15, reset=NOW + 1, concurrent=99))

    # Two remain, and one request is in flight.
    assert let_through(gate, NOW) == 1
    assert gate.wait(NOW) == pytest.approx(2.0)


@pytest.mark.parametrize("offset", [-30, 0, 30])
def test_the_reset_is_by_the_clock_of_the_server(offset):
    """The wait for a reset does not depend on the offset of the server's clock."""
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
    """The largest offset is kept, because a date is up to a second old on arrival."""
    gate = opened()
    for offset in (3, 5, 4):
        gate.send()
        gate.receive(answer(Date=formatdate(NOW + offset, usegmt=True)))

    assert gate.clock == 5


def test_a_server_that_stops_naming_limits_is_open():
    """An endpoint whose responses no longer state a limit is not limited."""
    gate = opened(remaining=0)
    gate.in_flight += 1
    gate.receive(read({}, NOW))

    assert gate.wait(NOW) == 0


# 429 ----------------------------------------------------------------------------------


def test_a_refusal_is_waited_out_until_the_reset():
    """After a 429 with nothing remaining, requests wait for the reset."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 12), NOW) == pytest.approx(12)
    assert gate.wait(NOW) == pytest.approx(12)
    assert gate.wait(NOW + 11) == pytest.approx(1)
    assert gate.wait(NOW + 12) == 0


def test_the_reset_of_a_refusal_is_by_the_clock_of_the_server_too():
    """The offset of the server's clock is subtracted from the reset of a 429."""
    gate = RateLimiter()
    gate.send()
    refusal = answer(
        remaining=0, reset=NOW + 3612, Date=formatdate(NOW + 3600, usegmt=True)
    )
    gate.receive(refusal)

    assert gate.close(refusal, NOW) == pytest.approx(12)


@pytest.mark.parametrize("text", ["30", formatdate(NOW + 30, usegmt=True)])
def test_retry_after_goes_before_the_reset(text):
    """`Retry-After`, the standard header, takes precedence over the reset."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 5, Retry_After=text), NOW) == 30
    assert gate.wait(NOW + 29) == pytest.approx(1)


@pytest.mark.parametrize(
    "said",
    [
        {},
        headers(remaining=0, reset=NOW - 5),
        headers(remaining=0, reset=NOW),
        # Something remains, so another limit caused the 429.
        headers(remaining=7, reset=NOW + 40),
        {"Retry-After": "0"},
    ],
)
def test_a_refusal_that_names_no_time_is_backed_off_from(said, monkeypatch):
    """Without a time in the future, each 429 doubles the delay, with jitter."""
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
    """Eight requests that are rejected together wait only once."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 1.0)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 60.0)
    gate = RateLimiter()
    waits = [gate.close(read({}, NOW), NOW + number / 100) for number in range(8)]

    assert max(waits) == waits[0]
    assert gate.closed_until == pytest.approx(NOW + waits[0])


def test_a_reset_an_hour_ahead_is_a_wrong_clock():
    """A reset an hour ahead is cut: Sentry's windows last a minute at most."""
    gate = opened()

    assert gate.close(answer(remaining=0, reset=NOW + 3600), NOW) == LONGEST_WINDOW


def test_a_success_ends_the_back_off(monkeypatch):
    """After a success, the next 429 starts with a short delay again."""
    monkeypatch.setattr(limits, "FIRST_DELAY", 1.0)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 60.0)
    gate = RateLimiter()
    for _ in range(5):
        gate.close(read({}, NOW), NOW)
    gate.reopen()

    assert gate.close(read({}, NOW), NOW) <= 1


def test_a_second_refusal_never_shortens_the_wait():
    """Of two concurrent 429s, the longer delay applies."""
    gate = opened()
    gate.close(read({"Retry-After": "50"}, NOW), NOW)
    gate.close(read({"Retry-After": "10"}, NOW), NOW)

    assert gate.wait(NOW) == 50


# Properties ---------------------------------------------------------------------------

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
    """Whatever it received, a limiter with nothing in flight allows a request again.

    Two hours cover a reset at most a minute ahead on a clock that is wrong by an hour.
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
    """Every fixed window gets exactly as many requests as its limit."""
    gate = RateLimiter()
    counted: dict[float, int] = {}
    now = NOW
    for _ in range(200):
        while (wait := gate.wait(now)) == 0:
            # All requests that may be in flight at once, then their responses.
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


def test_windows_of_different_lengths_are_not_shared():
    """Five a minute and five a second are two limits, though the numbers are equal."""
    minute, second, other = (RateLimiter() for _ in range(3))
    date = formatdate(NOW, usegmt=True)
    for gate, reset in ((minute, NOW + 50), (second, NOW + 1), (other, NOW + 1)):
        gate.send()
        gate.receive(read(headers(limit=5, reset=reset, Date=date), NOW))

    assert list(limits.sharing(second, [minute, second, other])) == [other]
    assert not list(limits.sharing(minute, [minute, second, other]))


def test_numbers_without_end_say_nothing():
    """Numbers that are too long for Python to parse are ignored."""
    said = read(dict.fromkeys(headers(remaining=1, reset=1), "9" * 5000), NOW)

    assert (said.limit, said.remaining, said.concurrent) == (None, None, None)


@dataclass
class Counting:
    """A server that counts each request when it arrives, in fixed windows."""

    limit: int
    seconds: int
    #: Seconds until a request arrives; `latency` is that until its response does.
    transit: float
    #: The server's clock minus ours.
    clock: float
    latency: float = 0
    counted: Counter[float] = field(default_factory=Counter)

    def answer(self, sent: float) -> Limits:
        """Return the limits in the response to a request sent at `sent`."""
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
    """Send requests as fast as allowed for 40 windows; return the number in each."""
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
            # Sending a request takes time.
            now += 0.001
            continue
        steps = [now + wait] if wait else []
        steps += [under_way[0][0]] if under_way else []
        now = max(now, min(steps))
        while under_way and under_way[0][0] <= now:
            gate.receive(heapq.heappop(under_way)[2])
    return [server.counted[window] for window in sorted(server.counted)]


#: Servers with various limits, windows, transit times and clocks.
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
    """However late and out of order responses come, no window exceeds its limit."""
    assert max(ask(server, itertools.cycle(latencies), width)) <= server.limit


# Derandomized: depending on the clock, a response that takes exactly one window costs
# one window or two, and with two the bound is not met.
@settings(deadline=None, derandomize=True)
@given(servers, st.floats(0, 3))
def test_the_whole_allowance_is_used(server, latency):
    """At least 90 % of the limit is used per window, or per response time if longer.

    The half second allows for the server's clock, which is known no more precisely.
    """
    used = ask(server, itertools.repeat(latency), width=1000)
    late = max(1.0, (server.transit + latency + 0.5) / server.seconds)

    assert sum(used) >= 0.9 * server.limit * 38 / late


def test_endpoints_with_the_same_limit_adopt_what_each_states():
    """Sentry counts the requests to all endpoints without a limit of their own."""
    now = time.time()
    scheduler = RequestScheduler(
        4,
        logging.getLogger(__name__),
        send=lambda _: stating(next(left), now),
        waiting=contextlib.nullcontext,
    )
    left = iter((9, 8, 3))

    def ask(endpoint):
        request = requests.Request("GET", f"https://sentry.io/{endpoint}").prepare()
        return scheduler.submit(PendingRequest("s", endpoint, request, lambda _: True))

    for endpoint in ("issues", "events", "issues"):
        assert scheduler.result(ask(endpoint))
    scheduler.close()
    (events,) = scheduler.limiters_of(["events"])

    assert events.left == 3
    assert events.wait(now, elsewhere=2) == 0
    assert events.wait(now, elsewhere=3) != 0


def stating(remaining, now):
    """Return a response with the headers of a limit of ten requests."""
    response = requests.Response()
    response.status_code, response.raw = 200, io.BytesIO(b"[]")
    prefix = "X-Sentry-Rate-Limit-"
    response.headers.update(
        {
            f"{prefix}Limit": "10",
            f"{prefix}Remaining": str(remaining),
            f"{prefix}Reset": str(int(now) + 30),
            f"{prefix}ConcurrentLimit": "25",
        }
    )
    return response
