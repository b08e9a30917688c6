"""User feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sentry.answers import (
    Answer,
    RefusalError,
    reply,
    written,
)
from tests.sentry.endpoints import PAGED, endpoint
from tests.sentry.lists import shaped, values

if TYPE_CHECKING:
    from tests.sentry.calls import Call
    from tests.sentry.data.objects import (
        Feedback,
    )
    from tests.sentry.world import World


@endpoint("projects/{org}/{project}/user-feedback/", "project:read", f"{PAGED} status")
def feedback(sentry: World, call: Call) -> Answer:
    status = call.one("status", "unresolved")
    if status not in {"", "unresolved"}:
        raise RefusalError(reply({"status": "Invalid status choice"}, 400))
    kept = sentry.kept(None)
    rows = [
        row
        for row in call.project.feedback
        if row.issue and not (kept and row.created < kept)
    ]
    rows.sort(key=lambda row: row.created, reverse=True)

    def write(row: Feedback) -> bytes:
        if status and not (row.issue and row.issue.status == status):
            return b""  # filtered after paging, so pages can be short
        issue = row.issue and shaped(sentry, "issue", row.issue.record())
        return written(row.record() | {"issue": issue})

    return values(sentry, call, rows, write, lambda row: row.created)
