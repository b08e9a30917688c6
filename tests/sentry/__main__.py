"""Serve a simulated Sentry: `python -m tests.sentry --flavour saas --size demo`."""

from __future__ import annotations

import argparse
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from tests.sentry.calls import SAAS_LIMITS
from tests.sentry.data.sizes import demo, generated
from tests.sentry.flavours import FLAVOURS
from tests.sentry.simulator import SentrySimulator

SIZES: dict[str, dict[str, Any]] = {
    "small": {"projects": 4, "issues": 40, "events": 500},
    "medium": {},
    "large": {"teams": 20, "projects": 100, "issues": 3000, "events": 100_000},
}


def main() -> None:
    """Serve a simulated Sentry until the process is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sentry")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--flavour", choices=FLAVOURS, default="saas")
    parser.add_argument("--size", choices=["demo", *SIZES], default="demo")
    parser.add_argument("--full-kilobytes", type=float, default=4)
    parser.add_argument("--latency", type=float, default=0, help="seconds")
    parser.add_argument("--page-size", type=int)
    parser.add_argument("--limits", action="store_true", help="those of sentry.io")
    options = parser.parse_args()
    now = datetime.now(UTC)
    organizations = (
        demo(now)
        if options.size == "demo"
        else generated(
            now=now, full_kilobytes=options.full_kilobytes, **SIZES[options.size]
        )
    )
    simulator = SentrySimulator(
        organizations,
        flavour=options.flavour,
        latency=options.latency,
        page_size=options.page_size,
        rate_limits=SAAS_LIMITS if options.limits else None,
    )
    with simulator.served(options.port):
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
