"""The package's code stays short, and its layers are documented.

`lint-imports` checks that lower layers import nothing of upper ones, and that there are
no import cycles.
"""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import tap_sentry

CODE = Path(tap_sentry.__file__).parent
MODULES = sorted(CODE.rglob("*.py"))

#: The maximum number of lines of a module, a class and a function.
MODULE, CLASS, FUNCTION = 350, 250, 50


def name(path: Path) -> str:
    """The path within the package."""
    return str(path.relative_to(CODE))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_piece_of_code_is_long(path):
    """No module, class or function has more lines than its maximum."""
    code = path.read_text(encoding="utf-8")
    longest = {ast.ClassDef: CLASS, ast.FunctionDef: FUNCTION}
    long = {
        f"{node.name}: {length} lines"
        for node in ast.walk(ast.parse(code))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and (length := (node.end_lineno or 0) - node.lineno + 1) > longest[type(node)]
    }

    assert len(code.splitlines()) <= MODULE
    assert long == set()


def test_the_picture_shows_the_layers_that_are_checked():
    """CONTRIBUTING.md draws the layers of the contract in pyproject.toml."""
    root = Path(__file__).parents[1]
    config = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    layers = [
        re.split(r" \| ", layer) for layer in contract["layers"] if layer != "__main__"
    ]
    depth = {name: index for index, names in enumerate(layers) for name in names}
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    picture = text.partition("```mermaid\n")[2].partition("```")[0]
    arrows = [
        pair
        for line in picture.splitlines()
        if "-->" in line
        for pair in pairwise(part.strip() for part in line.split("-->"))
    ]

    assert re.findall(r"^ +(\w+)\[", picture, re.MULTILINE) == [*depth]
    assert {name for pair in arrows for name in pair} == depth.keys()
    assert all(depth[upper] < depth[lower] for upper, lower in arrows)
