"""Response bodies become rows that any loader can store."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk import typing as th

from tap_sentry.records import bodies, columns
from tap_sentry.records.bodies import DamagedBodyError, clean
from tap_sentry.records.columns import Projection, epoch_to_text
from tap_sentry.streams.schema import ANY_OBJECT, ANY_OBJECTS, STRINGS

REPLACED = "\N{REPLACEMENT CHARACTER}"
quick = settings(deadline=None, max_examples=50)
SCHEMA = th.PropertiesList(
    th.Property("id", th.StringType, required=True),
    th.Property("text", th.StringType),
    th.Property("date", th.DateTimeType),
    th.Property("whole", th.IntegerType),
    th.Property("number", th.NumberType),
    th.Property("flag", th.BooleanType),
    th.Property("object", ANY_OBJECT),
    th.Property("objects", ANY_OBJECTS),
    th.Property("texts", STRINGS),
).to_dict()


def encoded(row):
    """Return the row as read from its RECORD message."""
    return json.loads(msgspec.json.encode(row))


def projected(body, renamed=None):
    """Return the row made from the first object of a body."""
    rows = bodies.decode_rows(body.encode())
    return encoded(Projection(SCHEMA, renamed or {})(rows[0]))


def column(name, value):
    """Return the column made from one value, given as JSON."""
    return projected(f'[{{"{name}": {value}}}]')[name]


# One type for each column -------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('"a"', "a"),
        ('""', ""),
        ("null", None),
        ("5", "5"),
        ("-1.50", "-1.50"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        ('{"a": [1, "b"]}', '{"a": [1, "b"]}'),
        ("[1,2]", "[1,2]"),
        ('"\\ud83d\\ude00 \\u00fc"', "\N{GRINNING FACE} ü"),
    ],
)
def test_texts_are_texts(sent, kept):
    """Numbers, such as ids, keep their digits; objects and arrays become JSON."""
    assert kept == column("text", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('"2026-11-01T12:00:00Z"', "2026-11-01T12:00:00Z"),
        ("null", None),
        ("1793534400", "2026-11-01T12:00:00Z"),
        ("1793534400.5", "2026-11-01T12:00:00.500Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        ("1e300", None),
        ("true", None),
        ("{}", None),
        ("[1793534400]", None),
        ('"2026-11-01T12:00:00.123456+02:00"', "2026-11-01T12:00:00.123456+02:00"),
        ('"2026-11-01"', "2026-11-01"),
        ('"2026-02-30T00:00:00Z"', None),
        ('"0000-00-00T00:00:00Z"', None),
        ('"\\u00fc"', None),
    ],
)
def test_dates_are_dates(sent, kept):
    """Seconds since 1970 become a date; values that are not dates become null."""
    assert kept == column("date", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("5", 5),
        ("-5", -5),
        ('"5"', 5),
        ('" 12 "', 12),
        ("5.0", 5),
        ("5.9", 5),
        ("9007199254740993", 9007199254740993),
        ("null", None),
        ("true", 1),
        ('"many"', None),
        ('""', None),
        ("{}", None),
        ("[5]", None),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", None),
        ('"-9223372036854775809"', None),
        ("1e300", None),
        ("1e400", None),
        ("9" * 5000, None),
    ],
)
def test_whole_numbers_are_whole(sent, kept):
    """Sentry sends some counts as text; values that are not numbers become null."""
    assert kept == column("whole", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("5", 5),
        ("0.25", 0.25),
        ('"0.25"', 0.25),
        ("true", 1),
        ("null", None),
        ('"NaN"', None),
        ('"inf"', None),
        ('"much"', None),
        ("{}", None),
        ("[]", None),
    ],
)
def test_numbers_are_finite(sent, kept):
    """No loader stores NaN or an infinity, not even one sent as text."""
    (row,) = bodies.decode_rows(f'[{{"number": {sent}}}]'.encode())
    projection = Projection(SCHEMA, {})

    # Checked before encoding, which would also turn NaN into null.
    assert bodies.decode_values(projection(row)) == {"number": kept}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("1", True),
        ("0", False),
        ('"yes"', None),
        ("0.5", None),
        ("[]", None),
        ("{}", None),
    ],
)
def test_flags_are_true_or_false(sent, kept):
    """0 and 1, which old servers send, become booleans; other values become null."""
    assert kept is column("flag", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"a": null}', {"a": None}),
        ("{}", {}),
        ("null", None),
        ('[1, {"a": 2}]', {"values": [1, {"a": 2}]}),
        ("[]", {"values": []}),
        ('"text"', {"value": "text"}),
        ("5", {"value": 5}),
        ("false", {"value": False}),
    ],
)
def test_objects_are_objects(sent, kept):
    """An array is wrapped as `values`, anything else as `value`."""
    assert kept == column("object", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ("[]", []),
        ("null", None),
        ('[[1], "a", 2, null]', [{"values": [1]}, {"value": "a"}, {"value": 2}, None]),
        ('{"a": 1}', [{"a": 1}]),
        ('"a"', [{"value": "a"}]),
        ("[ ]", []),
        ('[ {"a": 1}]', [{"a": 1}]),
        ('[{"a": 1}, 2, null]', [{"a": 1}, {"value": 2}, None]),
    ],
)
def test_arrays_of_objects_hold_objects(sent, kept):
    """Items that are not objects are wrapped; other values become the only item."""
    assert kept == column("objects", sent)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("[]", []),
        ("null", None),
        ('[1, "a", null, {"b": 2}]', ["1", "a", None, '{"b": 2}']),
        ('"a"', ["a"]),
        ("5", ["5"]),
        ("[ ]", []),
        ('["a", 1, null, ["b"]]', ["a", "1", None, '["b"]']),
    ],
)
def test_arrays_of_texts_hold_texts(sent, kept):
    """Each item becomes text; a value that is not an array becomes the only item."""
    assert kept == column("texts", sent)


def test_only_declared_columns_are_kept():
    """Undeclared fields are dropped; columns that Sentry does not send are absent."""
    assert projected('[{"id": "1", "new": 5, "text": null}]') == {
        "id": "1",
        "text": None,
    }


def test_other_names_of_a_column_are_mapped_to_it():
    """Fields under other names become their column; names without one are ignored."""
    renamed = {"event.type": "text", "snake_case": "date", "x": "nowhere"}
    body = '[{"event.type": "error", "snake_case": 0, "x": 1}]'

    assert projected(body, renamed) == {"text": "error", "date": "1970-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": ["string", "null"]}, "string"),
        ({"type": "string"}, "string"),
        ({"type": ["null", "integer"]}, "integer"),
        ({"type": ["string", "null"], "format": "date-time"}, "date-time"),
        ({"type": ["array"], "items": {"type": ["string"]}}, "array of string"),
        ({"type": "array", "items": {"type": "object"}}, "array of object"),
    ],
)
def test_the_schema_tells_the_kind_of_a_column(schema, kind):
    """The kind of a column is its format, or else its type other than null."""
    assert kind == columns.type_name(schema)


# Bodies -------------------------------------------------------------------------------


def test_a_body_is_decoded_one_level_deep():
    """Values stay the exact bytes that were sent until they are needed."""
    (row,) = bodies.decode_rows(b'[{"a": {"b":  1.50}}]')

    assert bytes(row["a"]) == b'{"b":  1.50}'
    assert bodies.decode_value(row["a"]) == {"b": 1.5}
    assert bodies.decode_values(row) == {"a": {"b": 1.5}}


@pytest.mark.parametrize("odd", [b"null", b'"text"', b"5", b"[]", b'["\\u0000"]'])
def test_what_stands_among_objects_and_is_none_costs_no_other(odd):
    """An item that is not an object becomes an empty row; the tap drops and logs it."""
    rows = bodies.decode_rows(b'[{"a": 1}, %s, {"a": 2}]' % odd)

    assert [*map(bodies.decode_values, rows)] == [{"a": 1}, {}, {"a": 2}]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"[", b'[{"a": 1}', b'[{"a": 1', b"<html></html>", b"null"),
        *(b"5", b'"text"', b'{"detail": "no list"}', b"[1]", b"[null]"),
        *(b"[[]]", b'[{"a": tru}]', b"[{]}", b"\x00\x01", b'[{"a": 1}]]', b"\xff\xfe"),
        *(b'[{"a": "\\u0000"', b'[{"a": "\\ud800"', b'[{"a": NaN', b"[NaN]"),
    ],
)
def test_a_body_that_is_no_list_of_objects_is_damaged(body):
    """Anything but a list of objects raises an error, and is requested again."""
    with pytest.raises(DamagedBodyError):
        bodies.decode_rows(body)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"a"', b'{"a": 1'])
def test_a_body_that_is_no_object_is_damaged(body):
    """Anything but an object raises `DamagedBodyError`."""
    with pytest.raises(DamagedBodyError):
        bodies.decode_row(body)


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"<html>", b"[1,"])
def test_a_body_that_is_no_json_is_damaged(body):
    """A body that is not JSON raises `DamagedBodyError`."""
    with pytest.raises(DamagedBodyError):
        bodies.decode_any(body)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b'[{"a": "\\ud83d"}]', [{"a": REPLACED}]),
        (b'[{"a": "x\\udc00y"}]', [{"a": f"x{REPLACED}y"}]),
        (b'[{"a": "\\u0000"}]', [{"a": REPLACED}]),
        (b'[{"a": "\\\\u0000"}]', [{"a": "\\u0000"}]),
        (b'[{"\\u0000a": 1}]', [{f"{REPLACED}a": 1}]),
        (b'[{"a": {"\\ud800": ["\\u0000"]}}]', [{"a": {REPLACED: [REPLACED]}}]),
        (b'[{"a": "\xff"}]', [{"a": REPLACED}]),
        (b'[{"a": "\xed\xa0\xbd"}]', [{"a": REPLACED * 3}]),
        (b'[{"a": NaN, "b": 1}]', [{"a": None, "b": 1}]),
        (b'[{"a": Infinity}, {"a": -Infinity}]', [{"a": None}, {"a": None}]),
        (b'[{"a": "\\u0000", "b": 1e999}]', [{"a": REPLACED, "b": None}]),
        (b'[{"a": "\\ud83d\\ude00"}]', [{"a": "\N{GRINNING FACE}"}]),
        ('[{"a": "ü\N{SNOWMAN}"}]'.encode(), [{"a": "ü\N{SNOWMAN}"}]),
    ],
)
def test_a_whole_body_with_unstorable_text_is_not_damaged(body, rows):
    """Values that no loader stores are replaced, also in keys and nested values."""
    assert rows == [encoded(row) for row in bodies.decode_rows(body)]


@pytest.mark.parametrize(
    "digits", ["9223372036854775808", "123456789012345678901234567890", "-1" + "0" * 30]
)
def test_large_numbers_keep_their_digits(digits):
    """Ids larger than 64 bits pass unchanged, also in a body that is cleaned."""
    for other in ('"x"', '"\\u0000"', '"\\ud800"'):
        body = f'[{{"text": {digits}, "object": {{"n": {digits}}}, "id": {other}}}]'

        assert projected(body)["text"] == digits
        assert projected(body)["object"] == {"n": int(digits)}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'[{"a":' + b"[" * 100_000])
def test_a_body_that_is_nested_too_deep_is_damaged(body):
    """Excessive nesting raises `DamagedBodyError` instead of `RecursionError`."""
    with pytest.raises(DamagedBodyError):
        bodies.decode_rows(body)


texts = st.text(max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
    ),
    max_leaves=4,
)


@quick
@given(st.lists(st.dictionaries(texts, json_values, max_size=2), max_size=2))
def test_every_list_of_objects_is_read_and_can_be_written(rows):
    """Any JSON that Python writes becomes JSON that is valid and storable."""
    found = [encoded(row) for row in bodies.decode_rows(json.dumps(rows).encode())]

    assert found == clean(json.loads(json.dumps(rows)))
    assert "\\u0000" not in json.dumps(found)


# Cleaning -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("a\0b", f"a{REPLACED}b"),
        ("\ud800\udfff", REPLACED * 2),
        ("\N{GRINNING FACE}\ue000\t\n\x7f", "\N{GRINNING FACE}\ue000\t\n\x7f"),
        ({"\0": ["\0", {"\0": "\0"}]}, {REPLACED: [REPLACED, {REPLACED: REPLACED}]}),
        (math.nan, None),
        ([math.inf, -math.inf, 1.5], [None, None, 1.5]),
        (None, None),
        (True, True),
        (10**30, 10**30),
    ],
)
def test_only_what_cannot_be_stored_is_replaced(value, cleaned):
    """NUL, lone surrogates, NaN and infinities are replaced, and nothing else."""
    assert cleaned == clean(value)


@quick
@given(st.text())
def test_cleaned_text_can_be_stored(text):
    """Cleaned text keeps its length and is UTF-8 without NUL."""
    cleaned = clean(text)

    assert len(cleaned) == len(text)
    assert b"\0" not in cleaned.encode()
    assert all(new in {old, REPLACED} for old, new in zip(text, cleaned, strict=True))


# Parts of a row -----------------------------------------------------------------------


def test_the_fields_of_an_object_are_those_that_are_not_null():
    """Anything but an object has no fields."""
    row = bodies.decode_row(b'{"a": {"b": 1, "c": null}, "d": [1], "e": null}')

    assert {
        name: bytes(raw) for name, raw in bodies.object_fields(row["a"]).items()
    } == {"b": b"1"}
    assert bodies.object_fields(row["d"]) == {}
    assert bodies.object_fields(row["e"]) == {}
    assert bodies.object_fields(None) == {}


def test_the_items_of_an_array_are_its_values():
    """Anything but an array has no items."""
    row = bodies.decode_row(b'{"a": [1, "b", null], "c": {"d": 1}, "e": null}')

    assert [bytes(raw) for raw in bodies.array_items(row["a"])] == [
        b"1",
        b'"b"',
        b"null",
    ]
    assert bodies.array_items(row["c"]) == []
    assert bodies.array_items(row["e"]) == []
    assert bodies.array_items(None) == []


# Dates from seconds -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1793534400, "2026-11-01T12:00:00Z"),
        (1793534400.0, "2026-11-01T12:00:00Z"),
        (1793534400.25, "2026-11-01T12:00:00.250Z"),
        (-86400, "1969-12-31T00:00:00Z"),
        (1e18, None),
        (-1e18, None),
        (10**30, None),
        (math.nan, None),
        (math.inf, None),
    ],
)
def test_seconds_become_a_date(seconds, text):
    """The date has milliseconds if there are any; seconds out of range become null."""
    assert text == epoch_to_text(seconds)


@quick
@given(st.integers(-(10**10), 10**11))
def test_a_date_from_seconds_names_that_second(seconds):
    """The date parses to the instant that it was made from."""
    text = epoch_to_text(seconds)

    assert text is not None
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\r"])
def test_values_are_on_one_line_however_they_were_sent(line_break):
    """Line breaks between values are removed: a Singer message is one line."""
    body = r'[{"a": {"b": [1, 2], "c": "x\ny"},"d": "é"}]'.encode()
    broken = body.replace(b" ", line_break + b"  ") + line_break
    (row,) = bodies.decode_rows(broken)

    assert bytes(row["a"]) == rb'{"b":[1,2],"c":"x\ny"}'
    assert bodies.decode_value(row["d"]) == "é"


def test_damaged_json_with_line_breaks_is_damaged():
    """Damaged JSON with line breaks raises `DamagedBodyError` like any other."""
    with pytest.raises(bodies.DamagedBodyError):
        bodies.decode_rows(b'[{"a":\n 1}, {"b"')
