"""What the command line is given: what is wrong with it is told in one line."""

from __future__ import annotations

import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.singerlib import Catalog

from tap_sentry import records

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Mapping

    from singer_sdk import Stream, Tap


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


def refusal(*lines: str) -> ConfigValidationError:
    """What the tap ends with before it starts: a line for each thing that is wrong."""
    return ConfigValidationError("; ".join(lines), errors=[*lines], schema={})


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
        # Keys of a state are written again, which a lone surrogate cannot be.
        found = records.clean(json.loads(text))
    except (ValueError, RecursionError) as error:
        found, why = None, f"is not JSON that can be read ({error})"
    else:
        why = "does not hold an object"
    if not isinstance(found, dict):
        msg = f"The {what} file {file.name} {why}"
        raise refusal(msg)
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
        raise refusal(msg) from None


def check_token(config: object) -> None:
    """Check the token before the SDK does, whose message would print it."""
    token = config.get("auth_token") if isinstance(config, dict) else None
    if token is not None and not isinstance(token, str):
        msg = "auth_token must be a text with a Sentry auth token"
        raise refusal(msg)


def check_environment(tap: type[Tap]) -> None:
    """Check the variables of the environment that hold settings.

    The SDK takes whatever is not true for false, and does not say which variable holds
    no number.

    Raises:
        ConfigValidationError: With a line for each variable that is wrong.
    """
    wrong = []
    for name, schema in tap.config_jsonschema["properties"].items():
        variable = f"{tap.name}_{name}".upper().replace("-", "_")
        kinds = {kind for kind in schema.get("type", ()) if kind in READ}
        if variable not in os.environ:
            continue
        for what, read in map(READ.__getitem__, kinds):
            try:
                read(os.environ[variable])
            except (ValueError, KeyError, RecursionError):
                wrong.append(f"{variable} must be {what}, not {os.environ[variable]!r}")
    if wrong:
        raise refusal(*wrong)


#: What the SDK takes for true, and what everybody means by false.
BOOLEANS = dict.fromkeys(("true", "1", "yes", "on"), True)
BOOLEANS |= dict.fromkeys(("false", "0", "no", "off"), False)
#: What a variable holds for a setting of a type, and how it is read.
READ: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "boolean": ("true or false", lambda text: BOOLEANS[text.lower()]),
    "integer": ("a whole number", int),
    "object": ("an object in JSON", lambda text: dict(json.loads(text))),
}


def check_catalog(streams: Iterable[Stream]) -> None:
    """Check that a catalog knows the columns that rows are told apart by.

    Raises:
        ConfigValidationError: With a line for each stream whose keys it lacks.
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
        raise refusal(*wrong)
