"""Lists of what has a slug: settings name their rows, and other lists hang on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from singer_sdk.exceptions import FatalAPIError

from tap_sentry import records
from tap_sentry.client import SentryStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_sentry.client import Context
    from tap_sentry.lookahead import Want
    from tap_sentry.records import Row
    from tap_sentry.settings import Names
    from tap_sentry.tap import TapSentry


class NamedStream(SentryStream):
    """A list of what has a slug, which the settings name and other lists hang on."""

    is_essential = True

    #: `project` or `team`; its plural is the setting.
    kind: ClassVar[str]

    def __init__(self, tap: TapSentry) -> None:
        """Remember the lists that were read: several streams need them."""
        super().__init__(tap)
        self._rows: dict[str, list[Row]] = {}
        #: Ids and slugs of all rows so far, whatever the setting lets through.
        self.names: list[tuple[str, str]] = []
        #: The organization that is being read.
        self._current: str | None = None

    @property
    def named(self) -> Names:
        """What the setting names."""
        named: Names = getattr(self.tap.settings, f"{self.kind}s")
        return named

    def check_names(self, organizations: Iterable[str]) -> None:
        """Read the lists of all organizations if names have to be found in them.

        Raises:
            FatalAPIError: If the setting names what none of them has.
        """
        if not self.named.included:
            return
        for organization in organizations:
            self.rows_of(organization)
        if unknown := self.named.unmatched(self.names):
            msg = (
                f"The setting {self.kind}s names {', '.join(unknown)}, which no "
                f"{self.kind} of the organizations of this run fits"
            )
            raise FatalAPIError(msg)

    def rows_of(self, organization: str) -> list[Row]:
        """The rows of an organization that the setting lets through, read once."""
        if organization not in self._rows:
            rows = list(self.rows({"organization_id": organization}))
            self.names += [id_and_slug(row) for row in rows]
            self._rows[organization] = self.note(rows)
        return self._rows[organization]

    def note(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that the setting lets through, their slugs made known."""
        named = [row for row in rows if self.named.match(*id_and_slug(row))]
        for row in named:
            self.tap.knows(self.kind, *id_and_slug(row))
        return named

    def get_records(self, context: Context | None) -> Iterable[Row]:
        """The rows that the setting lets through."""
        with self.skipping(context):
            self._current = str((context or {})["organization_id"])
            rows = self.rows_of(self._current)
            contexts = [self.get_child_context(row, context) for row in rows]
            with self.tap.ahead.over(map(self.child_wants, contexts)) as done:
                for row in rows:
                    yield row
                    done()

    def wants(self, context: Context) -> Iterator[Want | None]:
        """The list, unless it is read already; then what hangs on its rows."""
        organization = str(context["organization_id"])
        want = self.want({"organization_id": organization})
        if organization not in self._rows:
            yield want
        while organization not in self._rows and self.tap.ahead.peek(want.key) is None:
            yield None
        rows = self._rows.get(organization) or self.tap.ahead.peek(want.key) or []
        for row in self.note(rows):
            for wants in self.child_wants(self.get_child_context(row, context)):
                for child in wants:
                    if organization == self._current:
                        # The rows have plans of their own now.
                        return
                    yield child

    def get_child_context(self, record: Row, context: Context | None) -> Context:
        """The ids alone: slugs can change."""
        return {**(context or {}), f"{self.kind}_id": id_and_slug(record)[0]}


def id_and_slug(row: Row) -> tuple[str, str]:
    """What an organization, project or team is known by."""
    key = str(records.value(row["id"]))
    return key, str(records.value(row.get("slug")) or key)
