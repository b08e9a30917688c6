"""What a network, Sentry or a server of one's own does wrong, and what comes of it.

Each fault alone, over a real socket: where it passes, the output is that of a run in
which nothing went wrong; where it stays, the run says what to do and the state covers
what was written.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry import errors, fetching, limits
from tap_sentry.client import SentryStream
from tap_sentry.fetching import TRIES
from tests.conftest import NOW
from tests.simulator import FLAVOURS, TOKEN, SentrySimulator, Token
from tests.soak import PAGE, PASSING, SCANNED, Faulty, quick, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator import Request

#: The longest that one of these runs may take: none of them waits in earnest.
PATIENCE = 20


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """Waits are short."""
    with quick():
        yield


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """A small Sentry with pages of two rows, behind a socket."""
    with Faulty().served() as simulator:
        yield simulator


def told(caplog, level=logging.WARNING) -> str:
    """What the tap said, as a user sees it."""
    records = [r for r in caplog.records if r.name == "tap-sentry"]
    return "\n".join(r.getMessage() for r in records if r.levelno >= level)


# Faults that pass ---------------------------------------------------------------------

#: A list with several pages for each generation: what is selected to read it, the path
#: of its requests, and the project that they name.
LISTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "parents": (
        ("organization_projects", "project_users"),
        "organizations/acme/projects/",
        "",
    ),
    "issues": (("project_issues",), "organizations/acme/issues/", "shop"),
    "events": (("project_events",), "projects/acme/shop/events/", ""),
    "events of an issue": (
        ("issue_events",),
        "organizations/acme/issues/{issue}/events/",
        "",
    ),
}


def asks_for(sentry: SentrySimulator, list_name: str) -> Callable[[Request], bool]:
    """Whether a request is for a page of the list."""
    _, path, project = LISTS[list_name]
    path = path.format(issue=sentry.project("shop").issues[0].id)
    ids = [sentry.project(project).id] if project else None
    return lambda request: (
        request.path == path and request.params.get("project") == ids
    )


@functools.cache
def undisturbed(
    streams: tuple[str, ...], flavour: str = "saas", **settings: Any
) -> tuple[Any, tuple[Request, ...]]:
    """A run in which nothing goes wrong, and what it asked for."""
    with Faulty(flavour).served() as sentry:
        run = sync(sentry, *streams, **settings)
        assert run.is_complete
        return run, tuple(sentry.requests)


def is_undisturbed(run, streams, **settings) -> bool:
    """Whether records, their order and the final state are as if nothing happened."""
    expected, _ = undisturbed(streams, **settings)
    assert run.code == 0
    assert not run.skipped
    assert not run.missing
    assert run.without_state() == expected.without_state()
    assert run.last_state == expected.last_state
    return True


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("list_name", LISTS)
@pytest.mark.parametrize("name", [name for name in PASSING if name != "refused"])
def test_a_fault_that_passes_leaves_no_trace(sentry, name, list_name, place, caplog):
    """Alone, on the first, a middle and the last page, in parents and in children."""
    kind, details = PASSING[name]
    streams = LISTS[list_name][0]
    asks = asks_for(sentry, list_name)
    pages = sum(map(asks, undisturbed(streams)[1]))
    after = {"first": 0, "middle": pages // 2, "last": pages - 1}[place]
    assert pages >= 3
    # A page with a successor is not the last: the fault adds one to the list.
    times = 1 if kind in {"empty_page", "repeat_page"} else 2
    sentry.fault(kind, times=times, when=asks, after=after, **details)

    start = time.monotonic()
    run = sync(sentry, *streams)

    assert sentry.injected == {kind: times}
    assert is_undisturbed(run, streams)
    assert time.monotonic() - start < PATIENCE
    assert not told(caplog, logging.ERROR)
