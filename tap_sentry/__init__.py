"""Singer tap for Sentry: sentry.io, its regions and self-hosted servers."""
