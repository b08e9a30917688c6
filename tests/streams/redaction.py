"""Find secrets in what a server sends, and in what the tap writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Fields that hold credentials.
CREDENTIALS = {"secret", "clientSecret", "securityToken", "token", "configData"}
#: Fields of an account that concern its user alone.
SETTINGS = {"emails", "options", "flags", "identities"}
#: The length of a text that is too short for a secret, such as `light`.
TRIVIAL = 5


def texts(value: Any, *, is_hidden: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a JSON value, each with whether it is in a secret field."""
    if isinstance(value, str):
        yield value, is_hidden
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, is_hidden=is_hidden)
    elif isinstance(value, dict):
        secret = CREDENTIALS | (SETTINGS if "username" in value else set())
        for name, item in value.items():
            yield from texts(item, is_hidden=is_hidden or name in secret)


def secrets_of(body: Any) -> set[str]:
    """Return the secrets that a server sends in a body.

    A text that it sends in another field as well is none, such as the address of an
    account, or GlitchTip's `dsn.secret`, which equals `dsn.public`.
    """
    found = set(texts(body))
    hidden = {text for text, is_hidden in found if is_hidden and len(text) > TRIVIAL}
    return hidden - {text for text, is_hidden in found if not is_hidden}


def names_of(value: Any) -> Iterator[str]:
    """Yield the names of all fields within a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from names_of(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from names_of(item)


def settings_in(record: Mapping[Any, Any]) -> set[str]:
    """Return the settings of accounts that are in the columns of a record."""
    return {name for column in record.values() for name in names_of(column)} & SETTINGS
