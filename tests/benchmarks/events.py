"""The cases about many events: long lists, one that is deep, and sentry.io's limits."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.lines import Line
from tests.benchmarks.running import TAP, folder, run, simulating

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.lines import Options
    from tests.benchmarks.running import Used

#: Seconds that a response takes.
LATENCY = 0.1


@dataclass(frozen=True)
class Form:
    """How events are read: light ones, 100 a page, or full ones, 10 a page."""

    name: str
    settings: dict[str, Any]
    #: Wall against requests x latency / 8 in the case `long`.
    target: float
    #: How many events the cases of sentry.io's limits have.
    many: int


LIGHT = Form("light", {}, target=2.0, many=300_000)
FULL = Form("full", {"full_events": True}, target=1.6, many=30_000)


# Without limits -----------------------------------------------------------------------


def long(options: Options) -> Iterator[Line]:
    """Measure ten projects with lists of many pages."""
    number, width = options.of(10_000), 8
    size = {"projects": 10, "issues": 400, "events": number, "skew": 0}
    for form in (FULL, LIGHT):
        used, asked = read(form, size, width)
        ideal = asked["requests"] * LATENCY / width
        what = f"10 x {number // 10:,} {form.name} events, 100 ms"
        yield Line(
            f"{what}: wall against requests x latency / {width}",
            used.wall / ideal,
            form.target,
            note=f"{used.wall:.1f} s for {asked['requests']} requests, "
            f"CPU {used.cpu:.1f} s",
        )
        needed = asked["pages"][form.name]
        yield Line(
            f"{what}: requests against pages",
            asked["requests"] / needed,
            # A list of ten pages has a count, and slices that end with half a page.
            1.3 if form is FULL else 1.5,
            note=f"{asked['requests']} requests, {needed} pages",
        )


def deep(options: Options) -> Iterator[Line]:
    """Measure one project with a list of a thousand pages."""
    number, width = options.of(100_000), 16
    size = {"projects": 1, "issues": 200, "events": number}
    used, asked = read(LIGHT, size, width)
    yield Line(
        f"a project of {number:,} events, 100 ms: wall against requests x latency / "
        f"{width}",
        used.wall / (asked["requests"] * LATENCY / width),
        1.6,
        note=f"{used.wall:.1f} s for {asked['requests']} requests, "
        f"{asked['pages']['light']} pages, CPU {used.cpu:.1f} s",
    )


def read(form: Form, size: dict[str, Any], width: int) -> tuple[Used, dict[str, Any]]:
    """Read the events of a server without limits, and what it was asked."""
    server_options = {"uneven": size, "form": form.name, "latency": LATENCY}
    with folder() as files, simulating(**server_options) as server:
        catalog = files.catalog(TAP, ["project_events"])
        config = files.config(server.url, concurrency=width, **form.settings)
        used = run([*TAP, "--config", config, "--catalog", catalog])
        return used, server.asked()


# Under the limits of sentry.io --------------------------------------------------------

#: The key of `project_events`.
KEY = ("organization_id", "project_id", "eventID")
#: How many times as fast as on sentry.io time goes by. The more, the shorter the case;
#: but the processor must not be what it waits for. A request of 75 light events, which
#: is granted after 25 ms / 4, takes the tap 2.7 ms and the simulator 0.8 ms.
HURRY = 4
#: The requests that sentry.io grants in a second of the case, but for project events.
A_SECOND = 40 * HURRY


@dataclass(frozen=True)
class Outcome:
    """What a run under the limits took, and how its events differ from the server's."""

    used: Used
    asked: dict[str, Any]
    missing: int
    #: Records of events that the server does not have, or wrong ones.
    extra: int
    #: Events that were written more than once.
    repeated: int


def wide(form: Form, options: Options) -> Iterator[Line]:
    """Measure twenty unequal projects, by issue where that is faster, or by project.

    By project it takes the better part of an hour on sentry.io, so a tenth is measured.
    """
    number = options.of(form.many)
    sizes = {"projects": 20, "issues": options.of(2000, step=100)}
    best = limited(form, sizes | {"events": number})
    # A small share is over before the limit matters.
    part = min(number, form.many // 10)
    sizes["issues"] = min(sizes["issues"], 200)
    slow = limited(form, sizes | {"events": part}, events_by="project")
    requests = best.asked["requests"]
    # What the lists of projects need, for as many requests as were made for its part.
    pages = best.asked["pages"][form.name]
    scale = pages / slow.asked["pages"][form.name]
    what = f"sentry.io, {number:,} {form.name} events"
    yield Line(
        f"{what}: wall against events_by: project",
        best.used.wall / (slow.used.wall * scale),
        0.08,
        note=f"{best.used.wall:.1f} s, against {scale:.1f} x {slow.used.wall:.1f} s "
        f"for {part:,} events and {slow.asked['requests']} requests; {HURRY} times as "
        "fast as sentry.io",
    )
    yield Line(
        f"{what}: wall against requests ÷ 40 a second",
        best.used.wall / (requests / A_SECOND),
        1.25,
        note=f"{requests} requests, {pages} pages of projects, "
        f"CPU {best.used.cpu:.1f} s",
    )
    refused = best.asked["refused"] + slow.asked["refused"]
    yield Line(f"{what}: 429s met", refused, 0, unit="")
    outcomes = (best, slow)
    repeated = sum(outcome.repeated for outcome in outcomes)
    yield Line(
        f"{what}: events missing or not the server's",
        sum(outcome.missing + outcome.extra for outcome in outcomes),
        0,
        unit="",
        note=f"of {number:,} and {part:,}; {repeated} written twice",
    )


def limited(form: Form, size: dict[str, Any], **settings: Any) -> Outcome:
    """Read the events of a server with sentry.io's limits."""
    server_options = {
        "uneven": size | {"full_kilobytes": 1},
        "form": form.name,
        "latency": LATENCY / HURRY,
        "hurry": HURRY,
    }
    with folder() as files, simulating(**server_options) as server:
        catalog = files.catalog(TAP, ["project_events"])
        config = files.config(server.url, **form.settings, **settings)
        command = [*TAP, "--config", config, "--catalog", catalog]
        used = run(command, output := files.path / "events")
        asked = server.asked()
        found, true = written(output), set(server.keys())
    return Outcome(
        used,
        asked,
        missing=len(true - found.keys()),
        extra=len(found.keys() - true),
        repeated=found.total() - len(found),
    )


def written(output: Path) -> Counter[str]:
    """How often each key was written."""
    with output.open() as lines:
        messages = (json.loads(line) for line in lines)
        records = (row["record"] for row in messages if row["type"] == "RECORD")
        return Counter("/".join(record[name] for name in KEY) for record in records)
