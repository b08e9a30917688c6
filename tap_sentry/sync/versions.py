"""Versions of full lists, by which loaders find what Sentry no longer lists.

https://hub.meltano.com/singer/docs/#activate-version-messages
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.singerlib import ActivateVersionMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk.mapper import StreamMap

    from tap_sentry.sync.results import Results
    from tap_sentry.sync.writer import SentryWriter


class VersionedStream(Protocol):
    """What a stream declares about its list."""

    @property
    def name(self) -> str:
        """The name of the stream."""

    @property
    def parent(self) -> VersionedStream | None:
        """The stream that it is a child of."""

    @property
    def stream_maps(self) -> Sequence[StreamMap]:
        """The maps that the user applies to it."""


class Versions:
    """Marks the records of full lists with a version, and activates it at the end.

    A loader that understands it then deletes rows of older versions, or marks them.
    """

    def __init__(self, writer: SentryWriter, results: Results, version: int) -> None:
        """Activate nothing yet.

        Args:
            writer: Writes the messages.
            results: What was skipped, and what the server lacks.
            version: The version of all lists of this run.
        """
        self._writer = writer
        self._results = results
        self._version = version
        #: The streams that have a version, with the names that they are written under.
        self._aliases: dict[str, list[str]] = {}

    def start(self, stream: VersionedStream) -> None:
        """Give the records of a stream the version of this run."""
        self._aliases[stream.name] = list(_aliases(stream))
        for name in self._aliases[stream.name]:
            self._writer.versions[name] = self._version

    def activate(self, stream: VersionedStream) -> None:
        """Activate the version of a stream, if it has one and all of it was read."""
        for name in self._aliases.get(stream.name, ()):
            if self._is_whole(stream):
                message = ActivateVersionMessage(stream=name, version=self._version)
                self._writer.write_message(message)

    def _is_whole(self, stream: VersionedStream) -> bool:
        """Return whether no part of the list, or of those above it, was skipped."""
        above: VersionedStream | None = stream
        while above is not None:
            if not self._results.is_whole(above.name):
                return False
            above = above.parent
        return True


def _aliases(stream: VersionedStream) -> Iterator[str]:
    """Yield the names under which the records of a stream are written."""
    for stream_map in stream.stream_maps:
        if not isinstance(stream_map, RemoveRecordTransform):
            yield stream_map.stream_alias
