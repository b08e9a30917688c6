"""Mixtures of faults lose no records and repeat few.

`make faults` runs many more of these mixtures.
"""

from __future__ import annotations

import sys

import pytest

from tap_sentry.sync.paginator import SentryPaginator
from tap_sentry.sync.state import Bookmarks
from tests import IS_SOAK, soak

pytestmark = pytest.mark.usefixtures("quiet")

#: The first seed; `make faults` uses other seeds.
FIRST = 100_000


def test_mixtures_of_faults_lose_nothing():
    """Mixtures of faults cause no lost, wrong or needlessly repeated records."""
    mixtures = 20 if IS_SOAK else 4
    figures = soak.soak(mixtures, seconds=300, first=FIRST)

    assert figures.mixtures == mixtures
    assert figures.injected.total() >= figures.mixtures
    assert figures.expected >= 100 * figures.mixtures
    assert not figures.notes
    assert (figures.lost, figures.wrong, figures.beyond) == (0, 0, 0), figures


@pytest.mark.parametrize("flavour", ["saas", "self-hosted-9"])
def test_a_mixture_without_a_fault_is_one_run(flavour):
    """A mixture without faults takes one run, which writes each record once."""
    figures = soak.Figures()

    soak.try_out(soak.Mixture(flavour, 8, strict=False, faults=()), figures)

    assert (figures.runs, figures.recovered) == (1, 1)
    assert (figures.lost, figures.wrong, figures.beyond) == (0, 0, 0)
    assert not figures.injected


def test_a_tap_that_loses_records_is_found_out(monkeypatch, capsys):
    """The soak exits with 1 for a tap that takes every page for the last."""
    assert soak.undisturbed("saas").is_complete  # cached before the patches
    monkeypatch.setattr(soak.Mixture, "of", lambda _: NOTHING)
    monkeypatch.setattr(SentryPaginator, "has_more", lambda *_: False)
    monkeypatch.setattr(sys, "argv", ["soak", "--mixtures", "1"])

    assert soak.main() == 1
    lost = next(line for line in capsys.readouterr().out.splitlines() if "lost" in line)
    assert int(lost.split()[-1]) > 0


def test_a_tap_that_repeats_records_is_found_out(monkeypatch):
    """The soak counts the records that a tap without bookmarks writes again."""
    for name in ("progress", "finish"):
        monkeypatch.setattr(Bookmarks, name, lambda *_: None)
    figures = soak.Figures()
    stops = soak.Planned("500", "projects/{org}/{project}/users/", 6, None)

    soak.try_out(soak.Mixture("saas", 1, strict=True, faults=(stops,)), figures)

    assert figures.runs == 2
    assert figures.lost == 0
    assert figures.beyond > 0


NOTHING = soak.Mixture("saas", 1, strict=False, faults=())
