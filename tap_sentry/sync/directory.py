"""The organizations, projects and teams of a run, by id and slug."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tap_sentry.records.bodies import decode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_sentry.records.bodies import Row

    Context = Mapping[str, Any]


class Directory:
    """Maps ids to slugs, and holds the lists that several streams need.

    The context of a stream holds ids only, because it becomes part of the state and of
    the records. Paths take slugs, which old servers require.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._slugs: dict[tuple[str, str], str] = {}
        self._readers: dict[str, Callable[[Context | None], list[Row]]] = {}

    def add(self, kind: str, key: str, slug: str) -> None:
        """Record the slug of an organization, project or team."""
        self._slugs[kind, key] = slug

    def ids(self, kind: str) -> list[str]:
        """Return the ids of a kind that have been added so far."""
        return [key for one, key in self._slugs if one == kind]

    @property
    def counts(self) -> Counter[str]:
        """The number of each kind that has been added so far."""
        return Counter(kind for kind, _ in list(self._slugs))

    def path_names(self, context: Context) -> dict[str, str]:
        """Return the slug for each id of a context, or the id if no slug is known."""
        names = {}
        for column, key in context.items():
            kind = column.rpartition("_")[0]
            names[kind] = self._slugs.get((kind, str(key)), str(key))
        return names

    def describe(self, context: Context) -> str:
        """Name the objects of a context for a message."""
        names = self.path_names(context)
        return " ".join(f"{kind} {name}" for kind, name in names.items()) or "its list"

    def read_with(
        self, kind: str, reader: Callable[[Context | None], list[Row]]
    ) -> None:
        """Set how the list of a kind is read in a context."""
        self._readers[kind] = reader

    def rows(self, kind: str, context: Context | None = None) -> list[Row]:
        """Return the list of a kind in a context; its stream reads it once a run."""
        return self._readers[kind](context)


def id_and_slug(row: Row, column: str = "id") -> tuple[str, str]:
    """Return a row's id, read from `column`, and its slug, or the id if it has none."""
    key = str(decode_value(row[column]))
    return key, str(decode_value(row.get("slug")) or key)
