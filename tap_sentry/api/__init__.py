"""Sentry's Web API over HTTP; nothing here depends on Singer."""
