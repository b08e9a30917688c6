"""Tests of tap-sentry."""
