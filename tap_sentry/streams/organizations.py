"""Organizations and their repositories.

Heading *Organizations* of Sentry's API reference.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from singer_sdk import typing as th

from tap_sentry.api import errors
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.columns import ANY_OBJECT, ANY_OBJECTS, STRINGS
from tap_sentry.streams.parents import ParentStream
from tap_sentry.sync.directory import id_and_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import Context


class Organizations(ParentStream):
    """An organization that the token can see.

    https://docs.sentry.io/api/users/list-your-organizations/
    """

    name = "organizations"
    path = "/organizations/"
    primary_keys = ("id",)
    scopes = ("org:read",)
    is_essential = True
    kind = "organization"
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

    def read_all(self, context: Context | None) -> list[Row]:
        """Read the organizations that the setting names, else all that are listed.

        Raises:
            FatalError: If one that is named cannot be read, or there is none.
        """
        del context
        names = self.run.settings.organizations
        rows = list(self.named(names)) if names else self.listed
        if not rows:
            msg = (
                "The token lists no organizations (tokens of integrations never do): "
                "name them in the setting organizations"
            )
            raise errors.FatalError(msg)
        return rows

    @functools.cached_property
    def listed(self) -> list[Row]:
        """All organizations that the token can list."""
        return list(self.rows(None))

    def named(self, names: Iterable[str]) -> Iterator[Row]:
        """Yield the organizations of these slugs or ids, each once.

        Raises:
            FatalError: If one does not exist.
        """
        seen = set()
        for name in names:
            try:
                row = self.look_up(name)
            except (errors.RejectedError, errors.MissingEndpointError) as error:
                msg = (
                    f"The setting organizations names {name}, which cannot be read: "
                    f"{error}"
                )
                raise errors.FatalError(msg) from None
            if (key := id_and_slug(row)[0]) not in seen:
                seen.add(key)
                yield row

    def look_up(self, name: str) -> Row:
        """Return one organization by its slug or id.

        Raises:
            RejectedError: If it does not exist.
            MissingEndpointError: If the server cannot look up organizations.
        """
        try:
            return self.fetch_row(
                "/organizations/{organization}/", {"organization_id": name}
            )
        except (errors.RejectedError, errors.MissingEndpointError):
            # Old servers take slugs only.
            for row in self.listed if name.isdecimal() else ():
                if id_and_slug(row)[0] == name:
                    return row
            raise

    def on_row_synced(self, row: Row) -> None:
        """Stop if everything in the organization was denied for lack of a scope."""
        del row
        self.run.refusals.check_organization()


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
