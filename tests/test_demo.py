"""The parts of `make demo` that need no Meltano; CI runs all of it."""

from __future__ import annotations

import json
import sys

import pytest

from tests import demo


def test_the_summary_is_found_in_a_log_of_meltano():
    """Of the lines of a log, those of the tap about what it has read are shown."""
    total = "total: 5 records read with 2 requests, in 1 s"
    lines = [
        json.dumps({"string_id": "tap-sentry", "event": "METRIC"}),
        json.dumps({"string_id": "tap-sentry", "event": total}),
        json.dumps({"string_id": "target-jsonl", "event": total}),
        json.dumps({"event": "Run completed"}),
        "Traceback (most recent call last):",
        "",
    ]

    assert [*demo.summary(lines)] == [total]


def test_the_environment_is_that_of_the_demo(monkeypatch):
    """Settings of the user's own pipeline do not change the demo."""
    monkeypatch.setenv("TAP_SENTRY_START_DATE", "1d")
    monkeypatch.setenv("MELTANO_ENVIRONMENT", "prod")
    found = demo.environment("TAP_SENTRY_", "MELTANO_")

    assert "PATH" in found
    assert not {"TAP_SENTRY_START_DATE", "MELTANO_ENVIRONMENT"} & found.keys()


def test_without_dbt_the_rest_is_shown(monkeypatch, tmp_path, capfd):
    """If dbt is not there, one line says so, and the demo ends well."""
    load = tmp_path / "load"

    def loads(pipeline: demo.Pipeline) -> None:
        load.write_text(pipeline.url)

    monkeypatch.setattr(demo.Pipeline, "plan", lambda _: None)
    monkeypatch.setattr(demo.Pipeline, "load", loads)
    monkeypatch.setattr(demo, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(demo, "answer", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["demo", "meltano", str(tmp_path / "dbt")])
    demo.main()

    assert load.read_text().startswith("http://127.0.0.1")
    assert "dbt cannot be installed here" in capfd.readouterr().out


def test_a_pipeline_that_fails_ends_the_demo(tmp_path):
    """If Meltano fails, so does the demo."""
    failing = tmp_path / "meltano"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)

    with pytest.raises(SystemExit, match="The pipeline failed"):
        demo.Pipeline(failing, "http://127.0.0.1:1").run("invoke", "tap-sentry")
