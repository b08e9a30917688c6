"""Alerts, under the heading *Alerts* and *Monitors* of the reference."""

from datetime import timedelta

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_KEY,
    boolean,
    date,
    integer,
    json,
    jsons,
    key,
    number,
    owner,
    person,
    schema_of,
    text,
    texts,
)
from tap_sentry.streams.windowed import WindowedStream

ALERT_SCOPES = ("org:read", "alerts:read")


class OrganizationDetectors(SentryStream):
    """A detector, which opens issues when its conditions are met.

    https://docs.sentry.io/api/monitors/fetch-an-organizations-monitors/
    """

    name = "organization_detectors"
    path = "/organizations/{organization}/detectors/"
    parent_stream_type = Organizations
    scopes = ALERT_SCOPES
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the detector."),
        text("projectId", "Id of its project; null if it watches the organization."),
        text("name", "Its name."),
        text("description", "What it is for; null if not described."),
        text(
            "type",
            "What it watches, such as `metric_issue` or `uptime_domain_failure`.",
        ),
        boolean("enabled", "Whether it is on."),
        owner("owner", "Who owns it; null if nobody does."),
        text("createdBy", "Id of the user who made it; null if Sentry did."),
        texts("workflowIds", "Ids of the workflows that it starts."),
        jsons("dataSources", "The queries or addresses that it watches."),
        json("conditionGroup", "When it opens an issue."),
        json("config", "Settings of its type."),
        json("latestGroup", "The newest issue that it opened; null without one."),
        date("dateCreated", "When it was made."),
        date("dateUpdated", "When it was last changed."),
    )


class OrganizationWorkflows(SentryStream):
    """A workflow: what is done when a detector opens an issue.

    https://docs.sentry.io/api/monitors/fetch-alerts/
    """

    name = "organization_workflows"
    path = "/organizations/{organization}/workflows/"
    parent_stream_type = Organizations
    scopes = ALERT_SCOPES
    is_optional = True
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the workflow."),
        text("name", "Its name."),
        boolean("enabled", "Whether it is on."),
        text("owner", "Who owns it, such as `team:7`; null if nobody does."),
        text("createdBy", "Id of the user who made it; null if Sentry did."),
        text("environment", "The environment that it is limited to."),
        texts("detectorIds", "Ids of the detectors that start it."),
        json("triggers", "When it starts."),
        jsons("actionFilters", "What it does, and on which conditions."),
        json("config", "Further settings, such as how often it may run."),
        date("lastTriggered", "When it last ran; null if it never did."),
        date("dateCreated", "When it was made."),
        date("dateUpdated", "When it was last changed."),
    )


class ProjectAlertRules(SentryStream):
    """An issue alert rule of a project; newer servers have workflows.

    https://docs.sentry.io/api/alerts/list-a-projects-issue-alert-rules/
    """

    name = "project_alert_rules"
    path = "/projects/{organization}/{project}/rules/"
    parent_stream_type = OrganizationProjects
    primary_keys = ("organization_id", "project_id", "id")
    scopes = ("project:read", "alerts:read")
    waits_for_brown_out = False
    successor = "organization_workflows"
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_KEY,
        key("id", "Id of the rule."),
        text("name", "Its name."),
        text("status", "`active` or `disabled`; null on old servers."),
        text("environment", "The environment that it is limited to."),
        text("actionMatch", "Whether `all` or `any` of its conditions must be met."),
        text(
            "filterMatch",
            "Whether `all` or `any` of its filters must match; null on old servers.",
        ),
        integer("frequency", "Minutes until it may act again for the same issue."),
        jsons("conditions", "What starts the rule."),
        jsons("filters", "Which events it applies to; null on old servers."),
        jsons("actions", "What it does."),
        text(
            "owner",
            "Who owns it, such as `team:7`; null if nobody does, and on old servers.",
        ),
        person("createdBy", "Who made it; null if Sentry did, and on old servers."),
        texts("projects", "Slugs of its projects; null on old servers."),
        boolean("snooze", "Whether it is muted; null on old servers."),
        date("lastTriggered", "When it last acted; null unless asked for."),
        date("dateCreated", "When it was made."),
    )


class OrganizationMetricAlertRules(SentryStream):
    """A metric alert rule of an organization; newer servers have detectors.

    https://docs.sentry.io/api/alerts/list-an-organizations-metric-alert-rules/
    """

    name = "organization_metric_alert_rules"
    path = "/organizations/{organization}/alert-rules/"
    parent_stream_type = Organizations
    scopes = ALERT_SCOPES
    is_optional = True
    waits_for_brown_out = False
    successor = "organization_detectors"
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the rule."),
        text("name", "Its name."),
        integer("status", "0 is active; other numbers are pending or muted."),
        text("dataset", "The dataset that it watches, such as `events`."),
        integer("queryType", "0 errors, 1 transactions, 2 crash rate."),
        text("query", "The search, in Sentry's search syntax."),
        text("aggregate", "The figure that it watches, such as `count()`."),
        number("timeWindow", "Minutes that the figure is computed over."),
        integer("thresholdType", "0 above, 1 below, 2 both."),
        number("resolveThreshold", "The figure at which an incident ends."),
        number("comparisonDelta", "Minutes ago that the figure is compared with."),
        text("environment", "The environment that it is limited to."),
        texts("eventTypes", "The kinds of events that it watches."),
        jsons("triggers", "Thresholds, each with its actions."),
        texts("projects", "Slugs of its projects."),
        text("owner", "Who owns it, such as `team:7`; null if nobody does."),
        person("createdBy", "Who made it; null if unknown."),
        text("originalAlertRuleId", "Id of the rule that it is a copy of."),
        boolean("snooze", "Whether it is muted."),
        date("dateCreated", "When it was made."),
        date("dateModified", "When it was last changed."),
    )


class OrganizationIncidents(WindowedStream):
    """An incident of a metric alert.

    https://docs.sentry.io/api/alerts/
    """

    name = "organization_incidents"
    path = "/organizations/{organization}/incidents/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "id")
    replication_key = "dateStarted"
    state_column = "organization_id"
    scopes = ALERT_SCOPES
    is_optional = True
    is_events = False
    is_redacted = True
    takes_dates = False
    is_cut = False
    # The status of an incident changes until it is closed.
    refresh = timedelta(days=7)
    schema = schema_of(
        ORGANIZATION_ID,
        key("id", "Id of the incident."),
        text("identifier", "Its number within the organization."),
        text("title", "Its title."),
        integer("type", "The kind of incident, as a number."),
        integer("status", "1 or 2 closed, 10 warning, 20 critical."),
        integer("statusMethod", "1 by a person, 2 by the rule, 3 by Sentry."),
        texts("projects", "Slugs of its projects."),
        json("alertRule", "The rule that opened it."),
        date("dateStarted", "When it began."),
        date("dateDetected", "When Sentry noticed it."),
        date("dateCreated", "When it was recorded."),
        date("dateClosed", "When it ended; null while it is open."),
    )
