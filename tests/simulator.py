"""A small Sentry, at least as strict as the real one.

`SentrySimulator` has one set of answers and two doors: `patched()` for the `requests`
of this process and `served()` for a socket on 127.0.0.1. It can be four servers:
sentry.io of today, a self-hosted Sentry 9.1.2, one of 2024, and GlitchTip. What is not
simulated is refused, so that no test passes by accident.

    python -m tests.simulator --flavour saas --size demo
"""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import itertools
import json
import math
import random
import re
import socket
import struct
import sys
import threading
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import requests
import responses
from urllib3.exceptions import ProtocolError

from tests.organization import Builder, demo, generated, iso, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.organization import (
        Event,
        EventUser,
        Feedback,
        Issue,
        Newest,
        Organization,
        Project,
        Record,
        Team,
    )

T = TypeVar("T")
Key = tuple[str | int, ...]

TOKEN = "sntryu_simulator_token"
SCOPES = frozenset({"event:read", "org:read", "project:read", "team:read"})
API = "/api/0/"
FORBIDDEN = "You do not have permission to perform this action."
HOUR, DAY = 3600, 86400
WEB_PAGE = b"<!doctype html><html><head><title>Not a Sentry API</title></head></html>"


@dataclass(frozen=True)
class Answer:
    """What the server says, and what happens to it on the way."""

    status: int
    headers: dict[str, str]
    body: bytes
    #: `refuse`, `reset`, `reset_body`, `hang` or `silent_close`.
    mishap: str = ""
    seconds: float = 0


@dataclass(frozen=True)
class Token:
    """What a token may do."""

    scopes: frozenset[str] = SCOPES
    expired: bool = False
    #: Slugs; without, every organization.
    organizations: frozenset[str] | None = None
    #: Tokens of an integration list no organizations, though they can read one.
    lists_organizations: bool = True


@dataclass(frozen=True)
class Limit:
    """A rate limit: so many requests in a fixed window, so many at once."""

    limit: int = 60
    window: float = 60.0
    concurrent: int = 999


#: The limits of sentry.io; `*` is the bucket of all other endpoints.
SAAS_LIMITS = {
    "projects/{org}/{project}/events/": Limit(60, 60, 1),
    "projects/{org}/{project}/users/": Limit(5, 60),
    "projects/{org}/{project}/stats/": Limit(5, 1),
    "projects/{org}/{project}/issues/": Limit(5, 1),
    "organizations/{org}/stats_v2/": Limit(20, 1),
    "*": Limit(40, 1, 25),
}


@dataclass
class Request:
    """A request as the server saw it."""

    method: str
    host: str
    #: Below `/api/0/`.
    path: str
    #: The path with the names of its parts, or nothing if there is no such endpoint.
    template: str
    params: dict[str, list[str]]
    authorization: str
    user_agent: str
    time: datetime
    #: How many requests of this template were under way, with this one.
    underway: int = 1
    status: int = 0
    #: How many rows the page had.
    rows: int = 0

    @property
    def overlapped(self) -> bool:
        """Whether another request of the same template was under way."""
        return self.underway > 1


@dataclass
class Fault:
    """Something that is to go wrong."""

    kind: int | str
    times: int | None
    when: Callable[[Request], bool] | None
    after: int
    details: dict[str, Any]


FAULTS = {
    *("refuse", "reset", "short", "hang", "truncated", "html", "not_a_list"),
    *("empty_page", "repeat_page", "silent_close", "slow_large"),
}


@dataclass(frozen=True)
class Flavour:
    """How one kind of server differs from the others."""

    name: str
    retention: timedelta | None = timedelta(days=90)
    issue_query: str = "is:unresolved"
    numeric_ids: bool = True
    refuses_unknown: bool = False
    #: Rows of a page of full events.
    full_rows: int = 100
    #: Whether event bodies are always full, and how they are written then.
    body: str = ""
    #: Whether the lists of a project's and of an issue's events honour dates.
    event_dates: bool = True
    issue_event_dates: bool = True
    #: Whether cursors of events hold a time, and not a number of rows.
    value_cursors: bool = False
    #: The status for bad parameters and for bad cursors.
    bad_parameter: int = 400
    #: Precision of dates in events.
    precision: str = "seconds"
    old_stats: bool = False
    old_records: bool = False
    glitchtip: bool = False
    closes_silently: bool = False
    #: What stands at the place of endpoints that this server has not.
    missing: Mapping[str, str] = field(default_factory=dict)


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour("saas", refuses_unknown=True, full_rows=10),
        Flavour(
            "self-hosted-24",
            issue_query="is:unresolved issue.priority:[high, medium]",
            event_dates=False,
        ),
        Flavour(
            "self-hosted-9",
            retention=None,
            numeric_ids=False,
            body="nine",
            event_dates=False,
            value_cursors=True,
            bad_parameter=500,
            precision="milliseconds",
            old_stats=True,
            old_records=True,
            closes_silently=True,
            missing={
                "organizations/{org}/stats_v2/": "empty",
                "organizations/{org}/issues/{issue}/": "empty",
                "organizations/{org}/issues/{issue}/events/": "empty",
            },
        ),
        Flavour(
            "glitchtip",
            retention=None,
            numeric_ids=False,
            body="glitchtip",
            event_dates=False,
            issue_event_dates=False,
            bad_parameter=422,
            precision="microseconds",
            old_records=True,
            glitchtip=True,
            missing={
                "organizations/{org}/repos/": "page",
                "organizations/{org}/stats/": "page",
                "organizations/{org}/issues/{issue}/": "method",
                "organizations/{org}/shortids/{short_id}/": "page",
                "organizations/{org}/issues/{issue}/events/": "page200",
                "projects/{org}/{project}/stats/": "page200",
                "projects/{org}/{project}/users/": "page200",
                "projects/{org}/{project}/user-feedback/": "page200",
                "teams/{org}/{team}/stats/": "page",
            },
        ),
    )
}

#: The columns that Sentry 9.1.2 and GlitchTip have of today's records.
OLD_COLUMNS = {
    "organization": "id slug status name dateCreated isEarlyAdopter require2FA avatar",
    "repository": (
        "id name url provider status dateCreated integrationId externalSlug"
    ),
    "team": (
        "id slug name dateCreated isMember hasAccess isPending memberCount avatar "
        "projects"
    ),
    "summary": (
        "team teams id name slug isBookmarked isMember hasAccess dateCreated "
        "environments features firstEvent platform platforms latestRelease"
    ),
    "project": (
        "id slug name isPublic isBookmarked color dateCreated firstEvent features "
        "status platform isInternal isMember hasAccess avatar organization"
    ),
    "issue": (
        "id shareId shortId count userCount title culprit permalink firstSeen lastSeen "
        "logger level status statusDetails isPublic project type metadata numComments "
        "assignedTo isBookmarked isSubscribed subscriptionDetails hasSeen annotations "
        "stats activity participants seenBy userReportCount firstRelease tags"
    ),
}
SNAKE_CASE = {
    "eventID": "event_id",
    "groupID": "group_id",
    "projectID": "project_id",
    "dateCreated": "date_created",
    "dateReceived": "date_received",
}

#: The endpoints of each stream, with the primary key that `truth` gives.
STREAMS = {
    "organizations": ["organizations/"],
    "organization_projects": ["organizations/{org}/projects/"],
    "organization_repositories": ["organizations/{org}/repos/"],
    "organization_teams": ["organizations/{org}/teams/"],
    "organization_event_counts": [
        "organizations/{org}/stats_v2/",
        "organizations/{org}/stats/",
    ],
    "projects": ["projects/"],
    "team_projects": ["teams/{org}/{team}/projects/"],
    "team_event_counts": [
        "organizations/{org}/stats_v2/",
        "teams/{org}/{team}/stats/",
    ],
    "project_issues": ["projects/{org}/{project}/issues/"],
    "project_events": ["projects/{org}/{project}/events/"],
    "project_event_entries": ["projects/{org}/{project}/events/"],
    "project_feedback": ["projects/{org}/{project}/user-feedback/"],
    "project_users": ["projects/{org}/{project}/users/"],
    "project_event_counts": ["projects/{org}/{project}/stats/"],
    "issue_events": ["issues/{issue}/events/"],
    "issue_event_entries": ["issues/{issue}/events/"],
}

#: Those that are read whole, without dates.
LISTS = {name for name in STREAMS if name.startswith(("organization", "team"))}
LISTS.add("projects")
STATS = {
    "received": {"accepted", "filtered", "rate_limited"},
    "rejected": {"rate_limited"},
    "blacklisted": {"filtered"},
    "generated": {"accepted"},
}
RESOLUTIONS = {"10s": 10, "1h": HOUR, "1d": DAY}
OUTCOMES = {
    *("accepted", "filtered", "rate_limited", "invalid", "abuse", "client_discard"),
    "cardinality_limited",
}
CATEGORIES = {
    *("error", "transaction", "attachment", "replay", "profile", "monitor"),
    *("profile_duration", "profile_duration_ui", "profile_chunk", "profile_chunk_ui"),
}


