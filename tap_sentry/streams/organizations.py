"""Organizations and their repositories.

Heading *Organizations* of Sentry's API reference.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from tap_sentry.api import errors
from tap_sentry.streams.parents import ParentStream
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    boolean,
    date,
    json,
    jsons,
    key,
    schema_of,
    text,
    texts,
)
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
    # GlitchTip's name.
    renamed: ClassVar = {"require2fa": "require2FA"}
    schema = schema_of(
        key("id", "Id of the organization."),
        text("slug", "Slug of the organization."),
        text("name", "Name of the organization."),
        json("status", "State as `id` and `name`, such as `active`."),
        date("dateCreated", "When the organization was created."),
        boolean("isEarlyAdopter", "Whether it gets new features before others."),
        boolean("require2FA", "Whether members need a second factor to log in."),
        json("avatar", "Kind and address of its picture."),
        json("links", "Addresses of itself and its region; null on old servers."),
        boolean(
            "hasAuthProvider", "Whether it has single sign-on; null on old servers."
        ),
        boolean(
            "allowMemberInvite", "Whether members may invite; null on old servers."
        ),
        boolean(
            "allowMemberProjectCreation",
            "Whether members may create projects; null on old servers.",
        ),
        boolean(
            "allowSuperuserAccess",
            "Whether superusers of the server have access; null on old servers.",
        ),
        texts("features", "Features that are on; null in the lists of newer servers."),
        json("extraOptions", "Further options; null on old servers."),
        texts("access", "Scopes of the token; null unless `organizations` is set."),
        jsons(
            "onboardingTasks",
            "Steps of the set-up and their state; null unless `organizations` is set.",
        ),
        boolean(
            "disableNewVisibilityFeatures",
            "A setting of old servers; null on newer ones.",
        ),
    )

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
            return self.reader.fetch_row(
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


class OrganizationRepositories(ParentStream):
    """A repository that is connected to an organization.

    https://docs.sentry.io/api/organizations/list-an-organizations-repositories/
    """

    name = "organization_repositories"
    path = "/organizations/{organization}/repos/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    scopes = ("org:read", "org:integrations", "org:ci")
    kind = "repository"
    # Without a status Sentry answers with active repositories only.
    params: ClassVar = {"status": ""}
    # Sentry sends `settings` only when asked to.
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the repository."),
        text("name", "Name of the repository, such as `acme/shop`."),
        text("url", "Address of the repository; may be null."),
        json("provider", "The provider as `id` and `name`, such as `GitHub`."),
        text("status", "State such as `active`, `disabled` or `hidden`."),
        date("dateCreated", "When the repository was added to Sentry."),
        text("integrationId", "Id of its integration; null without one."),
        text("externalId", "Id at the provider; null on old servers."),
        text("externalSlug", "Name at the provider; null if the provider is unknown."),
    )
