"""The tap: its settings, its streams and its state."""

from __future__ import annotations

import functools
import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from singer_sdk import Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib import Catalog

from tap_sentry.run import Run
from tap_sentry.settings import SETTINGS, BadSettings, Settings, resolve
from tap_sentry.settings.errors import check_token, config_error
from tap_sentry.settings.explore import parse_queries
from tap_sentry.settings.unknown import unknown_maps, unknown_settings, unknown_streams
from tap_sentry.streams import STREAMS
from tap_sentry.streams.explore import ExploreFigures
from tap_sentry.streams.explore_rows import ExploreRows
from tap_sentry.streams.organizations import Organizations
from tap_sentry.sync.state import load, synced_later
from tap_sentry.windows import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_sentry.streams.base import SentryStream
    from tap_sentry.sync.writer import StateLines


class TapSentry(Tap):
    """Extracts issues, events, releases, alerts, usage and more from Sentry."""

    name = "tap-sentry"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS.to_dict()

    # No batches: their files would bypass selection and stream maps.
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        TapCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(
        self,
        *,
        config: dict[str, Any] | None = None,
        validate_config: bool = True,
        **options: Any,
    ) -> None:
        """Check the settings; nothing is requested before the first stream is read."""
        #: The upper bound of everything that this run reads, unless `end_date` is set.
        self.started_at = now().replace(microsecond=0)
        #: What the streams of this run share.
        self.run = Run(self._resolve, f"{self.name}/{self.plugin_version}", self.logger)
        if validate_config:
            check_token(config or {})
        super().__init__(
            config=config,
            validate_config=validate_config,
            message_writer=self.run.writer,
            **options,
        )
        self.run.state = self.state  # type: ignore[assignment] # a dict
        if validate_config:
            # Resolving the settings reports invalid ones before anything is requested.
            self._warn_about_plain_http(self.run.settings.api_url)
            for stream in self.sentry_streams:
                if self.run.settings.activate_versions and stream.is_read_whole:
                    self.run.versions.start(stream)
            # The deselected streams of another version's catalog are nobody's concern.
            foreign = [
                name
                for name, entry in self.catalog.items()
                if name not in self.streams and entry.metadata.resolve_selection()[()]
            ]
            for line in (
                *unknown_settings(self.config, self.setting_names()),
                *unknown_streams(foreign, self.streams),
                *unknown_maps(self.config.get("stream_maps") or {}, self.streams),
            ):
                self.logger.warning("%s", line)

    @classmethod
    def setting_names(cls) -> list[str]:
        """Return the names of all settings, those of the SDK included."""
        schema = {**cls.config_jsonschema}
        schema["properties"] = {**schema["properties"]}
        cls.append_builtin_config(schema)
        return list(schema["properties"])

    def setup_mapper(self) -> None:
        """Apply stream maps to selected streams only.

        A stream that is not selected has no columns, not even those of its key. The SDK
        would report the missing key as a mistake in the stream's map.
        """
        PluginBase.setup_mapper(self)
        selected = {
            name: entry
            for name, entry in self.catalog.items()
            if name in self.streams and self.streams[name].selected
        }
        self.mapper.register_raw_streams_from_catalog(Catalog(selected))
        maps, self.mapper.stream_maps_dict = self.mapper.stream_maps_dict, {}
        for name in self.streams.keys() - selected.keys():
            self.mapper.register_raw_stream_schema(name, {}, ())
        self.mapper.stream_maps_dict = maps

    def _resolve(self) -> Settings:
        """Resolve the settings against the start of the run.

        Raises:
            ConfigValidationError: If they are invalid.
        """
        try:
            return resolve(self.config, self.started_at)
        except BadSettings as error:
            raise config_error(*error.errors) from None

    def _warn_about_plain_http(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            is_local = ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            is_local = parts.hostname == "localhost"
        if parts.scheme == "http" and not is_local:
            self.logger.warning(
                "api_url is plain http: anyone on the way to %s can read the token",
                parts.hostname,
            )

    def discover_streams(self) -> Sequence[SentryStream]:
        """Return all streams, parents before their children."""
        made: dict[type, SentryStream] = {}
        for kind in STREAMS:
            made[kind] = kind(self, self.run)
            if kind.parent_stream_type:
                made[kind].parent = made[kind.parent_stream_type]
        tables = [
            (ExploreFigures if query.interval else ExploreRows)(self, self.run, query)
            for query in parse_queries(self.config.get("explore"))[0]
        ]
        for table in tables:
            table.parent = made[Organizations]
        return [*made.values(), *tables]

    @property
    def sentry_streams(self) -> list[SentryStream]:
        """The streams, parents before their children."""
        order = {kind: number for number, kind in enumerate(STREAMS)}
        return sorted(
            self.streams.values(),  # type: ignore[arg-type] # all are ours
            key=lambda stream: order.get(type(stream), len(order)),
        )

    @functools.cached_property
    def state_writer(self) -> StateLines:  # type: ignore[override] # by intent
        """Writes STATE lines when they are due."""
        return self.run.state_lines

    def load_state(self, state: dict[str, Any]) -> None:
        """Keep the usable bookmarks of the state that was passed in."""
        if state:
            latest = self.started_at + self.run.settings.lookback
            bookmarks = load(state, self.logger, latest=latest)
            self.state["bookmarks"] = bookmarks
            start = self.run.settings.start
            if start and (later := synced_later(bookmarks, start)):
                self.logger.info(
                    "start_date (%s) is earlier than the first sync of %s: the state "
                    "wins, and older records are not read",
                    to_text(start),
                    ", ".join(later),
                )


def now() -> datetime:
    """Return the current instant."""
    return datetime.now(UTC)
