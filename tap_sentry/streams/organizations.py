"""Streams of the heading *Organizations* in Sentry's API reference."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError, SkippableAPIError

from tap_sentry import errors
from tap_sentry.client import SentryStream
from tap_sentry.named import id_and_slug
from tap_sentry.schemas import ANY_OBJECT, ANY_OBJECTS, STRINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_sentry.client import Context
    from tap_sentry.records import Row


class Organizations(SentryStream):
    """An organization that the token can see.

    https://docs.sentry.io/api/users/list-your-organizations/
    """

    name = "organizations"
    path = "/organizations/"
    primary_keys = ("id",)
    scopes = ("org:read",)
    is_essential = True
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        th.Property("slug", th.StringType),
        th.Property("name", th.StringType),
        th.Property("status", ANY_OBJECT),
        th.Property("dateCreated", th.DateTimeType),
        th.Property("isEarlyAdopter", th.BooleanType),
        th.Property("require2FA", th.BooleanType),
        th.Property("avatar", ANY_OBJECT),
        th.Property("links", ANY_OBJECT),
        th.Property("hasAuthProvider", th.BooleanType),
        th.Property("allowMemberInvite", th.BooleanType),
        th.Property("allowMemberProjectCreation", th.BooleanType),
        th.Property("allowSuperuserAccess", th.BooleanType),
        th.Property("features", STRINGS),
        th.Property("extraOptions", ANY_OBJECT),
        th.Property("access", STRINGS, description="Scopes of the token."),
        th.Property("onboardingTasks", ANY_OBJECTS),
        # Older servers only.
        th.Property("disableNewVisibilityFeatures", th.BooleanType),
    ).to_dict()

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The organizations that the settings name, else all that are listed."""
        with self.skipping(context):
            rows = self.all_rows
            self.tap.check_names([id_and_slug(row)[0] for row in rows])
            contexts = [self.get_child_context(row, None) for row in rows]
            with self.tap.ahead.over(map(self.child_wants, contexts)) as done:
                for row in rows:
                    yield row
                    self.tap.access.organization_is_done()
                    done()

    @functools.cached_property
    def all_rows(self) -> list[Row]:
        """The organizations, read once in a run.

        Raises:
            FatalAPIError: If one that was asked for cannot be read, or there is none.
        """
        names = self.tap.settings.organizations
        rows = list(self.named(names)) if names else self.listed
        if not rows:
            msg = (
                "The token lists no organizations (tokens of integrations never do): "
                "name them in the setting organizations"
            )
            raise FatalAPIError(msg)
        for row in rows:
            self.tap.knows("organization", *id_and_slug(row))
        return rows

    @functools.cached_property
    def listed(self) -> list[Row]:
        """All organizations that the token can list."""
        return list(self.rows(None))

    def named(self, names: Iterable[str]) -> Iterator[Row]:
        """The organizations of these slugs or ids, each once.

        Raises:
            FatalAPIError: If there is no such organization.
        """
        seen = set()
        for name in names:
            row = self.found(name)
            if (key := id_and_slug(row)[0]) not in seen:
                seen.add(key)
                yield row

    def found(self, name: str) -> Row:
        """One organization by its slug or id.

        Raises:
            FatalAPIError: If there is no such organization.
        """
        try:
            return self.look_up(name)
        except (SkippableAPIError, errors.MissingEndpointError) as error:
            msg = (
                f"The setting organizations names {name}, which cannot be read: {error}"
            )
            raise FatalAPIError(msg) from None

    def look_up(self, name: str) -> Row:
        """The same; what cannot be read is told as the server does."""
        try:
            return self.one("/organizations/{organization}/", {"organization_id": name})
        except (SkippableAPIError, errors.MissingEndpointError):
            # Old servers take slugs only.
            for row in self.listed if name.isdecimal() else ():
                if id_and_slug(row)[0] == name:
                    return row
            raise

    def get_child_context(self, record: Row, context: Context | None) -> Context:
        """The id alone: slugs can change."""
        del context
        return {"organization_id": id_and_slug(record)[0]}


class OrganizationRepositories(SentryStream):
    """A repository that is connected to an organization.

    https://docs.sentry.io/api/organizations/list-an-organizations-repositories/
    """

    name = "organization_repositories"
    path = "/organizations/{organization}/repos/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    scopes = ("org:read", "org:integrations", "org:ci")
    # Without a status Sentry answers with active repositories only.
    params: ClassVar = {"status": ""}
    # Sentry sends `settings` only when asked to.
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("id", th.StringType, required=True),
        th.Property("name", th.StringType),
        th.Property("url", th.StringType),
        th.Property("provider", ANY_OBJECT),
        th.Property("status", th.StringType),
        th.Property("dateCreated", th.DateTimeType),
        th.Property("integrationId", th.StringType),
        th.Property("externalId", th.StringType),
        th.Property("externalSlug", th.StringType),
    ).to_dict()
