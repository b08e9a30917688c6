"""Every setting of the tap: what a user may write, and what it means."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from singer_sdk import typing as th

from tap_sentry import windows
from tap_sentry.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

_T = TypeVar("_T")

STATS = ("received", "rejected", "blacklisted", "generated")
RESOLUTIONS = {"1d": windows.DAY, "1h": timedelta(hours=1)}
MAX_CONCURRENCY = 32
LONGEST = 3650 * windows.DAY

_NAMES = th.ArrayType(th.StringType)
#: A name, an address of IPv4 or, with colons, one of IPv6.
_HOST = re.compile(r"\w([\w.-]*\w)?\.?|[0-9a-f:.]*:[0-9a-f:.]*(%\w+)?")

SETTINGS = th.PropertiesList(
    th.Property(
        "auth_token",
        th.StringType,
        required=True,
        secret=True,
        title="Auth token",
        description="Sentry auth token, with the scopes org:read, project:read, "
        "event:read and team:read.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://sentry.io",
        title="API URL",
        description="Address of the Sentry server: https://sentry.io, "
        "https://de.sentry.io, or a self-hosted one with port and path prefix.",
    ),
    th.Property(
        "organizations",
        _NAMES,
        title="Organizations",
        description="Slugs, ids or pasted URLs of the organizations to read; "
        "without it, all that the token can list.",
    ),
    th.Property(
        "projects",
        _NAMES,
        title="Projects",
        description="Slugs, ids or globs (shop-*) of the projects to read; "
        "a leading ! excludes. Without it, all.",
    ),
    th.Property(
        "teams",
        _NAMES,
        title="Teams",
        description="Slugs, ids or globs of the teams to read; "
        "a leading ! excludes. Without it, all.",
    ),
    th.Property(
        "issue_ids",
        _NAMES,
        title="Issue IDs",
        description="Only these issues, for issue_events and issue_event_entries; "
        "bookmarks are left alone.",
    ),
    th.Property(
        "issue_query",
        th.StringType,
        default="",
        title="Issue query",
        description="Sentry search for project_issues, such as is:unresolved; "
        "empty reads issues of every status.",
    ),
    th.Property(
        "stats",
        th.ArrayType(th.StringType(allowed_values=STATS)),
        default=["received"],
        title="Stats",
        description="What the event counts count: received, rejected, blacklisted, "
        "generated.",
    ),
    th.Property(
        "stats_resolution",
        th.StringType(allowed_values=tuple(RESOLUTIONS)),
        default="1d",
        title="Stats resolution",
        description="Length of the buckets of the event counts: 1d or 1h.",
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Start date",
        description="Read from here on: a UTC day (2026-11-01), an instant "
        "(2026-11-01T12:00:00Z) or how long ago (10d, 2w, 36h). Without it, all "
        "that Sentry keeps.",
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="End date",
        description="Read up to here, written as start_date; a day is included. "
        "Without it, now.",
    ),
    th.Property(
        "report_date",
        th.StringType,
        title="Report date",
        description="Read exactly one UTC day (2026-11-01, or 1d for yesterday) "
        "instead of a range; bookmarks are neither read nor moved.",
    ),
    th.Property(
        "lookback",
        th.StringType,
        default="1h",
        title="Lookback",
        description="How far before the bookmark an incremental run reads again, "
        "for events that arrive late.",
    ),
    th.Property(
        "issue_refresh",
        th.StringType,
        default="1d",
        title="Issue refresh",
        description="How often all issues are read again, so that changes of status "
        "or assignee arrive without a new event; 0s: every run.",
    ),
    th.Property(
        "full_events",
        th.BooleanType,
        default=False,
        title="Full events",
        description="Give project_events and issue_events with contexts, sdk, errors, "
        "fingerprints; ten times the requests on sentry.io.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType,
        default=8,
        title="Concurrency",
        description=f"Requests under way at once, 1 to {MAX_CONCURRENCY}.",
    ),
    th.Property(
        "request_timeout",
        th.IntegerType,
        default=60,
        title="Request timeout",
        description="Seconds to wait for an answer before a request is repeated.",
    ),
    th.Property(
        "ca_bundle",
        th.StringType,
        title="CA bundle",
        description="File with the certificate authorities to trust; without it "
        "REQUESTS_CA_BUNDLE, else the usual ones.",
    ),
    th.Property(
        "strict",
        th.BooleanType,
        default=False,
        title="Strict",
        description="Stop, rather than skip and report, when one project, team or "
        "issue cannot be read.",
    ),
)


@dataclass(frozen=True)
class Names:
    """Names to include and to exclude: slugs, ids or globs."""

    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Split names at the leading `!` of those that exclude."""
        names = [name.strip() for name in names]
        return cls(
            tuple(name for name in names if not name.startswith("!")),
            tuple(name[1:].strip() for name in names if name.startswith("!")),
        )

    def match(self, *aliases: str) -> bool:
        """Whether something known by these aliases (slug, id) is meant."""
        if any(_fits(pattern, aliases) for pattern in self.excluded):
            return False
        return not self.included or any(_fits(p, aliases) for p in self.included)

    def unmatched(self, known: Iterable[tuple[str, ...]]) -> list[str]:
        """The included names, globs too, that fit nothing that is known."""
        known = list(known)
        return [
            pattern
            for pattern in self.included
            if not any(_fits(pattern, aliases) for aliases in known)
        ]


