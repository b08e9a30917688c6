"""With `activate_versions`, target-postgres deletes or marks what vanished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.conftest import NOW
from tests.sentry import SentrySimulator

if TYPE_CHECKING:
    from tests.warehouse.conftest import Database

pytestmark = pytest.mark.end_to_end

STREAMS = ("organization_projects", "project_keys", "project_events")


@dataclass
class Vanished:
    """A database after a project was deleted between two loads."""

    database: Database
    #: The id of the deleted project.
    project: str
    is_hard: bool


@pytest.fixture(scope="module", params=[False, True], ids=["soft", "hard"])
def vanished(request, server, loader) -> Vanished:
    """Load a small Sentry, delete one of its projects, and load it again."""
    is_hard = request.param
    database = server.database("hard" if is_hard else "soft")
    sentry = SentrySimulator(clock=lambda: NOW)
    project = sentry.project("prime-mover").id
    target = {"hard_delete": is_hard}
    settings = {"activate_versions": True, "start_date": "7d"}
    first = loader.load(sentry, database, *STREAMS, target=target, **settings)
    sentry.delete_project("prime-mover")
    later = NOW + timedelta(hours=1)
    sentry.clock = lambda: later
    second = loader.load(
        sentry,
        database,
        *STREAMS,
        state=first.state,
        now=later,
        target=target,
        **settings,
    )
    assert (first.codes, second.codes) == ((0, 0), (0, 0)), second.log
    return Vanished(database, project, is_hard)


@pytest.mark.parametrize(
    ("stream", "column"),
    [("organization_projects", "id"), ("project_keys", "project_id")],
)
def test_rows_of_full_lists_vanish(vanished, stream, column):
    """Rows that Sentry no longer lists are deleted, or have a date of deletion."""
    rows = vanished.database.values(
        f"""select "{column}", _sdc_deleted_at is null from sentry.{stream}"""  # noqa: S608 - a test's query
    )
    gone = {is_there for key, is_there in rows if key == vanished.project}
    others = {is_there for key, is_there in rows if key != vanished.project}

    assert others == {True}
    assert gone == (set() if vanished.is_hard else {False})


def test_rows_with_a_date_stay(vanished):
    """Incremental streams are never activated: the events of the project stay."""
    rows = vanished.database.values(
        f"""
        select _sdc_deleted_at from sentry.project_events
        where project_id = '{vanished.project}'
        """  # noqa: S608 - a test's query
    )

    assert set(rows) == {(None,)}
