"""Spans and logs, which the server keeps as plain rows."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from tests.sentry.data.events import Record
    from tests.sentry.data.objects import Organization, Project

OPERATIONS = ("db", "http.client", "ui.render")
SEVERITIES = ("info", "warn", "error")


def explore_of(
    organizations: Iterable[Organization], now: datetime
) -> dict[str, list[Record]]:
    """Build a few spans and logs for each project, by dataset."""
    projects = [row for organization in organizations for row in organization.projects]
    return {
        "spans": [row for project in projects for row in spans(project, now)],
        "logs": [row for project in projects for row in logs(project, now)],
    }


def spans(project: Project, now: datetime) -> Iterator[Record]:
    """Yield spans; each third has no customer, and two share a microsecond."""
    for number in range(12):
        yield {
            **common(project, "span", number, now),
            "id": digest(project, "span", number)[:16],
            "span.op": OPERATIONS[number % 3],
            "span.description": f"step {number}" if number % 4 else None,
            "span.duration": 12.5 * (number + 1),
            "transaction": f"/orbits/{number % 2}/",
            "environment": "production" if number % 5 else "staging",
            "tags[customer,string]": f"customer {number % 2}" if number % 3 else None,
            "tags[retries,number]": float(number % 4),
        }


def logs(project: Project, now: datetime) -> Iterator[Record]:
    """Yield logs; each fourth belongs to no span."""
    for number in range(8):
        yield {
            **common(project, "log", number, now),
            "sentry.item_id": digest(project, "log", number),
            "span_id": digest(project, "span", number)[:16] if number % 4 else None,
            "severity": SEVERITIES[number % 3],
            "severity_number": 9 + 4 * (number % 3),
            "message": f"Valve {number} is open \N{SNOWMAN}",
            "environment": "production",
        }


def common(project: Project, kind: str, number: int, now: datetime) -> Record:
    """Return the columns of both; four rows in a row share a second."""
    age = timedelta(hours=6 * (number // 4) + 1)
    second = now.replace(microsecond=0) - age
    return {
        "trace": digest(project, kind, number // 4),
        "timestamp": second + timedelta(microseconds=1001 * (number % 4 // 2)),
        "project": project.slug,
        "organization": project.organization.slug,
    }


def digest(project: Project, kind: str, number: int) -> str:
    """Return 32 hexadecimal digits that are the same every time."""
    text = f"{project.id} {kind} {number}".encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()