class RefusalError(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def written(value: object) -> bytes:
    """Write JSON in UTF-8, or in ASCII where that cannot be (lone surrogates)."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def reply(value: object, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON."""
    return Answer(
        status, {"Content-Type": "application/json"} | headers, written(value)
    )


def web_page(status: int, body: bytes = WEB_PAGE, **headers: str) -> Answer:
    """Answer with HTML, or with nothing that calls itself HTML."""
    return Answer(status, {"Content-Type": "text/html; charset=utf-8"} | headers, body)


def refuse(status: int, detail: object) -> RefusalError:
    """Refuse with Sentry's usual body."""
    return RefusalError(reply({"detail": detail}, status))


def internal_error() -> RefusalError:
    """Fail as Sentry does when it did not expect something."""
    body = {"detail": "Internal Error", "errorId": uuid.uuid4().hex}
    return RefusalError(reply(body, 500))


# ---------------------------------------------------------------------------- time


def parse_date(text: str, *, offsets: bool = True) -> datetime:
    """Read a date as Sentry does: ISO 8601, or seconds since 1970."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    if not offsets and moment.utcoffset() and not text.endswith("Z"):
        raise ValueError(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def parse_period(text: str) -> timedelta:
    """Read a period such as `14d`."""
    if not (match := re.fullmatch(r"(\d+)([smhdw])", text)):
        raise ValueError(text)
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    return timedelta(**{units[match[2]]: int(match[1])})


def milliseconds(moment: datetime) -> int:
    """Give the time as cursors hold it."""
    return math.ceil(moment.timestamp() * 1000)


def floored(moment: datetime, seconds: int) -> int:
    """Give the start of the interval of a time."""
    return int(moment.timestamp()) // seconds * seconds


@dataclass(frozen=True)
class Window:
    """Half-open bounds of time; `outside` if nothing of it is kept any more."""

    start: datetime | None
    end: datetime | None
    outside: bool = False


# -------------------------------------------------------------------------- search

TERM = re.compile(r'(!?)([\w.]+):(\[[^\]]*\]|"[^"]*"|\S+)|("[^"]*"|\S+)')


def searched(query: str) -> Callable[[Issue, datetime], bool]:
    """Read the part of Sentry's issue search that is simulated; the rest is a 400."""
    terms: list[Callable[[Issue, datetime], bool]] = []
    for negated, name, value, text in TERM.findall(query):
        if text:
            terms.append(titled(text.strip('"').lower()))
        elif name in {"lastSeen", "firstSeen"}:
            terms.append(compared(name, value))
        else:
            values = {part.strip(' "') for part in value.strip("[]").split(",")}
            terms.append(matched(name, values, negated=bool(negated)))
    return lambda issue, latest: all(term(issue, latest) for term in terms)


def titled(wanted: str) -> Callable[[Issue, datetime], bool]:
    """Look for a text in the title of an issue."""
    return lambda issue, _: wanted in issue.title.lower()


def matched(
    name: str, values: set[str], *, negated: bool
) -> Callable[[Issue, datetime], bool]:
    """Compare one property of an issue."""
    known: dict[str, Callable[[Issue], str]] = {
        "is": lambda issue: issue.status,
        "issue.category": lambda issue: issue.category,
        "issue.priority": lambda issue: issue.priority or "",
        "issue.type": lambda issue: issue.type,
        "level": lambda issue: issue.level,
        "issue": lambda issue: issue.short_id,
    }
    if name not in known:
        raise refuse(400, f"Error parsing search query: {name} is not simulated")
    if name == "is":
        values = {"ignored" if value == "archived" else value for value in values}
        if unknown := values - {"unresolved", "resolved", "ignored"}:
            raise refuse(400, f'Invalid value for "is" search: {unknown.pop()}')
    return lambda issue, _: (known[name](issue) in values) is not negated


def compared(name: str, value: str) -> Callable[[Issue, datetime], bool]:
    """Compare when an issue was seen."""
    match = re.fullmatch(r"(>=|<=|>|<)(.+)", value)
    try:
        bound = parse_date(match[2] if match else "")
    except ValueError:
        raise refuse(400, f"{value} is not a valid ISO8601 date query") from None
    compare: dict[str, Callable[[datetime], bool]] = {
        ">=": lambda seen: seen >= bound,
        "<=": lambda seen: seen <= bound,
        ">": lambda seen: seen > bound,
        "<": lambda seen: seen < bound,
    }
    test = compare[match[1] if match else ">="]
    if name == "lastSeen":
        return lambda _, latest: test(latest)
    return lambda issue, _: test(issue.first_seen)


# -------------------------------------------------------------------------- paging


@dataclass(frozen=True)
class Slice:
    """Where a page starts and stops, and the cursors around it."""

    start: int
    stop: int
    here: str
    following: str
    previous: str
    more: bool


def parse_cursor(text: str) -> tuple[float, int]:
    """Read `value:offset:is_prev`; going backwards is not simulated."""
    value, offset, backwards = text.split(":")
    if int(backwards):
        raise ValueError(text)
    return float(value), int(offset)


def by_page(text: str | None, limit: int, total: int) -> Slice:
    """Page as Sentry's OffsetPaginator: `rows:page:0`."""
    value, page = parse_cursor(text) if text else (float(limit), 0)
    size = int(value) or limit
    start = page * size
    if start < 0:
        raise refuse(400, "Pagination offset cannot be negative")
    stop = min(start + min(size, limit), total)
    return Slice(
        start,
        stop,
        text or f"{limit}:0:0",
        f"{limit}:{page + 1}:0",
        f"{limit}:{page - 1}:1",
        more=stop < total,
    )


def by_row(text: str | None, limit: int, total: int) -> Slice:
    """Page as Sentry's GenericOffsetPaginator: `0:row:0`."""
    _, start = parse_cursor(text) if text else (0.0, 0)
    if start < 0:
        raise refuse(400, "Pagination offset cannot be negative")
    stop = min(start + limit, total)
    return Slice(
        start,
        stop,
        text or "0:0:0",
        f"0:{start + limit}:0",
        f"0:{max(0, start - limit)}:1",
        more=stop < total,
    )


class BySecond(Sequence[T]):
    """A list ordered by whole seconds, newest first, and within them by a key."""

    def __init__(
        self,
        rows: Sequence[T],
        when: Callable[[T], datetime],
        key: Callable[[T], Any],
    ) -> None:
        self._rows = rows
        self._second = lambda index: when(rows[index]).replace(microsecond=0)
        self._key = key

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self[places : places + 1][0]
        if not places:
            return []
        low, high = places.start, places.stop - 1
        while low and self._second(low - 1) == self._second(places.start):
            low -= 1
        while high + 1 < len(self) and self._second(high + 1) == self._second(high):
            high += 1
        ordered: list[T] = []
        for _, group in itertools.groupby(range(low, high + 1), self._second):
            ordered += sorted((self._rows[place] for place in group), key=self._key)
        return ordered[places.start - low : places.stop - low]


def by_value(
    text: str | None, limit: int, rows: Sequence[T], when: Callable[[T], int]
) -> Slice:
    """Page as Sentry's DateTimePaginator: `milliseconds:rows to skip:0`, descending."""

    def before(value: float) -> int:
        return bisect_left(rows, -value, key=lambda row: -when(row))

    start = 0
    if text:
        value, skipped = parse_cursor(text)
        start = min(before(value) + skipped, len(rows))
    stop = min(start + limit, len(rows))
    more = stop < len(rows)
    top = when(rows[start]) if start < len(rows) else 0
    last = when(rows[stop if more else stop - 1]) if stop else 0
    return Slice(
        start,
        stop,
        text or f"{top}:0:0",
        f"{last}:{stop - before(last)}:0",
        f"{top}:0:1",
        more=more,
    )


def by_token(text: str | None, limit: int, total: int) -> Slice:
    """Page as GlitchTip, with cursors in base64 (that may end in `=`)."""

    def token(offset: int) -> str:
        return base64.b64encode(json.dumps({"o": offset}).encode()).decode()

    offset = int(json.loads(base64.b64decode(text, validate=True))["o"]) if text else 0
    stop = min(offset + limit, total)
    return Slice(
        offset,
        stop,
        text or token(0),
        token(stop),
        token(max(0, offset - limit)),
        more=stop < total,
    )


def again(cursor: str) -> str:
    """Write the same place with another cursor."""
    if ":" not in cursor:
        place = json.loads(base64.b64decode(cursor))
        place["n"] = place.get("n", 0) + 1
        return base64.b64encode(json.dumps(place).encode()).decode()
    value, colon, rest = cursor.partition(":")
    return f"{value}{'0' if '.' in value else '.0'}{colon}{rest}"


# ----------------------------------------------------------------------- endpoints


@dataclass
class Call:
    """A request while it is being answered."""

    request: Request
    endpoint: Endpoint | None
    parts: dict[str, str]
    token: Token = field(default_factory=Token)
    fault: Fault | None = None
    organization: Organization = field(init=False)
    project: Project = field(init=False)
    team: Team = field(init=False)
    issue: Issue = field(init=False)

    def one(self, name: str, default: str = "") -> str:
        """Give the last value of a parameter."""
        return self.request.params.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Give the values of a parameter that are not empty."""
        return [value for value in self.request.params.get(name, []) if value]


@dataclass(frozen=True)
class Endpoint:
    """A path, who may read it and what it can be asked."""

    template: str
    pattern: re.Pattern[str]
    scopes: frozenset[str]
    parameters: frozenset[str]
    answer: Callable[[SentrySimulator, Call], Answer]


ENDPOINTS: list[Endpoint] = []
PAGED = "cursor per_page"
DATES = "start end statsPeriod"
REPEATABLE = {
    "project",
    "field",
    "groupBy",
    "category",
    "outcome",
    "reason",
    "collapse",
}


def endpoint(
    template: str, scopes: str, parameters: str = ""
) -> Callable[
    [Callable[[SentrySimulator, Call], Answer]],
    Callable[[SentrySimulator, Call], Answer],
]:
    """Answer for the paths of a template."""

    def register(
        answer: Callable[[SentrySimulator, Call], Answer],
    ) -> Callable[[SentrySimulator, Call], Answer]:
        ENDPOINTS.append(
            Endpoint(
                template,
                re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)),
                frozenset(scopes.split()),
                frozenset(parameters.split()),
                answer,
            )
        )
        return answer

    return register


class SentrySimulator:
    """A Sentry server that can be asked, served, changed and broken."""

    def __init__(  # noqa: PLR0913, each is independent and has a default
        self,
        organizations: Iterable[Organization] | None = None,
        *,
        flavour: str = "saas",
        url: str = "https://sentry.io",
        clock: Callable[[], datetime] | None = None,
        page_size: int | None = None,
        tokens: Mapping[str, Token] | None = None,
        rate_limits: Mapping[str, Limit] | None = None,
        latency: float = 0,
        link_base: str | None = None,
        is_compressing: bool = False,
        refusal: tuple[timedelta, int] | None = None,
    ) -> None:
        #: Tells the time of the server; a test may replace it.
        self.clock = clock or (lambda: datetime.now(UTC))
        now = self.clock()
        self.organizations = list(demo(now) if organizations is None else organizations)
        self.flavour = FLAVOURS[flavour]
        self.url = url.rstrip("/")
        self.page_size = page_size
        self.tokens = dict({TOKEN: Token()} if tokens is None else tokens)
        self.rate_limits = dict(rate_limits or {})
        #: Seconds that every answer takes.
        self.latency = latency
        #: The server that `Link` headers name, if not this one.
        self.link_base = link_base
        self.is_compressing = is_compressing
        #: How old the start of a window may be, and the status where it is older.
        self.refusal = refusal
        #: Paths below which windows are refused; "" is all of them.
        self.refusing = ""
        self.requests: list[Request] = []
        #: Requests per path template, and how many of each were under way at most.
        self.counts: Counter[str] = Counter()
        self.concurrency: Counter[str] = Counter()
        #: How many requests were answered with 429.
        self.refused = 0
        self._faults: list[Fault] = []
        self._underway: Counter[str] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()
        self._windows: dict[tuple[str, str], tuple[int, int]] = {}
        self._moved: dict[tuple[str, str], Project] = {}
        self._bodies: dict[tuple[int, str], bytes] = {}
        self._lists: dict[object, Any] = {}
        self._served = False
        self._lock = threading.RLock()
        #: Decides how the events of an issue are ordered within a second: another way
        #: at every request; None: by their ids.
        self.order: int | None = 0
        self._answered: Counter[str] = Counter()
        #: Ids of issues that have events and stand on no page of a list yet.
        self.unlisted: set[str] = set()
        self._build = Builder(now, seed=2)
        self._build.ids = itertools.count(9_000_000)
        self._build.issue_ids = itertools.count(9_000_000_000)
        self._build.events = itertools.count(900_000_000)

    # ------------------------------------------------------------------- the doors

    def answer(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request, whatever it came through."""
        call = self._begin(method, url, headers)
        try:
            with self._lock:
                answer = self._respond(call)
                call.request.status = answer.status
                self.refused += answer.status == 429
            # Sentry counts a request as it comes, and then takes its time.
            if self.latency:
                time.sleep(self.latency)
        finally:
            self._end(call)
        if self.is_compressing and not answer.mishap:
            more = {**answer.headers, "Content-Encoding": "gzip"}
            answer = replace(answer, body=gzip.compress(answer.body), headers=more)
        date = format_datetime(self.clock(), usegmt=True)
        length = str(len(answer.body))
        body = b"" if method == "HEAD" else answer.body
        return replace(
            answer,
            headers={"Date": date, "Content-Length": length} | answer.headers,
            body=body,
        )

    @contextmanager
    def patched(self) -> Iterator[SentrySimulator]:
        """Answer what this process asks with `requests`."""
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

            def callback(
                request: requests.PreparedRequest,
            ) -> tuple[int, dict[str, str], bytes | io.BufferedReader]:
                mock.calls.reset()  # they would keep every body
                answer = self.answer(
                    str(request.method), str(request.url), dict(request.headers)
                )
                return answer.status, answer.headers, _delivered(answer)

            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                base = re.compile(re.escape(self.url) + "/")
                mock.add_callback(method, base, callback, content_type=None)
            yield self

    @contextmanager
    def served(self, port: int = 0) -> Iterator[SentrySimulator]:
        """Answer on a socket; `url` is where."""
        server = _Server(self, port)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        )
        former = self.url
        self.url = f"http://127.0.0.1:{server.server_port}{urlsplit(self.url).path}"
        self._served = True
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            server.hang_up()
            self.url = former
            self._served = False

    # ------------------------------------------------------- what it was asked for

    def asked(self, path: str = "") -> list[dict[str, str | list[str]]]:
        """Give the query parameters of the requests whose path starts so (a regex)."""
        path = path.removeprefix("/").removeprefix("api/0/")
        return [
            {
                name: values if len(values) > 1 else values[0]
                for name, values in request.params.items()
            }
            for request in self.requests
            if re.match(path, request.path)
        ]

    # ------------------------------------------------------------- what goes wrong

    def fault(
        self,
        kind: int | str,
        *,
        times: int | None = 1,
        when: Callable[[Request], bool] | None = None,
        after: int = 0,
        **details: Any,
    ) -> None:
        """Let `times` requests fail (None: all), after so many others.

        A status takes `body` (JSON), `html`, `headers`; 429 also `reset` (seconds from
        now), `reset_at`, `retry_after`, `concurrent`; 302 `location`; 404 `empty`;
        410 `replacement`. `reset` takes `where` (`before` or `middle`), `hang`
        `seconds`, `slow_large` `rows` and `seconds` (else: 504), `not_a_list` `body`.
        """
        if isinstance(kind, str) and kind not in FAULTS:
            raise ValueError(kind)
        with self._lock:
            self._faults.append(Fault(kind, times, when, after, details))

    def _take_fault(
        self, request: Request | None, kinds: set[str] | None = None
    ) -> Fault | None:
        """Take the next fault that is due; `slow_large` and `refuse` only by name."""
        for fault in self._faults:
            if kinds is None:
                late = fault.kind == "slow_large"
                if late or (fault.kind == "refuse" and self._served):
                    continue
            elif fault.kind not in kinds:
                continue
            if request and fault.when and not fault.when(request):
                continue
            if (
                request
                and fault.kind == "slow_large"
                and request.rows <= fault.details.get("rows", 0)
            ):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
            return fault
        return None

    def refuses_connection(self) -> bool:
        """Tell whether a connection is to be closed before it is read."""
        with self._lock:
            return self._take_fault(None, {"refuse"}) is not None

    # --------------------------------------------------------------- what changes

    def organization(self, slug: str) -> Organization:
        """Find an organization by slug or id."""
        for organization in self.organizations:
            if slug in {organization.slug, organization.id}:
                return organization
        raise KeyError(slug)

    def project(self, slug: str) -> Project:
        """Find a project by slug or id, in any organization."""
        for organization in self.organizations:
            for project in organization.projects:
                if slug in {project.slug, project.id}:
                    return project
        raise KeyError(slug)

    def issue(self, issue_id: str) -> Issue:
        """Find an issue by id."""
        issues = self._remembered(
            "issues",
            lambda: {
                issue.id: issue
                for organization in self.organizations
                for project in organization.projects
                for issue in project.issues
            },
        )
        found: Issue = issues[issue_id]
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            yield
            self._lists.clear()

    def add_event(
        self,
        project: str,
        issue: Issue | None = None,
        date: datetime | None = None,
        *,
        received: datetime | None = None,
        **columns: Any,
    ) -> Event:
        """Let something happen, by default just now."""
        with self._changing():
            now = self.clock()
            owner = self.project(project)
            event = self._build.event(
                owner, issue, date or now, received=received or now, **columns
            )
            if event.is_error:
                owner.events.add(event)
            if issue:
                issue.events.add(event)
                if issue.last_seen:
                    issue.last_seen = max(issue.last_seen, event.created)
            return event

    def add_issue(self, project: str, title: str, **columns: Any) -> Issue:
        """Add an issue, which has no events yet."""
        with self._changing():
            return self._build.issue(self.project(project), title, **columns)

    def set_issue_status(self, issue: Issue, status: str) -> None:
        """Resolve, ignore or reopen an issue."""
        with self._changing():
            issue.status = status

    def rename_project(self, project: str, slug: str) -> None:
        """Give a project another slug; the old one redirects."""
        with self._changing():
            renamed = self.project(project)
            self._moved[renamed.organization.slug, renamed.slug] = renamed
            renamed.slug = slug

    def delete_project(self, project: str) -> None:
        """Delete a project with all that it holds."""
        with self._changing():
            deleted = self.project(project)
            deleted.organization.projects.remove(deleted)
            for team in deleted.teams:
                team.projects.remove(deleted)

    def forbid(self, name: str) -> None:
        """Refuse whatever is below a project or an organization."""
        with self._changing():
            try:
                self.organization(name).forbidden = True
            except KeyError:
                self.project(name).forbidden = True

    def _remembered(self, key: object, build: Callable[[], T]) -> T:
        """Build something once, until the data change."""
        if key not in self._lists:
            if len(self._lists) > 200:
                self._lists.clear()
            self._lists[key] = build()
        found: T = self._lists[key]
        return found

    # -------------------------------------------------------------------- the truth

    def truth(
        self,
        stream: str,
        start: datetime | None = None,
        end: datetime | None = None,
        **counts: Any,
    ) -> set[Key]:
        """Give the primary keys that a stream must have, as its keys are ordered.

        Bounds select events, feedback and counts by their date and issues by the dates
        of their events (where a server has no window for issues: by `firstSeen` and
        `lastSeen`). Counts take `stats` and `resolution`; their timestamps read
        `2026-11-01T00:00:00Z`.
        """
        return {key for key, _ in self._rows(stream, start, end, **counts)}

    def records(
        self,
        stream: str,
        start: datetime | None = None,
        end: datetime | None = None,
        **counts: Any,
    ) -> dict[Key, Record]:
        """Give the same with the records that the server has, all in full."""
        rows = self._rows(stream, start, end, **counts)
        return {key: record() for key, record in rows}

    def _rows(
        self,
        stream: str,
        start: datetime | None,
        end: datetime | None,
        **counts: Any,
    ) -> Iterator[tuple[Key, Callable[[], Record]]]:
        if all(template in self.flavour.missing for template in STREAMS[stream]):
            return
        end = end or self.clock()
        for organization in self.organizations:
            if organization.forbidden:
                continue
            if stream.endswith("event_counts"):
                window = (start, end)
                yield from self._count_rows(stream, organization, window, **counts)
            elif stream in LISTS:
                yield from self._list_rows(stream, organization)
            else:
                for project in organization.projects:
                    if not project.forbidden:
                        yield from self._project_rows(stream, project, start, end)

    def _list_rows(
        self, stream: str, organization: Organization
    ) -> Iterator[tuple[Key, Callable[[], Record]]]:
        projects, teams = organization.projects, organization.teams
        lists: dict[str, list[tuple[Key, Callable[[], Record]]]] = {
            "organizations": [((), organization.row)],
            "organization_projects": [((row.id,), row.summary) for row in projects],
            "projects": [((row.id,), row.row) for row in projects if row.is_member],
            "organization_repositories": [
                ((row.id,), row.record) for row in organization.repositories
            ],
            "organization_teams": [((row.id,), row.record) for row in teams],
            "team_projects": [
                ((team.id, row.id), row.summary)
                for team in teams
                for row in team.projects
            ],
        }
        for ids, record in lists[stream]:
            yield (organization.id, *ids), record

    def _project_rows(
        self, stream: str, project: Project, start: datetime | None, end: datetime
    ) -> Iterator[tuple[Key, Callable[[], Record]]]:
        rows: Iterable[tuple[Key, Callable[[], Record]]]
        ids: Key = (project.organization.id, project.id)
        kept = self._kept(start)
        if stream == "project_issues":
            ids = ids[:1]
            rows = [
                ((issue.id,), issue.record)
                for issue in project.issues
                if self._listed_between(issue, start, end)
            ]
        elif stream == "project_feedback":
            rows = [
                ((row.id,), row.record)
                for row in project.feedback
                if row.issue and row.created < end and not (kept and row.created < kept)
            ]
        elif stream == "project_users":
            users = [user for user, _ in self._users(project)]
            rows = [((user.tag or f"hash:{user.hash}",), user.record) for user in users]
        else:
            events = self._true_events(stream, project, kept, end)
            rows = (((event.id,), event.full) for event in events)
            if stream.endswith("_entries"):
                rows = (
                    ((event.id, index), entry.copy)
                    for event in events
                    for index, entry in enumerate(event.entries.rows)
                )
        for own, record in rows:
            yield ids + own, record

    @staticmethod
    def _true_events(
        stream: str, project: Project, start: datetime | None, end: datetime
    ) -> Iterator[Event]:
        if stream.startswith("project_"):
            yield from project.events.newest(start, end)
        else:
            for issue in project.issues:
                yield from issue.events.newest(start, end)

    def _listed_between(
        self, issue: Issue, start: datetime | None, end: datetime
    ) -> bool:
        if self.flavour.old_records:
            return issue.first_seen < end and not (start and issue.latest < start)
        return len(issue.events.newest(self._kept(start), end)) > 0

    def _kept(self, start: datetime | None) -> datetime | None:
        """Give the later of a bound and of what is still kept."""
        if not self.flavour.retention:
            return start
        oldest = self.clock() - self.flavour.retention
        return max(start, oldest) if start else oldest

    def _count_rows(
        self,
        stream: str,
        organization: Organization,
        window: tuple[datetime | None, datetime],
        stats: Iterable[str] = ("received",),
        resolution: str = "1d",
    ) -> Iterator[tuple[Key, Callable[[], Record]]]:
        step = RESOLUTIONS[resolution]
        end = window[1]
        start = window[0] or end - timedelta(days=90 if resolution == "1d" else 7)
        owners: list[tuple[Key, list[Project]]] = [((), organization.projects)]
        if stream == "team_event_counts":
            teams = [team for team in organization.teams if team.projects]
            owners = [((team.id,), team.projects) for team in teams]
        elif stream == "project_event_counts":
            allowed = [row for row in organization.projects if not row.forbidden]
            owners = [((project.id,), [project]) for project in allowed]
        if "organizations/{org}/stats_v2/" in self.flavour.missing:
            # What the old endpoints can count: teams only this, organizations all else.
            if stream == "team_event_counts":
                stats = ["generated"]
            elif stream == "organization_event_counts":
                stats = [stat for stat in stats if stat != "generated"]
        if self.flavour.glitchtip:
            # It counts accepted events.
            stats = [stat for stat in stats if "accepted" in STATS[stat]]
        by_event = stream.startswith("project") or self.flavour.old_stats
        for ids, projects in owners:
            for stat in stats:
                for at in range(floored(start, step), math.ceil(end.timestamp()), step):
                    stamp = iso(datetime.fromtimestamp(at, UTC), "seconds")
                    name = "generated" if self.flavour.glitchtip else stat
                    count = self._stat(projects, name, at, at + step, by_event=by_event)
                    row = {"stat": stat, "timestamp": stamp, "count": count}
                    key = (organization.id, *ids, stat, resolution, stamp)
                    yield key, row.copy

    @staticmethod
    def _stat(
        projects: Iterable[Project],
        stat: str,
        start: int,
        stop: int,
        *,
        by_event: bool = True,
    ) -> int:
        """Count the errors of `[start, stop)` as one of the four old stats does."""
        if stat == "generated" and by_event:
            low, high = (datetime.fromtimestamp(at, UTC) for at in (start, stop))
            return sum(len(project.events.newest(low, high)) for project in projects)
        return sum(
            hours[hour]
            for project in projects
            for (category, outcome, _), hours in project.outcomes.items()
            if category == "error" and outcome in STATS[stat]
            for hour in range(math.ceil(start / HOUR) * HOUR, stop, HOUR)
        )

    # ------------------------------------------------------------ from end to end

    def _begin(self, method: str, url: str, headers: Mapping[str, str]) -> Call:
        parts = urlsplit(url)
        prefix = urlsplit(self.url).path + API
        below = parts.path.startswith(prefix)
        path = parts.path.removeprefix(prefix)
        found, names = self._endpoint(path) if below else (None, {})
        params: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            params.setdefault(name, []).append(value)
        lower = {name.lower(): value for name, value in headers.items()}
        request = Request(
            method=method,
            host=parts.netloc,
            path=path,
            template=found.template if found else "",
            params=params,
            authorization=lower.get("authorization", ""),
            user_agent=lower.get("user-agent", ""),
            time=self.clock(),
        )
        template = request.template
        with self._lock:
            self._underway[template] += 1
            self._held[self._bucket(request)] += 1
            request.underway = self._underway[template]
            self.concurrency[template] = max(
                self.concurrency[template], request.underway
            )
            self.counts[template] += 1
            self.requests.append(request)
        return Call(request, found, names)

    def _end(self, call: Call) -> None:
        with self._lock:
            self._underway[call.request.template] -= 1
            self._held[self._bucket(call.request)] -= 1

    @staticmethod
    def _endpoint(path: str) -> tuple[Endpoint | None, dict[str, str]]:
        for found in ENDPOINTS:
            if match := found.pattern.fullmatch(path):
                return found, match.groupdict()
        return None, {}

    def _respond(self, call: Call) -> Answer:
        fault = self._take_fault(call.request)
        if fault and (failure := self._failure(call, fault)):
            return failure
        call.fault = fault
        try:
            answer = self._route(call)
        except RefusalError as refusal:
            answer = refusal.answer
        slow = self._take_fault(call.request, {"slow_large"})
        if slow and "seconds" in slow.details:
            return replace(answer, mishap="hang", seconds=slow.details["seconds"])
        if slow:
            return reply({"detail": "Query timeout. Please try again."}, 504)
        if self.flavour.closes_silently:
            answer = replace(answer, mishap="silent_close")
        return _spoiled(answer, fault) if fault else answer

    def _failure(self, call: Call, fault: Fault) -> Answer | None:
        """Answer in place of the endpoint, if the fault is of that sort."""
        details = fault.details
        where = details.get("where", "before")
        headers = dict(details.get("headers", {}))
        answer: Answer | None = None
        if fault.kind == "refuse" or (fault.kind == "reset" and where == "before"):
            answer = Answer(0, {}, b"", mishap=str(fault.kind))
        elif fault.kind == "html":
            answer = web_page(200)
        elif fault.kind == "not_a_list":
            answer = reply(details.get("body", {"detail": "Welcome to the proxy"}))
        elif isinstance(fault.kind, int) and "body" in details:
            answer = reply(details["body"], fault.kind, **headers)
        elif isinstance(fault.kind, int) and "html" in details:
            answer = web_page(fault.kind, details["html"].encode(), **headers)
        elif isinstance(fault.kind, int):
            answer = self._status(fault.kind, call, details)
            answer = replace(answer, headers=answer.headers | headers)
        return answer

    def _status(self, status: int, call: Call, details: Mapping[str, Any]) -> Answer:
        """Answer with a status as Sentry, or the proxy before it, would."""
        timeout = {"code": "request-timeout", "message": "Proxied request timed out"}
        bodies: dict[int, object] = {
            302: {},
            401: {"detail": "Invalid token"},
            403: {"detail": FORBIDDEN},
            404: {"detail": "The requested resource does not exist"},
            408: {"detail": timeout | {"extra": {}}},
            410: {"message": "This API no longer exists."},
            500: {"detail": "Internal Error", "errorId": uuid.uuid4().hex},
            504: {"detail": "Query timeout. Please try with a smaller date range."},
        }
        query = urlencode(call.request.params, doseq=True)
        here = f"{urlsplit(self.url).path}{API}{call.request.path}?{query}"
        headers = {
            302: {"Location": details.get("location", here)},
            410: {
                "X-Sentry-Deprecation-Date": "2026-01-23T00:00:00+00:00",
                "X-Sentry-Replacement-Endpoint": details.get("replacement", "a/new/"),
            },
        }
        if status == 429:
            return self._too_many(details)
        if status not in bodies or details.get("empty"):
            page = b"" if details.get("empty") else WEB_PAGE
            return web_page(status, page)
        return reply(bodies[status], status, **headers.get(status, {}))

    def _too_many(self, details: Mapping[str, Any]) -> Answer:
        """Refuse as the middleware does: JSON that calls itself HTML."""
        now = self.clock().timestamp()
        text = "You are attempting to use this endpoint too frequently. Limit is 40"
        headers: dict[str, str] = {}
        if details.get("concurrent"):
            text = "You are attempting to go above the allowed concurrency for this"
            headers = _limit_headers(Limit(), 1, now + 60, 0)
        elif "reset" in details or "reset_at" in details:
            reset = details.get("reset_at", now + details.get("reset", 0))
            headers = _limit_headers(Limit(), 60, reset, 998)
        if "retry_after" in details:
            headers["Retry-After"] = str(details["retry_after"])
        return web_page(429, written({"detail": text}), **headers)

    # ------------------------------------------------------- before the endpoints

    def _route(self, call: Call) -> Answer:
        request = call.request
        if not (found := call.endpoint):
            raise RefusalError(
                self._absent("page" if self.flavour.glitchtip else "empty")
            )
        if absent := self.flavour.missing.get(found.template):
            raise RefusalError(self._absent(absent))
        if not found.scopes and not request.authorization:
            return reply({"version": "0", "auth": None, "user": None})
        call.token = self._authenticated(request)
        headers = self._metered(request)
        try:
            self._permitted(call, found)
            answer = found.answer(self, call)
        except RefusalError as refusal:
            answer = refusal.answer
        return replace(answer, headers=answer.headers | headers)

    def _absent(self, how: str) -> Answer:
        if how == "unprocessable":
            detail = [{"type": "missing", "loc": ["query"], "msg": "Field required"}]
            return reply({"detail": detail}, 422)
        if how == "method":
            return Answer(405, {"Content-Type": "text/plain"}, b"Method not allowed")
        if how == "empty":
            return web_page(404, b"")
        return web_page(200 if how == "page200" else 404, WEB_PAGE.ljust(73_000))

    def _authenticated(self, request: Request) -> Token:
        if not request.authorization:
            raise refuse(401, "Authentication credentials were not provided.")
        kind, _, value = request.authorization.partition(" ")
        token = self.tokens.get(value) if kind == "Bearer" else None
        if not token:
            raise refuse(401, "Invalid token")
        if token.expired:
            raise refuse(401, "Token expired")
        return token

    def _bucket(self, request: Request) -> tuple[str, str]:
        own = request.template in self.rate_limits
        return request.template if own else "*", request.authorization

    def _metered(self, request: Request) -> dict[str, str]:
        """Count a request against its limit and tell what is left."""
        bucket = self._bucket(request)
        limit = self.rate_limits.get(bucket[0])
        if not limit:
            return {}
        index = math.floor(self.clock().timestamp() / limit.window)
        known, used = self._windows.get(bucket, (index, 0))
        used = used if known == index else 0
        reset = (index + 1) * limit.window
        left = limit.concurrent - self._held[bucket]
        if left < 0:
            raise RefusalError(
                web_page(
                    429,
                    written(
                        {
                            "detail": "You are attempting to go above the allowed "
                            "concurrency for this endpoint. Concurrency limit is "
                            f"{limit.concurrent}"
                        }
                    ),
                    **_limit_headers(limit, used, reset, 0),
                )
            )
        self._windows[bucket] = (index, used + 1)
        headers = _limit_headers(limit, used + 1, reset, left)
        if used >= limit.limit:
            detail = (
                "You are attempting to use this endpoint too frequently. Limit is "
                f"{limit.limit} requests in {limit.window:g} seconds"
            )
            raise RefusalError(web_page(429, written({"detail": detail}), **headers))
        return headers

    def _permitted(self, call: Call, found: Endpoint) -> None:
        """Check method, scopes, the things named in the path, and the parameters."""
        if call.request.method == "HEAD":
            raise refuse(403, FORBIDDEN)
        if call.request.method != "GET":
            raise refuse(405, f"Method '{call.request.method}' not allowed.")
        if found.scopes and not found.scopes & call.token.scopes:
            raise refuse(403, FORBIDDEN)
        for part, find in (
            ("org", self._find_organization),
            ("project", self._find_project),
            ("team", self._find_team),
            ("issue", self._find_issue),
        ):
            if part in call.parts:
                find(call)
        if not self.flavour.refuses_unknown:
            return
        for name, values in call.request.params.items():
            if name not in found.parameters:
                raise refuse(400, f"Not simulated: the parameter {name!r}")
            if len(values) > 1 and name not in REPEATABLE:
                raise refuse(400, f"Not simulated: {name!r} more than once")

    def _named(self, thing: Organization | Project | Team, name: str) -> bool:
        return name == thing.slug or (self.flavour.numeric_ids and name == thing.id)

    def _find_organization(self, call: Call) -> None:
        name, tip = call.parts["org"], self.flavour.glitchtip
        found = next(
            (row for row in self.organizations if self._named(row, name)), None
        )
        if found and self._allowed(call, found):
            call.organization = found
        elif tip and name.isdigit():
            raise refuse(404, "Not Found")
        elif found and not tip:
            raise refuse(403, FORBIDDEN)
        elif self.flavour.refuses_unknown:
            raise RefusalError(web_page(404, b""))  # from the gateway
        else:
            raise self._unknown(call)

    @staticmethod
    def _allowed(call: Call, organization: Organization) -> bool:
        allowed = call.token.organizations
        known = allowed is None or organization.slug in allowed
        return known and not organization.forbidden

    def _unknown(self, call: Call) -> RefusalError:
        """Refuse what is not there; GlitchTip has empty lists for it."""
        if self.flavour.glitchtip and call.request.template != "organizations/{org}/":
            return RefusalError(reply([]))
        return refuse(404, "The requested resource does not exist")

    def _find_project(self, call: Call) -> None:
        organization, name = call.organization, call.parts["project"]
        for project in organization.projects:
            if self._named(project, name):
                if project.forbidden:
                    raise refuse(403, FORBIDDEN)
                call.project = project
                return
        moved = self._moved.get((organization.slug, name))
        if not moved or moved not in organization.projects:
            raise self._unknown(call)
        query = urlencode(call.request.params, doseq=True)
        path = call.request.path.replace(f"/{name}/", f"/{moved.slug}/", 1)
        url = f"{urlsplit(self.url).path}{API}{path}{'?' if query else ''}{query}"
        body = {
            "slug": moved.slug,
            "detail": {"extra": {"url": url, "slug": moved.slug}},
        }
        raise RefusalError(reply(body, 302, Location=url))

    def _find_team(self, call: Call) -> None:
        for team in call.organization.teams:
            if self._named(team, call.parts["team"]):
                call.team = team
                return
        raise self._unknown(call)

    def _find_issue(self, call: Call) -> None:
        try:
            issue = self.issue(call.parts["issue"])
        except KeyError:
            raise refuse(404, "The requested resource does not exist") from None
        owner = issue.project.organization
        if "org" in call.parts and owner is not call.organization:
            raise refuse(404, "The requested resource does not exist")
        if issue.project.forbidden or not self._allowed(call, owner):
            raise refuse(403, FORBIDDEN)
        call.issue = issue

    # ----------------------------------------------------- shared by the endpoints

    def _window(
        self, call: Call, default: timedelta | None = None, *, clamped: bool = True
    ) -> Window:
        """Read `start` and `end`, or `statsPeriod`, which goes before them."""
        now = self.clock()
        start, end = call.one("start"), call.one("end")
        low: datetime | None = None
        high: datetime | None = None
        try:
            if period := call.one("statsPeriod"):
                low, high = now - parse_period(period), now
            elif start and end:
                offsets = self.flavour.name != "self-hosted-9"
                low = parse_date(start, offsets=offsets)
                high = parse_date(end, offsets=offsets)
            elif start or end:
                raise refuse(400, "start and end are both required")
            elif default:
                low, high = now - default, now
        except ValueError as error:
            raise refuse(400, f"Invalid date range: {error}") from None
        if low and high and low >= high:
            raise refuse(400, "start must be before end")
        self._check_age(call, low)
        if self.flavour.precision == "seconds":
            low = low and low.replace(microsecond=0)
            high = high and high.replace(microsecond=0)
        kept = self._kept(low) if clamped else low
        outside = bool(kept and high and high <= kept)
        return Window(kept, high, outside)

    def _check_age(self, call: Call, start: datetime | None) -> None:
        """Refuse a window that begins before what is kept, if the server does so."""
        is_asked = start and call.one("start")
        is_here = call.request.path.startswith(self.refusing)
        if not (self.refusal and is_asked and is_here):
            return
        kept, status = self.refusal
        if start and start < self.clock() - kept:
            if status == 500:
                raise internal_error()
            detail = "Invalid date range: start is outside of the retention period"
            raise refuse(status, detail)

    def _limit(self, call: Call, parameter: str, *, full: bool = False) -> int:
        """Read how many rows a page may have."""
        tip = self.flavour.glitchtip
        parameter = "limit" if tip else parameter
        text = call.one(parameter) or ("50" if tip else "100")
        limit = int(text) if re.fullmatch(r"-?\d+", text) else 0
        if parameter == "limit" and not tip:
            limit = min(limit, 100)
        if not 1 <= limit <= 100:
            if self.flavour.bad_parameter == 500:
                raise internal_error()
            raise refuse(
                self.flavour.bad_parameter,
                f"Invalid {parameter} value. Must be between 1 and 100.",
            )
        if full and not self.flavour.body:
            limit = min(limit, self.flavour.full_rows)
        return min(limit, self.page_size or limit)

    def _page(
        self,
        call: Call,
        rows: Sequence[T],
        write: Callable[[T], bytes],
        slicer: Callable[[str | None, int], Slice],
        limit: int,
    ) -> Answer:
        """Answer with one page of a list; rows written as nothing are left out."""
        cursor = call.one("cursor") or None
        try:
            if self.flavour.glitchtip:
                part = by_token(cursor, limit, len(rows))
            else:
                part = slicer(cursor, limit)
        except (ValueError, KeyError, TypeError):
            if self.flavour.bad_parameter == 500:
                raise internal_error() from None
            status = self.flavour.bad_parameter
            raise refuse(status, "Invalid cursor parameter.") from None
        bodies = [body for row in rows[part.start : part.stop] if (body := write(row))]
        kind = call.fault.kind if call.fault else ""
        if kind in {"empty_page", "repeat_page"}:
            part = replace(part, following=again(part.here), more=True)
            bodies = [] if kind == "empty_page" else bodies
        call.request.rows = len(bodies)
        headers = {"Content-Type": "application/json", "Link": self._link(call, part)}
        return Answer(200, headers, b"[" + b", ".join(bodies) + b"]")

    def _link(self, call: Call, part: Slice) -> str:
        request, tip = call.request, self.flavour.glitchtip
        params = {name: row for name, row in request.params.items() if name != "cursor"}
        base = self.link_base or self.url
        url = f"{base}{API}{request.path}?{urlencode(params, doseq=True)}"
        links = []
        for name, cursor, results in (
            ("previous", part.previous, part.start > 0),
            ("next", part.following, part.more),
        ):
            link = f'<{url}&cursor={quote(cursor, safe=":")}>; rel="{name}"; '
            if tip and not results:
                link = f'<{url}>; rel="{name}"; results="false"'
            else:
                link += f'results="{str(results).lower()}"; cursor="{cursor}"'
            links.append(link)
        joined = ", ".join(links)
        return f"{{'{joined}'}}" if tip else joined  # GlitchTip prints a set

    def _pages(
        self,
        call: Call,
        rows: Sequence[T],
        write: Callable[[T], bytes],
        *,
        full: bool = False,
        slicer: Callable[[str | None, int, int], Slice] = by_page,
    ) -> Answer:
        """Answer with a page of a list that counts pages or rows."""
        limit = self._limit(call, "per_page", full=full)
        total = len(rows)
        return self._page(
            call, rows, write, lambda cursor, limit: slicer(cursor, limit, total), limit
        )

    def _values(
        self,
        call: Call,
        rows: Sequence[T],
        write: Callable[[T], bytes],
        when: Callable[[T], datetime],
        *,
        parameter: str = "per_page",
    ) -> Answer:
        """Answer with a page of a list whose cursors hold dates, newest first."""

        def slicer(cursor: str | None, limit: int) -> Slice:
            return by_value(cursor, limit, rows, lambda row: milliseconds(when(row)))

        return self._page(call, rows, write, slicer, self._limit(call, parameter))

    def _shaped(self, kind: str, record: Record) -> Record:
        """Leave out the columns that an old server has not."""
        if not self.flavour.old_records:
            return record
        columns = OLD_COLUMNS[kind].split()
        record = {name: record[name] for name in columns if name in record}
        if self.flavour.glitchtip and "teams" in record:
            record["teams"] = [
                team | {"id": int(team["id"])} for team in record["teams"]
            ]
        return record

    # ------------------------------------------------------------------ the lists

    @endpoint("", "")
    def _root(self, call: Call) -> Answer:
        auth = {"scopes": sorted(call.token.scopes)}
        return reply({"version": "0", "auth": auth, "user": {"id": "1"}})

    def _readable(self, call: Call) -> list[Organization]:
        return [row for row in self.organizations if self._allowed(call, row)]

    @endpoint("organizations/", "org:read", PAGED)
    def _organizations(self, call: Call) -> Answer:
        rows = self._readable(call) if call.token.lists_organizations else []
        rows = sorted(rows, key=lambda row: row.created, reverse=True)
        return self._values(
            call,
            rows,
            lambda row: written(self._shaped("organization", row.row())),
            lambda row: row.created,
        )

    @endpoint("organizations/{org}/", "org:read", "detailed")
    def _organization(self, call: Call) -> Answer:
        detail = call.organization.detail()
        if self.flavour.old_records:
            del detail["links"]
        return reply(detail)

    @endpoint("organizations/{org}/projects/", "org:read", f"{PAGED} query collapse")
    def _organization_projects(self, call: Call) -> Answer:
        rows = sorted(call.organization.projects, key=lambda row: row.slug)
        if terms := call.one("query").split():
            wanted = set(terms)
            rows = [
                row for row in rows if {f"id:{row.id}", f"slug:{row.slug}"} & wanted
            ]
        return self._pages(call, rows, self._write_summary)

    def _write_summary(self, project: Project) -> bytes:
        return written(self._shaped("summary", project.summary()))

    @endpoint(
        "organizations/{org}/repos/",
        "org:read org:integrations org:ci",
        f"{PAGED} query status",
    )
    def _repositories(self, call: Call) -> Answer:
        status, query = call.one("status", "active"), call.one("query").lower()
        if status not in {"", "active", "deleted", "unmigratable"}:
            raise refuse(400, "Invalid status")
        rows = [
            row
            for row in sorted(call.organization.repositories, key=lambda row: row.name)
            if status in {"", row.status} and query in row.name.lower()
        ]
        return self._pages(
            call, rows, lambda row: written(self._shaped("repository", row.record()))
        )

    @endpoint("organizations/{org}/teams/", "org:read", f"{PAGED} query detailed")
    def _teams(self, call: Call) -> Answer:
        def write(team: Team) -> bytes:
            record = team.record()
            if call.one("detailed", "1") != "0":
                projects = [project.row() for project in team.projects]
                for project in projects:
                    del project["organization"]
                record |= {"projects": projects, "externalTeams": []}
            return written(self._shaped("team", record))

        rows = sorted(call.organization.teams, key=lambda row: row.slug)
        return self._pages(call, rows, write)

    @endpoint("teams/{org}/{team}/projects/", "project:read", PAGED)
    def _team_projects(self, call: Call) -> Answer:
        rows = sorted(call.team.projects, key=lambda row: row.slug)
        return self._pages(call, rows, self._write_summary)

    @endpoint("projects/", "project:read", f"{PAGED} status")
    def _projects(self, call: Call) -> Answer:
        rows = [
            project
            for organization in self._readable(call)
            for project in organization.projects
            if project.is_member and call.one("status", "active") in {"", "active"}
        ]
        rows.sort(key=lambda row: row.created, reverse=True)
        return self._values(
            call,
            rows,
            lambda row: written(self._shaped("project", row.row())),
            lambda row: row.created,
        )

    @endpoint("projects/{org}/{project}/users/", "project:read", f"{PAGED} query")
    def _project_users(self, call: Call) -> Answer:
        if call.one("query"):
            raise refuse(400, "Not simulated: a query for users")
        rows = self._users(call.project)
        if not self.flavour.old_records:
            return self._pages(call, rows, lambda row: written(row[0].record()))
        rows = sorted(rows, key=lambda row: row[0].first_seen, reverse=True)

        def write(row: tuple[EventUser, datetime]) -> bytes:
            user = row[0]
            old = {"id": str(user.number), "dateCreated": iso(user.first_seen)}
            return written(user.record() | old)

        return self._values(call, rows, write, lambda row: row[0].first_seen)

    def _users(self, project: Project) -> list[tuple[EventUser, datetime]]:
        """Give the users whom errors happened to, the latest first."""

        def build() -> list[tuple[EventUser, datetime]]:
            latest: dict[EventUser, datetime] = {}
            for event in project.events.newest(self._kept(None)):
                if event.user:
                    latest.setdefault(event.user, event.created)
            return list(latest.items())

        return self._remembered(("users", project.id, self.clock().date()), build)

    @endpoint(
        "projects/{org}/{project}/user-feedback/", "project:read", f"{PAGED} status"
    )
    def _feedback(self, call: Call) -> Answer:
        status = call.one("status", "unresolved")
        if status not in {"", "unresolved"}:
            raise RefusalError(reply({"status": "Invalid status choice"}, 400))
        kept = self._kept(None)
        rows = [
            row
            for row in call.project.feedback
            if row.issue and not (kept and row.created < kept)
        ]
        rows.sort(key=lambda row: row.created, reverse=True)

        def write(row: Feedback) -> bytes:
            if status and not (row.issue and row.issue.status == status):
                return b""  # after paging, so pages can be short
            issue = row.issue and self._shaped("issue", row.issue.record())
            return written(row.record() | {"issue": issue})

        return self._values(call, rows, write, lambda row: row.created)

    # ----------------------------------------------------------------- the issues

    def _selected(self, call: Call) -> list[Project]:
        """Give the projects that `project=` asks for; without it, the user's own."""
        wanted = call.all("project")
        projects = call.organization.projects
        if self.flavour.glitchtip:
            return [row for row in projects if not wanted or row.id in wanted]
        if not wanted:
            return [row for row in projects if row.is_member and not row.forbidden]
        if not all(re.fullmatch(r"-?\d+", value) for value in wanted):
            raise refuse(400, "Invalid project parameter. Values must be numbers.")
        if "-1" in wanted:
            return [row for row in projects if not row.forbidden]
        found = [row for row in projects if row.id in wanted and not row.forbidden]
        if len(found) < len(set(wanted)):
            raise refuse(403, FORBIDDEN)
        return found

    @endpoint(
        "organizations/{org}/issues/",
        "event:read",
        f"{DATES} cursor limit per_page project query sort collapse groupStatsPeriod",
    )
    def _organization_issues(self, call: Call) -> Answer:
        if self.flavour.name == "self-hosted-9":
            if not (wanted := call.all("project")):
                detail = "You do not have the multi project stream feature enabled"
                raise refuse(400, detail)
            if "-1" in wanted:
                raise refuse(403, FORBIDDEN)
            raise internal_error()
        if self.flavour.glitchtip:
            return self._every_issue(call, self._selected(call))
        window = self._window(call, timedelta(days=90))
        projects = self._selected(call)
        query = call.one("query", self.flavour.issue_query)
        order = call.one("sort", "date") or "date"
        if order not in {"date", "new", "freq"}:
            raise refuse(400, f"Not simulated: the order {order!r}")
        rows = self._seen(projects, query, window, order)

        def write(row: tuple[int, Issue, Newest]) -> bytes:
            return written(self._windowed(call, row[1], row[2], query))

        def slicer(cursor: str | None, limit: int) -> Slice:
            return by_value(cursor, limit, rows, lambda row: row[0])

        limit = self._limit(call, "limit")
        answer = self._page(call, rows, write, slicer, limit)
        hits = {"X-Hits": str(min(len(rows), 1000)), "X-Max-Hits": "1000"}
        return replace(answer, headers=answer.headers | hits)

    def _seen(
        self, projects: list[Project], query: str, window: Window, order: str
    ) -> list[tuple[int, Issue, Newest]]:
        """Give the issues with events in a window, each with its score."""

        def build() -> list[tuple[int, Issue, Newest]]:
            matches = searched(query)
            rows: list[tuple[int, Issue, Newest]] = []
            for project in () if window.outside else projects:
                for issue in project.issues:
                    events = issue.events.newest(window.start, window.end)
                    if issue.id in self.unlisted:
                        continue
                    if events and matches(issue, latest := events[0].created):
                        first = issue.first_seen
                        scores = {"date": latest, "new": first}
                        score = milliseconds(scores[order]) if order in scores else 0
                        rows.append((score or len(events), issue, events))
            return sorted(rows, key=lambda row: (-row[0], -int(row[1].id)))

        ids = tuple(project.id for project in projects)
        hidden = frozenset(self.unlisted)
        return self._remembered((ids, query, window, order, hidden), build)

    def _windowed(self, call: Call, issue: Issue, events: Newest, query: str) -> Record:
        """Describe an issue with the figures of a window."""
        record = issue.record()
        figures = ("count", "userCount", "firstSeen", "lastSeen")
        record["lifetime"] = {name: record[name] for name in figures}
        record |= tally(events)
        record["filtered"] = tally(events) if query else None
        record |= self._graph(call, issue)
        record["isUnhandled"] = False
        for name in call.all("collapse"):
            dropped = {
                "stats": (*figures, "stats", "lifetime", "filtered"),
                "lifetime": (*figures, "lifetime"),
                "filtered": ("filtered",),
                "unhandled": ("isUnhandled",),
            }
            if name not in dropped:
                raise refuse(400, f"Not simulated: to collapse {name!r}")
            for column in dropped[name]:
                record.pop(column, None)
        return record

    def _graph(self, call: Call, issue: Issue) -> Record:
        """Draw an issue's events of the past day or fortnight."""
        period = call.one("groupStatsPeriod", "24h")
        if period not in {"", "24h", "14d", "auto"}:
            raise refuse(
                400, "Invalid stats_period. Valid choices are '', '24h', '14d'"
            )
        step, number = (DAY, 14) if period == "14d" else (HOUR, 24)
        last = floored(self.clock(), step)
        first = last - (number - 1) * step
        events = issue.events.newest(datetime.fromtimestamp(first, UTC))
        counted = Counter(floored(event.created, step) for event in events)
        points = [
            [float(at) if self.flavour.old_stats else at, counted[at]]
            for at in range(first, last + 1, step)
        ]
        return {"stats": {period: points}} if period else {}

    @endpoint(
        "projects/{org}/{project}/issues/",
        "event:read",
        "statsPeriod query sort limit per_page cursor",
    )
    def _project_issues(self, call: Call) -> Answer:
        period = call.one("statsPeriod")
        if period not in {"", "24h", "14d"} and not self.flavour.glitchtip:
            choices = "Valid choices are '', '24h', and '14d'"
            raise refuse(400, f"Invalid stats_period. {choices}")
        return self._every_issue(call, [call.project])

    def _every_issue(self, call: Call, projects: list[Project]) -> Answer:
        """List issues as of all time, with or without events."""
        if call.one("sort") and (self.flavour.glitchtip or call.one("sort") != "date"):
            raise refuse(422 if self.flavour.glitchtip else 400, "Invalid sort")
        query = call.one("query", self.flavour.issue_query)
        window = Window(None, None)
        if self.flavour.glitchtip and (call.one("start") or call.one("end")):
            window = self._window(call)

        def build() -> list[Issue]:
            matches = searched(query)
            rows = [
                issue
                for project in projects
                for issue in project.issues
                if matches(issue, issue.latest)
                and not (window.start and issue.first_seen < window.start)
                and not (window.end and issue.first_seen >= window.end)
            ]
            return sorted(rows, key=lambda row: (row.latest, int(row.id)), reverse=True)

        ids = tuple(project.id for project in projects)
        rows = self._remembered(("every", ids, query, window), build)
        answer = self._values(
            call,
            rows,
            lambda row: written(
                self._shaped("issue", row.record() | self._graph(call, row))
            ),
            lambda row: row.latest,
            parameter="limit",
        )
        hits = {"X-Hits": str(min(len(rows), 1000)), "X-Max-Hits": "1000"}
        return replace(answer, headers=answer.headers | hits)

    @endpoint("organizations/{org}/issues/{issue}/", "event:read", "collapse")
    @endpoint("issues/{issue}/", "event:read", "collapse")
    def _issue(self, call: Call) -> Answer:
        issue = call.issue
        seen: Record = {"type": "first_seen", "id": "0", "data": {}, "user": None}
        record = issue.record() | self._graph(call, issue)
        record |= {
            "activity": [seen | {"dateCreated": record["firstSeen"]}],
            "seenBy": [],
            "participants": [],
            "userReportCount": 0,
            "firstRelease": {"version": "1.0.0", "shortVersion": "1.0.0"},
            "lastRelease": None,
            "tags": [{"key": "level", "name": "Level", "totalValues": 1}],
        }
        return reply(self._shaped("issue", record))

    @endpoint("organizations/{org}/shortids/{short_id}/", "event:read")
    def _short_id(self, call: Call) -> Answer:
        for project in call.organization.projects:
            for issue in project.issues:
                if issue.short_id == call.parts["short_id"].upper():
                    if project.forbidden:
                        raise refuse(403, FORBIDDEN)
                    body = {
                        "organizationSlug": call.organization.slug,
                        "projectSlug": project.slug,
                        "groupId": issue.id,
                        "group": self._shaped("issue", issue.record()),
                        "shortId": issue.short_id,
                    }
                    return reply(body)
        raise refuse(404, "The requested resource does not exist")

    # ----------------------------------------------------------------- the events

    @endpoint(
        "projects/{org}/{project}/events/",
        "project:read",
        f"{DATES} {PAGED} full query",
    )
    def _project_events(self, call: Call) -> Answer:
        project = call.project
        window = Window(self._kept(None), None)
        if self.flavour.event_dates:
            try:
                window = self._window(call)
            except RefusalError:
                detail = "Invalid date range parameters provided"
                raise refuse(400, detail) from None
        rows: Sequence[Event] = project.events.newest(window.start, window.end)
        if self.flavour.glitchtip:
            rows = self._remembered(
                ("received", project.id), lambda: _by_receipt(project.events)
            )
        if query := call.one("query").lower():
            rows = [event for event in rows if query in event.message.lower()]
        return self._events(call, window, rows, full=bool(call.one("full")))

    @endpoint(
        "organizations/{org}/issues/{issue}/events/",
        "event:read",
        f"{DATES} {PAGED} full query",
    )
    @endpoint("issues/{issue}/events/", "event:read", f"{DATES} {PAGED} full query")
    def _issue_events(self, call: Call) -> Answer:
        issue = call.issue
        window = Window(None, None)
        if self.flavour.issue_event_dates:
            default = timedelta(days=90) if self.flavour.retention else None
            window = self._window(call, default)
        if call.one("query"):
            raise refuse(400, "Not simulated: a query for events of an issue")
        rows: Sequence[Event] = issue.events.newest(window.start, window.end)
        if self.flavour.glitchtip:
            rows = self._remembered(
                ("received", issue.id), lambda: _by_receipt(issue.events)
            )
        full = call.one("full").lower() in {"1", "true"}
        return self._events(call, window, rows, full=full)

    def _events(
        self, call: Call, window: Window, rows: Sequence[Event], *, full: bool
    ) -> Answer:
        if window.outside:
            raise internal_error()  # Sentry does not expect it
        form = self.flavour.body or ("full" if full else "light")
        if form == "glitchtip" and "issue" in call.parts:
            form = "snake"

        def write(event: Event) -> bytes:
            return self._event(event, form)

        if self.flavour.value_cursors:
            return self._values(call, rows, write, lambda event: event.created)
        if not self.flavour.glitchtip:
            rows = BySecond(rows, lambda event: event.created, self._tie_break(call))
        return self._pages(call, rows, write, full=full, slicer=by_row)

    def _tie_break(self, call: Call) -> Callable[[Event], Any]:
        """Order events of a second: by id in a project, anew each time in an issue."""
        if "issue" not in call.parts or self.order is None:
            return lambda event: -int(event.id, 16)
        request = call.request
        asked = f"{request.path} {sorted(request.params.items())}"
        # An answer that goes wrong on its way does not count.
        self._answered[asked] += call.fault is None
        seed = f"{self.order} {asked} {self._answered[asked]}"
        chance = random.Random(seed)  # noqa: S311 - nothing is secret here
        return lambda _: chance.random()

    def _event(self, event: Event, form: str) -> bytes:
        """Write an event; all but its entries is kept for the next time."""
        key = (event.number, form)
        if not (head := self._bodies.get(key)):
            head = self._bodies[key] = written(self._event_record(event, form))
        if form == "light":
            return head
        return head[:-1] + b', "entries": ' + event.entries.json + b"}"

    def _event_record(self, event: Event, form: str) -> Record:
        if form == "light":
            return event.light()
        record = event.full()
        if "dateCreated" in record:
            record["dateCreated"] = iso(event.created, self.flavour.precision)
        if form == "full":
            return record
        del record["occurrence"]
        if form == "nine":
            record["id"] = str(event.number)
            record["tags"] = [tag | {"_meta": None} for tag in record["tags"]]
            return record
        for column in ("_meta", "size", "fingerprints", "groupingConfig", "crashFile"):
            record.pop(column, None)
        record["projectID"] = int(record["projectID"])
        if record["groupID"]:
            record["groupID"] = int(record["groupID"])
        if form == "snake":
            return {SNAKE_CASE.get(name, name): value for name, value in record.items()}
        return record

    # ----------------------------------------------------------------- the counts

    @endpoint(
        "organizations/{org}/stats/", "org:read", "stat since until resolution group"
    )
    def _organization_stats(self, call: Call) -> Answer:
        group = call.one("group") or "organization"
        stat = call.one("stat", "received")
        projects = call.organization.projects
        if group == "project":
            mine = [project for project in projects if project.is_member]
            return reply({row.id: self._series(call, [row], stat) for row in mine})
        if group != "organization" or stat == "generated":
            raise internal_error()
        return reply(self._series(call, projects, stat))

    @endpoint(
        "projects/{org}/{project}/stats/",
        "project:read",
        "stat since until resolution",
    )
    def _project_stats(self, call: Call) -> Answer:
        stat = call.one("stat", "received")
        return reply(self._series(call, [call.project], stat))

    @endpoint("teams/{org}/{team}/stats/", "team:read", "stat since until resolution")
    def _team_stats(self, call: Call) -> Answer:
        if not call.team.projects:
            return reply([])
        return reply(self._series(call, call.team.projects, "generated"))

    def _series(self, call: Call, projects: list[Project], stat: str) -> list[Any]:
        """Count per interval, as the old endpoints do."""
        old = self.flavour.old_stats
        now = self.clock()
        try:
            until = float(call.one("until") or now.timestamp())
            since = float(call.one("since") or until - DAY)
        except ValueError:
            raise internal_error() from None
        if stat not in STATS or since > until:
            raise internal_error()
        span = until - since
        automatic = "10s" if span <= HOUR else "1h" if span <= 7 * DAY else "1d"
        resolution = call.one("resolution") or automatic
        if resolution not in RESOLUTIONS:
            raise internal_error() if old else refuse(400, "Invalid resolution")
        step = RESOLUTIONS[resolution]
        first = math.floor(since / step) if old else math.ceil(since / step)
        buckets = range(first * step, math.floor(until / step) * step + 1, step)
        kept = (
            {"10s": HOUR, "1h": 7 * DAY, "1d": 90 * DAY}[resolution]
            if old
            else 90 * DAY
        )
        oldest = max(now.timestamp() - kept - step, buckets.stop - 1 - 10_000 * step)
        return [
            [
                float(at) if old else at,
                self._stat(projects, stat, at, at + step) if at >= oldest else 0,
            ]
            for at in buckets
        ]

    @endpoint(
        "organizations/{org}/stats_v2/",
        "org:read",
        f"{DATES} field groupBy interval project category outcome reason",
    )
    def _stats_v2(self, call: Call) -> Answer:
        if self.flavour.glitchtip:
            return self._ungrouped(call)
        groups = call.all("groupBy")
        fields = call.all("field")
        if not fields or not groups:
            name = "groupBy" if fields else "field"
            raise RefusalError(reply({name: ["This field is required."]}, 400))
        self._choices("field", fields, {"sum(quantity)", "sum(times_seen)"})
        self._choices("groupBy", groups, {"outcome", "category", "reason", "project"})
        self._choices("category", call.all("category"), CATEGORIES)
        self._choices("outcome", call.all("outcome"), OUTCOMES)
        if "category" not in groups and not call.all("category"):
            raise refuse(400, "Query must have category as groupby or filter")
        buckets = self._buckets(call)
        projects = call.organization.projects
        if call.all("project") or "project" in groups:
            projects = self._selected(call)
        counted = self._outcomes(call, groups, projects, buckets)
        intervals = [iso(datetime.fromtimestamp(at, UTC), "seconds") for at in buckets]
        answer = []
        for by, series in counted.items():
            values = [series[at] for at in buckets]
            group: Record = {
                "by": dict(by),
                "totals": dict.fromkeys(fields, sum(values)),
            }
            if "project" not in groups:
                group["series"] = dict.fromkeys(fields, values)
            answer.append(group)
        end = datetime.fromtimestamp(buckets.stop, UTC)
        return reply(
            {
                "start": intervals[0],
                "end": iso(end, "seconds"),
                "intervals": intervals,
                "groups": answer,
            }
        )

    def _ungrouped(self, call: Call) -> Answer:
        """Count accepted events as GlitchTip does: only the first hour of a day."""
        for name in ("category", "start", "end"):
            if not call.one(name):
                found = {"type": "missing", "loc": ["query", name]}
                raise RefusalError(
                    reply({"detail": [found | {"msg": "Field required"}]}, 422)
                )
        step = int(parse_period(call.one("interval", "1h")).total_seconds())
        window = self._window(call)
        low, high = (
            floored(at or self.clock(), step) for at in (window.start, window.end)
        )
        buckets = range(low, high + 1, step)
        projects = self._selected(call)
        counts = [
            self._stat(projects, "generated", at, at + HOUR, by_event=False)
            for at in buckets
        ]
        series = {"sum(quantity)": [count or None for count in counts]}
        intervals = [iso(datetime.fromtimestamp(at, UTC), "seconds") for at in buckets]
        return reply(
            {
                "intervals": [text.replace("Z", "+00:00") for text in intervals],
                "groups": [{"series": series}],
            }
        )

    @staticmethod
    def _choices(name: str, values: Iterable[str], known: set[str]) -> None:
        for value in values:
            if value not in known:
                raise refuse(400, f'Invalid {name}: "{value}"')

    def _buckets(self, call: Call) -> range:
        """Give the starts of the intervals that are asked for."""
        try:
            step = int(parse_period(call.one("interval", "1h")).total_seconds())
        except ValueError:
            raise refuse(400, "Invalid interval") from None
        if not HOUR <= step <= DAY or DAY % step:
            raise refuse(400, "Interval has to divide a day and be one hour or more.")
        window = self._window(call, timedelta(days=90), clamped=False)
        now = self.clock()
        start = min(window.start or now, now)
        low = floored(start, step)
        high = math.ceil((window.end or now).timestamp() / step) * step
        buckets = range(low, max(high, low + step), step)
        if len(buckets) > 1000:
            raise refuse(
                400,
                "Your interval and date range would create too many results. "
                "Use a larger interval, or a smaller date range.",
            )
        return buckets

    @staticmethod
    def _outcomes(
        call: Call, groups: list[str], projects: list[Project], buckets: range
    ) -> dict[tuple[tuple[str, str | int], ...], Counter[int]]:
        """Count what came of events; rows beyond 10,000 are missing without a word."""
        filters = {name: call.all(name) for name in ("category", "outcome", "reason")}
        counted: dict[tuple[tuple[str, str | int], ...], Counter[int]] = {}
        rows = 0
        for project in projects:
            for (category, outcome, reason), hours in project.outcomes.items():
                known: dict[str, str | int] = {
                    "category": category,
                    "outcome": outcome,
                    "reason": reason or "none",
                    "project": int(project.id),
                }
                if any(
                    values and known[name] not in values
                    for name, values in filters.items()
                ):
                    continue
                by = tuple((name, known[name]) for name in groups)
                series = counted.setdefault(by, Counter())
                for hour, quantity in hours.items():
                    at = hour // buckets.step * buckets.step
                    if at not in buckets:
                        continue
                    rows += at not in series
                    if at in series or rows <= 10_000:
                        series[at] += quantity
        return counted


