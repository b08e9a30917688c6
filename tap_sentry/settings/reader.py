"""Check the type and the range of single settings."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tap_sentry import windows
from tap_sentry.settings.explore import parse_queries
from tap_sentry.settings.names import name_in_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_sentry.settings.explore import Query

_T = TypeVar("_T")

#: Longer durations than ten years are refused.
LONGEST = 3650 * windows.DAY


class SettingReader:
    """Reads one setting after the other and collects the errors."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.errors: list[str] = []

    def token(self) -> str:
        """Return the token; its value is never part of a message."""
        value = self.config["auth_token"]
        if not isinstance(value, str) or not (token := value.strip()):
            self.errors.append("auth_token must be a string with a Sentry auth token")
            return ""
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            self.errors.append("auth_token has characters that no Sentry token has")
            return ""
        return token

    def text(self, name: str) -> str | None:
        """Return a text; None if it is not set."""
        value = self.config[name]
        if value is None or isinstance(value, str):
            return value
        self.errors.append(f"{name} must be a string, not {_kind(value)}")
        return None

    def read(
        self, name: str, parse: Callable[[str], _T], default: _T | None = None
    ) -> _T | None:
        """Return a text as `parse` reads it; a text that it rejects is an error."""
        text = self.text(name)
        if text is None:
            return default
        if not text.strip():
            self.errors.append(f"{name} must not be empty")
            return default
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            self.errors.append(f"{name}: {error}")
            return default

    def bundle_of_environment(self) -> str | None:
        """Return the file that the environment names, which `Session.send` ignores."""
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if path := os.environ.get(variable):
                if not Path(path).exists():
                    self.errors.append(f"{variable}: there is no file {path}")
                return path
        return None

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        value = self.config[name]
        if not isinstance(value, bool):
            self.errors.append(f"{name} must be true or false, not {_kind(value)}")
        return value is True

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self.config[name]
        if not isinstance(value, int) or isinstance(value, bool):
            self.errors.append(f"{name} must be a whole number, not {_kind(value)}")
        elif not low <= value <= high:
            self.errors.append(f"{name} must be from {low} to {high}, not {value}")
        else:
            return value
        return low

    def duration(self, name: str) -> timedelta:
        """Return a duration such as `1h`."""
        found = self.read(name, windows.parse_duration) or timedelta()
        if found > LONGEST:
            self.errors.append(f"{name} is longer than Sentry keeps anything")
        return min(found, LONGEST)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        value = self.text(name)
        if value in allowed:
            return value or ""
        self.errors.append(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return allowed[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, none of them empty."""
        value = self.config[name]
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            self.errors.append(f"{name} must be a list, not {_kind(value)}")
            return ()
        for item in value:
            if not isinstance(item, str) or not item.strip(" !"):
                what = "an empty one" if isinstance(item, str) else _kind(item)
                self.errors.append(
                    f"{name} must contain non-empty strings only, not {what}"
                )
                return ()
        return tuple(item.strip() for item in value)

    def choices(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return some of the allowed words, in the order of `allowed`."""
        values = self.texts(name)
        for value in values:
            if value not in allowed:
                self.errors.append(
                    f"{name} may contain {', '.join(allowed)}, not {value!r}"
                )
        if not values and not self.errors:
            self.errors.append(f"{name} must name one of {', '.join(allowed)}")
        return tuple(word for word in allowed if word in values)

    def queries(self, name: str) -> tuple[Query, ...]:
        """Return the tables of `explore`."""
        queries, errors = parse_queries(self.config[name])
        self.errors += errors
        return queries

    def names(self, name: str, place: str) -> tuple[str, ...]:
        """Return slugs, ids or globs; a pasted URL stands for the name in it."""
        names = []
        for text in self.texts(name):
            mark, bare = ("!", text[1:].strip()) if text[0] == "!" else ("", text)
            found = name_in_url(bare, place) if "/" in bare else bare
            if found is None:
                self.errors.append(f"{name}: there is no name in the URL {bare!r}")
            else:
                names.append(mark + found)
        return tuple(names)


def _kind(value: object) -> str:
    """Describe the type of a wrong value in terms of JSON, without the value."""
    words = {str: "a string", bool: "true or false", int: "a number", float: "a number"}
    words |= {list: "a list", dict: "an object"}
    if value == "":
        return "an empty string"
    return words.get(type(value), "nothing")


def parse_bundle(text: str) -> str:
    """Return the path of a file with certificates."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # there is no such user
        path = path.expanduser()
    if not path.exists():
        msg = f"there is no file {text}"
        raise ValueError(msg)
    return str(path)
