"""Releases, their deploys and commits: *Releases* in Sentry's API reference."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from tap_sentry.records import bodies
from tap_sentry.records.dates import newest_of
from tap_sentry.streams.dated import DatedStream
from tap_sentry.streams.organizations import OrganizationRepositories, Organizations
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    date,
    integer,
    json,
    jsons,
    key,
    owner,
    people,
    person,
    schema_of,
    text,
)
from tap_sentry.sync.results import number_of

if TYPE_CHECKING:
    from singer_sdk import Tap

    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.windows import Window

#: The dates by which Sentry orders releases: the first, or the second where it is null.
RELEASE_DATES = ("dateReleased", "dateCreated")
#: Commits are reported days after the release that has them.
LATE = timedelta(days=7)

COMMIT_COLUMNS = (
    text("message", "The commit message; null if it is empty."),
    date("dateCreated", "When the commit was made."),
    person("author", "Who made the commit; null if unknown."),
    json("pullRequest", "The pull request that merged it; null as a rule."),
    text("suspectCommitType", "How Sentry found it as a suspect; empty as a rule."),
    json("repository", "The repository of the commit."),
    jsons("releases", "The releases that have the commit."),
)


class OrganizationReleases(ParentStream):
    """A release of an organization, open or archived.

    https://docs.sentry.io/api/releases/list-an-organizations-releases/
    """

    name = "organization_releases"
    path = "/organizations/{organization}/releases/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "version")
    id_column = "version"
    scopes = ("project:read", "project:releases", "org:ci")
    kind = "release"
    key_column = "version"
    # Releases from before the `start_date` are left out.
    is_partial = True
    # Without a status Sentry leaves out archived releases.
    params: ClassVar = {"status": ""}
    schema = schema_of(
        ORGANIZATION_ID,
        key("version", "The name of the release, unique within the organization."),
        text("id", "Number of the release; null on old servers and GlitchTip."),
        text("shortVersion", "The version without package and hash."),
        json(
            "versionInfo",
            "Package, number and build of the version; null on old servers.",
        ),
        text("status", "`open` or `archived`; null on old servers."),
        text("ref", "The commit that was given as the head of the release."),
        text("url", "A page about the release, if one was given."),
        date("dateCreated", "When Sentry first heard of the release."),
        date("dateStarted", "When its build started; null as a rule."),
        date("dateReleased", "When it was released; null until it is finalized."),
        json("data", "Further fields given with the release; empty as a rule."),
        integer("newGroups", "Issues first seen in this release."),
        owner("owner", "Who owns the release; null as a rule."),
        integer("commitCount", "Number of its commits."),
        json("lastCommit", "Its newest commit; null without commits."),
        integer("deployCount", "Number of its deploys."),
        json("lastDeploy", "Its newest deploy; null without deploys."),
        people("authors", "Authors of its commits."),
        jsons("projects", "The projects of the release."),
        date("firstEvent", "When its first event happened; null without events."),
        date("lastEvent", "When its newest event happened; null without events."),
        json(
            "currentProjectMeta",
            "Neighbouring releases; empty in this list, null on old servers.",
        ),
        json("adoptionStages", "Adoption by project; null unless Sentry computes it."),
        text("userAgent", "The client that created the release; null on old servers."),
    )

    def is_kept(self, row: Row) -> bool:
        """Return whether a release is not from before the `start_date`."""
        start, newest = self.run.settings.start, newest_of(row, *RELEASE_DATES)
        return start is None or newest is None or newest >= start

    def is_last_page(self, rows: list[Row], context: Context) -> bool:
        """Return whether all releases of a page are too old: newer ones come first."""
        del context
        return bool(rows) and not any(map(self.is_kept, rows))


class ReleaseList(DatedStream):
    """A list below each release."""

    parent_stream_type = OrganizationReleases
    scopes = OrganizationReleases.scopes
    stops_by_date = False

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start with nothing left out."""
        super().__init__(tap, run)
        #: By organization, the versions of releases whose rows cannot be requested.
        self._left_out: defaultdict[object, set[str]] = defaultdict(set)

    def visits(self, row: Row, context: Context) -> bool:
        """Return whether a release has to be read, and can be named in a path.

        Sentry unquotes a path before it looks for the endpoint.
        """
        version = str(bodies.decode_value(row["version"]))
        is_visited = super().visits(row, context)
        if is_visited and ("/" in version or version in {".", ".."}):
            self._left_out[context["organization_id"]].add(version)
            return False
        return is_visited

    def on_parents_synced(self, context: Context) -> None:
        """Log what was left out."""
        if versions := self._left_out.pop(context["organization_id"], None):
            self.logger.warning(
                "Sentry cannot look up a release by a version with a slash or of dots "
                "alone: %s lacks %s, such as %s",
                self.name,
                number_of(len(versions), "release"),
                min(versions),
            )
        super().on_parents_synced(context)


