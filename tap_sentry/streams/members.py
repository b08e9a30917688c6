"""People, under the headings *Organizations* and *Teams* of the reference."""

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    TEAM_KEY,
    boolean,
    date,
    json,
    jsons,
    key,
    person,
    schema_of,
    text,
)
from tap_sentry.streams.teams import OrganizationTeams

MEMBER_COLUMNS = (
    key("id", "Id of the membership."),
    text("email", "Address of the member, or the one that was invited."),
    text("name", "Name of the member; the address until the invitation is accepted."),
    person("user", "The account; null until the invitation is accepted."),
    text("role", "Role in the organization, such as `member` or `owner`."),
    text("roleName", "The role in words."),
    text("orgRole", "Role in the organization; null on old servers."),
    boolean("pending", "Whether the invitation has not been accepted yet."),
    boolean("expired", "Whether the invitation has expired."),
    json("flags", "Single sign-on and provisioning; names such as `sso:linked`."),
    date("dateCreated", "When the member was added or invited."),
    text("inviteStatus", "`approved`, or who still has to approve the invitation."),
    text("inviterName", "Who sent the invitation; null if nobody did."),
    jsons("externalUsers", "The same person in integrations; null unless asked for."),
)


class OrganizationMembers(SentryStream):
    """A member of an organization, or an open invitation.

    https://docs.sentry.io/api/organizations/list-an-organizations-members/
    """

    name = "organization_members"
    path = "/organizations/{organization}/members/"
    parent_stream_type = Organizations
    scopes = ("member:read",)
    # Few tokens have its scope.
    selected_by_default = False
    schema = schema_of(ORGANIZATION_ID, *MEMBER_COLUMNS)


class TeamMembers(SentryStream):
    """A member of a team.

    https://docs.sentry.io/api/teams/list-a-teams-members/
    """

    name = "team_members"
    path = "/teams/{organization}/{team}/members/"
    parent_stream_type = OrganizationTeams
    primary_keys = ("organization_id", "team_id", "id")
    scopes = ("team:read",)
    # On current servers, no stream that is selected by default needs this scope.
    selected_by_default = False
    # Servers before 2020 send the whole list, without a `Link`.
    is_paged = False
    schema = schema_of(
        ORGANIZATION_ID,
        TEAM_KEY,
        *MEMBER_COLUMNS,
        text("teamRole", "Role in the team; null if it follows the organization's."),
        text("teamSlug", "Slug of the team."),
    )
