"""The SDK's standard test suite, run on the simulator."""

from __future__ import annotations

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_sentry.tap import TapSentry
from tests.conftest import NOW, catalog_of
from tests.sentry import TOKEN, SentrySimulator

#: The suite warns about columns without a value: some are sent by old servers only, or
#: need a plan or a kind of issue that the sample organizations do not have.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:Fields in transformed catalog but not in records:UserWarning"
    ),
    pytest.mark.filterwarnings(
        "ignore:No records were available to test:UserWarning",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _sentry():
    """Simulate a Sentry, with a fixed clock, before the class-scoped runner syncs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tap_sentry.tap.now", lambda: NOW)
        # The runner, unlike the command line, does not flush the buffer at the end.
        patch.setattr("tap_sentry.sync.writer.BUFFER", 0)
        with SentrySimulator(clock=lambda: NOW, page_size=50).patched():
            yield


TestTapSentry = get_tap_test_class(
    TapSentry,
    config={
        "auth_token": TOKEN,
        "start_date": "2026-11-01",
        "full_events": True,
        "stats": ["received", "generated"],
    },
    suite_config=SuiteConfig(
        max_records_limit=None,
        # sentry.io has retired both.
        ignore_no_records_for_streams=[
            "organization_metric_alert_rules",
            "project_alert_rules",
        ],
    ),
    catalog=catalog_of(),
    parse_env_config=False,
)
