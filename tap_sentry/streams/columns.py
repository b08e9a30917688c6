"""Shapes and columns that several streams share.

Columns keep Sentry's own spelling; those that the tap adds are snake_case.
"""

from singer_sdk import typing as th

#: An object whose fields Sentry does not promise. Without the key `properties`, which
#: `ObjectType` would write, flattening keeps it as one column of JSON.
ANY_OBJECT = th.CustomType({"type": ["object", "null"], "additionalProperties": True})
ANY_OBJECTS = th.ArrayType(ANY_OBJECT)
STRINGS = th.ArrayType(th.CustomType({"type": ["string", "null"]}))

#: Whom an event happened to. Its fields are named, so that each can be deselected.
USER = th.ObjectType(
    th.Property("id", th.StringType),
    th.Property("email", th.StringType),
    th.Property("username", th.StringType),
    th.Property("ip_address", th.StringType),
    th.Property("name", th.StringType),
    th.Property("geo", ANY_OBJECT),
    th.Property("data", ANY_OBJECT),
)

#: What every list of projects sends.
PROJECT_COLUMNS = (
    th.Property("id", th.StringType, required=True),
    th.Property("slug", th.StringType),
    th.Property("name", th.StringType),
    th.Property("platform", th.StringType),
    th.Property("dateCreated", th.DateTimeType),
    th.Property("isBookmarked", th.BooleanType),
    th.Property("isMember", th.BooleanType),
    th.Property("hasAccess", th.BooleanType),
    th.Property("access", STRINGS),
    th.Property("features", STRINGS),
    th.Property("firstEvent", th.DateTimeType),
    th.Property("firstTransactionEvent", th.BooleanType),
    th.Property("hasFeedbacks", th.BooleanType),
    th.Property("hasFlags", th.BooleanType),
    th.Property("hasInsightsAgentMonitoring", th.BooleanType),
    th.Property("hasInsightsAppStart", th.BooleanType),
    th.Property("hasInsightsAssets", th.BooleanType),
    th.Property("hasInsightsCaches", th.BooleanType),
    th.Property("hasInsightsDb", th.BooleanType),
    th.Property("hasInsightsHttp", th.BooleanType),
    th.Property("hasInsightsMCP", th.BooleanType),
    th.Property("hasInsightsQueues", th.BooleanType),
    th.Property("hasInsightsScreenLoad", th.BooleanType),
    th.Property("hasInsightsVitals", th.BooleanType),
    th.Property("hasLogs", th.BooleanType),
    th.Property("hasMinifiedStackTrace", th.BooleanType),
    th.Property("hasMonitors", th.BooleanType),
    th.Property("hasNewFeedbacks", th.BooleanType),
    th.Property("hasProfiles", th.BooleanType),
    th.Property("hasReplays", th.BooleanType),
    th.Property("hasSessions", th.BooleanType),
    th.Property("hasTraceMetrics", th.BooleanType),
)

#: What the lists of an organization and of a team send besides. They send `options`,
#: `stats`, `transactionStats` and `sessionStats` only when asked to.
PROJECT_SUMMARY_COLUMNS = (
    *PROJECT_COLUMNS,
    th.Property("team", ANY_OBJECT, description="One of `teams`."),
    th.Property("teams", ANY_OBJECTS),
    th.Property("platforms", STRINGS, description="Platforms of the events seen."),
    th.Property("environments", STRINGS),
    th.Property("hasUserReports", th.BooleanType),
    th.Property("latestRelease", ANY_OBJECT),
    th.Property("latestDeploys", ANY_OBJECT, description="By environment."),
)

