"""The notes that the release workflow takes from the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- Something.

## [1.2.3] - 2026-12-01

### Fixed

- What was wrong in 1.2.

## [1.2] - 2026-11-01

- The first.

[1.2.3]: https://example.com/1.2.3
"""


def notes(version: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Print the notes of a version from the changelog in a folder."""
    command = ["make", "--silent", f"--file={ROOT / 'Makefile'}", "notes"]
    return subprocess.run(  # noqa: S603, ours
        [*command, f"VERSION={version}"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("Unreleased", "### Added\n\n- Something."),
        ("1.2.3", "### Fixed\n\n- What was wrong in 1.2."),
        ("1.2", "- The first."),
    ],
)
def test_the_notes_of_a_version_are_its_section(version, says, tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)

    assert notes(version, tmp_path).stdout.strip() == says


def test_a_version_without_a_section_is_not_released(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)

    assert notes("1.2.4", tmp_path).returncode
