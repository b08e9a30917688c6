"""What the command line is given: what is wrong with it is told in one line."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.singerlib import Catalog

if TYPE_CHECKING:
    import logging


class File(click.File):
    """A file of the command line; one that cannot be opened is told in a line."""

    def __init__(self, logger: logging.Logger) -> None:
        """Keep where it is told."""
        super().__init__()
        self._logger = logger

    def fail(
        self,
        message: str,
        param: click.Parameter | None = None,
        ctx: click.Context | None = None,
    ) -> NoReturn:
        """End with code 1: 2 would be a wrong command line."""
        del ctx
        name = param.name if param else "input"
        self._logger.error("The %s file cannot be read: %s", name, message)
        sys.exit(1)


def read_object(file: IO[str] | None, what: str) -> Any:
    """The object in a catalog or state file; None for an empty file.

    Raises:
        ConfigValidationError: If it is not JSON, or no object.
    """
    if not file:
        return None
    try:
        text = file.read()
        if not text.strip():
            return None
        found = json.loads(text)
    except ValueError as error:
        found, why = None, f"is not JSON ({error})"
    else:
        why = "does not hold an object"
    if not isinstance(found, dict):
        msg = f"The {what} file {file.name} {why}"
        raise ConfigValidationError(msg, errors=[msg], schema={})
    return found


def read_catalog(file: IO[str] | None) -> Catalog | None:
    """The catalog in a file; None for an empty one.

    Raises:
        ConfigValidationError: If it is no Singer catalog.
    """
    found = read_object(file, "catalog")
    try:
        return None if found is None else Catalog.from_dict(found)
    except (KeyError, TypeError, AttributeError, ValueError):
        msg = "The catalog file holds no Singer catalog: make one with --discover"
        raise ConfigValidationError(msg, errors=[msg], schema={}) from None


def check_token(config: object) -> None:
    """Check the token before the SDK does, whose message would print it."""
    token = config.get("auth_token") if isinstance(config, dict) else None
    if token is not None and not isinstance(token, str):
        msg = "The settings are wrong"
        raise ConfigValidationError(
            msg,
            errors=["auth_token must be a text with a Sentry auth token"],
            schema={},
        )
