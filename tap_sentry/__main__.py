"""`python -m tap_sentry` is the same as `tap-sentry`."""

import gc


def main() -> None:
    """Run the command line."""
    # What is imported stays: to look for garbage in it is a fifth of a start.
    gc.disable()
    from tap_sentry.tap import TapSentry  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    TapSentry.cli()


if __name__ == "__main__":
    main()
