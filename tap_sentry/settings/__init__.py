"""What a user may configure, and what it means."""

from tap_sentry.settings.names import Names
from tap_sentry.settings.resolve import BadSettings, Settings, resolve
from tap_sentry.settings.schema import RESOLUTIONS, SETTINGS, STATS

__all__ = [
    "RESOLUTIONS",
    "SETTINGS",
    "STATS",
    "BadSettings",
    "Names",
    "Settings",
    "resolve",
]
