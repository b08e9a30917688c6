"""The tap: what a run shares, how it starts and how it ends."""

from __future__ import annotations

import functools
import gc
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar
from urllib.parse import urlsplit

import click
import requests
from singer_sdk import Tap
from singer_sdk.exceptions import (
    ConfigValidationError,
    FatalAPIError,
    MappingError,
    SingerSDKError,
)
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue

from tap_sentry import errors, inputs, logs, settings, summary
from tap_sentry.about import EXPLAINED
from tap_sentry.access import Access
from tap_sentry.check import Check
from tap_sentry.client import SentryStream
from tap_sentry.connection import BearerToken, ServerSession
from tap_sentry.fetching import Fetcher
from tap_sentry.lookahead import LookAhead
from tap_sentry.named import NamedStream
from tap_sentry.state import Bookmarks, load
from tap_sentry.streams import STREAMS
from tap_sentry.summary import Skipped, Summary
from tap_sentry.writer import SentryWriter, StateLines, UnwritableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_sentry.client import Context
    from tap_sentry.progress import Terminal

S = TypeVar("S", bound="SentryStream")


class TapSentry(Tap):
    """Extracts what Sentry knows: issues, events, feedback, users and event counts."""

    name = "tap-sentry"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS.to_dict()

    # Without batches: their files would bypass selection and stream maps.
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
        """Check the settings; nothing is sent before the first stream is read."""
        #: The upper bound of everything that this run reads, unless `end_date` is.
        self.started_at = now().replace(microsecond=0)
        self.summary = Summary()
        self.writer = SentryWriter()
        #: Ends a run that was told to end and cannot.
        self._deadline: threading.Timer | None = None
        #: Paths that this server turned out to lack, and those of them that answer in
        #: a shape that is not understood.
        self.missing_endpoints: set[str] = set()
        self.unexpected_endpoints: set[str] = set()
        #: Paths that failed at first, so that their fallback was looked at.
        self.tried_endpoints: set[str] = set()
        #: Paths that it has answered.
        self.answering_endpoints: set[str] = set()
        self._slugs: dict[tuple[str, str], str] = {}
        self.access = Access(self)
        if validate_config:
            inputs.check_token(config or {})
        super().__init__(
            config=config,
            validate_config=validate_config,
            message_writer=self.writer,
            **options,
        )
        if validate_config:
            # Wrong settings are told before anything is asked for.
            self._warn_of_plain_http(self.settings.api_url)

    def _warn_of_plain_http(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            is_here = parts.hostname == "localhost"
        if parts.scheme == "http" and not is_here:
            self.logger.warning(
                "api_url is plain http: anyone on the way to %s can read the token",
                parts.hostname,
            )

    def discover_streams(self) -> Sequence[SentryStream]:
        """One stream per report."""
        return [stream(self) for stream in STREAMS]

    @functools.cached_property
    def settings(self) -> settings.Settings:
        """The settings, resolved against the start of the run.

        Raises:
            ConfigValidationError: If they are wrong.
        """
        try:
            return settings.resolve(self.config, self.started_at)
        except settings.BadSettings as error:
            raise inputs.refusal(*error.errors) from None

    # What the streams share -----------------------------------------------------------

    @functools.cached_property
    def fetcher(self) -> Fetcher:
        """Sends the requests of all streams."""
        return Fetcher(
            self.settings.concurrency, self.logger, waiting=self.writer.waiting
        )

    @functools.cached_property
    def ahead(self) -> LookAhead:
        """Starts lists before they are needed."""
        ahead = LookAhead(self.fetcher.budget)
        self.fetcher.meanwhile = ahead.top_up
        return ahead

    @functools.cached_property
    def session(self) -> ServerSession:
        """The connections to the server."""
        return ServerSession(self.settings)

    @functools.cached_property
    def request(self) -> requests.PreparedRequest:
        """A request for the address of the API: all others are copies of it."""
        agent = f"{self.name}/{self.plugin_version}"
        own = {"Accept": "application/json", "User-Agent": agent}
        return requests.Request(
            "GET",
            f"{self.settings.api_url}/api/0",
            headers={**requests.utils.default_headers(), **own},
            auth=self.authenticator,
        ).prepare()

    @functools.cached_property
    def authenticator(self) -> BearerToken:
        """Adds the token to a request."""
        return BearerToken(self.settings.auth_token)

    @functools.cached_property
    def bookmarks(self) -> Bookmarks:
        """Where each stream is."""
        return Bookmarks(
            self.state.setdefault("bookmarks", {}), self.state_writer.changed
        )

    @functools.cached_property
    def state_writer(self) -> StateLines:  # type: ignore[override] # by intent
        """Writes STATE lines, when they are due."""
        return StateLines(self.writer)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what is usable of the state that was passed in."""
        if state:
            latest = self.started_at + self.settings.lookback
            loaded = load(state, self.logger, latest=latest)
            self.state["bookmarks"] = loaded

    def checkpoint(self) -> None:
        """All rows so far are written: a good place for a STATE line."""
        self.state_writer.write_state(dict(self.state))

    def organization_is_done(self, organization: str) -> None:
        """All projects of an organization were read, with all below them."""
        for stream in self.streams.values():
            if isinstance(stream, SentryStream):
                stream.organization_is_done(organization)

    def stream(self, kind: type[S]) -> S:
        """The stream of a class."""
        return next(one for one in self.streams.values() if type(one) is kind)

    @property
    def organization_ids(self) -> list[str]:
        """The organizations of this run, as far as they have been read."""
        return [key for kind, key in self._slugs if kind == "organization"]

    @property
    def known_names(self) -> Counter[str]:
        """How many organizations, projects and teams are known by now."""
        return Counter(kind for kind, _ in list(self._slugs))

    @property
    def reports(self) -> list[SentryStream]:
        """The streams, parents before their children."""
        return [self.stream(kind) for kind in STREAMS]

    def knows(self, kind: str, key: str, slug: str) -> None:
        """Remember the slug of an organization, project or team."""
        self._slugs[kind, key] = slug

    def names(self, context: Context) -> dict[str, str]:
        """What stands in the paths of requests for the ids of a context."""
        names = {}
        for column, key in context.items():
            kind = column.removesuffix("_id")
            names[kind] = self._slugs.get((kind, str(key)), str(key))
        return names

    def check_names(self, organizations: list[str]) -> None:
        """Tell wrong names in the settings before anything is written."""
        for stream in self.streams.values():
            if isinstance(stream, NamedStream) and (
                stream.selected or stream.has_selected_descendents
            ):
                stream.check_names(organizations)

    # What goes wrong ------------------------------------------------------------------

    def skip(
        self,
        stream: SentryStream,
        context: Context | None,
        reason: str,
        *,
        is_refusal: bool = False,
        is_unavailable: bool = False,
    ) -> None:
        """Leave out one project, team or issue and report it; or stop.

        Raises:
            FatalAPIError: If nothing can be read without it, or nothing may be skipped.
        """
        what = self.describe(context)
        if stream.is_essential:
            msg = f"{stream.name} cannot be read: {reason}"
            if not self.answering_endpoints:
                msg += "; see that api_url is the address of a Sentry"
            raise FatalAPIError(msg)
        if self.settings.strict:
            msg = f"{stream.name} cannot read {what}: {reason} (strict is on)"
            raise FatalAPIError(msg)
        self.summary.skip(
            Skipped(stream.name, what, reason, is_refusal, is_unavailable)
        )

    def describe(self, context: Context | None) -> str:
        """The slugs of a context, for a message."""
        names = self.names(context or {})
        return " ".join(f"{kind} {name}" for kind, name in names.items()) or "its list"

    def endpoint_is_missing(
        self, stream: SentryStream, path: str, error: Exception
    ) -> None:
        """Remember that this server lacks an endpoint, and say so once.

        Nothing is amiss as long as a fallback gives the same records.
        """
        self.missing_endpoints.add(path)
        instead = stream.current_path
        level = logging.INFO if instead != path else logging.WARNING
        msg = "This server does not have %s (%s)%s"
        if isinstance(error, errors.UnexpectedJSONError):
            self.unexpected_endpoints.add(path)
            msg = "The answers of %s are not understood (%s)%s"
        self.logger.log(
            level,
            msg,
            path,
            errors.reason(error),
            f": {instead} is read instead" if instead != path else "",
        )

    # The command line -----------------------------------------------------------------

    @classmethod
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> Any:
        """Read the config files; say in a line what is wrong with them.

        This is the first of the tap that the command runs.
        """
        for number in STOPPING:
            signal.signal(number, cls._end)
        logs.quiet()
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            cls.logger.error("The config file cannot be read: %s", error)  # noqa: TRY400 - one line
            ctx.exit(1)

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Leave it to `invoke`, which knows the catalog and tells wrong settings."""
        del param
        ctx.meta[TEST] = value

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command; says in a line which file cannot be opened."""
        command = super().get_singer_command()
        for param in command.params:
            if isinstance(param.type, click.File):
                param.type = inputs.File(cls.logger)
            if isinstance(param, click.Option) and param.name == "test":
                param.help = (
                    "Say whether token, scopes, organizations and projects are right. "
                    "Use --test=schema to write the SCHEMA messages."
                )
        return command

    @classmethod
    def _end(cls, number: int, frame: object) -> NoReturn:
        """End at once: nothing is read yet."""
        del frame
        cls.logger.info("Stopped by %s", signal.Signals(number).name)
        sys.exit(128 + number)

    def _handle_termination(self, signum: int, frame: object) -> NoReturn:
        """End with a code that tells the truth; the SDK's is 0.

        It lets itself be told of signals as soon as there is a tap.
        """
        self._end(signum, frame)

    @classmethod
    def invoke(  # type: ignore[override] # as the SDK's own taps do
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap and end with a code that tells the truth."""
        if about:
            cls.print_about(about_format or EXPLAINED)
            return
        terminal = cls._terminal()
        try:
            tap = cls._started(config, state, catalog)
        except ConfigValidationError as error:
            # The SDK would add a line that names no setting; some show the last only.
            for line in error.errors:
                cls.logger.error("%s", line)  # noqa: TRY400 - without a traceback
            sys.exit(1)
        test = click.get_current_context().meta[TEST]
        if test == CliTestOptionValue.Disabled.value:
            sys.exit(tap.run(terminal))
        if test == CliTestOptionValue.Schema.value:
            tap.write_schemas()
            tap.writer.flush()
            return
        sys.exit(not Check(tap, click.echo).run())

    @classmethod
    def _started(
        cls, config: Any, state: IO[str] | None, catalog: IO[str] | None
    ) -> TapSentry:
        """The tap, with all that the command line gives it checked.

        Raises:
            ConfigValidationError: With a line for each thing that is wrong.
        """
        try:
            tap = cls(
                config=config.config if config else {},
                parse_env_config=bool(config and config.parse_env),
                state=inputs.read_object(state, "state"),
                catalog=inputs.read_catalog(catalog),
            )
        except MappingError as error:
            msg = f"stream_maps: {error}"
            raise inputs.refusal(msg) from None
        except ValueError:
            # The SDK reads numbers and objects in variables of the environment.
            inputs.check_environment(cls)
            raise
        if config and config.parse_env:
            inputs.check_environment(cls)
        inputs.check_catalog(tap.streams.values())
        return tap

    @classmethod
    def _terminal(cls) -> Terminal | None:
        """The terminal that somebody follows the run on, if there is one."""
        if not (sys.stderr.isatty() and cls.logger.isEnabledFor(logging.INFO)):
            return None
        # It takes a while to import.
        from tap_sentry.progress import Terminal  # noqa: PLC0415 - see above

        return Terminal()

    def run(self, terminal: Terminal | None = None) -> int:
        """Sync everything; the code to end with. On a terminal, show how far it is.

        0: every slice was read, or skipped and listed beside others that were read.
        1: an error, or a stream of which no part could be read. 128 + n: signal n.
        """
        for number in STOPPING:
            signal.signal(number, self._on_signal)
        # Pages under way are many objects that live for a while: by default they are
        # looked through again and again.
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("The catalog selects no stream: nothing is read")
        started = time.monotonic()
        try:
            with terminal.progress(self) if terminal else nullcontext():
                end = self._sync()
            self.fetcher.close()
            self.summary.log(self.logger)
            self._tell(terminal, time.monotonic() - started)
            self.write_final_state()
        except UnwritableError as error:
            return self._give_up(error)
        finally:
            # Nothing is left to be stopped but Python itself.
            for number in STOPPING:
                signal.signal(number, signal.SIG_IGN)
            if self._deadline:
                self._deadline.cancel()
        # Last, for `meltano config test` shows the last line.
        failed = self._failed()
        for stream, reason in failed.items():
            self.logger.error(
                "%s returned no records: no part of it could be read (%s)",
                stream,
                reason,
            )
        if end.text:
            self.logger.log(end.level, "%s", end.text)
        return end.code or int(bool(failed))

    def _failed(self) -> dict[str, str]:
        """Streams that returned nothing because all of it failed, and the first why.

        What was written before a part broke off is something.
        """
        records = {stream.name: stream.meters[0].records for stream in self.reports}
        failed = self.summary.failed
        return {name: why for name, why in failed.items() if not records[name]}

    def _sync(self) -> _End:
        """Sync everything, and say how that ended.

        Raises:
            UnwritableError: If lines cannot be written.
        """
        try:
            try:
                self.sync_all()
            finally:
                self.writer.finish()
        except _Stopped as stopped:
            message = f"Stopped by {signal.Signals(stopped.number).name}"
            return _End(128 + stopped.number, logging.INFO, message)
        except (SingerSDKError, requests.RequestException) as error:
            return _End(1, logging.ERROR, errors.reason(error))
        except UnwritableError:
            raise
        except Exception as error:
            self.logger.debug("Where it happened", exc_info=True)
            said = errors.blanked(str(error), self.settings.auth_token)
            message = (
                f"A defect of tap-sentry ({type(error).__name__}: {said}). Please "
                "report it with what TAP_SENTRY_LOGLEVEL=debug prints"
            )
            return _End(1, logging.CRITICAL, message)
        return _End(0)

    def _tell(self, terminal: Terminal | None, seconds: float) -> None:
        """Tell what was read: as a table on a terminal, else a line for each stream."""
        lines = summary.lines(self)
        lines.append(summary.total(self, lines, seconds))
        if terminal:
            terminal.tell(lines)
            return
        for line in lines:
            self.logger.info("%s", line)

    def _give_up(self, error: UnwritableError) -> int:
        """End: nobody reads what is left to write."""
        self.logger.error("%s", error)
        # Python would complain when it cannot flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1

    def _on_signal(self, number: int, frame: object) -> None:
        """End the run, but not within a line; unless nobody reads that line."""
        del frame
        if self._deadline is None:
            self._deadline = threading.Timer(PATIENCE, os._exit, [128 + number])
            self._deadline.daemon = True
            self._deadline.start()
        self.writer.stop(_Stopped(number))

    def write_final_state(self) -> None:
        """Write what was completed."""
        self.state_writer.write_state(dict(self.state), is_final=True)
        self.writer.flush()


#: Where the value of `--test` is kept until the tap is made.
TEST = "tap_sentry.test"
STOPPING = (signal.SIGTERM, signal.SIGINT)
#: Seconds that a target has to take what is left, once a signal has come.
PATIENCE = 4.0


@dataclass(frozen=True)
class _End:
    """How a run ended."""

    code: int = 0
    level: int = logging.INFO
    text: str = ""


class _Stopped(BaseException):
    """A signal ends the run."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def now() -> datetime:
    """The instant of the call."""
    return datetime.now(UTC)
