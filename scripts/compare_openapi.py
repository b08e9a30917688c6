#!/usr/bin/env python3
"""Compare the columns of each stream with the fields that Sentry documents.

    python scripts/compare_openapi.py openapi-derefed.json

The file is that of https://github.com/getsentry/sentry-api-schema. Prints the
differences that EXPLAINED does not list, and its entries that no longer apply; exits
with 1 if there are any.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tap_sentry.streams import STREAMS
from tap_sentry.streams.base import ADDED, SentryStream

#: Paths that document a record besides the stream's path and fallback path.
FULL_FORMS = {
    "project_events": "/projects/{organization}/{project}/events/{event_id}/",
    "issue_events": "/organizations/{organization}/issues/{issue}/events/{event_id}/",
    "issue_tags": "/organizations/{organization}/issues/{issue}/tags/{key}/",
}

#: Streams whose rows the tap makes itself; Sentry does not document such rows.
OWN_ROWS = {
    "organization_event_counts": "one row per interval of a series",
    "team_event_counts": "one row per interval of a series",
    "project_event_counts": "one row per interval of a series",
    "project_event_entries": "one row per item of `entries`, whose shape is open",
    "issue_event_entries": "one row per item of `entries`, whose shape is open",
    "issue_comments": "one row per activity of the type `note`",
    "organization_usage": "one row per group",
    "release_health": "one row per group and interval of a series",
}

#: Streams of lists that Sentry answers but does not document: lists that it never
#: published, rules and incidents that it has replaced, and the activities of an issue,
#: whose shape is open.
UNDOCUMENTED = {
    "issue_activities",
    "organization_audit_logs",
    "organization_code_mappings",
    "organization_incidents",
    "organization_metric_alert_rules",
    "project_alert_rules",
    "project_tags",
}

PROJECT_ON_REQUEST = {
    "options": "sent only with `options=`",
    "stats": "sent only with `statsPeriod=`",
    "transactionStats": "sent only with `transactionStats=`",
    "sessionStats": "sent only with `sessionStats=`",
}

EVENT = {
    "event.type": "emitted as `type`",
    "entries": "streams of their own",
    "release": "sent for a single event only; its version is in `tags`",
    "userReport": "sent for a single event only; see `project_feedback`",
    "sdkUpdates": "sent for a single event only",
    "resolvedWith": "sent for a single event only",
    "nextEventID": "sent for a single event only",
    "previousEventID": "sent for a single event only",
}

#: Why a documented field has no column, or a column is not documented.
EXPLAINED = {
    "organizations": {"disableNewVisibilityFeatures": "older servers only"},
    "organization_projects": PROJECT_ON_REQUEST,
    "organization_repositories": {"settings": "sent only with `expand=settings`"},
    "organization_members": {
        "role": "documented for `team_members` only",
        "roleName": "documented for `team_members` only",
    },
    "organization_monitors": {"type": "older servers only"},
    "organization_replays": {"clicks": "every click; their numbers are columns"},
    "organization_saved_queries": {"widths": "widths of columns on the screen"},
    "organization_workflows": {"organizationId": "the same as `organization_id`"},
    "organization_integrations": {
        "configData": "may hold credentials",
        "configOrganization": "the form in which it is configured",
        "organizationId": "the same as `organization_id`",
    },
    "repository_commits": {"releases": "documented for `release_commits` only"},
    "monitor_checkins": {
        "attachmentId": "older servers only",
        "groups": "sent only with `expand=groups`",
    },
    "team_projects": PROJECT_ON_REQUEST,
    "projects": {
        "organization": "sent by this undocumented list only",
        "stats": "sent only with `statsPeriod=`",
        "transactionStats": "sent only with `transactionStats=`",
        "sessionStats": "sent only with `sessionStats=`",
    },
    "project_keys": {
        "projectId": "the same as `project_id`",
        "secret": "a secret",
    },
    "project_service_hooks": {"secret": "a secret"},
    "project_inbound_filters": {"parts": "taken from `active` by the tap"},
    "project_issues": {
        "inbox": "sent only with `expand=inbox`",
        "integrationIssues": "sent only with `expand=integrationIssues`",
        "latestEventHasAttachments": "sent only with `expand=`",
        "owners": "sent only with `expand=owners`",
        "sentryAppIssues": "sent only with `expand=sentryAppIssues`",
        "sessionCount": "sent only with `expand=sessions`",
    },
    "project_events": EVENT,
    "issue_events": {**EVENT, "formatted": "sent only with `llmFormat=`"},
    "issue_links": {"issueId": "the same as `issue_id`"},
}


def main() -> None:
    """Exit with the differences that are not explained, or with 0."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit("\n".join(differences(spec)) or 0)


def differences(spec: dict[str, Any]) -> list[str]:
    """Return what a specification and the streams do not have in common."""
    # The facts are attributes of the classes, so no stream has to be made. A stream may
    # inherit all of them but its name.
    streams = {vars(stream)["name"]: stream for stream in STREAMS}
    problems = []
    for name, stream in streams.items():
        if name in OWN_ROWS:
            continue
        fields = documented(spec, name, stream)
        if name in UNDOCUMENTED:
            if fields:
                problems.append(f"{name}: documented, but listed as undocumented")
            continue
        columns = set(stream.schema["properties"])
        added = (columns & ADDED) - fields
        explained = set(EXPLAINED.get(name, {}))
        for found, text in (
            (fields - columns - explained, "documented, but no column"),
            (columns - fields - explained - added, "a column, but not documented"),
            (explained - (fields ^ columns), "explained, but no longer different"),
        ):
            problems += [f"{name}.{field}: {text}" for field in sorted(found)]
    strangers = {*EXPLAINED, *OWN_ROWS, *UNDOCUMENTED, *FULL_FORMS} - set(streams)
    return problems + [
        f"{name}: explained, but no stream" for name in sorted(strangers)
    ]


def documented(spec: dict[str, Any], name: str, stream: type[SentryStream]) -> set[str]:
    """Return the names of all documented fields of a stream's records."""
    if name == "projects":
        # The list itself is not documented, but teams hold the same projects.
        teams = record(spec, "/organizations/{organization}/teams/")
        projects = properties(spec, teams).get("projects", {})
        return set(properties(spec, projects.get("items", {})))
    fields: set[str] = set()
    for path in (stream.path, stream.fallback_path, FULL_FORMS.get(name)):
        if path:
            fields |= set(properties(spec, record(spec, path, stream.rows_field)))
    return fields


def record(
    spec: dict[str, Any], path: str, rows_field: str | None = None
) -> dict[str, Any]:
    """Return the schema of one record of a path; empty if it is not documented."""
    methods = next(
        (
            methods
            for documented, methods in spec["paths"].items()
            if nameless(documented) == nameless(f"/api/0{path}")
        ),
        {},
    )
    if not (operation := methods.get("get")):
        return {}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer = resolve(spec, answer)
    if rows_field:
        answer = resolve(spec, properties(spec, answer).get(rows_field, {}))
    found: dict[str, Any] = answer.get("items", answer)
    return found


def nameless(path: str) -> str:
    """Return a path without the names of its placeholders, which are not ours."""
    return re.sub(r"{\w+}", "{}", path)


def properties(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a schema and of all schemas that it is composed of."""
    schema = resolve(spec, schema)
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for way in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(way, ()):
            found |= properties(spec, part)
    return found


def resolve(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref`."""
    while "$ref" in schema:
        found = spec
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        schema = found
    return schema


if __name__ == "__main__":
    main()
