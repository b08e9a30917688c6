"""What belongs to an issue: activities, comments, tags, hashes and links."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.records.dates import instant_of
from tap_sentry.streams.issue_children import IssueList
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    PROJECT_ID,
    boolean,
    date,
    integer,
    json,
    jsons,
    key,
    number,
    person,
    schema_of,
    text,
)
from tap_sentry.windows import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Tap

    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context
    from tap_sentry.sync.state import Scan

#: The most activities of an issue that Sentry sends, newest first.
MOST_ACTIVITIES = 100

ISSUE_KEY = key("issue_id", "Id of the issue.")
ACTIVITY_COLUMNS = (
    ISSUE_KEY,
    PROJECT_ID,
    key("id", "Id of the activity; `0` for the first event of the issue."),
    date("dateCreated", "When it was done."),
    person("user", "Who did it; null if Sentry did."),
)


class IssueActivities(IssueList):
    """An activity of an issue: something done to it, such as resolving it.

    https://docs.sentry.io/api/events/retrieve-an-issue/
    """

    name = "issue_activities"
    path = "/organizations/{organization}/issues/{issue}/activities/"
    fallback_path = "/issues/{issue}/"
    primary_keys = ("organization_id", "issue_id", "id")
    replication_key = "dateCreated"
    rows_field = "activity"
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        *ACTIVITY_COLUMNS,
        text("type", "What was done, such as `set_resolved`, `assigned` or `note`."),
        json(
            "data", "Details, by type: the text of a comment, the assignee and others."
        ),
    )

    def __init__(self, tap: Tap, run: Run) -> None:
        """Start without activities."""
        super().__init__(tap, run)
        #: The activities of the project's issues, kept for the stream of comments.
        self.kept: dict[object, list[Row]] = {}

    @functools.cached_property
    def is_kept(self) -> bool:
        """Whether the stream of comments takes its rows from here."""
        return self.selected and self.sibling(IssueComments).selected

    def decode(self, body: bytes) -> list[Row]:
        """Decode the activities of an issue.

        Raises:
            MissingEndpointError: If the server sends an issue without its activities,
                as GlitchTip does.
        """
        try:
            return super().decode(body)
        except bodies.UnexpectedShapeError:
            if "id" in bodies.decode_row(body):
                msg = "its issues have no field `activity`"
                raise errors.MissingEndpointError(msg) from None
            raise

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the activities of a project's issues."""
        self.kept.clear()
        return super().records(context)

    def wanted(self, rows: list[Row], context: Context) -> list[Row]:
        """Return the activities between the dates of the settings."""
        if len(rows) < MOST_ACTIVITIES:
            if self.is_kept:
                self.kept[context["issue_id"]] = rows
        elif self.is_cut_short(rows, context):
            self.run.results.add_cut(self.name)
        return super().wanted(rows, context)

    def is_cut_short(self, rows: list[Row], context: Context) -> bool:
        """Return whether all rows are newer than the last visit of all issues."""
        start = self.run.settings.start or BEGINNING
        organization = str(context["organization_id"])
        last = self.run.bookmarks.refreshed(self.name, organization)
        if last is not None and self.saves_state:
            start = max(start, last - self.run.settings.lookback)
        dates = [instant_of(row, self.replication_key) for row in rows]
        return all(date is None or date >= start for date in dates)


class IssueComments(IssueList):
    """A comment on an issue.

    https://docs.sentry.io/api/events/retrieve-an-issue/
    """

    name = "issue_comments"
    path = "/organizations/{organization}/issues/{issue}/notes/"
    # Old servers have this name of the list too, and GlitchTip has no other.
    fallback_path = "/issues/{issue}/comments/"
    primary_keys = ("organization_id", "issue_id", "id")
    replication_key = "dateCreated"
    is_paged = True
    schema = schema_of(
        ORGANIZATION_ID,
        *ACTIVITY_COLUMNS,
        text("text", "The comment, in Markdown."),
        jsons("mentions", "The users and teams that it mentions; null on old servers."),
    )

    @property
    def row_schema(self) -> Mapping[str, Any]:
        """The columns of an activity: comments are activities of a type."""
        return IssueActivities.schema

    @property
    def has_own_requests(self) -> bool:
        """Whether the activities are not read for another stream anyway."""
        return not self.sibling(IssueActivities).is_kept

    def read(
        self, context: Context, scan: Scan
    ) -> Iterator[tuple[list[Row], Scan | None]]:
        """Yield the comments on an issue; the activities have them too."""
        rows = self.sibling(IssueActivities).kept.pop(context["issue_id"], None)
        if rows is None:
            yield from super().read(context, scan)
        else:
            kinds = (bodies.decode_value(row.get("type")) for row in rows)
            notes = [
                row for row, kind in zip(rows, kinds, strict=True) if kind == "note"
            ]
            yield self.wanted(notes, context), None

    def records_of(self, row: Row, context: Context) -> Iterable[Row]:
        """Yield a comment without what all comments have in common."""
        del context
        row.pop("type", None)
        data = bodies.object_fields(row.pop("data", None))
        mentions = data.get("mentions")
        row["text"] = bodies.decode_value(data.get("text"))
        row["mentions"] = None if mentions is None else bodies.array_objects(mentions)
        yield row


class IssueTags(IssueList):
    """A key of tags that events of an issue have, with its most frequent values.

    https://docs.sentry.io/api/events/retrieve-tag-details/
    """

    name = "issue_tags"
    path = "/organizations/{organization}/issues/{issue}/tags/"
    fallback_path = "/issues/{issue}/tags/"
    primary_keys = ("organization_id", "issue_id", "key")
    id_column = "key"
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_ID,
        ISSUE_KEY,
        key("key", "The key, such as `environment`."),
        text("name", "The key in words."),
        integer("totalValues", "Events of the issue with this tag."),
        integer("uniqueValues", "Number of different values; null on newer servers."),
        jsons("topValues", "The most frequent values: name, value, count and dates."),
    )


class IssueHashes(IssueList):
    """A hash by which events are grouped into an issue.

    https://docs.sentry.io/api/events/list-an-issues-hashes/
    """

    name = "issue_hashes"
    path = "/organizations/{organization}/issues/{issue}/hashes/"
    fallback_path = "/issues/{issue}/hashes/"
    primary_keys = ("organization_id", "issue_id", "id")
    is_paged = True
    # Any other value makes Sentry send whole events.
    params: ClassVar = {"full": ""}
    fallback_params: ClassVar = {"full": ""}
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_ID,
        ISSUE_KEY,
        key("id", "The hash."),
        json("latestEvent", "The newest event with this hash, in short."),
        boolean("mergedBySeer", "Whether Seer put it here; null on old servers."),
        number("seerMatchDistance", "How far it is from its issue; null as a rule."),
    )


class IssueLinks(IssueList):
    """A link from an issue to a ticket in another system.

    https://docs.sentry.io/api/integration/retrieve-custom-integration-issue-links-for-the-given-sentry-issue/
    """

    name = "issue_links"
    path = "/organizations/{organization}/issues/{issue}/external-issues/"
    fallback_path = "/issues/{issue}/external-issues/"
    primary_keys = ("organization_id", "issue_id", "id")
    page_size_name = None
    schema = schema_of(
        ORGANIZATION_ID,
        PROJECT_ID,
        ISSUE_KEY,
        key("id", "Id of the link."),
        text("serviceType", "The system, such as `linear`."),
        text("displayName", "The name of the ticket there."),
        text("webUrl", "The address of the ticket."),
    )
