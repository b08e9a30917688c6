"""docs/troubleshooting.md lists every message that a user can see.

The messages are read from the code: those of the log, of exceptions, and of invalid
settings. Interpolated values are replaced by `…`, on the page and here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tap_sentry

ROOT = Path(__file__).parents[1]
CODE = Path(tap_sentry.__file__).parent

#: Callables whose first argument is a message for the user.
ERRORS = {
    *("FatalAPIError", "FatalError", "ForbiddenError", "MissingEndpointError"),
    *("TransientError", "RejectedError", "BrownOutError", "ValueError"),
    *("ConfigValidationError", "UnwritableError", "config_error"),
    *("ForeignResponseError", "UnexpectedJSONError"),
}
#: Variables that hold a message before it is raised or logged.
TEXTS = {"msg", "message", "reason", "why", "NO_SENTRY"}
#: Functions that return or yield messages, which are shown unchanged.
TELLING = {
    *("_cause", "_mistakes", "_wrong_texts", "_wrong_fields", "_wrong_interval"),
}


def told(node: ast.expr) -> str | None:
    """A string in the code, with `…` for interpolated values."""
    match node:
        case ast.Constant(value=str() as text):
            return re.sub(r"%\.?\d*[sdrf]", "…", text)
        case ast.JoinedStr(values=parts):
            return "".join(
                part.value if isinstance(part, ast.Constant) else "…"  # type: ignore[misc] # a text
                for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add()):
            return told(left)
        case ast.IfExp(body=body):
            return told(body)
    return None


def given(function: ast.FunctionDef) -> list[ast.expr]:
    """What a function yields, and the items of the tuples in it."""
    found: list[ast.expr] = []
    for node in ast.walk(function):
        match node:
            case ast.Tuple(elts=items):
                found += items
            case ast.Yield(value=ast.expr() as value):
                found.append(value)
    return found


def texts(tree: ast.AST) -> list[str]:
    """The messages in a module."""
    found: list[str | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(attr="logger" | "_logger")
                    | ast.Name(id="logger"),
                    attr="info" | "warning" | "error" | "critical",
                ),
                args=[text, *_],
            ):
                found.append(told(text))
            case (
                ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(attr="errors")
                        | ast.Name(id="wrong" | "errors"),
                        attr="append",
                    ),
                    args=[text],
                )
                | ast.Call(func=ast.Attribute(attr="_is_wrong"), args=[text])
            ):
                found.append(told(text))
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[text, *_]
            ) if name in ERRORS:
                found.append(told(text))
            case ast.Call(keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "errors" and isinstance(keyword.value, ast.List):
                        found += map(told, keyword.value.elts)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AugAssign(target=ast.Name(id=name), value=value)
            ) if name in TEXTS:
                found.append(told(value))
            case ast.FunctionDef(name=name) if name in TELLING:
                found += map(told, given(node))
    return [text.removeprefix("; ") for text in found if text and text.strip("…:; ")]


def messages() -> dict[str, str]:
    """Every message, with the name of its module."""
    return {
        text: path.name
        for path in sorted(CODE.rglob("*.py"))
        for text in texts(ast.parse(path.read_text("utf-8")))
    }


# The page -----------------------------------------------------------------------------


def rows() -> list[list[str]]:
    """The rows of the tables of messages: message, cause, what to do."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    head = "| message | cause | what to do |\n| --- | --- | --- |\n"
    tables = [part.partition("\n\n")[0] for part in text.split(head)[1:]]
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def listed() -> list[str]:
    """The messages on the page."""
    return [text for row in rows() for text in re.findall("`([^`]{9,})`", row[0])]


def is_of(message: str, pattern: str) -> bool:
    """Whether a message of the code matches one on the page."""
    parts = [re.escape(part) for part in pattern.split("…")]
    # The page may omit the name of the setting that a message starts with.
    return re.fullmatch("(…: )?" + ".*".join(parts), message) is not None


#: Messages of the SDK, which are not in this code.
OF_THE_SDK = {"… is not of type …"}
MESSAGES = messages()


def test_messages_are_found_in_the_code():
    """Messages of every kind are found, with `…` for interpolated values."""
    assert len(MESSAGES) > 70
    assert set(MESSAGES.values()) >= {
        *("responses.py", "errors.py", "scheduler.py", "organizations.py"),
        *("state.py", "stats.py", "results.py", "tap.py", "windows.py", "parts.py"),
    }
    for text in (
        "… refuses the auth_token (…)",
        "Sentry limits the rate of …: waiting … s",
        "check that api_url is the address of a Sentry server",
        "the file of ca_bundle contains no certificate",
        "… must be from … to …, not …",
    ):
        assert text in MESSAGES


#: Exceptions that are always converted to others before a user sees them.
UNTOLD = {"BadSettings", "DamagedBodyError", "UnexpectedShapeError"}


def test_errors_of_every_sort_are_looked_for():
    """Every exception that the code raises is listed in `ERRORS` or `UNTOLD`."""
    raised = {
        getattr(call.func, "attr", None) or getattr(call.func, "id", None)
        for path in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and isinstance(call := node.exc, ast.Call)
    }
    assert raised <= ERRORS | UNTOLD
    assert len(raised) > 5


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_on_the_page(message):
    """Every message in the code is on the page, where a user can find it."""
    assert any(is_of(message, pattern) for pattern in listed()), MESSAGES[message]


@pytest.mark.parametrize("pattern", listed())
def test_every_message_of_the_page_is_in_the_code(pattern):
    """No message on the page is obsolete, or so short that it matches anything."""
    assert len(pattern.replace("…", "").strip()) >= 8
    assert pattern in OF_THE_SDK or any(is_of(text, pattern) for text in MESSAGES)


def test_every_row_of_the_page_is_whole():
    """Every row has all three columns, and no message is listed twice."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")

    assert text.count("| message |") == 5
    assert len(rows()) > 60
    for row in rows():
        assert len(row) == len(("message", "cause", "what to do")), row
        assert all(row)
    assert len(listed()) == len(set(listed()))
