"""Tables that a user defines: the rows and figures of Sentry's Explore.

https://docs.sentry.io/api/explore/query-explore-events-in-table-format/
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tap_sentry.api import errors
from tap_sentry.api.responses import read_body
from tap_sentry.records import bodies
from tap_sentry.records.columns import Projection
from tap_sentry.settings.explore import ADDED, INTERVAL_START, Column, Query
from tap_sentry.streams.intervals import IntervalStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.projects import OrganizationProjects
from tap_sentry.streams.schema import (
    ORGANIZATION_ID,
    boolean,
    date,
    integer,
    key,
    key_date,
    number,
    schema_of,
    text,
)
from tap_sentry.sync.directory import id_and_slug
from tap_sentry.windows import DAY, Window, floor, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import requests
    from singer_sdk import Tap

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context

#: The field of an answer that says whether Sentry has looked at all data.
SCANNED = "dataScanned"
#: Sentry returns no rows beyond about 10,000 and does not say so.
DEEPEST = 9_000
COLUMNS = {
    "string": text,
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "date-time": date,
}


class ExploreTable(IntervalStream):
    """A table of the setting `explore`: one query for each organization.

    https://docs.sentry.io/api/explore/query-explore-events-in-table-format/
    """

    path = "/organizations/{organization}/events/"
    parent_stream_type = Organizations
    rows_field = "data"
    scopes = ("org:read",)
    is_optional = True
    many_rows = DEEPEST

    def __init__(self, tap: Tap, run: Run, query: Query) -> None:
        """Prepare the columns of a query."""
        self.explored = query
        self.name = query.stream
        super().__init__(tap, run)
        self.primary_keys = query.keys
        # What other streams add, such as `issue_id`, may be a column of the table.
        self.project = Projection(self.schema, self.renamed, ADDED)

    @property
    def params(self) -> Mapping[str, Any]:  # type: ignore[override] # by the query
        """The dataset, which each page names."""
        return {"dataset": self.explored.dataset}

    @property
    def renamed(self) -> Mapping[str, str]:  # type: ignore[override] # by the query
        """The columns by Sentry's name of the field."""
        return {column.field: column.name for column in self.explored.columns}

    def query(self, part: Window) -> Mapping[str, Any]:
        """Return the parameters of a window."""
        return {
            **super().query(part),
            "query": self.explored.search,
            "field": [column.field for column in self.explored.columns],
            "sort": self.explored.order,
        }

    def validate_response(self, response: requests.Response) -> None:
        """Raise the exception that matches the response status.

        Sentry sends 404 without a body to organizations whose plan lacks a dataset. It
        says nothing of other organizations and datasets.
        """
        if response.status_code == HTTPStatus.NOT_FOUND and not response.content:
            at = errors.place(response.request)
            dataset = self.explored.dataset
            msg = f"GET {at}: status 404, the plan or server lacks {dataset}"
            raise errors.ForbiddenError(
                msg, self.needed_scopes, is_unavailable_feature=True
            )
        super().validate_response(response)

    def decode(self, body: bytes) -> list[Row]:
        """Decode the rows of a response; figures come with what they are made from."""
        rows = super().decode(body)
        if rows and any("(" in name for name in rows[0]):
            meta = bodies.object_fields(bodies.decode_row(body).get("meta"))
            rows[0][SCANNED] = meta.get(SCANNED)
        return rows

    @property
    def is_restricted(self) -> bool:
        """Whether a setting selects projects."""
        chosen = (self.run.settings.projects, self.explored.projects)
        return any(names.included or names.excluded for names in chosen)

    def projects(self, context: Context) -> tuple[str, ...]:
        """Return the projects that the settings select; empty for all."""
        if not self.is_restricted:
            return ()
        organization = {"organization_id": context["organization_id"]}
        names = map(id_and_slug, self.run.directory.rows("project", organization))
        return tuple(
            found for found, slug in names if self.explored.projects.match(found, slug)
        )

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the rows of the window, if there are projects to read."""
        if self.projects(context) or not self.is_restricted:
            yield from super().records(context)

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the lists of the parts, once the projects are known."""
        every = self.sibling(OrganizationProjects)
        while self.is_restricted and not every.is_read(context):
            yield None
        if self.projects(context) or not self.is_restricted:
            yield from super().prefetches(context)

    def warn_of_cut(self, context: Context, part: Window, project: str) -> None:
        """Say that some rows of a project may be missing."""
        self.logger.warning(
            "%s: %s has more rows from %s on than Sentry sends, some may be missing",
            self.name,
            self.run.directory.describe({**context, "project_id": project}),
            to_text(part.start),
        )


class ExploreFigures(ExploreTable):
    """A table of figures: one record for each group and interval."""

    replication_key = INTERVAL_START

    def __init__(self, tap: Tap, run: Run, query: Query) -> None:
        """Read interval by interval."""
        super().__init__(tap, run, query)
        self.interval = query.interval or DAY

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The columns of the table. What it is grouped by is text, never null."""
        return schema_of(
            ORGANIZATION_ID,
            key_date(INTERVAL_START, "When the interval begins, in UTC."),
            *(
                (COLUMNS[column.type] if column.is_function else key)(
                    column.name, described(column)
                )
                for column in self.explored.columns
            ),
        )

    def parse_response(self, response: requests.Response) -> Iterator[Row]:
        """Yield the figures of a response."""
        for sent in read_body(response, self.decode):
            row = self.project(sent) | {SCANNED: sent.get(SCANNED)}
            for column in self.explored.columns:
                value = row.get(column.name)
                if not column.is_function and bodies.decode_value(value) is None:
                    row[column.name] = ""
            yield row

    def read_part(
        self, context: Context, part: Window, projects: tuple[str, ...]
    ) -> Iterator[tuple[Window, list[Row]]]:
        """Yield the figures of an interval."""
        rows = self.rows_of(context, part, projects)
        scanned = [bodies.decode_value(row.pop(SCANNED)) for row in rows]
        if "partial" in scanned:
            self.run.results.add_sampled(self.name)
        for row in rows:
            row[INTERVAL_START] = to_text(floor(part.start, self.interval))
        yield part, rows


def described(column: Column) -> str:
    """Return the description of a column: the field that it holds."""
    return f"Sentry's `{column.field}`."[:100]
