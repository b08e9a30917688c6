"""Decode response bodies into rows that any loader can store.

Bodies are decoded one level deep. The values of a row stay the bytes that Sentry sent
(`msgspec.Raw`) until something reads them, so a large event is copied into its RECORD
message without being decoded.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

Row: TypeAlias = dict[str, Any]

_ROWS = msgspec.json.Decoder(list[dict[str, Raw]])
_ROW = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_ITEMS = msgspec.json.Decoder(list[Raw])
_Utf8Decoder = codecs.getincrementaldecoder("utf-8")

TEXT, OBJECT, ARRAY, NULL = b'"{[n'

#: Bytes of a body that are checked for valid UTF-8 at once.
PIECE = 64 * 1024

#: Replaces characters that databases cannot store.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

#: The longest integer, in digits, that Python parses.
_DIGITS = 4300

#: The deepest nesting that is kept. Libraries fail on deeper bodies, so anything below
#: this level is kept as a string of JSON.
DEEPEST = 100
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class DamagedBodyError(ValueError):
    """The body is not the JSON that was expected."""


class UnexpectedShapeError(DamagedBodyError):
    """The body is JSON, but not an array or object as expected."""


def decode_rows(body: bytes, field: str | None = None) -> list[Row]:
    """Decode a JSON array of objects, leaving their values undecoded.

    Items that are not objects become empty rows.

    Args:
        body: The JSON.
        field: The field of an object that holds the array; None if the body is it.
            A body that is an array all the same is read as such.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it is not an array of objects.
    """
    if field is not None and body.lstrip()[:1] != b"[":
        wrapped = decode_row(body).get(field)
        if wrapped is None:
            raise UnexpectedShapeError
        body = bytes(wrapped)
    rows: list[Row]
    try:
        rows = _decode(_ROWS, body)
    except DamagedBodyError:
        items = _decode(_ITEMS, body)
        if all(first_byte(item) != OBJECT for item in items):
            raise
        rows = [
            _parts(_ROW, item) if first_byte(item) == OBJECT else {} for item in items
        ]
    return rows


def decode_row(body: bytes) -> Row:
    """Decode a JSON object, leaving its values undecoded.

    Raises:
        DamagedBodyError: If the body is not JSON.
        UnexpectedShapeError: If it is not an object.
    """
    row: Row = _decode(_ROW, body)
    return row


def decode_any(body: bytes) -> Any:
    """Decode a JSON body into Python values.

    Raises:
        DamagedBodyError: If the body is not JSON.
    """
    return _decode(_ANY, body)


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    body = _on_one_line(body)
    # Python's backward search takes half the time of the forward one.
    if body.rfind(b"\\u0000") < 0 and _is_text(body):
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            # The body may be intact all the same: msgspec rejects lone surrogates, NaN,
            # numbers out of range and deep nesting.
            pass
    try:
        return decoder.decode(_repair(body))
    except (ValueError, RecursionError) as error:
        msg = f"the body is not the JSON that was expected ({error})"
        if isinstance(error, msgspec.ValidationError):
            raise UnexpectedShapeError(msg) from None
        raise DamagedBodyError(msg) from None


def _on_one_line(body: bytes) -> bytes:
    """Remove line breaks between values: values are written as they were sent.

    A record with a line break in it would be two lines. Within strings JSON has none.
    """
    body = body.strip()
    if b"\n" not in body and b"\r" not in body:
        return body
    try:
        return msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        # What cannot be read is repaired or rejected later.
        return body


def _repair(body: bytes) -> bytes:
    """Rewrite JSON so that every library parses it and every database stores it.

    Raises:
        ValueError: If the body is not JSON.
    """
    return json.dumps(_read(body)).encode()


def _read(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return clean(json.loads(text, parse_int=_parse_int))
    except RecursionError:
        return clean(json.loads(_shallow(text), parse_int=_parse_int))


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _may_be_deep(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") > DEEPEST


def _shallow(text: str) -> str:
    """Turn the parts of a JSON text that are nested too deep into strings."""
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
        # Decoding in pieces avoids allocating the whole body again as a string.
        for start in range(0, len(body), PIECE):
            decoder.decode(memoryview(body)[start : start + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def clean(value: Any) -> Any:
    """Replace NUL and lone surrogates, in keys too; NaN and infinities become null."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def decode_value(raw: Any) -> Any:
    """Decode the value of one column, unless it is decoded already."""
    if type(raw) is not Raw:
        return raw
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        # A number out of range, such as 1e999.
        return _read(bytes(raw))


def decode_values(row: Row) -> Row:
    """Decode every value of a row."""
    return {name: _decode_nested(item) for name, item in row.items()}


def _decode_nested(item: Any) -> Any:
    if isinstance(item, dict):
        return decode_values(item)
    if isinstance(item, list):
        return [*map(_decode_nested, item)]
    if type(item) is Raw and _may_be_deep(bytes(item)):
        # The SDK walks values recursively.
        item = Raw(_shallow(bytes(item).decode()).encode())
    return decode_value(item)


def object_fields(raw: Any) -> Row:
    """Return the fields of an object column that are not null, undecoded."""
    if type(raw) is not Raw or first_byte(raw) != OBJECT:
        return {}
    return _not_null(_parts(_ROW, raw))


def object_row(raw: Raw) -> Row:
    """Return the fields of a value that is an object, undecoded."""
    row: Row = _parts(_ROW, raw)
    return row


def _not_null(row: Row) -> Row:
    return {name: field for name, field in row.items() if first_byte(field) != NULL}


def array_objects(raw: Any) -> list[Row]:
    """Return the items of an array column, each as `object_fields` returns it."""
    try:
        found = _ROWS.decode(raw)
    except (msgspec.DecodeError, TypeError, RecursionError):
        # Not an array, items that are not objects, or deep nesting.
        return [object_fields(item) for item in array_items(raw)]
    return [_not_null(item) for item in found]


def array_items(raw: Any) -> list[Any]:
    """Return the items of an array column, undecoded; none for other values."""
    is_array = type(raw) is Raw and first_byte(raw) == ARRAY
    return _parts(_ITEMS, raw) if is_array else []


def _parts(decoder: msgspec.json.Decoder[Any], raw: Raw) -> Any:
    try:
        return decoder.decode(raw)
    except RecursionError:
        # The stack is deeper here than where the body was decoded.
        return decoder.decode(_repair(bytes(raw)))


def first_byte(raw: Raw) -> int:
    """Return the first byte of a value, which shows its JSON type."""
    return memoryview(raw)[0]
