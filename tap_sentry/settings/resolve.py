"""Resolve the settings of a run: what they mean for a run that starts now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_sentry import windows
from tap_sentry.settings.names import Names, parse_url
from tap_sentry.settings.reader import SettingReader, parse_bundle
from tap_sentry.settings.schema import (
    EVENTS_BY,
    MAX_CONCURRENCY,
    RESOLUTIONS,
    SETTINGS,
    STATS,
)
from tap_sentry.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from tap_sentry.settings.explore import Query

#: The number of an issue, or its short id: the slug of its project and a number in
#: base 32.
ISSUE = re.compile(r"[0-9]{1,19}|[A-Z0-9_-]*[A-Z_][A-Z0-9_-]*-[A-Z0-9]+")


@dataclass(frozen=True)
class Settings:
    """The settings of one run, resolved against the instant it started."""

    #: When the run started.
    started: datetime
    auth_token: str = field(repr=False)
    api_url: str
    organizations: tuple[str, ...]
    projects: Names
    teams: Names
    #: Numbers, and short ids in capital letters.
    issue_ids: tuple[str, ...]
    issue_query: str
    stats: tuple[str, ...]
    stats_resolution: str
    #: From `start_date`, `end_date` or `report_date`. `end` is never after `started`,
    #: so it is the upper bound of everything that the run reads.
    start: datetime | None
    end: datetime
    #: Whether the run is for one day; it then neither reads nor moves bookmarks.
    is_report: bool
    lookback: timedelta
    issue_refresh: timedelta
    full_events: bool
    events_by: str
    concurrency: int
    request_timeout: int
    ca_bundle: str | bool
    activate_versions: bool
    strict: bool
    #: The tables of the setting `explore`.
    explore: tuple[Query, ...]

    @property
    def bucket(self) -> timedelta:
        """The length of a bucket of the event counts."""
        return RESOLUTIONS[self.stats_resolution]


class BadSettings(ValueError):  # noqa: N818 - the user reads the text, not the name
    """Settings that cannot be used, with one line for each reason."""

    def __init__(self, errors: list[str]) -> None:
        """Keep the lines; none of them may hold the token."""
        super().__init__("; ".join(errors))
        self.errors = errors


def resolve(config: Mapping[str, Any], now: datetime) -> Settings:
    """Check every setting, and resolve it for a run that starts now.

    Raises:
        BadSettings: With a line for each setting that is wrong.
    """
    properties = SETTINGS.to_dict()["properties"]
    reader = SettingReader(
        {
            name: prop.get("default") if config.get(name) is None else config[name]
            for name, prop in properties.items()
        }
    )
    start, end, is_report = _window(reader, now)
    settings = Settings(
        started=now,
        auth_token=reader.token(),
        api_url=reader.read("api_url", parse_url) or "",
        organizations=reader.names("organizations", "organizations"),
        projects=Names.of(reader.names("projects", "projects")),
        teams=Names.of(reader.names("teams", "teams")),
        issue_ids=tuple(map(str.upper, reader.names("issue_ids", "issues"))),
        issue_query=reader.text("issue_query") or "",
        stats=reader.choices("stats", STATS),
        stats_resolution=reader.choice("stats_resolution", tuple(RESOLUTIONS)),
        start=start,
        end=end,
        is_report=is_report,
        lookback=reader.duration("lookback"),
        issue_refresh=reader.duration("issue_refresh"),
        full_events=reader.boolean("full_events"),
        events_by=reader.choice("events_by", EVENTS_BY),
        concurrency=reader.integer("concurrency", 1, MAX_CONCURRENCY),
        request_timeout=reader.integer("request_timeout", 1, 3600),
        ca_bundle=reader.read("ca_bundle", parse_bundle)
        or reader.bundle_of_environment()
        or True,
        activate_versions=reader.boolean("activate_versions"),
        strict=reader.boolean("strict"),
        explore=reader.queries("explore"),
    )
    _check_names(reader, settings)
    if reader.errors:
        raise BadSettings(reader.errors)
    return settings


def _check_names(reader: SettingReader, settings: Settings) -> None:
    """Add an error for each name that cannot be one of an organization or issue."""
    for name in settings.organizations:
        if set(name) & set("!*?"):
            reader.errors.append(
                f"organizations: {name!r} is not a slug, an id or a URL"
            )
    for issue in settings.issue_ids:
        if not ISSUE.fullmatch(issue):
            reader.errors.append(
                f"issue_ids: {issue!r} is neither the number nor the short id of an "
                "issue"
            )


def _window(
    reader: SettingReader, now: datetime
) -> tuple[datetime | None, datetime, bool]:
    """Return the bounds of the date settings, and whether the run is a report."""
    report = reader.read("report_date", lambda text: windows.parse_day(text, now))
    start = reader.read("start_date", lambda text: windows.parse_date(text, now))
    end = reader.read(
        "end_date", lambda text: windows.parse_date(text, now, is_end=True)
    )
    if report is not None:
        for name in ("start_date", "end_date"):
            if reader.config[name] is not None:
                reader.errors.append(
                    f"report_date and {name} cannot be used together: "
                    "report_date is exactly one day"
                )
        start, end = report.start, report.end
    if start is not None and start > now:
        name = "start_date" if report is None else "report_date"
        reader.errors.append(f"{name} is in the future: {windows.to_text(start)}")
    elif start is not None and end is not None and not Window(start, end):
        reader.errors.append(
            f"end_date ({windows.to_text(end)}) is not after "
            f"start_date ({windows.to_text(start)})"
        )
    elif start is None and end is not None and not Window(windows.BEGINNING, end):
        reader.errors.append(
            f"end_date ({windows.to_text(end)}) is older than all that Sentry keeps"
        )
    return start, now if end is None else min(end, now), report is not None
