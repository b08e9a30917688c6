"""A private PostgreSQL, and `tap-sentry | target-postgres` to load it."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NOW, catalog_of
from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.data import iso
from tests.streams.test_explore import catalog_of as catalog_of_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes.md"

#: Runs a server until its standard input is closed, which happens even when this
#: process is killed, and then removes the folder.
GUARD = """
folder=$1; shift
"$@" & server=$!
cat > /dev/null
kill -QUIT $server; wait $server
rm -rf "$folder"
"""

#: The tap with the simulator's clock and next to no delay between tries.
TAP = """
from datetime import datetime
from tap_sentry import tap
from tap_sentry.api import rate_limits as limits
from tap_sentry.cli.command import TapCommand
tap.now = lambda: datetime.fromisoformat("{now}")
limits.FIRST_DELAY, limits.LONGEST_DELAY = 0.001, 0.01
TapCommand.cli()
"""

#: Every kind of event that can be counted; the recipes need more than the default.
STATS = ["received", "rejected", "blacklisted", "generated"]
#: The demo reaches further back; loading less of it saves time.
SINCE = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=35)


@dataclass
class Server:
    """A running PostgreSQL that accepts local connections without a password."""

    binaries: Path
    port: int

    def database(self, name: str, template: str = "template1") -> Database:
        """Create a database as a copy of a template."""
        Database(self, "postgres").psql(f"create database {name} template {template}")
        database = Database(self, name)
        database.psql(documented("sql")[0].replace("warehouse", name))
        return database


@dataclass
class Database:
    """One database of a server."""

    server: Server
    name: str

    def psql(self, sql: str, *options: str, **environment: str) -> str:
        """Run SQL in psql, and return what it prints."""
        command: list[str | Path] = [self.server.binaries / "psql", "--no-psqlrc"]
        command += ["--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={self.name}"]
        command += ["--host=127.0.0.1", "--username=postgres"]
        command += [f"--port={self.server.port}", *options, "--file=-"]
        run = subprocess.run(  # noqa: S603 - the server's own
            command,
            input=sql,
            env=plain_environment() | {"PGCLIENTENCODING": "UTF8"} | environment,
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, decoded from JSON."""
        sql = f"select coalesce(json_agg(q), '[]') from ({query}) as q"  # noqa: S608 - a test's query
        rows: list[dict[str, Any]] = json.loads(
            self.psql(sql, "--tuples-only", "--no-align")
        )
        return rows

    def values(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, without the names of the columns."""
        return [tuple(row.values()) for row in self.rows(query)]


def plain_environment() -> dict[str, str]:
    """The environment without settings of PostgreSQL, the target or the tap."""
    ours = ("PG", "TARGET_POSTGRES_", "TAP_SENTRY_")
    return {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server with an empty cluster in a folder of its own."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: -float(path.parts[-2]),
    )
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    found = shutil.which("initdb", path=path)
    if not found:
        pytest.fail(
            "there is no PostgreSQL (no initdb in PATH or /usr/lib/postgresql/*/bin): "
            "apt-get install postgresql, or pytest --ignore=tests/warehouse",
            pytrace=False,
        )
    with running(Path(found).resolve().parent) as started:
        yield started


@contextmanager
def running(binaries: Path) -> Iterator[Server]:
    """Make and run a cluster, as `nobody` under root, which PostgreSQL refuses."""
    folder = Path(tempfile.mkdtemp(prefix="tap-sentry-"))
    as_user: dict[str, Any] = {"cwd": folder, "env": plain_environment()}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
        shutil.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = folder / "data"
    command: list[str | Path] = [binaries / "initdb", "--pgdata", data, "--no-sync"]
    command += ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
    try:
        subprocess.run(  # noqa: S603 - the server's own
            command, check=True, stdout=subprocess.DEVNULL, **as_user
        )
    except BaseException:
        shutil.rmtree(folder)
        raise
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        # Rows must be right in any time zone.
        "timezone": "America/New_York",
        "fsync": "off",
    }
    command = [binaries / "postgres", "-D", data]
    command += [f"--{name}={value}" for name, value in settings.items()]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - the server's own
            ["/bin/sh", "-c", GUARD, "guard", folder, *command],
            stdin=subprocess.PIPE,
            stderr=log,
            # Ctrl-C does not reach it: it ends when the pipe is closed.
            start_new_session=True,
            **as_user,
        ),
    ):
        # Leaving the block closes the pipe and waits for the server to end.
        ready: list[str | Path] = [
            binaries / "pg_isready",
            "--host=127.0.0.1",
            f"--port={port}",
        ]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False, stdout=subprocess.DEVNULL).returncode:  # noqa: S603 - the server's own
            if time.monotonic() > deadline:
                pytest.fail((folder / "log").read_text(), pytrace=False)
            time.sleep(0.05)
        yield Server(binaries, port)


@pytest.fixture(scope="session")
def target() -> Path:
    """The target-postgres command, from an environment of its own."""
    path = Path(
        os.environ.get("TARGET_POSTGRES")
        or ROOT / ".venv-postgres" / "bin" / "target-postgres"
    )
    if not path.exists():
        pytest.fail(
            f"target-postgres is not at {path}: run `make test`, or say in "
            "TARGET_POSTGRES where it is",
            pytrace=False,
        )
    return path


@dataclass
class Loaded:
    """The outcome of a load: exit codes, last state and log."""

    codes: tuple[int, int]
    state: dict[str, Any]
    log: str


@dataclass
class Loader:
    """`tap-sentry | target-postgres`, as a shell runs it."""

    target: Path
    folder: Path

    def load(
        self,
        sentry: SentrySimulator,
        database: Database,
        *streams: str,
        state: dict[str, Any] | None = None,
        now: datetime = NOW,
        target: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Loaded:
        """Load these streams, or all, with the documented settings of the target.

        Those in `target` are added. So are the tables of the setting `explore`.
        """
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        tap: list[str | Path] = [sys.executable, "-c", TAP.format(now=now.isoformat())]
        catalog = catalog_of(*streams)
        catalog["streams"] += catalog_of_tables(*settings.get("explore", ()))["streams"]
        tap += ["--catalog", written(folder / "catalog.json", catalog)]
        if state:
            tap += ["--state", written(folder / "state.json", state)]
        settings_of_target, _ = documented("json")
        to = json.loads(settings_of_target) | {
            "host": "127.0.0.1",
            "port": database.server.port,
            "user": "postgres",
            "database": database.name,
            **(target or {}),
        }
        with sentry.served(), (folder / "log").open("wb") as log:
            settings = {"auth_token": TOKEN, "api_url": sentry.url} | settings
            tap += ["--config", written(folder / "tap.json", settings)]
            with subprocess.Popen(  # noqa: S603, these are ours
                tap,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=plain_environment(),
            ) as source:
                loaded = subprocess.run(  # noqa: S603, likewise
                    [self.target, "--config", written(folder / "target.json", to)],
                    stdin=source.stdout,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=folder,
                    env=plain_environment(),
                    check=False,
                )
        *_, last = [b"{}", *loaded.stdout.splitlines()]
        codes = source.returncode, loaded.returncode
        return Loaded(codes, json.loads(last), (folder / "log").read_text())


def documented(language: str) -> list[str]:
    """The code blocks of the recipes in one language."""
    text = RECIPES.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def written(path: Path, content: object) -> Path:
    """Write JSON to a file, and return its path."""
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="session")
def loader(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """A loader that runs the tap into the target."""
    return Loader(target, tmp_path_factory.mktemp("loads"))


@dataclass
class Warehouse:
    """The demo organizations, loaded once."""

    sentry: SentrySimulator
    database: Database
    loaded: Loaded


@pytest.fixture(scope="session")
def warehouse(server: Server, loader: Loader) -> Warehouse:
    """A database with every stream of the demo as of `NOW`, the heavy ones too."""
    sentry = SentrySimulator(clock=lambda: NOW)
    database = server.database("demo")
    loaded = loader.load(sentry, database, stats=STATS, start_date=iso(SINCE))
    return Warehouse(sentry, database, loaded)
