"""Projects and their users."""

from __future__ import annotations

import logging

import pytest

from tap_sentry.api.client import MAX_REDIRECTS
from tap_sentry.api.scheduler import ATTEMPTS
from tests.sentry import FLAVOURS
from tests.streams import JURISDICTION, PUMP, STERNWARTE, at, told, true_keys


def slugs(output, stream="organization_projects"):
    return sorted(row["slug"] for row in output.records(stream))


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ([PUMP], [PUMP]),
        (["p*"], ["prime-mover", PUMP]),
        (["!p*", "!quiet-harbour"], ["telescope", "the-spoiled-yoghurt"]),
        (["p*", "!prime-mover"], [PUMP]),
        (["https://sentry.io/settings/acme/projects/telescope/"], ["telescope"]),
    ],
)
def test_projects_are_chosen_by_name_and_glob(sync, names, read):
    """Projects are chosen by slug, glob or URL; a leading `!` excludes."""
    assert slugs(sync("organization_projects", projects=names)) == read


def test_projects_are_chosen_by_id(sync, sentry):
    """A project can be named by its id."""
    output = sync("organization_projects", projects=[sentry.project("telescope").id])

    assert slugs(output) == ["telescope"]


@pytest.mark.parametrize("stream", ["projects", "team_projects"])
def test_every_list_of_projects_is_filtered(sync, stream):
    """The setting `projects` filters every list of projects."""
    assert set(slugs(sync(stream, projects=["prime-mover"]), stream)) == {"prime-mover"}


@pytest.mark.parametrize(
    "stream",
    ["project_issues", "project_events", "project_users", "project_event_counts"],
)
def test_nothing_is_asked_of_other_projects(sync, sentry, stream):
    """The children of projects that are not chosen are left out."""
    output = sync(stream, projects=["prime-mover"])

    ids = {row["project_id"] for row in output.records(stream)}
    assert ids == {sentry.project("prime-mover").id}


def test_an_unknown_project_is_named_before_anything_is_read(sync, caplog):
    """Unknown projects are reported before any record is read."""
    output = sync("organization_projects", projects=[PUMP, "pomp-station", "x*"])

    assert (output.code, output.records("organization_projects")) == (1, [])
    assert told(caplog, "projects", "pomp-station, x*")


def test_a_list_that_is_read_for_its_names_is_not_read_again(sync, sentry):
    """The check of the setting and three streams share one request for the list."""
    streams = ("organization_projects", "project_users", "project_event_counts")
    sync(*streams, organizations=[STERNWARTE], projects=["telescope"])

    assert len(sentry.asked(f"organizations/{STERNWARTE}/projects/")) == 1


# The list of all projects -------------------------------------------------------------


def test_projects_of_other_organizations_are_left_out(sync):
    """The setting `organizations` filters the list of all projects."""
    output = sync("projects", organizations=[STERNWARTE])

    assert slugs(output, "projects") == ["telescope"]


@pytest.mark.parametrize(
    "gone", [{"kind": 404, "empty": True}, {"kind": 410}], ids=["404", "410"]
)
class TestWithoutTheListOfAllProjects:
    """The lists of the organizations replace the one that Sentry has deprecated."""

    def test_the_lists_of_the_organizations_are_read(self, sync, sentry, gone):
        """All projects of the organizations arrive with their keys."""
        sentry.fault(**gone, times=None, when=at("projects/"))

        keys = set(sync("projects").keys("projects"))
        assert keys == sentry.truth("organization_projects")

    def test_its_columns_stay(self, sync, sentry, gone):
        """Rows keep their columns, `organization` included, and get no others."""
        listed = sync("projects", organizations=[STERNWARTE]).records("projects")
        sentry.fault(**gone, times=None, when=at("projects/"))
        (row,) = sync("projects", organizations=[STERNWARTE]).records("projects")

        owner = sentry.organization(STERNWARTE)
        named = {"id": owner.id, "slug": owner.slug, "name": owner.name}
        assert row == {name: listed[0][name] for name in row} | {"organization": named}

    def test_it_is_asked_for_once_and_missed_with_one_line(
        self, sync, sentry, caplog, gone
    ):
        """One request and one log line suffice, even in a brownout.

        The other lists are as good, so there is nothing to wait for.
        """
        caplog.set_level(logging.INFO)
        sentry.fault(**gone, times=None, when=at("projects/"))
        sync("projects")

        lines = told(caplog, "/projects/", str(gone["kind"]))
        assert (len(sentry.asked("projects/$")), len(lines)) == (1, 1)