def _by_receipt(events: Iterable[Event]) -> list[Event]:
    """Sort events as GlitchTip does."""
    return sorted(events, key=lambda event: event.received, reverse=True)


def _limit_headers(
    limit: Limit, used: int, reset: float, concurrent: int
) -> dict[str, str]:
    """Tell a rate limit as sentry.io does."""
    prefix = "X-Sentry-Rate-Limit-"
    return {
        f"{prefix}Limit": str(limit.limit),
        f"{prefix}Remaining": str(max(0, limit.limit - used)),
        f"{prefix}Reset": str(math.ceil(reset)),
        f"{prefix}ConcurrentLimit": str(limit.concurrent),
        f"{prefix}ConcurrentRemaining": str(max(0, concurrent)),
    }


def _spoiled(answer: Answer, fault: Fault) -> Answer:
    """Let a fault happen to a good answer."""
    if fault.kind == "truncated":
        return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])
    if fault.kind == "short":
        longer = {"Content-Length": str(len(answer.body) + 10)}
        return replace(answer, headers=answer.headers | longer, mishap="silent_close")
    if fault.kind == "reset":
        return replace(answer, mishap="reset_body")
    if fault.kind == "hang":
        seconds = fault.details.get("seconds", 60)
        is_late = fault.details.get("where") == "middle"
        return replace(
            answer, mishap="hang_body" if is_late else "hang", seconds=seconds
        )
    if fault.kind == "silent_close":
        return replace(answer, mishap="silent_close")
    return answer


