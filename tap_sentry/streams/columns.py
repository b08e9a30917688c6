"""Columns that several streams share, and those of issues and events."""

from tap_sentry.streams.schema import (
    boolean,
    date,
    fields,
    integer,
    json,
    jsons,
    key,
    key_date,
    key_integer,
    number,
    text,
    texts,
)

#: What every list of projects sends.
PROJECT_COLUMNS = (
    key("id", "Id of the project."),
    text("slug", "Slug of the project."),
    text("name", "Name of the project."),
    text("platform", "Platform of the project, such as `python`; null if none is set."),
    date("dateCreated", "When the project was created."),
    boolean("isBookmarked", "Whether the token's user has bookmarked the project."),
    boolean("isMember", "Whether the token's user is in a team of the project."),
    boolean("hasAccess", "Whether the token's user has access to the project."),
    texts("access", "Scopes granted in the project; null on old servers."),
    texts("features", "Features that are on in the project."),
    date(
        "firstEvent", "When the first event was seen; null before it, and on GlitchTip."
    ),
    boolean(
        "firstTransactionEvent", "Whether it sent transactions; null on old servers."
    ),
    boolean("hasFeedbacks", "Whether it sent user feedback; null on old servers."),
    boolean("hasFlags", "Whether it sent feature flags; null on old servers."),
    boolean(
        "hasInsightsAgentMonitoring",
        "Whether it sent spans of AI agents; null on old servers.",
    ),
    boolean(
        "hasInsightsAppStart", "Whether it sent app start spans; null on old servers."
    ),
    boolean("hasInsightsAssets", "Whether it sent asset spans; null on old servers."),
    boolean("hasInsightsCaches", "Whether it sent cache spans; null on old servers."),
    boolean("hasInsightsDb", "Whether it sent database spans; null on old servers."),
    boolean("hasInsightsHttp", "Whether it sent HTTP spans; null on old servers."),
    boolean("hasInsightsMCP", "Whether it sent MCP spans; null on old servers."),
    boolean("hasInsightsQueues", "Whether it sent queue spans; null on old servers."),
    boolean(
        "hasInsightsScreenLoad",
        "Whether it sent screen load spans; null on old servers.",
    ),
    boolean(
        "hasInsightsVitals", "Whether it sent web vitals spans; null on old servers."
    ),
    boolean("hasLogs", "Whether it sent logs; null on old servers."),
    boolean(
        "hasMinifiedStackTrace",
        "Whether it sent minified stack traces; null on old servers.",
    ),
    boolean("hasMonitors", "Whether it has cron monitors; null on old servers."),
    boolean(
        "hasNewFeedbacks",
        "Whether it sent feedback of the newer widget; null on old servers.",
    ),
    boolean("hasProfiles", "Whether it sent profiles; null on old servers."),
    boolean("hasReplays", "Whether it sent replays; null on old servers."),
    boolean("hasSessions", "Whether it sent sessions; null on old servers."),
    boolean("hasTraceMetrics", "Whether it sent metrics; null on old servers."),
)

#: What the lists of an organization and of a team send besides. They send `options`,
#: `stats`, `transactionStats` and `sessionStats` only when asked to.
PROJECT_SUMMARY_COLUMNS = (
    *PROJECT_COLUMNS,
    json("team", "One of `teams`; null without teams."),
    jsons("teams", "Teams of the project, with `id`, `slug` and `name`."),
    texts("platforms", "Platforms of the events seen."),
    texts("environments", "Names of the environments that are not hidden."),
    boolean("hasUserReports", "Whether users sent reports; null on old servers."),
    json("latestRelease", "Newest release, with its `version`; null without releases."),
    json("latestDeploys", "Newest deploys by environment; null without deploys."),
)

