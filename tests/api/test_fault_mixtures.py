"""Several things go wrong at once: nothing is lost, and little comes twice.

`make faults` tries many more of these mixtures.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from tap_sentry.sync.paginator import SentryPaginator
from tap_sentry.sync.state import Bookmarks
from tests import IS_SOAK, soak

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seeds that this process does not share with `make faults`.
FIRST = 100_000


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """These runs have much to say."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_mixtures_of_faults_lose_nothing():
    """As many as there is time for."""
    figures = soak.soak(20, seconds=12 if IS_SOAK else 5, first=FIRST)

    assert figures.mixtures >= 3
    assert figures.injected.total() >= figures.mixtures
    assert figures.expected >= 100 * figures.mixtures
    assert not figures.notes
    assert (figures.lost, figures.wrong, figures.beyond) == (0, 0, 0), figures


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-9"])
def test_a_mixture_without_a_fault_is_one_run(flavour):
    """The measure itself: all is written once."""
    figures = soak.Figures()

    soak.try_out(soak.Mixture(flavour, 8, strict=False, faults=()), figures)

    assert (figures.runs, figures.recovered) == (1, 1)
    assert (figures.lost, figures.wrong, figures.beyond) == (0, 0, 0)
    assert not figures.injected


def test_a_tap_that_loses_records_is_found_out(monkeypatch, capsys):
    """One that takes every page for the last: the soak ends with 1."""
    assert soak.undisturbed("saas").is_complete  # and remembered
    monkeypatch.setattr(soak.Mixture, "of", lambda _: NOTHING)
    monkeypatch.setattr(SentryPaginator, "has_more", lambda *_: False)
    monkeypatch.setattr(sys, "argv", ["soak", "--mixtures", "1"])

    assert soak.main() == 1
    lost = next(line for line in capsys.readouterr().out.splitlines() if "lost" in line)
    assert int(lost.split()[-1]) > 0


def test_a_tap_that_repeats_records_is_found_out(monkeypatch):
    """One that keeps no bookmarks of what it has read when it is interrupted."""
    for name in ("progress", "finish"):
        monkeypatch.setattr(Bookmarks, name, lambda *_: None)
    figures = soak.Figures()
    stops = soak.Planned("500", "projects/{org}/{project}/users/", 6, None)

    soak.try_out(soak.Mixture("saas", 1, strict=True, faults=(stops,)), figures)

    assert figures.runs == 2
    assert figures.lost == 0
    assert figures.beyond > 0


NOTHING = soak.Mixture("saas", 1, strict=False, faults=())
