"""Releases, and their deploys and commits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.conftest import NOW
from tests.sentry import releases
from tests.streams import STERNWARTE, let_pass, told

if TYPE_CHECKING:
    from tests.sentry import SentrySimulator

STREAMS = ("organization_releases", "release_deploys", "release_commits")


def visited(sentry: SentrySimulator, name: str) -> set[str]:
    """Return the versions of the releases whose deploys or commits were requested."""
    return {
        unquote(seen.path.split("/")[3])
        for seen in sentry.requests
        if seen.template.endswith(f"releases/{{version}}/{name}/")
    }


def test_only_releases_with_deploys_or_commits_are_visited(sync, sentry):
    """A release without deploys or commits costs no request for them."""
    sync(*STREAMS, organizations=[STERNWARTE])
    rows = releases.releases(sentry, sentry.organization(STERNWARTE))

    for name, column in (("deploys", "deployCount"), ("commits", "commitCount")):
        expected = {row["version"] for row in rows if row[column]}
        assert visited(sentry, name) == expected
        assert len(expected) < len(rows)


def test_archived_releases_are_read(sync):
    """Sentry leaves out archived releases unless it is asked for every status."""
    rows = sync("organization_releases").records("organization_releases")

    assert {row["status"] for row in rows} == {"open", "archived"}


def test_releases_begin_at_the_start_date(sync, sentry):
    """Older releases are neither written nor visited, and no more pages requested."""
    sentry.old_releases = 20
    output = sync(*STREAMS, start_date="15d", organizations=[STERNWARTE])
    start = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=15)
    recent = {key[1] for key in sentry.truth("organization_releases", start)}

    found = {row["version"] for row in output.records("organization_releases")}
    assert found == recent
    assert visited(sentry, "deploys") | visited(sentry, "commits") <= recent
    # Pages have two rows, and the last one holds older releases only.
    assert len(sentry.asked("organizations/.*/releases/$")) <= len(recent) // 2 + 2


def test_the_next_run_visits_what_may_have_changed(sync, sentry, monkeypatch):
    """Deploys are requested of releases deployed since, commits of those of a week."""
    first = sync(*STREAMS, organizations=[STERNWARTE])
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync(*STREAMS, state=first.state, organizations=[STERNWARTE])
    rows = releases.releases(sentry, sentry.organization(STERNWARTE))
    week = (NOW - timedelta(days=7)).isoformat()

    assert second.code == 0
    assert visited(sentry, "deploys") == set()
    assert visited(sentry, "commits") == {
        row["version"]
        for row in rows
        if row["commitCount"] and row["dateCreated"] > week[:19]
    }


def test_a_new_deploy_of_an_old_release_is_read(sync, sentry, monkeypatch):
    """A release from before the last run is visited if it was deployed since."""
    first = sync(*STREAMS, organizations=[STERNWARTE])
    later = NOW + timedelta(minutes=5)
    made = releases.deploys

    def deployed(world, organization, release):
        rows = made(world, organization, release)
        if release["version"] == "1.0.0":
            new = {
                **rows[0],
                "id": "999",
                "dateFinished": f"{later:%Y-%m-%dT%H:%M:%SZ}",
            }
            return [new, *rows]
        return rows

    monkeypatch.setattr(releases, "deploys", deployed)
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    sync(*STREAMS, state=first.state, organizations=[STERNWARTE])

    assert visited(sentry, "deploys") == {"1.0.0"}


def test_a_failure_keeps_the_bookmark_of_an_organization(sync, sentry, monkeypatch):
    """After a release that cannot be read, the next run visits all of them again."""
    sentry.fault(
        503, times=None, when=lambda seen: seen.path.endswith("/1.0.0/deploys/")
    )
    first = sync(*STREAMS, organizations=[STERNWARTE])
    sentry.faults.clear()
    sentry.requests.clear()
    let_pass(sentry, monkeypatch, minutes=10)
    second = sync(*STREAMS, state=first.state, organizations=[STERNWARTE])

    everything = sentry.truth("release_deploys")
    mine = {key for key in everything if key[0] == sentry.organization(STERNWARTE).id}
    assert set(first.keys("release_deploys")) < mine
    assert set(second.keys("release_deploys")) == mine


@pytest.mark.parametrize("stream", STREAMS[1:])
def test_versions_are_quoted_in_paths(sync, stream):
    """Versions with spaces, `#`, `?`, `%`, `@` and `+` are read as others."""
    versions = {row["release_version"] for row in sync(stream).records(stream)}

    assert any(set("@+ #?%") & set(version) for version in versions)


@pytest.fixture
def odd(monkeypatch):
    """The name of the newest release, which has a slash."""
    version = "feature/pump"
    versions = ((version, 0, 1, 2), *releases.VERSIONS)
    monkeypatch.setattr(releases, "VERSIONS", versions)
    return version


@pytest.mark.parametrize("stream", ["release_deploys", "release_commits"])
def test_a_release_that_no_path_can_name_is_left_out(stream, odd, sync, sentry, caplog):
    """Sentry does not find it, which says nothing about the other releases."""
    output = sync("organization_releases", stream)

    assert output.code == 0
    assert odd in {row["version"] for row in output.records("organization_releases")}
    assert set(output.keys(stream)) == {
        key for key in sentry.truth(stream) if key[1] != odd
    }
    assert told(caplog, stream, "1 release", odd)
    assert not told(caplog, stream, "missing")


@pytest.mark.usefixtures("odd")
def test_a_release_that_no_path_can_name_does_not_keep_the_bookmark_back(sync):
    """The other releases have been read."""
    output = sync("release_commits")

    bookmarks = output.state["bookmarks"]["release_commits"]["by_id"]
    assert all(entry["bookmark"] for entry in bookmarks.values())
    assert len(bookmarks) == 2


def test_commits_of_two_repositories_may_have_the_same_hash(sync, sentry):
    """Such as a repository and its fork: both are records."""
    keys = sync("release_commits").keys("release_commits")

    assert set(keys) == sentry.truth("release_commits")
    assert len({(version, commit) for _, version, _, commit in keys}) < len(keys)
