"""Report invalid settings, each in one line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def config_error(*lines: str) -> ConfigValidationError:
    """Return the error that ends a run before it starts, with a line per mistake."""
    return ConfigValidationError("; ".join(lines), errors=[*lines], schema={})


def check_token(config: object) -> None:
    """Check the token before the SDK does, whose message would print it.

    Raises:
        ConfigValidationError: If it is not a text.
    """
    token = config.get("auth_token") if isinstance(config, dict) else None
    if token is not None and not isinstance(token, str):
        msg = "auth_token must be a string with a Sentry auth token"
        raise config_error(msg)


def check_environment(prefix: str, properties: Mapping[str, Any]) -> None:
    """Check the environment variables that hold settings.

    The SDK reads an unrecognized boolean as false, and its error for a number that
    cannot be parsed does not name the variable.

    Args:
        prefix: What the names of the variables begin with.
        properties: The JSON schema of each setting.

    Raises:
        ConfigValidationError: With a line for each invalid variable.
    """
    wrong = []
    for name, schema in properties.items():
        variable = f"{prefix}_{name}".upper().replace("-", "_")
        kinds = {kind for kind in schema.get("type", ()) if kind in _PARSERS}
        if variable not in os.environ:
            continue
        for what, parse in map(_PARSERS.__getitem__, kinds):
            try:
                parse(os.environ[variable])
            except (ValueError, KeyError, RecursionError):
                wrong.append(f"{variable} must be {what}, not {os.environ[variable]!r}")
    if wrong:
        raise config_error(*wrong)


#: The words that the SDK reads as true, and the usual words for false.
_BOOLEANS = dict.fromkeys(("true", "1", "yes", "on"), True)
_BOOLEANS |= dict.fromkeys(("false", "0", "no", "off"), False)
#: For each type: what a variable must hold, and how it is parsed.
_PARSERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "boolean": ("true or false", lambda text: _BOOLEANS[text.lower()]),
    "integer": ("a whole number", int),
    "object": ("an object in JSON", lambda text: dict(json.loads(text))),
}
