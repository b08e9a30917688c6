#!/usr/bin/env python3
"""Compare the columns of each stream with the fields that Sentry documents.

    python scripts/compare_openapi.py openapi-derefed.json

The file is that of https://github.com/getsentry/sentry-api-schema. Prints the
differences that EXPLAINED does not list, and its entries that no longer apply; exits
with 1 if there are any.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tap_sentry.streams import STREAMS

PLACEHOLDERS = {
    "{organization}": "{organization_id_or_slug}",
    "{project}": "{project_id_or_slug}",
    "{team}": "{team_id_or_slug}",
    "{issue}": "{issue_id}",
}

#: Paths that document a record besides the stream's path and fallback path.
FULL_FORMS = {
    "project_events": "/projects/{organization}/{project}/events/{event_id}/",
    "issue_events": "/organizations/{organization}/issues/{issue}/events/{event_id}/",
}

#: Streams whose rows the tap makes itself; Sentry does not document such rows.
OWN_ROWS = {
    "organization_event_counts": "one row per interval of a series",
    "team_event_counts": "one row per interval of a series",
    "project_event_counts": "one row per interval of a series",
    "project_event_entries": "one row per item of `entries`, whose shape is open",
    "issue_event_entries": "one row per item of `entries`, whose shape is open",
}

ADDED = {
    "organization_id": "added by the tap",
    "project_id": "added by the tap",
    "team_id": "added by the tap",
    "issue_id": "added by the tap",
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
    "team_projects": PROJECT_ON_REQUEST,
    "projects": {
        "organization": "sent by this undocumented list only",
        "stats": "sent only with `statsPeriod=`",
        "transactionStats": "sent only with `transactionStats=`",
        "sessionStats": "sent only with `sessionStats=`",
    },
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
}


def main() -> None:
    """Exit with the differences that are not explained, or with 0."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # The facts are attributes of the classes, so no stream has to be made.
    streams = {facts["name"]: facts for facts in map(vars, STREAMS)}
    problems = []
    for name, facts in streams.items():
        if name in OWN_ROWS:
            continue
        fields = documented(spec, name, facts)
        columns = set(facts["schema"]["properties"])
        added = (columns & set(ADDED)) - fields
        explained = set(EXPLAINED.get(name, {}))
        for found, text in (
            (fields - columns - explained, "documented, but no column"),
            (columns - fields - explained - added, "a column, but not documented"),
            (explained - (fields ^ columns), "explained, but no longer different"),
        ):
            problems += [f"{name}.{field}: {text}" for field in sorted(found)]
    strangers = {*EXPLAINED, *OWN_ROWS, *FULL_FORMS} - set(streams)
    problems += [f"{name}: explained, but no stream" for name in sorted(strangers)]
    sys.exit("\n".join(problems) or 0)


def documented(spec: dict[str, Any], name: str, facts: Mapping[str, Any]) -> set[str]:
    """Return the names of all documented fields of a stream's records."""
    if name == "projects":
        # The list itself is not documented, but teams hold the same projects.
        teams = record(spec, "/organizations/{organization}/teams/")
        return set(properties(spec, properties(spec, teams)["projects"]["items"]))
    fields: set[str] = set()
    for path in (facts["path"], facts.get("fallback_path"), FULL_FORMS.get(name)):
        if path:
            fields |= set(properties(spec, record(spec, path)))
    return fields


def record(spec: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of one record of a path; empty if it is not documented."""
    for ours, theirs in PLACEHOLDERS.items():
        path = path.replace(ours, theirs)
    if not (operation := spec["paths"].get(f"/api/0{path}", {}).get("get")):
        return {}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer = resolve(spec, answer)
    found: dict[str, Any] = answer.get("items", answer)
    return found


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
