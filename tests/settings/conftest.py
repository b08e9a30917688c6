"""The command line, run in this process."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from click.testing import CliRunner

from tap_sentry.cli.command import TapCommand


@pytest.fixture
def command(sentry, tmp_path, monkeypatch, caplog):
    """Run the command line in this process; return its code, messages and output."""
    del sentry  # nothing may reach another server
    caplog.set_level(logging.INFO)
    # The SDK replaces the hook; this restores it afterwards.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def command(config, *arguments, **environment):
        caplog.clear()
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        result = CliRunner().invoke(
            TapCommand.get_singer_command(),
            ["--config", str(file), *arguments],
            env=environment,
        )
        lines = [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.WARNING
        ]
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert not any(record.exc_info for record in caplog.records)

        return result.exit_code, lines, result.output + caplog.text

    yield command
    logging.captureWarnings(capture=False)