def _fits(pattern: str, aliases: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(alias, pattern) for alias in aliases)


@dataclass(frozen=True)
class Settings:
    """The settings of one run, resolved against the instant it started."""

    auth_token: str = field(repr=False)
    api_url: str
    organizations: tuple[str, ...]
    projects: Names
    teams: Names
    issue_ids: tuple[str, ...]
    issue_query: str
    stats: tuple[str, ...]
    stats_resolution: str
    #: From `start_date`, `end_date` or `report_date`; an end is never after the start
    #: of the run, so it is the upper bound of everything that the run reads.
    start: datetime | None
    end: datetime
    #: A run for one day reads no bookmark and leaves all as they are.
    is_report: bool
    lookback: timedelta
    issue_refresh: timedelta
    full_events: bool
    concurrency: int
    request_timeout: int
    ca_bundle: str | bool
    strict: bool

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
    """Check every setting and say what it means for a run that starts now.

    Raises:
        BadSettings: With a line for each setting that is wrong.
    """
    properties = SETTINGS.to_dict()["properties"]
    reader = _Reader(
        {
            name: prop.get("default") if config.get(name) is None else config[name]
            for name, prop in properties.items()
        }
    )
    start, end, is_report = _window(reader, now)
    settings = Settings(
        auth_token=reader.token(),
        api_url=reader.read("api_url", parse_url) or "",
        organizations=reader.names("organizations", "organizations"),
        projects=Names.of(reader.names("projects", "projects")),
        teams=Names.of(reader.names("teams", "teams")),
        issue_ids=reader.names("issue_ids", "issues"),
        issue_query=reader.text("issue_query") or "",
        stats=reader.choices("stats", STATS),
        stats_resolution=reader.choice("stats_resolution", tuple(RESOLUTIONS)),
        start=start,
        end=end,
        is_report=is_report,
        lookback=reader.duration("lookback"),
        issue_refresh=reader.duration("issue_refresh"),
        full_events=reader.boolean("full_events"),
        concurrency=reader.integer("concurrency", 1, MAX_CONCURRENCY),
        request_timeout=reader.integer("request_timeout", 1, 3600),
        ca_bundle=reader.read("ca_bundle", _parse_bundle)
        or reader.bundle_of_environment()
        or True,
        strict=reader.boolean("strict"),
    )
    for name in settings.organizations:
        if set(name) & set("!*?"):
            reader.errors.append(f"organizations: {name!r} is neither slug, id nor URL")
    for issue in settings.issue_ids:
        if not re.fullmatch(r"[0-9]{1,19}", issue):
            reader.errors.append(f"issue_ids: {issue!r} is not the number of an issue")
    if reader.errors:
        raise BadSettings(reader.errors)
    return settings


def _window(reader: _Reader, now: datetime) -> tuple[datetime | None, datetime, bool]:
    """The bounds that the three date settings give, and whether it is a report."""
    report = reader.read("report_date", lambda text: windows.parse_day(text, now))
    start = reader.read("start_date", lambda text: windows.parse_date(text, now))
    end = reader.read(
        "end_date", lambda text: windows.parse_date(text, now, is_end=True)
    )
    if report is not None:
        for name in ("start_date", "end_date"):
            if reader.config[name] is not None:
                reader.errors.append(
                    f"report_date and {name} exclude each other: "
                    "report_date is exactly one day"
                )
        start, end = report.start, report.end
    if start is not None and start > now:
        name = "start_date" if report is None else "report_date"
        reader.errors.append(f"{name} lies in the future: {windows.to_text(start)}")
    elif start is not None and end is not None and not Window(start, end):
        reader.errors.append(
            f"end_date ({windows.to_text(end)}) is not after "
            f"start_date ({windows.to_text(start)})"
        )
    elif start is None and end is not None and not Window(windows.BEGINNING, end):
        reader.errors.append(
            f"end_date ({windows.to_text(end)}) is before all that Sentry holds"
        )
    return start, now if end is None else min(end, now), report is not None


