"""What a run has read, for its closing lines."""

from __future__ import annotations

import pytest

from tap_sentry.sync.results import Results


def test_more_in_one_part_do_not_make_up_for_what_another_lacks():
    """The share is that of what Sentry counts, project by project."""
    results = Results()
    results.add_counted("project_events", "project shop", 150, 100)
    results.add_counted("project_events", "project pay", 50, 100)

    assert results.share("project_events") == pytest.approx(0.75)
    assert results.share("issue_events") is None
