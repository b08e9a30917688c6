"""What of the log reaches whoever reads it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import singer_sdk

from tap_sentry import errors

#: Where urllib3 tells what servers send.
TELLING = ("urllib3.connection", "urllib3.connectionpool")
SDK = str(Path(singer_sdk.__file__).parent)


@dataclass(frozen=True)
class TokenFilter(logging.Filter):
    """Blanks the token in what urllib3 logs, which may repeat what it was sent."""

    token: str

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without the token and without a traceback."""
        record.msg = errors.blanked(record.getMessage(), self.token)
        record.args = record.exc_info = None
        return True


def hide(token: str) -> None:
    """Show this token in no line of the log."""
    for name in TELLING:
        logging.getLogger(name).addFilter(TokenFilter(token))


def quiet() -> None:
    """Leave out what the SDK tells of its own steps."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a record is more than the SDK's account of its own steps."""
    return (
        record.levelno != logging.INFO
        or not record.pathname.startswith(SDK)
        or is_metric(record)
        or logging.getLogger().isEnabledFor(logging.DEBUG)
    )


def is_metric(record: logging.LogRecord) -> bool:
    """Whether a record is one of the SDK's metrics, which are for programs."""
    return record.name == "singer_sdk.metrics"
