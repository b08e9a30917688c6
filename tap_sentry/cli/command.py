"""The command `tap-sentry`: its options, input files and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import IO, Any, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.tap_base import CliTestOptionValue

from tap_sentry.cli import inputs, logs
from tap_sentry.cli.about import EXPLAINED
from tap_sentry.cli.check import Check
from tap_sentry.cli.execution import STOP_SIGNALS, Execution, terminal
from tap_sentry.cli.plan import show
from tap_sentry.settings.errors import check_environment, config_error
from tap_sentry.settings.unknown import unknown_variables
from tap_sentry.tap import TapSentry

#: The key of the value of `--test` in the context of the command.
_TEST = "tap_sentry.test"


class TapCommand(TapSentry):  # noqa: D101 - the tap's
    # `--about` prints it as the description.
    __doc__ = TapSentry.__doc__

    @classmethod
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> Any:
        """Read the config files; report in one line what is wrong with them.

        This is the first method of the class that the command calls.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, cls._exit_on_signal)
        logs.quiet()
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            cls.logger.error("The config file cannot be read: %s", error)  # noqa: TRY400 - one line
            ctx.exit(1)

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Leave the test to `invoke`, which has the catalog and checks the settings."""
        del param
        ctx.meta[_TEST] = value

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command; it reports an unreadable file in one line."""
        command = super().get_singer_command()
        for param in command.params:
            if isinstance(param.type, click.File):
                param.type = inputs.File(cls.logger)
            if isinstance(param, click.Option) and param.name == "test":
                param.help = (
                    "Say whether token, scopes, organizations and projects are right. "
                    "Use --test=schema to write the SCHEMA messages."
                )
        plan = click.Option(
            ["--plan"],
            type=click.Choice(["table", "json"]),
            is_flag=False,
            flag_value="table",
            help="Estimate the records, requests and time of a run; write no records. "
            "Use --plan=json for a program.",
        )
        command.params.insert(-2, plan)
        return command

    @classmethod
    def _exit_on_signal(cls, number: int, frame: object) -> NoReturn:
        """Exit at once: nothing has been read yet."""
        del frame
        cls.logger.info("Stopped by %s", signal.Signals(number).name)
        sys.exit(128 + number)

    def _handle_termination(self, signum: int, frame: object) -> NoReturn:
        """Exit with 128 + n; the SDK exits with 0.

        The SDK installs this handler as soon as a tap is made.
        """
        self._exit_on_signal(signum, frame)

    @classmethod
    def invoke(  # type: ignore[override] # noqa: PLR0913 - as the SDK's own taps do
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        plan: str | None = None,
    ) -> None:
        """Run the tap, and exit with the code for its outcome."""
        if about:
            cls.print_about(about_format or EXPLAINED)
            return
        screen = terminal(cls.logger)
        try:
            tap = cls._make(config, state, catalog)
        except ConfigValidationError as error:
            # The SDK would add a last line that names no setting, and some
            # orchestrators show the last line only.
            for line in error.errors:
                cls.logger.error("%s", line)  # noqa: TRY400 - without a traceback
            sys.exit(1)
        if plan:
            sys.exit(show(tap, plan, click.echo))
        test = click.get_current_context().meta[_TEST]
        if test == CliTestOptionValue.Disabled.value:
            sys.exit(Execution(tap, screen).run())
        if test == CliTestOptionValue.Schema.value:
            tap.write_schemas()
            tap.run.writer.flush()
            return
        sys.exit(not Check(tap, click.echo).run())

    @classmethod
    def _make(
        cls, config: Any, state: IO[str] | None, catalog: IO[str] | None
    ) -> TapCommand:
        """Return the tap, after checking all input of the command line.

        Raises:
            ConfigValidationError: With a line for each mistake.
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
            raise config_error(msg) from None
        except ValueError:
            # The SDK parses numbers and objects in environment variables.
            check_environment(cls.name, cls.config_jsonschema["properties"])
            raise
        if config and config.parse_env:
            check_environment(cls.name, cls.config_jsonschema["properties"])
            for line in unknown_variables(os.environ, cls.name, cls.setting_names()):
                cls.logger.warning("%s", line)
        inputs.check_catalog(tap.streams.values())
        return tap
