"""The benchmark cases: each gives lines of the table."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks import events
from tests.benchmarks.lines import Line, Options
from tests.benchmarks.plain import MEASURED
from tests.benchmarks.running import (
    FLOOR,
    PLAIN,
    TAP,
    Server,
    folder,
    run,
    serving,
    simulating,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.running import Folder, Used


# Processor time for each record -------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """Rows of one kind, read by one stream."""

    what: str
    kind: str
    stream: str
    rows: int
    page: int = 100
    settings: tuple[str, ...] = ()
    against_floor: float = 0
    against_plain: float = 0


LIGHT = Load("light events", "light", "project_events", 20_000, against_floor=3.5)
ISSUES = Load(
    *("issues", "issues", "project_issues", 20_000),
    against_floor=3.5,
    against_plain=0.35,
)
FULL = [
    Load(
        f"{what}, {page} a page",
        "full",
        stream,
        4_000,
        page,
        settings,
        against_floor=0.6 if page == 100 else 1.3,
        against_plain=0.3 if page == 100 else 0,
    )
    for what, stream, settings in (
        ("entries of full events", "project_event_entries", ()),
        ("full events", "project_events", ("full_events",)),
    )
    for page in (100, 10)
]


def processor(load: Load, options: Options) -> Iterator[Line]:
    """Measure processor time per record, without that of the start-up."""
    rows = options.of(load.rows)
    with folder() as files, serving("server") as server:
        rivals = {"tap": rival(TAP, load, files), "floor": floor(load, files)}
        amounts = {"tap": rows, "floor": rows}
        if load.against_plain:
            rivals["plain"] = rival(PLAIN, load, files)
            amounts["plain"] = rows // 2
        check_same(rivals, server, load, files)
        seconds = dict.fromkeys(rivals, (math.inf, math.inf))
        for _ in range(options.repeat):
            for name, command in rivals.items():
                start, whole = (
                    run(command(f"{server.url}/{load.kind}/{load.page}/{number}")).cpu
                    for number in (0, amounts[name])
                )
                least_start, least_whole = seconds[name]
                seconds[name] = min(least_start, start), min(least_whole, whole)
    each = {
        name: 1e6 * (whole - start) / amounts[name]
        for name, (start, whole) in seconds.items()
    }
    note = ", ".join(f"{name} {figure:.0f} µs" for name, figure in each.items())
    what = f"CPU per record, {load.what}, against the"
    if load.against_floor:
        ratio = each["tap"] / each["floor"]
        yield Line(f"{what} floor", ratio, load.against_floor, note=note)
    if load.against_plain:
        ratio = each["tap"] / each["plain"]
        yield Line(f"{what} plain SDK", ratio, load.against_plain, note=note)


def rival(tap: Sequence[str], load: Load, files: Folder) -> Callable[[str], list[str]]:
    """A function that gives the tap's command for the address of the data."""
    catalog = files.catalog(tap, [load.stream])
    settings = dict.fromkeys(load.settings, True)

    def command(url: str) -> list[str]:
        config = files.config(url, **settings)
        return [*tap, "--config", config, "--catalog", catalog]

    return command


def floor(load: Load, files: Folder) -> Callable[[str], list[str]]:
    """A function that gives the floor's command for the address of the data."""
    catalog = files.catalog(TAP, [load.stream])
    return lambda url: [*FLOOR, url, load.stream, catalog]


def check_same(
    rivals: dict[str, Callable[[str], list[str]]],
    server: Server,
    load: Load,
    files: Folder,
) -> None:
    """Exit unless all rivals write the same records, or figures would mean nothing."""
    url = f"{server.url}/{load.kind}/{load.page}/{3 * load.page}"
    written = {}
    for name, command in rivals.items():
        run(command(url), output := files.path / "lines")
        with output.open() as lines:
            messages = [json.loads(line) for line in lines]
        found = [row for row in messages if row["type"] == "RECORD"]
        if not all(row["time_extracted"] for row in found):
            sys.exit(f"{name} does not write when a record was extracted")
        written[name] = [row["record"] for row in found]
    for name, records in written.items():
        if not records or records != written["tap"]:
            sys.exit(f"{name} does not write the records that the tap writes")


# Wall-clock time ----------------------------------------------------------------------

SMALL = {"projects": 20, "teams": 3, "issues": 800, "events": 1200}


