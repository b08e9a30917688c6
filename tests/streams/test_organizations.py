"""Organizations and their repositories."""

from __future__ import annotations

import pytest

from tests.sentry import FLAVOURS, TOKEN, Token
from tests.streams import JURISDICTION, STERNWARTE, at, told


def slugs(output, stream="organizations"):
    return [row["slug"] for row in output.records(stream)]


@pytest.mark.parametrize(
    "name",
    [
        "sternwarte",
        "{id}",
        "https://sternwarte.sentry.io/issues/",
        "https://sentry.example.com/organizations/sternwarte/projects/",
    ],
)
def test_an_organization_is_named_by_its_slug_its_id_or_a_url(sync, sentry, name):
    """An organization can be named by its slug, its id or a URL."""
    name = name.format(id=sentry.organization(STERNWARTE).id)

    assert slugs(sync("organizations", organizations=[name])) == [STERNWARTE]


def test_an_organization_that_is_named_twice_is_read_once(sync, sentry):
    """An organization that is named by slug and by id is read once."""
    names = [STERNWARTE, sentry.organization(STERNWARTE).id]

    assert slugs(sync("organizations", organizations=names)) == [STERNWARTE]


def test_only_the_named_organizations_are_read(sync, sentry):
    """Neither other organizations nor the list of them are requested."""
    sync("organization_projects", "organization_teams", organizations=[STERNWARTE])

    paths = {request.path.split("/")[1] for request in sentry.requests}
    assert paths == {STERNWARTE}


def test_a_named_organization_has_the_columns_of_the_list(sync):
    """A row leaves out the projects and teams that an organization's page contains."""
    _, listed = sync("organizations").records("organizations")
    (named,) = sync("organizations", organizations=[JURISDICTION]).records(
        "organizations"
    )

    also = {name: named[name] for name in ("features", "access", "onboardingTasks")}
    assert named == listed | also


def test_dashboards_of_old_servers_say_when_and_by_whom_they_were_made(sync, sentry):
    """Old servers name the date otherwise, and send the id of the user alone."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    rows = sync("organization_dashboards").records("organization_dashboards")

    assert rows
    assert all(row["dateCreated"] for row in rows)
    assert {row["createdBy"]["id"] for row in rows} == {"1"}


def test_old_servers_find_an_organization_by_its_id_too(sync, sentry):
    """Old servers take only slugs in paths, so an id is looked up in the list."""
    sentry.flavour = FLAVOURS["self-hosted-9"]
    name = sentry.organization(STERNWARTE).id

    assert slugs(sync("organizations", organizations=[name])) == [STERNWARTE]


def test_the_list_of_organizations_goes_on(sync, sentry):
    """All organizations are read, even if they do not fit on one page."""
    sentry.page_size = 1

    assert sorted(slugs(sync("organizations"))) == [STERNWARTE, JURISDICTION]


def test_a_token_that_lists_no_organization_is_told_of_the_setting(
    sync, sentry, caplog
):
    """Tokens of integrations list no organizations; the error names the setting."""
    sentry.tokens[TOKEN] = Token(lists_organizations=False)

    assert sync().code == 1
    assert told(caplog, "name them in the setting organizations")


def test_a_token_that_lists_no_organization_reads_the_named_one(sync, sentry):
    """A token that lists no organizations can read those that are named."""
    sentry.tokens[TOKEN] = Token(lists_organizations=False)

    output = sync("organization_projects", organizations=[STERNWARTE])
    assert slugs(output, "organization_projects") == ["telescope"]


def test_an_unknown_organization_is_named_before_anything_is_read(sync, caplog):
    """An unknown organization is reported before any record is read."""
    output = sync("organizations", organizations=[STERNWARTE, "atlantis"])

    assert (output.code, output.records("organizations")) == (1, [])
    assert told(caplog, "organizations", "atlantis")


def test_a_forbidden_organization_that_was_asked_for_stops(sync, sentry, caplog):
    """A run fails if the organization that it names is forbidden."""
    sentry.forbid(STERNWARTE)

    assert sync("organization_projects", organizations=[STERNWARTE]).code == 1
    assert told(caplog, "organizations", STERNWARTE, "403")


def test_repositories_of_every_status_are_read(sync):
    """Repositories of every status are read; Sentry's default is active ones only."""
    rows = sync("organization_repositories").records("organization_repositories")

    assert {row["status"] for row in rows} == {"active", "hidden"}


def test_an_empty_status_reaches_the_server(sync, sentry):
    """An empty `status` is sent, which differs from sending none."""
    sync("organization_repositories", organizations=[STERNWARTE])

    assert sentry.asked(f"organizations/{STERNWARTE}/repos/") == [
        {"status": "", "per_page": "100"}
    ]


def test_a_feature_that_is_off_is_skipped_and_listed(sync, sentry, caplog):
    """An organization whose plan has no repositories is skipped; the other is read."""
    detail = {"error_type": "unavailable_feature", "detail": ["Not enabled"]}
    here = at(f"organizations/{STERNWARTE}/repos/")
    sentry.fault(403, body=detail, times=None, when=here)

    output = sync("organization_repositories")
    assert (output.code, len(output.records("organization_repositories"))) == (0, 3)
    assert told(caplog, "organization_repositories skipped", STERNWARTE)


def test_the_token_goes_to_no_other_host(sync, sentry):
    """Only the cursor of a `Link` header is used, even if it has another address."""
    sentry.link_base = "https://elsewhere.example.com"
    output = sync("organization_projects", "project_issues", "project_feedback")

    assert {request.host for request in sentry.requests} == {"sentry.io"}
    assert set(output.keys("project_issues")) == sentry.truth("project_issues")


@pytest.mark.parametrize(
    "prefix", ["https://sentry.example.com:9000", "https://example.com/tools/sentry"]
)
def test_sentry_may_stand_anywhere(sync, sentry, prefix):
    """A server can have a port and a path prefix before `/api/0/`."""
    sentry.url = prefix
    with sentry.patched():
        output = sync("organizations", api_url=f"{prefix}/api/0/")

    assert set(output.keys("organizations")) == sentry.truth("organizations")
