"""The SDK's REST stream, whose state and metrics do not grow with its contexts."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from singer_sdk import metrics
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.streams.rest import RESTStream

from tap_sentry.records import bodies
from tap_sentry.sync.metrics import StreamCounter, StreamTimer
from tap_sentry.sync.state import NoStateManager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_sentry.records.bodies import Row

    Context = Mapping[str, Any]


S = TypeVar("S", bound="SingerStream")


class SingerStream(RESTStream[str]):
    """Leaves the state to the tap, and counts and logs once for all contexts.

    The SDK keeps one partition of the state, two metrics and several log lines for
    each context, which can be thousands.
    """

    # Values come from JSON, and rows are reduced to the declared columns already.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    # Without partitioning keys the SDK adds no context keys to records either;
    # `post_process` does.
    state_partitioning_keys = ()
    ignore_parent_replication_key = False

    #: Whether a list without a replication key is read in part only.
    is_partial: ClassVar[bool] = False

    #: The stream that this one is a child of.
    parent: SingerStream | None = None

    def on_failed(self, context: Context) -> None:
        """Hook: a context could not be read; the next run tries again."""

    def on_siblings_synced(self, context: Context) -> None:
        """Hook: all streams with the same parent have been synced in a context."""

    def on_parents_synced(self, context: Context) -> None:
        """Hook: all rows of the parent's list have been synced."""

    def sibling(self, kind: type[S]) -> S:
        """Return the stream of a class that has the same parent."""
        siblings = self.parent.child_streams if self.parent else ()
        return next(stream for stream in siblings if type(stream) is kind)

    @property
    def replication_method(self) -> str:
        """FULL_TABLE without a replication key, regardless of the catalog."""
        return super().replication_method if self.replication_key else "FULL_TABLE"

    @property
    def is_read_whole(self) -> bool:
        """Whether each run writes all records of the list."""
        is_full = self.replication_method == "FULL_TABLE" and not self.is_partial
        return self.selected and is_full

    @property
    def emit_activate_version_messages(self) -> bool:
        """False: the SDK would activate a version for each context."""
        return False

    @property
    def state_manager(self) -> NoStateManager:  # type: ignore[override] # keeps none
        """A state manager that does nothing: the tap keeps its own state."""
        return NoStateManager()

    def get_replication_key_signpost(
        self, context: Mapping[str, Any] | None = None
    ) -> None:
        """Return no signpost: the start of the run bounds each window."""
        del context

    def log(
        self, message: str, *args: Any, level: int = logging.INFO, **options: Any
    ) -> None:
        """Log the SDK's lines about contexts and errors at DEBUG.

        There is one line per context, and the tap reports errors itself.
        """
        is_sdk = level in {logging.INFO, logging.ERROR}
        super().log(message, *args, level=logging.DEBUG if is_sdk else level, **options)

    def log_sync_costs(self) -> None:
        """Log the metrics; the SDK calls this after all streams have been read.

        A stream whose parent has no rows writes its SCHEMA, so that its table exists.
        """
        super().log_sync_costs()
        if self.selected and self.parent and not self.metrics[0].contexts:
            self.sync()
        if self.selected or self.has_selected_descendents:
            for metric in self.metrics:
                metric.end()

    @functools.cached_property
    def metrics(self) -> tuple[StreamCounter, StreamTimer]:
        """One counter and one timer for all contexts, which can be thousands."""
        tags = {metrics.Tag.STREAM: self.name}
        return (
            StreamCounter(metrics.Metric.RECORD_COUNT, tags),
            StreamTimer(metrics.Metric.SYNC_DURATION, {**tags}),
        )

    def get_record_counter(self, **options: Any) -> StreamCounter:
        """Return the counter of all contexts."""
        del options
        return self.metrics[0]

    def get_sync_timer(self) -> StreamTimer:
        """Return the timer of all contexts."""
        return self.metrics[1]

    @functools.cached_property
    def needs_decoding(self) -> bool:
        """Whether the SDK reads the values of rows instead of only copying them."""
        config = self.config
        return (
            bool(config.get("stream_maps") or config.get("flattening_enabled"))
            # The catalog deselects a part of a column.
            or any(
                not selected and len(breadcrumb) > len(("properties", "column"))
                for breadcrumb, selected in self.mask.items()
            )
        )

    @functools.cached_property
    def columns_not_in_catalog(self) -> frozenset[str]:
        """The columns that the user's catalog does not have."""
        known = self.effective_schema.get("properties") or {}
        return frozenset(self.schema["properties"]) - frozenset(known)

    def post_process(self, row: Row, context: Context | None = None) -> Row | None:
        """Add the ids of the context, and decode values that the SDK reads."""
        row = {**(context or {}), **row}
        for column in self.columns_not_in_catalog:
            row.pop(column, None)
        return bodies.decode_values(row) if self.needs_decoding else row
