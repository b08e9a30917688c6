"""Tests of `Leaks`, which looks for the token in whatever the tap writes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from tests.conftest import Leaks
from tests.sentry import TOKEN

#: The token in a text, as in a logged request.
LINE = f"GET /api/0/organizations/ Authorization: Bearer {TOKEN}"


@pytest.fixture
def leaks():
    """A log handler that collects leaks, as in every test."""
    found = Leaks()
    logging.getLogger().addHandler(found)
    yield found
    logging.getLogger().removeHandler(found)


@pytest.mark.shows_token
@pytest.mark.parametrize("name", ["tap-sentry", "requests", "singer_sdk"])
def test_it_is_found_in_lines_of_the_log(leaks, name):
    """The token is found in the lines of any logger, even as an argument."""
    logging.getLogger(name).warning("it sends %s", LINE)

    (found,) = leaks.found
    assert found.startswith(f"log of {name}: …it sends GET")


@pytest.mark.shows_token
def test_it_is_found_in_tracebacks(leaks):
    """The token is found in the message of an exception."""
    try:
        int(LINE)
    except ValueError:
        logging.getLogger("tap-sentry").exception("It failed")

    assert len(leaks.found) == 1


@pytest.mark.parametrize(
    ("written", "is_leak"),
    [
        (json.dumps({"auth_token": TOKEN}), False),
        (json.dumps({"type": "STATE", "value": {"token": TOKEN}}), True),
        (f"INFO {LINE}\n", True),
        ('{"auth_token": "' + TOKEN, True),
        ("nothing", False),
    ],
)
def test_it_is_found_in_files(leaks, tmp_path_factory, written, is_leak):
    """The token is found in files, except in the configs that tests write."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "below").mkdir()
    (folder / "below" / "file").write_text(written)
    leaks.look_into(folder)

    assert bool(leaks.found) == is_leak


@pytest.mark.shows_token
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_it_is_found_in_what_processes_write(request, stream):
    """The token is found in the output of processes, as bytes or as text."""
    for is_text in (True, False):
        subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", f"import sys; sys.{stream}.write({LINE!r})"],
            capture_output=True,
            text=is_text,
            check=True,
        )

    found = request.getfixturevalue("_no_leaks").found
    assert [line.partition(":")[0] for line in found] == [f"{stream} of a process"] * 2


@pytest.mark.shows_token
def test_it_is_found_in_messages(request, sync, sentry):
    """The token is found in a record that contains it."""
    sentry.organizations[0].name = LINE
    sync("organizations")

    found = request.getfixturevalue("_no_leaks").found
    assert any(line.startswith("stdout: …") for line in found)
