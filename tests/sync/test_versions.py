"""With `activate_versions`, loaders learn which rows Sentry no longer lists."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tap_sentry.streams.teams import OrganizationTeams
from tests.streams import STERNWARTE, at, let_pass

if TYPE_CHECKING:
    from tests.conftest import Output

#: Lists that each run reads in full.
WHOLE = (
    *("organizations", "organization_projects", "organization_monitors"),
    *("organization_members", "project_keys", "team_members"),
)
#: Streams with a date, and lists of which a run reads a part.
NOT_WHOLE = ("project_events", "project_issues", "organization_releases", "issue_tags")


def activated(output: Output) -> dict[str, int]:
    """Return the versions that a run activates, by stream, each once."""
    found = [m for m in output.messages if m["type"] == "ACTIVATE_VERSION"]
    names = Counter(message["stream"] for message in found)
    assert set(names.values()) <= {1}
    return {message["stream"]: message["version"] for message in found}


def versions(output: Output, stream: str) -> set[Any]:
    """Return the versions of the records of a stream."""
    return {
        message.get("version")
        for message in output.messages
        if message["type"] == "RECORD" and message["stream"] == stream
    }


def test_there_are_no_versions_by_default(sync):
    """Without the setting, records have no version and none is activated."""
    output = sync(*WHOLE)

    assert activated(output) == {}
    assert all(versions(output, stream) == {None} for stream in WHOLE)


def test_full_lists_are_activated_after_their_records(sync):
    """Records of full lists have a version, which is activated after the last one."""
    output = sync(*WHOLE, *NOT_WHOLE, activate_versions=True)
    found = activated(output)
    last = {
        m["stream"]: index for index, m in enumerate(output.messages) if "record" in m
    }
    ends = {
        message["stream"]: index
        for index, message in enumerate(output.messages)
        if message["type"] == "ACTIVATE_VERSION"
    }

    assert found.keys() == set(WHOLE)
    for stream in WHOLE:
        assert versions(output, stream) == {found[stream]}
        assert ends[stream] > last[stream]
    assert all(versions(output, stream) == {None} for stream in NOT_WHOLE)


def test_the_next_run_has_a_later_version(sync, sentry, monkeypatch):
    """Versions grow, so that a loader knows the rows of the last run."""
    first = activated(sync("organizations", activate_versions=True))
    let_pass(sentry, monkeypatch, minutes=1)
    second = activated(sync("organizations", activate_versions=True))

    assert second["organizations"] > first["organizations"]


@pytest.mark.parametrize(
    ("path", "without"),
    [
        # A part of the list itself.
        (f"projects/{STERNWARTE}/.*/keys/", {"project_keys"}),
        # A part of the list above it.
        (
            f"organizations/{STERNWARTE}/teams/",
            {"team_members", "organization_teams"},
        ),
    ],
)
def test_a_list_with_a_gap_is_not_activated(sync, sentry, monkeypatch, path, without):
    """Nothing is activated of which a part, or a part above it, was skipped."""
    # Without them a run would end.
    monkeypatch.setattr(OrganizationTeams, "is_essential", False)
    sentry.fault(403, times=None, when=at(path))
    streams = {*WHOLE, "organization_teams"}
    output = sync(*streams, activate_versions=True)

    assert activated(output).keys() == streams - without


def test_a_stream_that_is_missing_is_not_activated(sync, sentry):
    """A server without an endpoint does not empty the table."""
    sentry.fault(404, empty=True, times=None, when=at("projects/.*/keys/"))
    output = sync("project_keys", "organizations", activate_versions=True)

    assert activated(output).keys() == {"organizations"}


def test_a_run_that_breaks_off_activates_nothing(sync, sentry):
    """A token that is rejected midway leaves all tables as they are."""
    sentry.fault(401, times=None, when=at("projects/.*/keys/"))
    output = sync("project_keys", "organizations", activate_versions=True)

    assert output.code == 1
    assert activated(output) == {}


def test_the_name_of_a_map_is_activated(sync):
    """A stream that is renamed is activated by its new name, a removed one is not."""
    maps = {"organizations": {"__alias__": "orgs"}, "projects": "__NULL__"}
    output = sync("organizations", "projects", activate_versions=True, stream_maps=maps)

    assert activated(output).keys() == {"orgs"}
    assert versions(output, "orgs") == set(activated(output).values())


def test_the_switch_of_the_sdk_does_nothing(sync):
    """The SDK would activate a version before the records, and for each context."""
    output = sync("organizations", "project_keys", emit_activate_version_messages=True)

    assert activated(output) == {}
