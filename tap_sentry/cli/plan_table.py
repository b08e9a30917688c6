"""The lines of a plan, as a table or as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tap_sentry.cli.summary import duration
from tap_sentry.streams.forecasts import Forecast

HEADER = ("stream", "records", "requests", "time", "how")


@dataclass
class Line:
    """The forecast of a stream."""

    name: str
    forecast: Forecast = field(default_factory=Forecast)
    #: Why it cannot be estimated, if it cannot.
    reason: str = ""
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """All requests."""
        return self.forecast.requests.total()

    @property
    def how(self) -> str:
        """The ways of reading it, such as `9 by issue`, or why it cannot be read."""
        ways = sorted(self.forecast.ways.items())
        return self.reason or ", ".join(f"{n:,} by {way}" for way, n in ways)

    def to_json(self) -> dict[str, Any]:
        """Return the line as an object."""
        return {
            "stream": self.name,
            "records": self.forecast.records,
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "how": self.how,
        }


def table(lines: list[Line]) -> str:
    """Format a forecast."""
    rows = [HEADER]
    for line in lines:
        records = line.forecast.records
        rows.append(
            (
                line.name,
                "~" if records is None else f"{records:,}",
                f"{line.requests:,}",
                duration(line.seconds),
                line.how,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:{widths[0]}}  {records:>{widths[1]}}  {requests:>{widths[2]}}  "
        f"{seconds:>{widths[3]}}  {how}".rstrip()
        for name, records, requests, seconds, how in rows
    )
