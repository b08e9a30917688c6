"""Each example query of docs/streams.md runs on the tables that the tap fills."""

from __future__ import annotations

import pytest

from scripts.describe_streams import queries
from tests.conftest import NOW
from tests.sentry import SentrySimulator
from tests.sentry.data import iso
from tests.warehouse.conftest import SINCE
from tests.warehouse.test_recipes import answered

pytestmark = pytest.mark.end_to_end

#: Streams that sentry.io has retired; a self-hosted server still has them.
RETIRED = ("project_alert_rules", "organization_metric_alert_rules")


@pytest.fixture(scope="module")
def everything(server, loader, warehouse):
    """A copy of the warehouse with rows of all streams, also of the retired ones."""
    database = server.database("examples", template=warehouse.database.name)
    sentry = SentrySimulator(flavour="self-hosted-24", clock=lambda: NOW)
    loaded = loader.load(sentry, database, *RETIRED, start_date=iso(SINCE))
    assert loaded.codes == (0, 0), loaded.log
    return database


@pytest.mark.parametrize("name", queries())
def test_an_example_query_finds_rows(everything, name):
    """Each query runs, and its joins and conditions match rows of the demo."""
    head, line, *rows = answered(everything, queries()[name].sql).splitlines()

    assert head.strip()
    assert set(line) <= set("-+")
    assert rows
