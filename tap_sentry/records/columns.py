"""Give every column of a row its one declared type, whatever a server sends."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec
from msgspec import Raw

from tap_sentry.records.bodies import (
    ARRAY,
    NULL,
    OBJECT,
    TEXT,
    Row,
    array_items,
    decode_value,
    first_byte,
    object_row,
)
from tap_sentry.records.redaction import may_hold_secret, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Coercion: TypeAlias = "Callable[[Any], Any]"

#: The integers that a 64-bit column holds.
INT64 = range(-(2**63), 2**63)

#: Bytes that a JSON number can begin with.
_NUMBER = b"-0123456789"


class _Any(msgspec.Struct):
    """An object whose fields are not decoded."""


_DATE = msgspec.json.Decoder(datetime)
_OBJECTS = msgspec.json.Decoder(list[_Any | None])
_TEXTS = msgspec.json.Decoder(list[str | None])


def _is(decoder: msgspec.json.Decoder[Any], raw: Raw) -> bool:
    try:
        decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def coerce_text(raw: Raw) -> Any:
    """Return a number or boolean as text, an object or array as JSON."""
    return bytes(raw).decode()


def coerce_instant(raw: Raw) -> Any:
    """Return a date, also from seconds since 1970; null for anything else."""
    if _is(_DATE, raw):
        return raw
    if first_byte(raw) == TEXT:
        try:
            # It parses more formats than msgspec, and loaders parse dates with it.
            datetime.fromisoformat(decode_value(raw))
        except ValueError:
            return None
        return raw
    return None if first_byte(raw) not in _NUMBER else epoch_to_text(decode_value(raw))


def epoch_to_text(seconds: Any) -> str | None:
    """Format seconds since 1970 as a date, with milliseconds if there are any."""
    try:
        instant = datetime.fromtimestamp(seconds, tz=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    digits = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(timespec=digits).replace("+00:00", "Z")


def coerce_integer(raw: Raw) -> Any:
    """Return a 64-bit integer, also from text; null for anything else."""
    try:
        found = int(decode_value(raw))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found in INT64 else None


def coerce_number(raw: Raw) -> Any:
    """Return a number, also from text; null for anything else."""
    try:
        found = float(decode_value(raw))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def coerce_boolean(raw: Raw) -> Any:
    """Return a boolean, also from a number; null for anything else."""
    found = decode_value(raw)
    return bool(found) if isinstance(found, int) else None


def coerce_object(raw: Raw) -> Any:
    """Wrap a value that is not an object into one."""
    return {"values" if first_byte(raw) == ARRAY else "value": raw}


def coerce_objects(raw: Raw) -> Any:
    """Return an array of objects; items that are not objects are wrapped."""
    if _is(_OBJECTS, raw):
        return raw
    found = array_items(raw) if first_byte(raw) == ARRAY else [raw]
    return [
        item if first_byte(item) in {OBJECT, NULL} else coerce_object(item)
        for item in found
    ]


def coerce_texts(raw: Raw) -> Any:
    """Return an array of texts."""
    if _is(_TEXTS, raw):
        return raw
    found = array_items(raw) if first_byte(raw) == ARRAY else [raw]
    return [
        item if first_byte(item) in {TEXT, NULL} else coerce_text(item)
        for item in found
    ]


#: For each type of column: the first bytes of values that are kept as they are, and the
#: function that converts any other value.
_COERCIONS: Mapping[str, tuple[bytes, Coercion]] = {
    "string": (b'"n', coerce_text),
    "date-time": (b"n", coerce_instant),
    "integer": (b"n", coerce_integer),
    "number": (b"n", coerce_number),
    "boolean": (b"tfn", coerce_boolean),
    "object": (b"{n", coerce_object),
    "array of object": (b"n", coerce_objects),
    "array of string": (b"n", coerce_texts),
}


def type_name(schema: Mapping[str, Any]) -> str:
    """Return the type of a column, such as `date-time`, from its JSON schema."""
    types = schema["type"]
    name = types if isinstance(types, str) else next(t for t in types if t != "null")
    if name == "array":
        return f"array of {type_name(schema['items'])}"
    return str(schema.get("format", name))


class ObjectCoercion:
    """Converts the declared fields of an object column; keeps the others as sent."""

    #: The types that a declared field may have, besides null.
    _TYPES: ClassVar[Mapping[str, Any]] = {"string": str, "object": dict[str, Raw]}

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Prepare the declared fields."""
        parts = [
            (name, self._TYPES[type_name(part)] | None, None)
            for name, part in schema["properties"].items()
        ]
        self._check = msgspec.json.Decoder(msgspec.defstruct("Parts", parts)).decode
        self._project = Projection(schema, {})

    def __call__(self, raw: Raw) -> Any:
        """Return the object, unchanged where its fields have the declared types."""
        if first_byte(raw) != OBJECT:
            return coerce_object(raw)
        try:
            self._check(raw)
        except (msgspec.ValidationError, RecursionError):
            row = object_row(raw)
            return row | self._project(row)
        return raw


