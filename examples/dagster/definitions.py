"""Sentry into PostgreSQL with Dagster: one partition of an asset for each shard.

A shard is an organization, or some projects of one, with its own state file. It is
loaded, retried and backfilled on its own. docs/scaling.md says how to cut shards, and
what the variables of the environment are.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg

SHARDS: dict[str, dict[str, Any]] = json.loads(
    Path(os.environ["SENTRY_SHARDS"]).read_text("utf-8")
)
#: Where each shard keeps its state and its catalog.
STATES = Path(os.environ["SENTRY_STATES"])
#: Seconds before the first retry; before the second it is twice as long.
RETRY_DELAY = float(os.environ.get("SENTRY_RETRY_DELAY", "60"))
TAP = os.environ.get("TAP_SENTRY", "tap-sentry")
TARGET = os.environ.get("TARGET_POSTGRES", "target-postgres")


@dg.asset(
    partitions_def=dg.StaticPartitionsDefinition(sorted(SHARDS)),
    retry_policy=dg.RetryPolicy(
        max_retries=2, delay=RETRY_DELAY, backoff=dg.Backoff.EXPONENTIAL
    ),
)
def sentry(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The tables of Sentry, with the rows of one shard."""
    folder = load(context.partition_key)
    return dg.MaterializeResult(metadata={"folder": dg.MetadataValue.path(folder)})


load_shard = dg.define_asset_job("load_shard", [sentry])


@dg.schedule(cron_schedule="0 * * * *", job=load_shard)
def hourly() -> list[dg.RunRequest]:
    """A run for each shard."""
    return [dg.RunRequest(partition_key=name) for name in sorted(SHARDS)]


definitions = dg.Definitions(assets=[sentry], jobs=[load_shard], schedules=[hourly])


def load(name: str) -> Path:
    """Run `tap-sentry | target-postgres` for one shard, starting from its state.

    Returns the folder with its state and logs.

    Raises:
        Failure: If one of them ends with a code other than 0.
    """
    shard = dict(SHARDS[name])
    streams = shard.pop("streams", None)
    folder = STATES / name
    folder.mkdir(parents=True, exist_ok=True)
    # The token, and all settings that shards share, are in the environment.
    config = written(folder / "config.json", shard)
    command = [TAP, "--config", str(config), "--config", "ENV"]
    if streams is not None:
        catalog = json.loads(subprocess.check_output([*command, "--discover"]))
        selected = written(folder / "catalog.json", select(catalog, streams))
        command += ["--catalog", str(selected)]
    state = folder / "state.json"
    if state.exists():
        command += ["--state", str(state)]
    with (
        (folder / "tap.log").open("wb") as tap_log,
        (folder / "target.log").open("wb") as target_log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=tap_log) as tap,
        subprocess.Popen(
            [TARGET, "--config", "ENV"],
            stdin=tap.stdout,
            stdout=subprocess.PIPE,
            stderr=target_log,
        ) as target,
    ):
        assert tap.stdout is not None
        assert target.stdout is not None
        # Otherwise the tap would not notice that the target has ended.
        tap.stdout.close()
        for line in target.stdout:
            # A state that the target prints is in the database, even if it fails later.
            if line.endswith(b"\n"):
                replaced(state, line)
    codes = {"tap": tap.returncode, "target": target.returncode}
    if failed := [process for process, code in codes.items() if code]:
        told = [end_of(folder / f"{process}.log") for process in failed]
        raise dg.Failure("\n".join([f"{name} ended with {codes}", *told]))
    return folder


def end_of(log: Path) -> str:
    """The last lines of a log, without the metrics of the SDK."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if " METRIC: " not in line][-10:])


def select(catalog: dict[str, Any], streams: list[str]) -> dict[str, Any]:
    """The catalog with just these streams selected."""
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if not item["breadcrumb"]:
                item["metadata"]["selected"] = entry["tap_stream_id"] in streams
    return catalog


def written(path: Path, content: object) -> Path:
    """Write JSON to a file, and return its path."""
    path.write_text(json.dumps(content), "utf-8")
    return path


def replaced(path: Path, content: bytes) -> None:
    """Replace a file at once, so that it is never half written."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
