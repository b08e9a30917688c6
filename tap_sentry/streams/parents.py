"""Lists whose rows other lists belong to, such as those of organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.exceptions import FatalAPIError

from tap_sentry.settings import Names
from tap_sentry.streams.base import SentryStream
from tap_sentry.sync.directory import id_and_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap

    from tap_sentry.api.prefetch import Prefetch
    from tap_sentry.records.bodies import Row
    from tap_sentry.run import Run
    from tap_sentry.streams.base import Context

    Key = tuple[Any, ...]


class ParentStream(SentryStream):
    """A list that is read once, and whose rows are the parents of other lists."""

    #: What a row is. It names the row in the paths (`{project}`) and the contexts
    #: (`project_id`) of the children.
    kind: ClassVar[str]
    #: The column that identifies a row there, such as `id` or `version`.
    key_column: ClassVar[str] = "id"
    #: The setting that selects rows, if there is one.
    setting: ClassVar[str | None] = None

    def __init__(self, tap: Tap, run: Run) -> None:
        """Register the list in the directory."""
        super().__init__(tap, run)
        self._rows: dict[Key, list[Row]] = {}
        #: Ids and slugs of all rows, whether the setting selects them or not.
        self._names: dict[Key, list[tuple[str, str]]] = {}
        #: The context that is being read, and the row whose children are being synced.
        self._current: Key | None = None
        run.directory.read_with(self.kind, self.rows_of)

    @property
    def selection(self) -> Names:
        """The rows that the setting selects."""
        if self.setting is None:
            return Names()
        selection: Names = getattr(self.run.settings, self.setting)
        return selection

    def rows_of(self, context: Context | None) -> list[Row]:
        """Return the selected rows of a context; they are read once."""
        key = key_of(context)
        if key not in self._rows:
            rows = self.read_all(context)
            self._names[key] = [self.identify(row) for row in rows]
            self._rows[key] = self.select(rows)
        return self._rows[key]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Ids and slugs of all rows so far, whether the setting selects them or not."""
        return [name for names in self._names.values() for name in names]

    def ids_of(self, context: Context | None) -> list[str]:
        """Return the ids of all rows of a context, selected or not."""
        self.rows_of(context)
        return [found for found, _ in self._names[key_of(context)]]

    def is_read(self, context: Context | None) -> bool:
        """Return whether the list of a context has been read."""
        return key_of(context) in self._rows

    def identify(self, row: Row) -> tuple[str, str]:
        """Return id and slug of a row."""
        return id_and_slug(row, self.key_column)

    def read_all(self, context: Context | None) -> list[Row]:
        """Read the list of a context."""
        return list(self.rows(context))

    def is_kept(self, row: Row) -> bool:
        """Return whether a row is written and has children, if it is selected."""
        del row
        return True

    def select(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that the setting selects, and add them to the directory."""
        selected = [
            row
            for row in rows
            if self.is_kept(row) and self.selection.match(*self.identify(row))
        ]
        for row in selected:
            self.run.directory.add(self.kind, *self.identify(row))
        return selected

    def check_names(self, contexts: Iterable[Context]) -> None:
        """Read the lists of all contexts, if the setting names rows of them.

        Raises:
            FatalAPIError: If the setting names what none of the lists has.
        """
        if not self.selection.included:
            return
        for context in contexts:
            self.rows_of(context)
        if unknown := self.selection.unmatched(self.names):
            msg = (
                f"The setting {self.setting} names {', '.join(unknown)}, which no "
                f"{self.kind} of the organizations of this run fits"
            )
            raise FatalAPIError(msg)

    def records(self, context: Context) -> Iterable[Row]:
        """Yield the selected rows; the SDK syncs the children of each."""
        self._current = key_of(context)
        rows = self.rows_of(context)
        contexts = [self.get_child_context(row, context) for row in rows]
        for child in self._children_in_use:
            if isinstance(child, ParentStream):
                child.check_names(contexts)
        plans = (self._prefetches_below(row, context) for row in rows)
        with self.run.client.prefetcher.over(plans) as done:
            for row, below in zip(rows, contexts, strict=True):
                self.current_row = row
                yield row
                for child in self._children_in_use:
                    child.on_siblings_synced(below)
                self.on_row_synced(row)
                done()
        for child in self._children_in_use:
            child.on_parents_synced(context)

    def on_row_synced(self, row: Row) -> None:
        """Hook: the children of a row have been synced."""

    def get_child_context(self, record: Row, context: Context | None) -> Context:
        """Return the ids alone: slugs can change."""
        name = f"{self.kind}_{self.key_column}"
        return {**(context or {}), name: self.identify(record)[0]}

    def prefetches(self, context: Context) -> Iterator[Prefetch | None]:
        """Yield the list unless it has been read, then the lists below its rows."""
        key = key_of(context)
        if key not in self._rows:
            yield self.reader.prefetch(context)
        while key not in self._rows and self.reader.peek(context) is None:
            yield None
        rows = self._rows.get(key) or self.reader.peek(context) or []
        for row in self.select(rows):
            for plan in self._prefetches_below(row, context):
                for prefetch in plan:
                    if key == self._current:
                        # Each row has a partition of its own by now.
                        return
                    yield prefetch

    @property
    def _children_in_use(self) -> list[SentryStream]:
        return [
            child
            for child in self.child_streams
            if isinstance(child, SentryStream)
            and (child.selected or child.has_selected_descendents)
        ]

    def _prefetches_below(
        self, row: Row, context: Context | None
    ) -> list[Iterator[Prefetch | None]]:
        """Return the lists that the children in use will read below a row, in order."""
        below = self.get_child_context(row, context)
        children = self._children_in_use
        visiting = [child for child in children if child.visits(row, below)]
        plans = [
            *((child, child.prefetches(below)) for child in visiting),
            *((child, child.later_prefetches(below)) for child in visiting),
        ]
        return [child.reader.once_verified(plan) for child, plan in plans]


def key_of(context: Context | None) -> Key:
    """Return the ids of a context, by which its rows are kept."""
    return tuple((context or {}).values())
