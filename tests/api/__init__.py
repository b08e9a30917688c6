"""Sentry over HTTP: requests, limits, pages and errors."""
