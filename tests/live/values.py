"""What a record should hold of the values that a server sends.

It shares nothing with the tap but the schema of the stream.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.live.crawler import Row

#: Fields with credentials.
SECRET = re.compile(
    "((auth|client|security)_?)?(secret|token)(_?key)?|(api|private)_?key|password"
    "|headers|config_?data",
    re.IGNORECASE,
)
#: What is left of an account, and a field that every account has.
PERSON = ("id", "name", "username", "email")
ACCOUNT = "identities"
#: Characters that databases do not store.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def differences(
    record: Row, sent: Row, columns: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """The columns that are not as sent, with what they hold and what they should."""
    for name, column in columns.items():
        if name in sent:
            expected = stored(sent[name], column)
            if record.get(name) != expected:
                yield name, record.get(name), expected


def stored(value: Any, column: Mapping[str, Any]) -> Any:
    """What a column holds of a value."""
    if column.get("additionalProperties") is False:
        return stored_person(value, column["properties"])
    # Prebuilt dashboards have empty texts as dates.
    if value is None or (value == "" and "format" in column):
        return None
    if isinstance(value, list) and "items" in column:
        return [stored(item, column["items"]) for item in value]
    if isinstance(value, list) and "boolean" in column["type"]:
        return bool(value)
    if not isinstance(value, str) and "string" in column["type"]:
        return json.dumps(value)
    return harmless(value)


def stored_person(value: Any, fields: Mapping[str, Any]) -> Any:
    """What a column of a user or team holds of one, or of the id of one."""
    if not isinstance(value, dict):
        return {"id": value} if value and isinstance(value, str) else None
    return {name: stored(value[name], fields[name]) for name in fields if name in value}


def harmless(value: Any) -> Any:
    """A value without secrets, and without what databases do not store."""
    if isinstance(value, str):
        return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [harmless(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: harmless(value[name])
        for name in (PERSON if ACCOUNT in value else value)
        if name in value and not SECRET.fullmatch(name)
    }
