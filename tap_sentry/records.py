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
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

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

#: Digits of a whole number that Python reads.
_DIGITS = 4300
#: The numbers that fit a column of whole numbers.
_WHOLE = range(-(2**63), 2**63)

#: Levels of a body that is nested deeper than any library reads: what lies below is
#: kept as JSON in a text.
DEEPEST = 100
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class DamagedBodyError(ValueError):
    """A body that is not the JSON it should be."""


class UnexpectedShapeError(DamagedBodyError):
    """A body that is whole JSON, but not an array or object as it should be."""


def decode_rows(body: bytes) -> list[Row]:
    """The objects of a JSON array, their values still undecoded.

    What else stands among objects becomes an empty one.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it is no array of objects.
    """
    rows: list[Row]
    try:
        rows = _decode(_ROWS, body)
    except DamagedBodyError:
        found = _decode(_ITEMS, body)
        if all(_first(item) != _OBJECT for item in found):
            raise
        rows = [_parts(_ROW, it) if _first(it) == _OBJECT else {} for it in found]
    return rows


def decode_row(body: bytes) -> Row:
    """A JSON object, its values still undecoded.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it is no object.
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
    # From the end, because Python searches that way in half the time.
    if body.rfind(b"\\u0000") < 0 and _is_text(body):
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            # Perhaps whole all the same: msgspec refuses lone surrogates, NaN, numbers
            # out of range and deep nesting.
            pass
    try:
        return decoder.decode(_repair(body))
    except (ValueError, RecursionError) as error:
        msg = f"the body is not the JSON that was expected ({error})"
        if isinstance(error, msgspec.ValidationError):
            raise UnexpectedShapeError(msg) from None
        raise DamagedBodyError(msg) from None


def _repair(body: bytes) -> bytes:
    """The same JSON, so that any library reads it and any database stores it.

    Raises:
        ValueError: If it is no JSON.
    """
    return json.dumps(_read(body)).encode()


def _read(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return clean(json.loads(text, parse_int=_whole))
    except RecursionError:
        return clean(json.loads(_shallow(text), parse_int=_whole))


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _may_be_deep(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") > DEEPEST


def _shallow(text: str) -> str:
    """JSON with what is nested too deep as text."""
    parts = []
    depth = start = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                parts.append(text[start : found.start()])
                start = found.start()
        elif found[0] in "]}":
            if depth == DEEPEST + 1:
                parts.append(json.dumps(text[start : found.end()]))
                start = found.end()
            depth -= 1
    return "".join(parts) + text[start:]


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
        return _read(bytes(raw))


def decoded(row: Row) -> Row:
    """The row with every value as a Python value."""
    return {name: _decoded(item) for name, item in row.items()}


def _decoded(item: Any) -> Any:
    if isinstance(item, dict):
        return decoded(item)
    if isinstance(item, list):
        return [*map(_decoded, item)]
    if type(item) is Raw and _may_be_deep(bytes(item)):
        # The SDK goes into it by recursion.
        item = Raw(_shallow(bytes(item).decode()).encode())
    return value(item)


def fields(raw: Any) -> Row:
    """The fields of an object column that are not null, undecoded."""
    if type(raw) is not Raw or _first(raw) != _OBJECT:
        return {}
    return _not_null(_parts(_ROW, raw))


def _not_null(row: Row) -> Row:
    return {name: field for name, field in row.items() if _first(field) != _NULL}


def objects(raw: Any) -> list[Row]:
    """The items of an array column as `fields` gives them."""
    try:
        found = _ROWS.decode(raw)
    except (msgspec.DecodeError, TypeError, RecursionError):
        # Not an array, not only objects in it, or nested deep.
        return [fields(item) for item in items(raw)]
    return [_not_null(item) for item in found]


def items(raw: Any) -> list[Any]:
    """The items of an array column, undecoded; none for anything else."""
    is_array = type(raw) is Raw and _first(raw) == _ARRAY
    return _parts(_ITEMS, raw) if is_array else []


def _parts(decoder: msgspec.json.Decoder[Any], raw: Raw) -> Any:
    try:
        return decoder.decode(raw)
    except RecursionError:
        # There was more room where the body was decoded.
        return decoder.decode(_repair(bytes(raw)))


# One type for each column -------------------------------------------------------------

_TEXT, _OBJECT, _ARRAY, _NULL = b'"{[n'
_NUMBER = b"-0123456789"


class _Any(msgspec.Struct):
    """An object of which nothing is decoded."""


_DATE = msgspec.json.Decoder(datetime)
_OBJECTS = msgspec.json.Decoder(list[_Any | None])
_TEXTS = msgspec.json.Decoder(list[str | None])


def _is(decoder: msgspec.json.Decoder[Any], raw: Raw) -> bool:
    try:
        decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _first(raw: Raw) -> int:
    return memoryview(raw)[0]


def as_text(raw: Raw) -> Any:
    """Numbers and the like as text; an object or array as its JSON."""
    return bytes(raw).decode()


def as_instant(raw: Raw) -> Any:
    """A date, also where it is sent as seconds since 1970; null for anything else."""
    if _is(_DATE, raw):
        return raw
    if _first(raw) == _TEXT:
        try:
            # It reads more forms, and is what loaders read dates with.
            datetime.fromisoformat(value(raw))
        except ValueError:
            return None
        return raw
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
    """A whole number of 64 bits, also where it is sent as text."""
    try:
        found = int(value(raw))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found in _WHOLE else None


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
    if _is(_OBJECTS, raw):
        return raw
    found = items(raw) if _first(raw) == _ARRAY else [raw]
    return [
        item if _first(item) in {_OBJECT, _NULL} else as_object(item) for item in found
    ]


def as_texts(raw: Raw) -> Any:
    """An array of texts."""
    if _is(_TEXTS, raw):
        return raw
    found = items(raw) if _first(raw) == _ARRAY else [raw]
    return [item if _first(item) in {_TEXT, _NULL} else as_text(item) for item in found]


#: For each kind of column: first bytes of values that pass as they are, and what makes
#: a fitting value of the others.
_FITS: Mapping[str, tuple[bytes, Fit]] = {
    "string": (b'"n', as_text),
    "date-time": (b"n", as_instant),
    "integer": (b"n", as_integer),
    "number": (b"n", as_number),
    "boolean": (b"tfn", as_boolean),
    "object": (b"{n", as_object),
    "array of object": (b"n", as_objects),
    "array of string": (b"n", as_texts),
}


def kind(schema: Mapping[str, Any]) -> str:
    """The kind of a column, from its JSON schema."""
    types = schema["type"]
    name = types if isinstance(types, str) else next(t for t in types if t != "null")
    if name == "array":
        return f"array of {kind(schema['items'])}"
    return str(schema.get("format", name))


class Named:
    """Gives the named parts of an object their types; leaves others as they are."""

    #: What a part may be; null too.
    _TYPES: ClassVar[Mapping[str, Any]] = {"string": str, "object": dict[str, Raw]}

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Prepare the parts."""
        parts = [
            (name, self._TYPES[kind(part)] | None, None)
            for name, part in schema["properties"].items()
        ]
        self._check = msgspec.json.Decoder(msgspec.defstruct("Parts", parts)).decode
        self._project = Projection(schema, {})

    def __call__(self, raw: Raw) -> Any:
        """The object as it was sent, if it is sound."""
        if _first(raw) != _OBJECT:
            return as_object(raw)
        try:
            self._check(raw)
        except (msgspec.ValidationError, RecursionError):
            row = _parts(_ROW, raw)
            return row | self._project(row)
        return raw


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
        self._columns: dict[str, tuple[str, bytes, Fit]] = {}
        properties = schema["properties"]
        for sent in (*properties, *renamed):
            column = renamed.get(sent, sent)
            if column not in properties or column in added:
                continue
            passing, fit = _FITS[kind(properties[column])]
            if "properties" in properties[column]:
                passing, fit = b"n", Named(properties[column])
            self._columns[sent] = (column, passing, fit)

    def __call__(self, row: Mapping[str, Raw]) -> Row:
        """The row of the declared columns that were sent."""
        columns = self._columns
        fitted = {}
        for sent, raw in row.items():
            if (found := columns.get(sent)) is None:
                continue
            column, passing, fit = found
            # Not by `_first`: this is done for every column of every row.
            fitted[column] = raw if memoryview(raw)[0] in passing else fit(raw)
        return fitted
