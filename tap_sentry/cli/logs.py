"""Filter the log lines that the SDK writes about its own steps."""

from __future__ import annotations

import logging
from pathlib import Path

import singer_sdk

#: The folder of the SDK's modules.
SDK = str(Path(singer_sdk.__file__).parent)


def quiet() -> None:
    """Hide the log lines that the SDK writes about its own steps."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_relevant)


def is_relevant(record: logging.LogRecord) -> bool:
    """Return whether a log record is more than the SDK's account of its steps."""
    return (
        record.levelno != logging.INFO
        or not record.pathname.startswith(SDK)
        or is_metric(record)
        or logging.getLogger().isEnabledFor(logging.DEBUG)
    )


def is_metric(record: logging.LogRecord) -> bool:
    """Return whether a log record is one of the SDK's metrics, meant for programs."""
    return record.name == "singer_sdk.metrics"
