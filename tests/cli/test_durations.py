"""How long requests are expected to take."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from tap_sentry.cli.durations import Durations
from tap_sentry.streams.forecasts import Forecast

SECONDS = {"/events/": 0.2, "/users/": 0.1}


@pytest.fixture
def durations() -> Durations:
    """Those of a server without limits, to which eight requests are sent at a time."""
    scheduler: Any = SimpleNamespace(concurrency=8, limiters_of=lambda *_: [])
    return Durations(scheduler, SECONDS)


def forecast(events: int, users: int, chained: int = 0) -> Forecast:
    """Return requests of two endpoints, some of which wait for one another."""
    requests = Counter({"/events/": events, "/users/": users})
    return Forecast(requests, chained=Counter({"/events/": chained}))


def test_requests_are_sent_side_by_side(durations):
    """The processor's part comes on top: half a millisecond for each request."""
    assert durations.seconds(forecast(400, 800)) == pytest.approx(20 + 0.6)


def test_requests_that_wait_for_one_another_take_their_time(durations):
    """The others are sent in the meantime."""
    assert durations.seconds(forecast(100, 100, chained=90)) == pytest.approx(18)


def test_a_server_that_answers_in_turn_delays_a_chain(durations):
    """Two requests at a time: three quarters of the others' time add to the chain."""
    durations.learn(0.1, 80, 4.0)

    assert durations.abreast == pytest.approx(2)
    # The chain takes 18 s; all requests take 15 s, of which 9 s are those of the chain.
    expected = 18 + 0.75 * (15 - 9)
    assert durations.seconds(forecast(100, 100, chained=90)) == pytest.approx(expected)


@pytest.mark.parametrize(("number", "seconds"), [(20, 0.3), (24, 0.3), (17, 0.2)])
def test_a_last_round_of_a_few_requests_says_nothing(durations, number, seconds):
    """Twenty requests, eight at a time, take three rounds."""
    durations.learn(0.1, number, seconds)

    assert durations.abreast == 8
