"""The audit log of an organization."""

from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    date,
    json,
    key,
    person,
    schema_of,
    text,
)
from tap_sentry.streams.windowed import WindowedStream


class OrganizationAuditLogs(WindowedStream):
    """An entry of the audit log: who changed what.

    https://docs.sentry.io/api/organizations/
    """

    name = "organization_audit_logs"
    path = "/organizations/{organization}/audit-logs/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    replication_key = "dateCreated"
    state_column = "organization_id"
    scopes = ("org:write",)
    is_optional = True
    # Few tokens have its scope.
    selected_by_default = False
    rows_field = "rows"
    is_events = False
    is_redacted = True
    takes_dates = False
    is_cut = False
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the entry."),
        text("event", "What was done, such as `member.invite`."),
        person("actor", "Who did it."),
        text("ipAddress", "The address that it was done from; null if unknown."),
        text("note", "What was done, in words."),
        text("targetObject", "Id of what was changed."),
        person("targetUser", "The user who was changed; null if it was no user."),
        json("data", "Details, by event."),
        date("dateCreated", "When it was done."),
    )
