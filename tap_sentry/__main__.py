"""Run the command: `python -m tap_sentry` is the same as `tap-sentry`."""

import gc


def main() -> None:
    """Run the command line."""
    # Imported modules are never freed, and collecting garbage during the imports takes
    # a fifth of the startup time.
    gc.disable()
    from tap_sentry.cli.command import TapCommand  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    TapCommand.cli()


if __name__ == "__main__":
    main()