def latency(options: Options) -> Iterator[Line]:
    """Measure sixteen streams, with 100 ms for each response."""
    seconds, width = 0.1, 16
    with folder() as files, simulating(size=SMALL, latency=seconds) as server:
        config = files.config(server.url, concurrency=width)
        command = [*TAP, "--config", config, "--catalog", files.catalog(TAP, MEASURED)]
        best, asked = quickest(command, server, repeat=min(3, options.repeat))
    requests = asked["requests"]
    ideal = requests * seconds / width
    note = f"{best.wall:.1f} s for {requests} requests, CPU {best.cpu:.1f} s"
    yield Line("100 ms: wall against requests x latency / 16", best.wall / ideal, 1.4)
    tenth = {name: number // 10 or 1 for name, number in SMALL.items()}
    with folder() as files, simulating(size=tenth, latency=seconds) as server:
        config = files.config(server.url)
        command = [
            *PLAIN,
            "--config",
            config,
            "--catalog",
            files.catalog(PLAIN, MEASURED),
        ]
        plain = run(command)
    yield Line(
        "100 ms: wall against the plain SDK",
        best.wall / (10 * plain.wall),
        0.10,
        note=f"{note}; plain: 10 x {plain.wall:.1f} s for a tenth of the projects",
    )
    yield Line(
        "requests against the least possible",
        requests / asked["least"],
        1.02,
        note=f"{requests} requests, {asked['least']} needed",
    )


def quickest(
    command: list[str], server: Server, repeat: int
) -> tuple[Used, dict[str, Any]]:
    """The quickest run, and the server's figures for the last run."""
    runs = []
    for _ in range(repeat):
        runs.append(run(command))
        asked = server.asked()
    return min(runs, key=lambda used: used.wall), asked


def limits(options: Options) -> Iterator[Line]:
    """Measure a limit of 60 requests a minute, one at a time; a minute takes 3 s."""
    windows = max(4, options.of(12, step=1))
    size = {
        "projects": 6,
        "teams": 1,
        "issues": 6,
        "events": 600 * windows,
        "full_kilobytes": 1,
    }
    limit = {"limit": 60, "window": 3, "concurrent": 1}
    limited = {"projects/{org}/{project}/events/": limit}
    with folder() as files, simulating(size=size, limits=limited) as server:
        catalog = files.catalog(TAP, ["project_event_entries", "project_users"])
        config = files.config(server.url, events_by="project")
        used = run([*TAP, "--config", config, "--catalog", catalog])
        asked = server.asked()
    yield Line(
        "60 a minute, one at a time: allowance used",
        100 * asked["used"],
        97,
        unit="%",
        is_floor=True,
        note=f"{asked['requests']} requests in {used.wall:.0f} s, 3 s for a minute",
    )
    yield Line("60 a minute, one at a time: 429s met", asked["refused"], 0, unit="")


def spans(options: Options) -> Iterator[Line]:
    """Measure a table of spans, under the limits of Explore on sentry.io."""
    number, a_second = options.of(200_000), 30
    limit = {"limit": a_second, "window": 1, "concurrent": 15}
    limited = {"organizations/{org}/events/": limit}
    table = {"name": "spans", "dataset": "spans", "fields": ["span.op", "project"]}
    setup = {"size": {"projects": 1, "teams": 1}, "latency": 0.1, "spans": number}
    with folder() as files, simulating(limits=limited, **setup) as server:
        config = files.config(
            server.url, explore=[table], start_date="1d", concurrency=16
        )
        catalog = files.catalog(TAP, ["explore_spans"], explore=[table])
        used = run([*TAP, "--config", config, "--catalog", catalog])
        asked = server.asked()
    requests = asked["explored"]
    yield Line(
        "spans, 30 requests a second: wall against requests ÷ 30",
        used.wall / (requests / a_second),
        1.4,
        note=f"{number:,} spans in {used.wall:.1f} s, {used.megabytes:.0f} MB",
    )
    yield Line(
        "spans: requests against rows ÷ 100",
        requests / (number / 100),
        1.15,
        note=f"{requests} requests, {asked['refused']} of them refused",
    )


# Memory -------------------------------------------------------------------------------


def memory(options: Options) -> Iterator[Line]:
    """Measure peak memory, which must not grow with the number of records."""
    with folder() as files, serving("server") as server:
        peaks = {}
        for load in (LIGHT, FULL[0], FULL[1]):
            command = rival(TAP, load, files)
            for rows in (options.of(10_000), options.of(200_000)):
                if load is not LIGHT:
                    rows //= 10  # noqa: PLW2901 - full events are larger
                url = f"{server.url}/{load.kind}/{load.page}/{rows}"
                peaks[load.what, rows] = run(command(url)).megabytes
    (_, few), (many, most) = list(peaks.items())[:2]
    note = f"{few:.0f} MB and {most:.0f} MB"
    what = f"peak memory, {many[1]:,} light events against a twentieth"
    yield Line(what, most / few, 1.15, note=note)
    for (name, rows), peak in list(peaks.items())[2:]:
        if rows == many[1] // 10:
            yield Line(f"peak memory, {rows:,} {name}", peak, 120, unit="MB")


# Nothing new --------------------------------------------------------------------------

#: The number of streams that have a bookmark for each project.
PER_PROJECT = 8
#: Sends as many requests with the library that the tap uses, and does nothing else.
ASKING = """
import sys, requests
session = requests.Session()
for _ in range(int(sys.argv[2])):
    session.get(sys.argv[1] + "/api/0/").content
"""


def idle(options: Options) -> Iterator[Line]:
    """Measure sixteen streams of 1,000 projects: a first run, and one without news."""
    projects = options.of(1000, step=100)
    size = {
        "projects": projects,
        "teams": 5,
        "issues": 3 * projects,
        "events": 10 * projects,
    }
    with folder() as files, simulating(size=size) as server:
        config = files.config(server.url)
        command = [*TAP, "--config", config, "--catalog"]
        command.append(files.catalog(TAP, MEASURED))
        first = run(command, output := files.path / "first")
        sizes: Counter[str] = Counter()
        state = ""
        with output.open() as lines:
            for line in lines:
                kind = line[:40].partition('"type":"')[2].partition('"')[0]
                sizes[kind] += len(line.encode())
                state = line if kind == "STATE" else state
        server.asked()
        command += ["--state", files.write(json.loads(state)["value"])]
        again, asking = math.inf, math.inf
        for _ in range(options.repeat):
            again = min(again, run(command).cpu)
            requests = server.asked()["requests"]
            bare = run(["-c", ASKING, server.url, str(requests)])
            asking = min(asking, bare.cpu)
            server.asked()
    pairs = projects * PER_PROJECT
    share = 100 * sizes["STATE"] / sizes.total()
    yield Line(
        f"{projects:,} projects, nothing new: CPU per project and stream",
        1000 * again / pairs,
        1.2,
        unit="ms",
        note=f"{again:.1f} s for {requests} requests, start-up included; "
        f"{again / asking:.2f} x as many by a requests.Session alone",
    )
    yield Line(
        f"{projects:,} projects: STATE in the bytes of the first run",
        share,
        5,
        unit="%",
        note=f"of {sizes.total() / 1e6:.0f} MB; CPU {first.cpu:.0f} s",
    )


# Discovery ----------------------------------------------------------------------------


def discovery(options: Options) -> Iterator[Line]:
    """Measure the start of the tap for a discovery, which Meltano often waits for."""
    with folder() as files:
        config = files.config("http://127.0.0.1")
        ours = [*TAP, "--config", config, "--discover"]
        bare = ["-c", "import singer_sdk, requests, msgspec"]
        walls = [
            (run(ours).wall, run(bare).wall) for _ in range(max(5, 3 * options.repeat))
        ]
    seconds, imports = map(min, zip(*walls, strict=True))
    ratio = seconds / imports
    note = f"{ratio:.2f} x the import of singer-sdk"
    yield Line("discovery, cold", seconds, 0.45, unit="s", note=note)


CASES: dict[str, Callable[[Options], Iterator[Line]]] = {
    "light": lambda options: processor(LIGHT, options),
    "issues": lambda options: processor(ISSUES, options),
    "full": lambda options: (
        line for load in FULL for line in processor(load, options)
    ),
    "latency": latency,
    "limits": limits,
    "long": events.long,
    "deep": events.deep,
    "wide": lambda options: events.wide(events.LIGHT, options),
    "wide-full": lambda options: events.wide(events.FULL, options),
    "spans": spans,
    "memory": memory,
    "idle": idle,
    "discovery": discovery,
}


def measured(case: str, options: Options) -> list[Line]:
    """Run a case, and return its lines."""
    return list(CASES[case](options))