def redacted(passing: bytes, coerce: Coercion) -> Coercion:
    """Return a coercion that removes credentials and accounts from the value."""

    def convert(raw: Raw) -> Any:
        if may_hold_secret(bytes(raw)):
            raw = Raw(msgspec.json.encode(without_secrets(decode_value(raw))))
        return raw if first_byte(raw) in passing else coerce(raw)

    return convert


class ClosedObject:
    """Reduces an object to its declared fields, such as a user to name and address."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Prepare the declared fields."""
        self._project = Projection(schema, {})

    def __call__(self, raw: Raw) -> Any:
        """Return the declared fields of the object; null for anything else."""
        if first_byte(raw) != OBJECT:
            return None
        return self._project(object_row(raw))


def coercion_of(
    schema: Mapping[str, Any], *, is_redacted: bool
) -> tuple[bytes, Coercion]:
    """Return how a column is converted.

    The first bytes of values that are kept as they are, and the function that converts
    any other value.
    """
    name = type_name(schema)
    items = schema.get("items", schema)
    if items.get("additionalProperties") is False:
        closed = ClosedObject(items)
        if items is schema:
            return b"n", closed
        return b"n", lambda raw: [*map(closed, array_items(raw))]
    passing, coerce = _COERCIONS[name]
    if "properties" in schema:
        return b"n", ObjectCoercion(schema)
    if is_redacted and name in {"object", "array of object"}:
        return b"n", redacted(passing, coerce)
    return passing, coerce


class Projection:
    """Reduces a row to the columns of a schema and converts each to its type."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        renamed: Mapping[str, str],
        added: frozenset[str] = frozenset(),
        *,
        is_redacted: bool = False,
    ) -> None:
        """Prepare the columns.

        Args:
            schema: The JSON schema of the row.
            renamed: Other names under which servers send a column, with the column.
            added: Columns that the tap adds. Fields that a server sends under these
                names are left out.
            is_redacted: Whether credentials and accounts are removed from columns
                without declared fields.
        """
        self._columns: dict[str, tuple[str, bytes, Coercion]] = {}
        properties = schema["properties"]
        for sent in (*properties, *renamed):
            column = renamed.get(sent, sent)
            if column not in properties or column in added:
                continue
            passing, coerce = coercion_of(properties[column], is_redacted=is_redacted)
            self._columns[sent] = (column, passing, coerce)

    def __call__(self, row: Mapping[str, Raw]) -> Row:
        """Return the declared columns that the row has."""
        columns = self._columns
        converted = {}
        for sent, raw in row.items():
            if (found := columns.get(sent)) is None:
                continue
            column, passing, coerce = found
            # Without `first_byte`: a call for every column of every row is slow.
            converted[column] = raw if memoryview(raw)[0] in passing else coerce(raw)
        return converted