#: The light and the full form of an event. `entries` are streams of their own;
#: what only the page of one single event sends is left out. `full_events` asks for the
#: full form; old servers and GlitchTip always send it.
EVENT_COLUMNS = (
    text("id", "Id of the event; on old servers not the `eventID`."),
    key("eventID", "Id of the event: 32 hexadecimal digits, unique in the project."),
    text("projectID", "Id of the project, as Sentry sends it."),
    text("groupID", "Id of the issue; null if the event is in none."),
    text("type", "Kind of event, such as `error`, `default`, `csp` or `transaction`."),
    text("title", "Title of the event, such as the error with its message."),
    text(
        "message", "Message that was logged, or other texts of the event; may be empty."
    ),
    text("location", "Where it happened, such as a file; null if unknown."),
    text("culprit", "Function, module or page where it happened."),
    text("platform", "Platform of the SDK, such as `python`; may be null."),
    date("dateCreated", "When the event happened, by the client's clock."),
    # Its fields are named, so that each can be deselected.
    fields(
        "user",
        "Whom the event happened to; null if unknown.",
        text("id", "Id of the user in the application."),
        text("email", "Email address of the user."),
        text("username", "User name in the application."),
        text("ip_address", "IP address of the user."),
        text("name", "Name of the user."),
        json("geo", "Place that the IP address belongs to; null on old servers."),
        json("data", "Further fields that the application sent."),
    ),
    jsons("tags", "Tags as `key` and `value`, such as environment and release."),
    json("metadata", "Parts of the title; on old servers in full events only."),
    # Documented as text; Sentry sends the attachment.
    json("crashFile", "The attached minidump; null without one."),
    date("dateReceived", "When Sentry received the event; full events only."),
    text("dist", "Distribution of the release; full events only, null without one."),
    integer("size", "Bytes of the event; full events only."),
    json("contexts", "Device, operating system, runtime and others; full events only."),
    json("context", "Extra data, sent by SDKs as `extra`; full events only."),
    json("packages", "Versions, sent by SDKs as `modules`; full events only."),
    json("sdk", "Name and version of the SDK; full events only."),
    jsons("errors", "Faults in the event, such as a wrong date; full events only."),
    texts("fingerprints", "Hashes that the event is grouped by; full events only."),
    json("groupingConfig", "Algorithm that grouped the event; full events only."),
    json("occurrence", "What was detected; full events only, null for errors."),
    json("_meta", "What was cut or redacted; full events only."),
    number(
        "startTimestamp", "Start in seconds since 1970, UTC; performance issues only."
    ),
    number("endTimestamp", "End in seconds since 1970, UTC; performance issues only."),
    json("measurements", "Measured values; performance issues only."),
    json(
        "breakdowns", "Measured values by kind of operation; performance issues only."
    ),
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

ENTRY_FIELDS = (
    text("type", "Kind of entry, such as `exception`, `request` or `breadcrumbs`."),
    json("data", "Content of the entry; a list is wrapped in the field `values`."),
)

#: One entry of an event: its exception, request, breadcrumbs …
ENTRY_COLUMNS = (
    key("event_id", "Id of the event: 32 hexadecimal digits, unique in the project."),
    key_integer("entry_index", "Place of the entry in the event, from 0."),
    *ENTRY_FIELDS,
    date("dateCreated", "When the event happened, by the client's clock."),
)

#: One interval of a time series.
COUNT_COLUMNS = (
    key(
        "stat", "What is counted: `received`, `rejected`, `blacklisted` or `generated`."
    ),
    key("resolution", "Length of the interval: `1h` or `1d`."),
    key_date("timestamp", "Start of the interval, in UTC."),
    integer("count", "Error events in the interval."),
)

#: An issue. Sentry sends `inbox`, `integrationIssues`, `latestEventHasAttachments`,
#: `owners`, `sentryAppIssues` and `sessionCount` only when asked to.
ISSUE_COLUMNS = (
    key("id", "Id of the issue."),
    text("shortId", "Name of the issue, such as `SHOP-1A`; empty on GlitchTip."),
    text("shareId", "Id in the public link; null if the issue is not shared."),
    text("permalink", "Address of the issue in Sentry."),
    text("title", "Title of the issue, such as the error with its message."),
    text("culprit", "Function, module or page where it happens."),
    text("type", "Kind of its events, such as `error`, `csp` or `transaction`."),
    text(
        "issueType",
        "Kind in detail, as `performance_n_plus_one_db_queries`; null on old servers.",
    ),
    text("issueCategory", "Kind of issue, such as `error`; null on old servers."),
    json("metadata", "Parts of the title, such as type and value of the error."),
    text(
        "level", "`fatal`, `error`, `warning`, `info`, `debug`, `sample` or `unknown`."
    ),
    text("logger", "Name of the logger; null without one."),
    text("platform", "Platform of the issue, such as `python`; null on old servers."),
    json("project", "The project, with `id`, `slug`, `name` and `platform`."),
    text("status", "State such as `unresolved`, `resolved` or `ignored`."),
    text(
        "substatus", "State in detail, such as `new` or `regressed`; null if resolved."
    ),
    json(
        "statusDetails",
        "How it was resolved, or until when it is ignored; may be empty.",
    ),
    text("priority", "`low`, `medium` or `high`; null on old servers."),
    date("priorityLockedAt", "When a user set the priority; null if nobody did."),
    json("assignedTo", "User or team that it is assigned to; null without one."),
    date("firstSeen", "When its first event was seen."),
    date("lastSeen", "When its newest event was seen."),
    integer("count", "Events since `firstSeen`."),
    integer("userCount", "Users affected since `firstSeen`."),
    json(
        "lifetime", "`count`, `userCount` and dates over all time; null on old servers."
    ),
    json(
        "filtered",
        "Figures of events in the window that match `issue_query`; null without it.",
    ),
    json(
        "stats",
        "Events of the last day by hour; null or empty, as they are not asked for.",
    ),
    integer("numComments", "Number of comments."),
    jsons("annotations", "Links to other systems, as `displayName` and `url`."),
    boolean("isPublic", "Whether the issue is shared by a public link."),
    boolean(
        "isUnhandled", "Whether the newest error was not handled; null on old servers."
    ),
    boolean("isBookmarked", "Whether the token's user has bookmarked the issue."),
    boolean("isSubscribed", "Whether the token's user is notified of changes."),
    json(
        "subscriptionDetails",
        "Why the token's user is notified or not; null as a rule.",
    ),
    boolean("hasSeen", "Whether the token's user has looked at the issue."),
    number(
        "seerFixabilityScore",
        "How well Seer can fix it, from 0 to 1; null if not rated.",
    ),
    date("seerAutofixLastTriggered", "When Seer last tried a fix; null if never."),
    date(
        "seerExplorerAutofixLastTriggered",
        "When Seer Explorer last tried a fix; null if never.",
    ),
    json("derivedData", "Progress of the fix, views and others; null on old servers."),
    text("matchingEventId", "Event whose id is the `issue_query`; null otherwise."),
    text("matchingEventEnvironment", "Environment of that event; null without one."),
)
