"""What Sentry sends, made into rows that any loader can store.

Bodies are decoded one level deep: the values of a row stay the bytes that Sentry sent
(`msgspec.Raw`) until something needs them, so that a large event is copied into its
RECORD message without ever being taken apart.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Row: TypeAlias = dict[str, Any]
Fit: TypeAlias = "Callable[[Any], Any]"

_ROWS = msgspec.json.Decoder(list[dict[str, Raw]])
_ROW = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_ITEMS = msgspec.json.Decoder(list[Raw])
_Utf8Decoder = codecs.getincrementaldecoder("utf-8")

#: Bytes that are checked at once.
PIECE = 64 * 1024

#: What stands in for a character that no database stores.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class DamagedBodyError(ValueError):
    """A body that is not the JSON it should be."""


def decode_rows(body: bytes) -> list[Row]:
    """The objects of a JSON array, their values still undecoded.

    Raises:
        DamagedBodyError: If the body is no array of objects.
    """
    rows: list[Row] = _decode(_ROWS, body)
    return rows


def decode_row(body: bytes) -> Row:
    """A JSON object, its values still undecoded.

    Raises:
        DamagedBodyError: If the body is no object.
    """
    row: Row = _decode(_ROW, body)
    return row


def decode_any(body: bytes) -> Any:
    """A JSON body as Python values.

    Raises:
        DamagedBodyError: If the body is not JSON.
    """
    return _decode(_ANY, body)


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    if b"\\u0000" not in body and _is_text(body):
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            # Perhaps whole all the same: msgspec refuses lone surrogates, NaN and
            # numbers out of range.
            pass
    try:
        cleaned = clean(json.loads(body.decode("utf-8", "replace")))
        return decoder.decode(json.dumps(cleaned).encode())
    except (ValueError, RecursionError) as error:
        msg = f"the body is not the JSON that was expected ({error})"
        raise DamagedBodyError(msg) from None


def _is_text(body: bytes) -> bool:
    if body.isascii():
        return True
    decoder = _Utf8Decoder()
    try:
        # In pieces: the whole as text would fill fresh memory each time.
        for start in range(0, len(body), PIECE):
            decoder.decode(memoryview(body)[start : start + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def clean(value: Any) -> Any:
    """Replace NUL and lone surrogates (in keys too), drop NaN and infinities."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def value(raw: Any) -> Any:
    """The Python value of a column."""
    if type(raw) is not Raw:
        return raw
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        # A number that is out of range, such as 1e999.
        return clean(json.loads(bytes(raw)))


def decoded(row: Row) -> Row:
    """The row with every value as a Python value."""
    return {name: value(raw) for name, raw in row.items()}


def fields(raw: Any) -> Row:
    """The fields of an object column that are not null, undecoded."""
    if type(raw) is not Raw or _first(raw) != _OBJECT:
        return {}
    return _not_null(_ROW.decode(raw))


def _not_null(row: Row) -> Row:
    return {name: field for name, field in row.items() if _first(field) != _NULL}


def objects(raw: Any) -> list[Row]:
    """The items of an array column as `fields` gives them."""
    try:
        found = _ROWS.decode(raw)
    except (msgspec.DecodeError, TypeError):
        # Not an array, or not only objects in it.
        return [fields(item) for item in items(raw)]
    return [_not_null(item) for item in found]


def items(raw: Any) -> list[Any]:
    """The items of an array column, undecoded; none for anything else."""
    return _ITEMS.decode(raw) if type(raw) is Raw and _first(raw) == _ARRAY else []


# One type for each column -------------------------------------------------------------

_TEXT, _OBJECT, _ARRAY, _NULL = b'"{[n'
_NUMBER = b"-0123456789"


def _first(raw: Raw) -> int:
    return memoryview(raw)[0]


def as_text(raw: Raw) -> Any:
    """Numbers and the like as text; an object or array as its JSON."""
    return bytes(raw).decode()


