"""Read the input files of the command line; report each mistake in one line."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from singer_sdk.singerlib import Catalog

from tap_sentry.records.bodies import clean
from tap_sentry.settings.errors import config_error

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from singer_sdk import Stream


class File(click.File):
    """A file option that logs one line for a file that cannot be opened."""

    def __init__(self, logger: logging.Logger) -> None:
        """Keep the logger for that line."""
        super().__init__()
        self._logger = logger

    def fail(
        self,
        message: str,
        param: click.Parameter | None = None,
        ctx: click.Context | None = None,
    ) -> NoReturn:
        """Exit with code 1; click's own code 2 means a wrong command line."""
        del ctx
        name = param.name if param else "input"
        self._logger.error("The %s file cannot be read: %s", name, message)
        sys.exit(1)


def read_object(file: IO[str] | None, what: str) -> Any:
    """Return the object in a catalog or state file; None for an empty file.

    Raises:
        ConfigValidationError: If it is not a JSON object.
    """
    if not file:
        return None
    try:
        text = file.read()
        if not text.strip():
            return None
        # Keys of the state are written again, and lone surrogates cannot be encoded.
        found = clean(json.loads(text))
    except (ValueError, RecursionError) as error:
        found, why = None, f"is not JSON that can be read ({error})"
    else:
        why = "does not contain a JSON object"
    if not isinstance(found, dict):
        msg = f"The {what} file {file.name} {why}"
        raise config_error(msg)
    return found


def read_catalog(file: IO[str] | None) -> Catalog | None:
    """Return the catalog in a file; None for an empty file.

    Raises:
        ConfigValidationError: If it is not a Singer catalog.
    """
    found = read_object(file, "catalog")
    try:
        return None if found is None else Catalog.from_dict(found)
    except (KeyError, TypeError, AttributeError, ValueError):
        msg = "The catalog file is not a Singer catalog: make one with --discover"
        raise config_error(msg) from None


def check_catalog(streams: Iterable[Stream]) -> None:
    """Check that a catalog has the key columns of every selected stream.

    Raises:
        ConfigValidationError: With a line for each stream that lacks some.
    """
    wrong = []
    for stream in streams:
        known = stream.effective_schema.get("properties") or {}
        lacking = [key for key in stream.primary_keys or () if key not in known]
        if lacking and (stream.selected or stream.has_selected_descendents):
            keys = ", ".join(lacking)
            wrong.append(
                f"The catalog lacks the key of {stream.name} ({keys}): make one with "
                "--discover"
            )
    if wrong:
        raise config_error(*wrong)
