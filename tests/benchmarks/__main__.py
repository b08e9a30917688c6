"""Measure the speed of the tap, mostly as ratios between runs made side by side.

    python -m tests.benchmarks [--quick] [case …]

Processor time is that of the tap alone; the servers run in processes of their own.
Rivals take turns, and the best turn of each counts. Other load on the machine makes
wall-clock times longer, and processor times a little.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.benchmarks.cases import CASES, measured
from tests.benchmarks.lines import Line, Options


def main() -> None:
    """Run the cases, and print each line as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="all, if none")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    parser.add_argument("--repeat", type=int, help="turns of each rival")
    arguments = parser.parse_args()
    options = Options(share=0.1, repeat=2) if arguments.quick else Options()
    if arguments.repeat:
        options = Options(options.share, arguments.repeat)
    say(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    say("")
    row("case", "measured", "target", "", "made of")
    row("---", "---:", "---:", "---", "---")
    # Each case runs in a process of its own: the memory of the parent at the start of a
    # process counts towards the peak of that process.
    with ProcessPoolExecutor(
        max_workers=1, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        for case in arguments.case or CASES:
            for line in processes.submit(measured, case, options).result():
                row(*cells(line))


def cells(line: Line) -> tuple[str, ...]:
    """The cells of a line of the table."""
    unit = f" {line.unit}".rstrip()
    bound = "≥" if line.is_floor else "≤"
    return (
        line.what,
        f"{line.figure:.2f}{unit}" if unit else f"{line.figure:g}",
        f"{bound} {line.target:g}{unit}",
        "met" if line.is_met else "missed",
        line.note,
    )


def row(*cells: str) -> None:
    """Print a row."""
    say(f"| {' | '.join(cells)} |")


def say(line: str) -> None:
    """Print a line, and flush it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
