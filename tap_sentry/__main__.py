"""`python -m tap_sentry` is the same as `tap-sentry`."""

from tap_sentry.tap import TapSentry

TapSentry.cli()