class _Reader:
    """Reads one setting after the other and collects what is wrong."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.errors: list[str] = []

    def token(self) -> str:
        """The token; its value never becomes part of a message."""
        value = self.config["auth_token"]
        if not isinstance(value, str) or not (token := value.strip()):
            self.errors.append("auth_token must be a text with a Sentry auth token")
            return ""
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            self.errors.append("auth_token has characters that no Sentry token has")
            return ""
        return token

    def text(self, name: str) -> str | None:
        value = self.config[name]
        if value is None or isinstance(value, str):
            return value
        self.errors.append(f"{name} must be a text, not {_kind(value)}")
        return None

    def read(
        self, name: str, parse: Callable[[str], _T], default: _T | None = None
    ) -> _T | None:
        """What `parse` makes of a text; a text that it refuses is an error."""
        text = self.text(name)
        if text is None:
            return default
        if not text.strip():
            self.errors.append(f"{name} must not be empty")
            return default
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            self.errors.append(f"{name}: {error}")
            return default

    def bundle_of_environment(self) -> str | None:
        """The file that `requests` itself would take; `Session.send` does not."""
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if path := os.environ.get(variable):
                if not Path(path).exists():
                    self.errors.append(f"{variable}: there is no file {path}")
                return path
        return None

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.config[name]
        if not isinstance(value, bool):
            self.errors.append(f"{name} must be true or false, not {_kind(value)}")
        return value is True

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.config[name]
        if not isinstance(value, int) or isinstance(value, bool):
            self.errors.append(f"{name} must be a whole number, not {_kind(value)}")
        elif not low <= value <= high:
            self.errors.append(f"{name} must be from {low} to {high}, not {value}")
        else:
            return value
        return low

    def duration(self, name: str) -> timedelta:
        """A duration such as `1h`."""
        found = self.read(name, windows.parse_duration) or timedelta()
        if found > LONGEST:
            self.errors.append(f"{name} is longer than Sentry keeps anything")
        return min(found, LONGEST)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed words."""
        value = self.text(name)
        if value in allowed:
            return value or ""
        self.errors.append(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return allowed[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, none of them empty."""
        value = self.config[name]
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            self.errors.append(f"{name} must be a list, not {_kind(value)}")
            return ()
        for item in value:
            if not isinstance(item, str) or not item.strip(" !"):
                what = "an empty one" if isinstance(item, str) else _kind(item)
                self.errors.append(
                    f"{name} must hold texts that are not empty, not {what}"
                )
                return ()
        return tuple(item.strip() for item in value)

    def choices(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Some of the allowed words, in the order in which they are allowed."""
        values = self.texts(name)
        for value in values:
            if value not in allowed:
                self.errors.append(
                    f"{name} may hold {', '.join(allowed)}, not {value!r}"
                )
        if not values and not self.errors:
            self.errors.append(f"{name} must name one of {', '.join(allowed)}")
        return tuple(word for word in allowed if word in values)

    def names(self, name: str, place: str) -> tuple[str, ...]:
        """Slugs, ids or globs; a pasted URL stands for the name in it."""
        names = []
        for text in self.texts(name):
            mark, bare = ("!", text[1:].strip()) if text[0] == "!" else ("", text)
            found = name_in_url(bare, place) if "/" in bare else bare
            if found is None:
                self.errors.append(f"{name}: no name of it is in the URL {bare!r}")
            else:
                names.append(mark + found)
        return tuple(names)


def _kind(value: object) -> str:
    """What a wrong value is, in the words of JSON and without the value."""
    words = {str: "a text", bool: "true or false", int: "a number", float: "a number"}
    words |= {list: "a list", dict: "an object"}
    if value == "":
        return "an empty text"
    return words.get(type(value), "nothing")


def parse_url(text: str) -> str:
    """The address of a server, without a trailing `/` or `/api/0/`.

    Raises:
        ValueError: If it is no address that requests can be sent to.
    """
    text = text.strip()
    if re.search(r"\s", text):
        msg = "the address must not hold spaces"
        raise ValueError(msg)
    parts = urlsplit(text)
    # Reading the port checks it.
    if (
        parts.scheme not in {"http", "https"}
        or not _HOST.fullmatch(parts.hostname or "")
        or parts.port == 0
    ):
        msg = "the address must look like https://sentry.example.com"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "the address must not hold a user or password"
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "the address must end before ? and #"
        raise ValueError(msg)
    path = parts.path.rstrip("/").removesuffix("/api/0").removesuffix("/api")
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"


def name_in_url(url: str, place: str) -> str | None:
    """The name that follows `place` in the URL of a Sentry page.

    An organization can also be the first part of the host: acme.sentry.io.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    segments = [segment for segment in parts.path.split("/") if segment]
    for word, name in pairwise(segments):
        if word == place:
            return name
    if place == "projects":
        return next(iter(parse_qs(parts.query).get("project", [])), None)
    host = parts.hostname or ""
    if place == "organizations" and host.endswith(".sentry.io"):
        subdomain = host.removesuffix(".sentry.io")
        return None if subdomain in {"us", "de", "www"} else subdomain
    return None


def _parse_bundle(text: str) -> str:
    """The path of a file with certificates."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # there is no such user
        path = path.expanduser()
    if not path.exists():
        msg = f"there is no file {text}"
        raise ValueError(msg)
    return str(path)