class _Torn(io.RawIOBase):
    """A body whose connection is reset half-way."""

    def __init__(self, half: bytes) -> None:
        self._half = half

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._half:
            raise ConnectionResetError(104, "Connection reset by peer")
        part, self._half = self._half[: len(buffer)], self._half[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _delivered(answer: Answer) -> bytes | io.BufferedReader:
    """Give the body to `requests`, or raise what the transport would have raised."""
    if answer.mishap == "refuse":
        message = "Failed to establish a new connection: Connection refused"
        raise requests.ConnectionError(message)
    if answer.mishap == "reset":
        reset = ConnectionResetError(104, "Connection reset by peer")
        raise requests.ConnectionError(ProtocolError("Connection aborted.", reset))
    if answer.mishap in {"hang", "hang_body"}:
        message = "Read timed out."
        raise requests.ReadTimeout(message)
    if answer.mishap == "reset_body":
        return io.BufferedReader(_Torn(answer.body[: len(answer.body) // 2]))
    return answer.body


class _Server(ThreadingHTTPServer):
    """The socket of a simulator."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, simulator: SentrySimulator, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.simulator = simulator
        self._connections: set[socket.socket] = set()

    def verify_request(self, request: Any, *_: Any) -> bool:
        if self.simulator.refuses_connection():
            linger(request)
            return False
        self._connections.add(request)
        return True

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        self.close_request(request)

    def hang_up(self) -> None:
        """Close what clients have left open."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def linger(connection: socket.socket) -> None:
    """Let the closing of a connection be a reset."""
    option = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        """Answer one request."""
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        url = urljoin(f"http://{self.headers.get('Host', '')}", self.path)
        headers = dict(self.headers.items())
        answer = self.server.simulator.answer(self.command, url, headers)
        if answer.mishap == "hang":
            time.sleep(answer.seconds)
        if answer.mishap in {"reset", "reset_body"}:
            linger(self.connection)
        if answer.mishap in {"reset", "reset_body", "silent_close"}:
            self.close_connection = True
        if answer.mishap == "reset":
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        whole = len(answer.body)
        body = (
            answer.body[: whole // 2] if answer.mishap == "reset_body" else answer.body
        )
        if answer.mishap == "hang_body":
            self.wfile.write(body[: whole // 2])
            self.wfile.flush()
            time.sleep(answer.seconds)
            body = body[whole // 2 :]
        self.wfile.write(body)
        self.wfile.flush()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815, theirs

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Say nothing."""


SIZES: dict[str, dict[str, Any]] = {
    "small": {"projects": 4, "issues": 40, "events": 500},
    "medium": {},
    "large": {"teams": 20, "projects": 100, "issues": 3000, "events": 100_000},
}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator")
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