#: The light and the full form of an event. `entries` are streams of their own;
#: what only the page of one single event sends is left out.
EVENT_COLUMNS = (
    th.Property("id", th.StringType, description="On old servers not the `eventID`."),
    th.Property("eventID", th.StringType, required=True),
    th.Property("projectID", th.StringType),
    th.Property("groupID", th.StringType, description="Id of the issue."),
    th.Property("type", th.StringType),
    th.Property("title", th.StringType),
    th.Property("message", th.StringType),
    th.Property("location", th.StringType),
    th.Property("culprit", th.StringType),
    th.Property("platform", th.StringType),
    th.Property("dateCreated", th.DateTimeType, description="By the client's clock."),
    th.Property("user", USER),
    th.Property("tags", ANY_OBJECTS),
    th.Property("metadata", ANY_OBJECT),
    # Documented as text; Sentry sends the attachment.
    th.Property("crashFile", ANY_OBJECT),
    # From here on in the full form only.
    th.Property("dateReceived", th.DateTimeType),
    th.Property("dist", th.StringType),
    th.Property("size", th.IntegerType, description="Bytes."),
    th.Property("contexts", ANY_OBJECT),
    th.Property("context", ANY_OBJECT, description="Sent by SDKs as `extra`."),
    th.Property("packages", ANY_OBJECT, description="Sent by SDKs as `modules`."),
    th.Property("sdk", ANY_OBJECT),
    th.Property("errors", ANY_OBJECTS, description="Faults in the event itself."),
    th.Property("fingerprints", STRINGS),
    th.Property("groupingConfig", ANY_OBJECT),
    th.Property("occurrence", ANY_OBJECT),
    th.Property("_meta", ANY_OBJECT, description="What was cut or redacted."),
    # Performance issues only.
    th.Property("startTimestamp", th.NumberType, description="Seconds since 1970."),
    th.Property("endTimestamp", th.NumberType, description="Seconds since 1970."),
    th.Property("measurements", ANY_OBJECT),
    th.Property("breakdowns", ANY_OBJECT),
)

#: One entry of an event: its exception, request, breadcrumbs …
ENTRY_COLUMNS = (
    th.Property("event_id", th.StringType, required=True),
    th.Property("entry_index", th.IntegerType, required=True),
    th.Property("type", th.StringType),
    th.Property("data", ANY_OBJECT),
    th.Property("dateCreated", th.DateTimeType, description="That of the event."),
)

#: One interval of a time series.
COUNT_COLUMNS = (
    th.Property("stat", th.StringType, required=True),
    th.Property("resolution", th.StringType, required=True),
    # The start of the interval.
    th.Property("timestamp", th.DateTimeType, required=True),
    th.Property("count", th.IntegerType),
)

#: Other names of the columns of an event: in light events, and GlitchTip's.
EVENT_NAMES = {
    "event.type": "type",
    "event_id": "eventID",
    "group_id": "groupID",
    "date_created": "dateCreated",
    "date_received": "dateReceived",
    "project_id": "projectID",
}

#: An issue. Sentry sends `inbox`, `integrationIssues`, `latestEventHasAttachments`,
#: `owners`, `sentryAppIssues` and `sessionCount` only when asked to.
ISSUE_COLUMNS = (
    th.Property("id", th.StringType, required=True),
    th.Property("shortId", th.StringType),
    th.Property("shareId", th.StringType),
    th.Property("permalink", th.StringType),
    th.Property("title", th.StringType),
    th.Property("culprit", th.StringType),
    th.Property("type", th.StringType),
    th.Property("issueType", th.StringType),
    th.Property("issueCategory", th.StringType),
    th.Property("metadata", ANY_OBJECT),
    th.Property("level", th.StringType),
    th.Property("logger", th.StringType),
    th.Property("platform", th.StringType),
    th.Property("project", ANY_OBJECT),
    th.Property("status", th.StringType),
    th.Property("substatus", th.StringType),
    th.Property("statusDetails", ANY_OBJECT),
    th.Property("priority", th.StringType),
    th.Property("priorityLockedAt", th.DateTimeType),
    th.Property("assignedTo", ANY_OBJECT),
    th.Property("firstSeen", th.DateTimeType),
    th.Property("lastSeen", th.DateTimeType),
    th.Property("count", th.IntegerType, description="Events since `firstSeen`."),
    th.Property("userCount", th.IntegerType),
    th.Property("lifetime", ANY_OBJECT, description="Over all time."),
    th.Property("filtered", ANY_OBJECT, description="Within the window asked for."),
    th.Property("stats", ANY_OBJECT, description="Events of the last day by hour."),
    th.Property("numComments", th.IntegerType),
    th.Property("annotations", ANY_OBJECTS),
    th.Property("isPublic", th.BooleanType),
    th.Property("isUnhandled", th.BooleanType),
    # These four are those of the token's user.
    th.Property("isBookmarked", th.BooleanType),
    th.Property("isSubscribed", th.BooleanType),
    th.Property("subscriptionDetails", ANY_OBJECT),
    th.Property("hasSeen", th.BooleanType),
    th.Property("seerFixabilityScore", th.NumberType),
    th.Property("seerAutofixLastTriggered", th.DateTimeType),
    th.Property("seerExplorerAutofixLastTriggered", th.DateTimeType),
    th.Property("derivedData", ANY_OBJECT),
    th.Property("matchingEventId", th.StringType),
    th.Property("matchingEventEnvironment", th.StringType),
)
