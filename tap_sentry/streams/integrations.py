"""Integrations and apps, under the heading *Integrations* of the reference."""

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    boolean,
    date,
    json,
    key,
    schema_of,
    text,
    texts,
)

INTEGRATION_SCOPES = ("org:read", "org:integrations")


class OrganizationIntegrations(SentryStream):
    """An integration that is installed in an organization.

    https://docs.sentry.io/api/integrations/list-an-organizations-available-integrations/
    """

    name = "organization_integrations"
    path = "/organizations/{organization}/integrations/"
    parent_stream_type = Organizations
    scopes = INTEGRATION_SCOPES
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the integration."),
        text("name", "Its name, such as that of a GitHub organization."),
        text("icon", "Address of its picture."),
        text("domainName", "Where it is, such as `github.com/acme`."),
        text("accountType", "The kind of account; null as a rule."),
        texts("scopes", "What it may do; null where it does not say."),
        text("status", "`active`, `disabled` or `pending_deletion`."),
        json("provider", "The service: key, name, what it can do."),
        text("externalId", "Its id at the service."),
        text("organizationIntegrationStatus", "Its status in this organization."),
        boolean("outOfDate", "Whether it has to be installed again; null as a rule."),
        date("gracePeriodEnd", "When it stops after its plan ended; null as a rule."),
    )


class OrganizationAppInstallations(SentryStream):
    """An app that is installed in an organization.

    https://docs.sentry.io/api/integration/list-an-organizations-integration-platform-installations/
    """

    name = "organization_app_installations"
    path = "/organizations/{organization}/sentry-app-installations/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "uuid")
    id_column = "uuid"
    scopes = INTEGRATION_SCOPES
    is_optional = True
    is_paged = False
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        key("uuid", "Id of the installation."),
        json("app", "Id and slug of the app."),
        json("organization", "Slug of the organization."),
        text("status", "`installed` or `pending`."),
    )


class OrganizationCodeMappings(SentryStream):
    """A code mapping: which repository the paths in stack traces belong to.

    https://docs.sentry.io/api/integrations/
    """

    name = "organization_code_mappings"
    path = "/organizations/{organization}/code-mappings/"
    parent_stream_type = Organizations
    scopes = ("org:read",)
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the mapping."),
        text("projectId", "Id of the project."),
        text("projectSlug", "Slug of the project."),
        text("repoId", "Id of the repository."),
        text("repoName", "Name of the repository."),
        text("integrationId", "Id of the integration that gives access to it."),
        json("provider", "The service of the integration."),
        text("stackRoot", "How paths in stack traces begin."),
        text("sourceRoot", "What they begin with in the repository instead."),
        text("defaultBranch", "The branch that links point to."),
        boolean(
            "automaticallyGenerated", "Whether Sentry made it; null on old servers."
        ),
    )
