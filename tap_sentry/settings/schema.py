"""The JSON schema of the settings."""

from __future__ import annotations

from datetime import timedelta

from singer_sdk import typing as th

from tap_sentry import windows

STATS = ("received", "rejected", "blacklisted", "generated")
RESOLUTIONS = {"1d": windows.DAY, "1h": timedelta(hours=1)}
EVENTS_BY = ("auto", "project", "issue")
MAX_CONCURRENCY = 32

_NAMES = th.ArrayType(th.StringType)

SETTINGS = th.PropertiesList(
    th.Property(
        "auth_token",
        th.StringType,
        required=True,
        secret=True,
        title="Auth token",
        description="Sentry auth token, with the scopes org:read, project:read, "
        "event:read and team:read; organization_members also needs member:read, "
        "organization_audit_logs org:write.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://sentry.io",
        title="API URL",
        description="Address of the Sentry server: https://sentry.io, "
        "https://de.sentry.io, or a self-hosted one with port and path prefix.",
    ),
    th.Property(
        "organizations",
        _NAMES,
        title="Organizations",
        description="Slugs, ids or pasted URLs of the organizations to read; "
        "without it, all that the token can list.",
    ),
    th.Property(
        "projects",
        _NAMES,
        title="Projects",
        description="Slugs, ids or globs (shop-*) of the projects to read; "
        "a leading ! excludes. Without it, all.",
    ),
    th.Property(
        "teams",
        _NAMES,
        title="Teams",
        description="Slugs, ids or globs of the teams to read; "
        "a leading ! excludes. Without it, all.",
    ),
    th.Property(
        "issue_ids",
        _NAMES,
        title="Issue IDs",
        description="Only these issues, for the streams below issues, such as "
        "issue_events: numbers, short ids or pasted URLs. Bookmarks are left alone.",
    ),
    th.Property(
        "issue_query",
        th.StringType,
        default="",
        title="Issue query",
        description="Sentry search for project_issues, such as is:unresolved; "
        "empty reads issues of every status.",
    ),
    th.Property(
        "stats",
        th.ArrayType(th.StringType(allowed_values=STATS)),
        default=["received"],
        title="Stats",
        description="What the event counts count: received, rejected, blacklisted, "
        "generated.",
    ),
    th.Property(
        "stats_resolution",
        th.StringType(allowed_values=tuple(RESOLUTIONS)),
        default="1d",
        title="Stats resolution",
        description="Length of the intervals of event counts and release_health: "
        "1d or 1h.",
    ),
    th.Property(
        "explore",
        # The tap checks the tables itself, so that its messages name them.
        th.ArrayType(th.CustomType({})),
        title="Explore",
        description="Tables of your own from Sentry's Explore (spans, logs, errors, "
        "aggregates of them): a list of name, dataset, fields, query, projects, "
        "interval.",
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Start date",
        description="Read from here on: a UTC day (2026-11-01), an instant "
        "(2026-11-01T12:00:00Z) or how long ago (10d, 2w, 36h). Without it, all "
        "that Sentry keeps.",
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="End date",
        description="Read up to here, written as start_date; a day is included. "
        "Without it, now.",
    ),
    th.Property(
        "report_date",
        th.StringType,
        title="Report date",
        description="Read exactly one UTC day (2026-11-01, or 1d for yesterday) "
        "instead of a range; bookmarks are neither read nor moved.",
    ),
    th.Property(
        "lookback",
        th.StringType,
        default="1h",
        title="Lookback",
        description="How far before the bookmark an incremental run reads again, "
        "for events that arrive late.",
    ),
    th.Property(
        "issue_refresh",
        th.StringType,
        default="1d",
        title="Issue refresh",
        description="How often all issues are read again, so that changes of status "
        "or assignee, comments and links arrive without a new event; 0s: every run.",
    ),
    th.Property(
        "full_events",
        th.BooleanType,
        default=False,
        title="Full events",
        description="Give project_events and issue_events with contexts, sdk, errors, "
        "fingerprints; ten times the requests on sentry.io.",
    ),
    th.Property(
        "events_by",
        th.StringType(allowed_values=EVENTS_BY),
        default="auto",
        title="Events by",
        description="Read project_events and project_event_entries through the list of "
        "each project, or those of its issues; auto takes the faster one.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType,
        default=8,
        title="Concurrency",
        description=f"Concurrent requests, 1 to {MAX_CONCURRENCY}.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType,
        default=60,
        title="Request timeout",
        description="Seconds to wait for an answer before a request is repeated.",
    ),
    th.Property(
        "ca_bundle",
        th.StringType,
        title="CA bundle",
        description="File with the certificate authorities to trust; without it "
        "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the usual ones.",
    ),
    th.Property(
        "activate_versions",
        th.BooleanType,
        default=False,
        title="Activate versions",
        description="Let loaders delete, or mark, rows of full lists that Sentry no "
        "longer lists. Not for several runs into one table.",
    ),
    th.Property(
        "strict",
        th.BooleanType,
        default=False,
        title="Strict",
        description="Stop, rather than skip and report, when one project, team or "
        "issue cannot be read.",
    ),
)