def as_instant(raw: Raw) -> Any:
    """Seconds since 1970 as a date; anything else that is no text is no date."""
    return None if _first(raw) not in _NUMBER else epoch_to_text(value(raw))


def epoch_to_text(seconds: Any) -> str | None:
    """A date from seconds since 1970, with milliseconds if there are any."""
    try:
        instant = datetime.fromtimestamp(seconds, tz=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    digits = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(timespec=digits).replace("+00:00", "Z")


def as_integer(raw: Raw) -> Any:
    """A whole number, also where it is sent as text."""
    found = value(raw)
    if isinstance(found, int):
        return int(found)
    try:
        return int(found)
    except (TypeError, ValueError, OverflowError):
        return None


def as_number(raw: Raw) -> Any:
    """A number, also where it is sent as text."""
    try:
        found = float(value(raw))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def as_boolean(raw: Raw) -> Any:
    """True or false, also where it is sent as a number."""
    found = value(raw)
    return bool(found) if isinstance(found, int) else None


def as_object(raw: Raw) -> Any:
    """An object, with anything else wrapped into one."""
    return {"values" if _first(raw) == _ARRAY else "value": raw}


def as_objects(raw: Raw) -> Any:
    """An array of objects, with anything else wrapped into one."""
    found = items(raw) if _first(raw) == _ARRAY else [raw]
    return [
        item if _first(item) in {_OBJECT, _NULL} else as_object(item) for item in found
    ]


def as_texts(raw: Raw) -> Any:
    """An array of texts."""
    found = items(raw) if _first(raw) == _ARRAY else [raw]
    return [item if _first(item) in {_TEXT, _NULL} else as_text(item) for item in found]


#: For each kind of column: first bytes of values that pass as they are, and what makes
#: a fitting value of the others.
_FITS: Mapping[str, tuple[bytes, Fit]] = {
    "string": (b'"n', as_text),
    "date-time": (b'"n', as_instant),
    "integer": (b"n", as_integer),
    "number": (b"n", as_number),
    "boolean": (b"tfn", as_boolean),
    "object": (b"{n", as_object),
    "array of object": (b"n", as_objects),
    "array of string": (b"n", as_texts),
}
#: An array passes as it is when its first item does: Sentry does not mix them.
_PASSING_ARRAYS = {
    "array of object": (b"[]", b"[{"),
    "array of string": (b"[]", b'["'),
}


def kind(schema: Mapping[str, Any]) -> str:
    """The kind of a column, from its JSON schema."""
    types = schema["type"]
    name = types if isinstance(types, str) else next(t for t in types if t != "null")
    if name == "array":
        return f"array of {kind(schema['items'])}"
    return str(schema.get("format", name))


class Projection:
    """Cuts a row to the columns of a schema, each with its one type."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        renamed: Mapping[str, str],
        added: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare the columns.

        `renamed` maps other names of a column to it; what is sent under the name of an
        `added` column is not that column.
        """
        self._columns: dict[str, tuple[str, bytes, tuple[bytes, ...], Fit]] = {}
        properties = schema["properties"]
        for sent in (*properties, *renamed):
            column = renamed.get(sent, sent)
            if column not in properties or column in added:
                continue
            column_kind = kind(properties[column])
            passing, fit = _FITS[column_kind]
            arrays = _PASSING_ARRAYS.get(column_kind, ())
            self._columns[sent] = (column, passing, arrays, fit)

    def __call__(self, row: Mapping[str, Raw]) -> Row:
        """The row of the declared columns that were sent."""
        columns = self._columns
        fitted = {}
        for sent, raw in row.items():
            if (found := columns.get(sent)) is None:
                continue
            column, passing, arrays, fit = found
            view = memoryview(raw)
            if view[0] in passing or (arrays and bytes(view[:2]) in arrays):
                fitted[column] = raw
            else:
                fitted[column] = fit(raw)
        return fitted