class ReleaseDeploys(ReleaseList):
    """A deploy of a release.

    https://docs.sentry.io/api/releases/list-a-releases-deploys/
    """

    name = "release_deploys"
    path = "/organizations/{organization}/releases/{release}/deploys/"
    primary_keys = ("organization_id", "release_version", "id")
    replication_key = "dateFinished"
    schema = schema_of(
        ORGANIZATION_ID,
        key("release_version", "The version of the release."),
        key("id", "Id of the deploy."),
        text("environment", "Where it was deployed to, such as `production`."),
        text("name", "A name given to the deploy; null as a rule."),
        text("url", "A page about the deploy, if one was given."),
        date("dateStarted", "When it started; null as a rule."),
        date("dateFinished", "When it was finished."),
    )

    def may_have_rows(self, row: Row, window: Window) -> bool:
        """Return whether a release was deployed, or created, in a window."""
        last = bodies.object_fields(row.get("lastDeploy"))
        newest = newest_of(last | row, "dateFinished", *RELEASE_DATES)
        is_old = newest is not None and window.is_after(newest)
        return bool(bodies.decode_value(row.get("deployCount"))) and not is_old


class ReleaseCommits(ReleaseList):
    """A commit of a release.

    https://docs.sentry.io/api/releases/list-an-organization-releases-commits/
    """

    name = "release_commits"
    path = "/organizations/{organization}/releases/{release}/commits/"
    primary_keys = ("organization_id", "release_version", "repository_id", "id")
    # Commits of several repositories may share a hash.
    more_id_columns = ("repository_id",)
    refresh = LATE
    schema = schema_of(
        ORGANIZATION_ID,
        key("release_version", "The version of the release."),
        key("repository_id", "Id of the repository."),
        key("id", "Hash of the commit."),
        *COMMIT_COLUMNS,
    )

    def may_have_rows(self, row: Row, window: Window) -> bool:
        """Return whether a release with commits was created or released in a window."""
        newest = newest_of(row, *RELEASE_DATES)
        is_old = newest is not None and window.is_after(newest)
        return bool(bodies.decode_value(row.get("commitCount"))) and not is_old

    def normalize(self, sent: Row, row: Row) -> Row:
        """Add the id of the repository."""
        repository = bodies.object_fields(sent.get("repository"))
        found = bodies.decode_value(repository.get("id"))
        row["repository_id"] = "" if found is None else str(found)
        return row


class RepositoryCommits(DatedStream):
    """A commit that Sentry received for a repository.

    https://docs.sentry.io/api/organizations/list-a-repositorys-commits/
    """

    name = "repository_commits"
    path = "/organizations/{organization}/repos/{repository}/commits/"
    parent_stream_type = OrganizationRepositories
    primary_keys = ("organization_id", "repository_id", "id")
    scopes = ("org:read",)
    # The list is ordered by the date of arrival, which Sentry does not send.
    refresh = LATE
    schema = schema_of(
        ORGANIZATION_ID,
        key("repository_id", "Id of the repository."),
        key("id", "Hash of the commit."),
        *COMMIT_COLUMNS,
    )