# Redirects ----------------------------------------------------------------------------


def test_a_project_that_is_renamed_during_the_run_is_read(sync, sentry):
    """The redirect from a project's old name to its new one is followed."""
    project = sentry.project("prime-mover")

    def renamed(request):
        if project.slug == "prime-mover" and request.path.endswith("/users/"):
            sentry.rename_project("prime-mover", "second-mover")
        return False

    sentry.fault(500, when=renamed)
    keys = sync("project_users", projects=["prime-mover"]).keys("project_users")

    assert sentry.asked(f"projects/{JURISDICTION}/second-mover/users/")
    assert sorted(keys) == true_keys(sentry, "project_users", "second-mover")


def test_a_redirect_to_another_host_is_not_followed(sync, sentry, caplog):
    """A redirect that would take the token to another host fails, naming `api_url`."""
    sentry.fault(302, times=None, location="https://elsewhere.example.com/api/0/")

    assert sync("organizations").code == 1
    assert told(caplog, "elsewhere.example.com", "set api_url")


def test_a_redirect_that_never_ends_is_given_up(sync, sentry):
    """A redirect loop ends after a fixed number of requests."""
    sentry.fault(302, times=None, when=at(".*/users/"))
    output = sync("project_users", projects=["telescope"])

    assert output.code == 1
    assert len(sentry.asked("projects/.*/users/")) == MAX_REDIRECTS * ATTEMPTS


# Users --------------------------------------------------------------------------------


def test_a_user_without_a_tag_is_known_by_a_hash(sync, sentry):
    """The key of a user without a tag value is a hash, never null."""
    rows = sync("project_users", projects=[PUMP]).records("project_users")
    nobody = [row for row in rows if row["tagValue"].startswith("hash:")]

    assert [f"hash:{row['hash']}" for row in nobody] == [
        key[2]
        for key in sentry.truth("project_users")
        if str(key[2]).startswith("hash:")
    ]


def test_users_of_old_servers_keep_their_ids(sync, sentry):
    """Users keep the ids that only old servers send."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    rows = sync("project_users", projects=["telescope"]).records("project_users")

    assert all(row["id"].isdecimal() and row["dateCreated"] for row in rows)


def test_a_row_of_nulls_is_no_user(sync, sentry, caplog):
    """The row of nulls that stands for events without a user is left out silently."""
    columns = ("id", "tagValue", "identifier", "username", "email", "name", "ipAddress")
    nobody = dict.fromkeys((*columns, "avatarUrl", "hash", "dateCreated"))
    rows = [
        nobody | {"avatarUrl": "https://gravatar.com/avatar/?s=32&d=mm"},
        nobody | {"email": "a@example.com", "hash": "0cc175b9c0f1b6a831c399e269772661"},
        nobody | {"tagValue": "id:7", "identifier": "7"},
    ]
    link = {"Link": '<https://x>; rel="next"; results="false"; cursor="0:100:0"'}
    sentry.fault(200, body=rows, headers=link, when=at("projects/.*/telescope/users/"))
    keys = sync("project_users", projects=["telescope"]).keys("project_users")

    assert [key[2] for key in keys] == ["hash:0cc175b9c0f1b6a831c399e269772661", "id:7"]
    assert not told(caplog, "without an id")


def test_a_user_without_a_key_is_told_of(sync, sentry, caplog):
    """A user with data but without a key is left out, which is logged."""
    link = {"Link": '<https://x>; rel="next"; results="false"; cursor="0:100:0"'}
    body = [{"tagValue": None, "email": "a@example.com", "hash": None}]
    sentry.fault(200, body=body, headers=link, when=at("projects/.*/telescope/users/"))
    sync("project_users", projects=["telescope"])

    assert told(caplog, "project_users: left out 1 record without an id")
