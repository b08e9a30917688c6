"""Run the command: `python -m tap_sentry` is the same as `tap-sentry`."""

import gc


def main() -> None:
    """Run the command line."""
    # Modules stay in memory. Collecting garbage while importing them takes a fifth of
    # the time of a start.
    gc.disable()
    from tap_sentry.cli.command import TapCommand  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    TapCommand.cli()


if __name__ == "__main__":
    main()
