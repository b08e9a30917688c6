"""Which endpoints a server has, as far as its responses have shown."""

from __future__ import annotations


class Endpoints:
    """The path templates that a server has answered, and those that it lacks."""

    def __init__(self) -> None:
        """Start without any."""
        self.missing: set[str] = set()
        #: What the server answered instead.
        self.reasons: dict[str, str] = {}
        #: Missing endpoints that do answer, but in an unexpected shape.
        self.unexpected: set[str] = set()
        #: Those that count accepted events only and ignore `groupBy`.
        self.ungrouped: set[str] = set()
        #: Those that failed at first, so that their fallback was tried.
        self.tried: set[str] = set()
        #: The scopes that gave access to each path that was answered.
        self._answered: dict[str, tuple[str, ...]] = {}

    def add_answer(self, path: str, scopes: tuple[str, ...]) -> None:
        """Record that a path was answered; the token then has one of these scopes."""
        self._answered[path] = scopes

    def has_answered(self, path: str) -> bool:
        """Return whether the server has answered a path in this run."""
        return path in self._answered

    @property
    def has_any(self) -> bool:
        """Return whether the server has answered any path."""
        return bool(self._answered)

    @property
    def scopes_seen(self) -> set[tuple[str, ...]]:
        """The scopes of all paths that were answered."""
        return set(self._answered.values())

    def current(self, path: str, fallback: str | None) -> str:
        """Return the path to use: the fallback where the server lacks `path`."""
        return fallback if fallback and path in self.missing else path
