"""A second reader of Sentry's API, to compare the tap with.

Written from https://docs.sentry.io/api/ and, for endpoints of other servers, from
Sentry 9.1.2 and GlitchTip. It shares nothing with the tap: it has its own session and
window, reads every list to its end and drops rows outside the window itself.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import requests

from tests.live.lists import LISTS, ORGANIZATION, PLACES, PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.live.lists import Listing

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]
#: A path with names to fill in, and the parameters of its pages.
Way: TypeAlias = "tuple[str, Mapping[str, Any]]"

#: Every stream, in the order of the tap.
STREAMS = (
    "organizations",
    "organization_projects",
    "organization_repositories",
    "organization_teams",
    "organization_members",
    "organization_environments",
    "organization_releases",
    "organization_monitors",
    "organization_event_counts",
    "organization_usage",
    "release_health",
    "organization_replays",
    "organization_dashboards",
    "organization_saved_queries",
    "organization_detectors",
    "organization_workflows",
    "organization_metric_alert_rules",
    "organization_incidents",
    "organization_integrations",
    "organization_app_installations",
    "organization_code_mappings",
    "organization_audit_logs",
    "projects",
    "repository_commits",
    "release_deploys",
    "release_commits",
    "monitor_checkins",
    "team_projects",
    "team_members",
    "team_event_counts",
    "project_issues",
    "project_events",
    "project_event_entries",
    "project_feedback",
    "project_users",
    "project_event_counts",
    "project_environments",
    "project_keys",
    "project_service_hooks",
    "project_ownership",
    "project_inbound_filters",
    "project_tags",
    "project_alert_rules",
    "issue_events",
    "issue_event_entries",
    "issue_activities",
    "issue_comments",
    "issue_tags",
    "issue_hashes",
    "issue_links",
)
#: Streams that are not compared, with the reason.
NOT_COMPARED = {
    "organization_usage": "no server at hand has it",
    "release_health": "no server at hand has it",
}
COUNTS = tuple(stream for stream in STREAMS if stream.endswith("_counts"))

BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)

RESOLUTIONS = {"1d": timedelta(days=1), "1h": timedelta(hours=1)}
#: How long Sentry keeps event counts for certain.
KEPT = {"1d": timedelta(days=90), "1h": timedelta(days=7)}
#: https://docs.sentry.io/api/organizations/
OUTCOMES = {
    "received": {"accepted", "filtered", "rate_limited"},
    "rejected": {"rate_limited"},
    "blacklisted": {"filtered"},
    "generated": {"accepted"},
}
STATS = tuple(OUTCOMES)
ACCEPTED = {"outcome": "accepted"}

#: The cursor of the next page, if there is one. GlitchTip wraps the header in braces
#: and its cursors contain equals signs, so the parser of `requests` loses them.
NEXT = re.compile('rel="next"; results="true"; cursor="(?P<cursor>[^"]*)"')
#: The address of the issues of an organization.
ISSUES = re.compile("/organizations/[^/]+/issues/[?]")

TRIES = 8
#: Requests under way at once: few, since speed does not matter here.
THREADS = 4


@dataclass(frozen=True)
class Server:
    """A Sentry server, and the organizations and the window to read."""

    url: str
    token: str = field(repr=False)
    organizations: tuple[str, ...]
    start: datetime | None
    end: datetime
    #: Streams that the tap does not read.
    without: frozenset[str] = frozenset()

    @property
    def settings(self) -> dict[str, Any]:
        """The equivalent settings of the tap, without the token."""
        settings: dict[str, Any] = {"api_url": self.url, "end_date": text(self.end)}
        if self.organizations:
            settings["organizations"] = list(self.organizations)
        if self.start is not None:
            settings["start_date"] = text(self.start)
        return settings

    def has(self, instant: str | float | None) -> bool:
        """Whether an instant is in the window; a missing date counts as inside."""
        if instant is None:
            return True
        start = self.start or BEGINNING
        return start <= parse(instant) < self.end


class AbsentError(Exception):
    """The server refuses a list, or what it belongs to does not exist."""


class LacksError(AbsentError):
    """The server does not have the list at all."""


class Crawler:
    """A client that reads lists of Sentry."""

    def __init__(self, server: Server) -> None:
        """Send no request yet."""
        self.server = server
        #: Paths of lists that the server turned out not to have.
        self.lacks: set[str] = set()

    def get(self, path: str, params: Mapping[str, Any]) -> requests.Response:
        """Send a request; retry it after a 429, a 5xx or a broken connection."""
        failure: Exception | None = None
        for attempt in range(TRIES):
            try:
                response = requests.get(
                    f"{self.server.url.rstrip('/')}/api/0/{path}",
                    params=params,
                    auth=self.sign,
                    timeout=120,
                )
            except requests.RequestException as error:
                failure = error
                time.sleep(2**attempt)
                continue
            if response.status_code >= requests.codes.server_error and not (
                is_lacking(response)
            ):
                time.sleep(2**attempt)
                continue
            if response.status_code != requests.codes.too_many_requests:
                return response
            reset = float(response.headers.get("X-Sentry-Rate-Limit-Reset") or 0)
            time.sleep(min(max(reset - time.time(), 1), 120))
        msg = f"{path} does not answer"
        raise RuntimeError(msg) from failure

    def sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token."""
        request.headers["Authorization"] = f"Bearer {self.server.token}"
        return request

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[Any]:
        """The bodies of all pages of a list.

        Raises:
            AbsentError: If the list is refused or not found.
            LacksError: If the server does not have the list.
        """
        cursor: dict[str, str] = {}
        while True:
            response = self.get(path, {**params, **cursor})
            if is_lacking(response):
                raise LacksError(path)
            if response.status_code in {403, 404}:
                raise AbsentError(path)
            response.raise_for_status()
            yield response.json()
            following = NEXT.search(response.headers.get("Link", ""))
            if following is None:
                return
            cursor = {"cursor": following["cursor"]}

    def first(self, names: Mapping[str, str], *ways: Way) -> Iterator[Any]:
        """The pages of the first of these lists that the server has.

        Raises:
            AbsentError: If that is refused or not found.
            LacksError: If the server has none of them.
        """
        for path, params in ways:
            if path in self.lacks:
                continue
            try:
                yield from self.pages(path.format(**names), params)
            except LacksError:
                self.lacks.add(path)
            else:
                return
        raise LacksError(ways)


class Crawl:
    """The keys that the server lists, by stream."""

    def __init__(self, server: Server, resolution: str) -> None:
        """Read all organizations."""
        self.server = server
        self.resolution = resolution
        self.crawler = Crawler(server)
        self.keys: dict[str, set[Key]] = {stream: set() for stream in STREAMS}
        #: The rows of the streams in `LISTS`, as the server sends them.
        self.sent: dict[str, dict[Key, Row]] = {stream: {} for stream in LISTS}
        #: The keys of rows that a stream may have or not; see `Listing.is_loose`.
        self.optional: dict[str, set[Key]] = {stream: set() for stream in STREAMS}
        #: Streams of which the server lacks or refuses a list.
        self.absent: set[str] = set()
        #: The number of event rows that lists repeat: each of them hides another row.
        self.repeated: Counter[str] = Counter()
        #: The event counts by stream and key.
        self.counts: dict[str, dict[Key, int]] = {stream: {} for stream in COUNTS}
        for slug, key in self.organizations():
            self.organization({"organization": slug, "organization_id": key})
        for stream, counts in self.counts.items():
            self.keys[stream] = set(counts)

    @property
    def unread(self) -> set[str]:
        """The streams that are absent, and those below them."""
        below = {
            stream
            for stream, listing in LISTS.items()
            if PLACES[listing.place].stream in self.absent
        }
        return self.absent | below

    @property
    def window(self) -> Mapping[str, str]:
        """The parameters of lists that the server filters by date."""
        start = self.server.start or BEGINNING
        return {"start": text(start), "end": text(self.server.end)}

    def rows(self, stream: str, names: Mapping[str, str], *ways: Way) -> Iterator[Row]:
        """The rows of the first of these lists that the server has."""
        wrapper = LISTS[stream].wrapper if stream in LISTS else None
        try:
            for page in self.crawler.first(names, *ways):
                yield from unwrap(page, wrapper)
        except AbsentError:
            self.absent.add(stream)

    def organizations(self) -> Iterator[tuple[str, str]]:
        """The slug and the id of each organization."""
        found: Iterable[Row] = (
            self.crawler.get(f"organizations/{slug}/", {}).json()
            for slug in self.server.organizations
        )
        if not self.server.organizations:
            found = self.rows("organizations", {}, ("organizations/", {}))
        for row in found:
            self.keys["organizations"].add((row["id"],))
            yield row["slug"], row["id"]

    def organization(self, names: dict[str, str]) -> None:
        """Read everything in an organization."""
        organization = names["organization_id"]
        lists: dict[str, list[Row]] = {
            stream: list(self.rows(stream, names, (f"{ORGANIZATION}/{path}", params)))
            for stream, path, params in (
                ("organization_projects", "projects/", {}),
                ("organization_teams", "teams/", {}),
                ("organization_repositories", "repos/", {"status": ""}),
            )
        }
        for stream, rows in lists.items():
            self.keys[stream] |= {(organization, str(row["id"])) for row in rows}
            self.places(stream, names, rows)
        projects, teams = lists["organization_projects"], lists["organization_teams"]
        for row in self.rows("projects", {}, ("projects/", {})):
            if row["organization"]["id"] == organization:
                self.keys["projects"].add((organization, row["id"]))
        if "projects/" in self.crawler.lacks:
            self.keys["projects"] |= {(organization, row["id"]) for row in projects}
        self.lists("organization", names)
        self.count("organization_event_counts", names, (organization,))
        in_parallel(
            self.team,
            [{**names, "team": row["slug"], "team_id": row["id"]} for row in teams],
        )
        in_parallel(
            self.project,
            [
                {**names, "project": row["slug"], "project_id": row["id"]}
                for row in projects
            ],
        )

    def team(self, names: dict[str, str]) -> None:
        """Read everything of a team."""
        key = (names["organization_id"], names["team_id"])
        path = "teams/{organization}/{team}/projects/"
        ids = [row["id"] for row in self.rows("team_projects", names, (path, {}))]
        self.keys["team_projects"] |= {(*key, project) for project in ids}
        if ids:
            self.count("team_event_counts", names, key, ids)
        self.lists("team", names)

    def project(self, names: dict[str, str]) -> None:
        """Read everything in a project."""
        key = (names["organization_id"], names["project_id"])
        for row in self.rows("project_users", names, (f"{PROJECT}/users/", {})):
            tag = row["tagValue"]
            self.keys["project_users"].add(
                (*key, f"hash:{row['hash']}" if tag is None else tag)
            )
        feedback = (f"{PROJECT}/user-feedback/", {"status": ""})
        for row in self.rows("project_feedback", names, feedback):
            if self.server.has(row["dateCreated"]):
                self.keys["project_feedback"].add((*key, row["id"]))
        self.count("project_event_counts", names, key)
        self.lists("project", names)
        full = {**self.window, "full": "true"}
        self.events("project", key, names, (f"{PROJECT}/events/", full))
        for row in self.issues(names):
            issue = row["id"]
            if self.is_seen(row):
                self.keys["project_issues"].add((key[0], issue))
            # Issues outside the window too: on old servers `lastSeen` can be before the
            # last event.
            below = {**names, "issue": issue}
            self.events(
                "issue",
                key,
                below,
                (f"{ORGANIZATION}/issues/{{issue}}/events/", full),
                ("issues/{issue}/events/", full),
            )
            self.lists("issue", below)

    def issues(self, names: Mapping[str, str]) -> list[Row]:
        """The issues of a project, of every status."""
        params = {"query": "", "limit": 100}
        of_project = {**params, **self.window, "project": names["project_id"]}
        return list(
            self.rows(
                "project_issues",
                names,
                (f"{ORGANIZATION}/issues/", of_project),
                (f"{PROJECT}/issues/", params),
            )
        )

    def is_seen(self, issue: Row) -> bool:
        """Whether an issue may have had events in the window."""
        start = self.server.start or BEGINNING
        lived = issue.get("lifetime") or issue
        return (
            parse(lived["firstSeen"]) < self.server.end
            and parse(lived["lastSeen"]) >= start
        )

    def events(
        self, parent: str, key: Key, names: Mapping[str, str], *ways: Way
    ) -> None:
        """Read the events of a project or issue, and their entries."""
        listed = set()
        for row in self.rows(f"{parent}_events", names, *ways):
            # GlitchTip writes the events of issues in snake_case.
            date = row.get("dateCreated") or row.get("date_created")
            date = date or row.get("endTimestamp") or row.get("dateReceived")
            if not self.server.has(date):
                continue
            event = (*key, row.get("eventID") or row["event_id"])
            for stream in (f"{parent}_events", f"{parent}_event_entries"):
                self.repeated[stream] += event in listed
            listed.add(event)
            self.keys[f"{parent}_events"].add(event)
            self.keys[f"{parent}_event_entries"] |= {
                (*event, str(index)) for index in range(len(row.get("entries") or ()))
            }

    # Lists of rows as they are --------------------------------------------------------

    def lists(self, place: str, names: Mapping[str, str]) -> None:
        """Read the lists of a place."""
        key = tuple(names[name] for name in PLACES[place].key)
        for stream, listing in LISTS.items():
            if listing.place == place:
                self.places(stream, names, self.listed(stream, key, names))

    def listed(self, stream: str, key: Key, names: Mapping[str, str]) -> list[Row]:
        """Read the rows of a list."""
        listing = LISTS[stream]
        params = {**listing.params, **(self.window if listing.takes_window else {})}
        ways = [
            (f"{place}/{path}", params)
            for place, path in itertools.product(
                PLACES[listing.place].paths, listing.paths
            )
        ]
        found = []
        for row in self.rows(stream, names, *ways):
            own = (*key, *(identity(row, name) for name in listing.ids))
            if self.is_dated(row, listing):
                self.keys[stream].add(own)
                self.sent[stream][own] = row
                found.append(row)
            elif listing.is_loose:
                self.optional[stream].add(own)
        return found

    def is_dated(self, row: Row, listing: Listing) -> bool:
        """Whether a row has a date in the window, or none."""
        dates = [row[name] for name in listing.dates if row.get(name) is not None]
        return not dates or any(map(self.server.has, dates))

    def places(
        self, stream: str, names: Mapping[str, str], rows: Iterable[Row]
    ) -> None:
        """Read the lists of the rows of a stream, if they have any."""
        for kind, place in PLACES.items():
            if place.stream != stream:
                continue
            below = []
            for row in rows:
                slug = next(row[name] for name in place.slugs if row.get(name))
                # Sentry takes a slash for the end of a version, also if it is quoted.
                if "/" not in slug:
                    one = {kind: quote(slug, safe=""), f"{kind}_id": str(row[place.id])}
                    below.append({**names, **one})
            in_parallel(functools.partial(self.lists, kind), below)

    # Event counts ---------------------------------------------------------------------

    def count(
        self, stream: str, names: Mapping[str, str], key: Key, projects: object = ()
    ) -> None:
        """Read the event counts of an organization, team or project."""
        found: Mapping[tuple[str, datetime], int] = {}
        if stream != "project_event_counts":
            found = self.outcomes(names, projects, self.resolution)
        if not found:
            found = self.points(stream, names)
        first, end = self.counted_from(self.resolution), self.server.end
        for (stat, instant), count in found.items():
            if first <= instant < end:
                at = (*key, stat, self.resolution, text(instant))
                self.counts[stream][at] = count

    def counted_from(self, resolution: str) -> datetime:
        """The start of the first interval to read."""
        start = self.server.start or self.server.end - KEPT[resolution]
        return floor(start, RESOLUTIONS[resolution])

    def outcomes(
        self, names: Mapping[str, str], projects: object, interval: str
    ) -> Mapping[tuple[str, datetime], int]:
        """The counts of `stats_v2`; none if the server lacks it."""
        counts: Counter[tuple[str, datetime]] = Counter()
        params = {
            "field": "sum(quantity)",
            "category": "error",
            "groupBy": "outcome",
            "interval": interval,
            "start": text(self.counted_from(self.resolution)),
            "end": text(self.server.end),
            **({"project": projects} if projects else {}),
        }
        for body in self.figures(names, (f"{ORGANIZATION}/stats_v2/", params)):
            step = RESOLUTIONS[self.resolution]
            times = [floor(parse(instant), step) for instant in body["intervals"]]
            is_grouped = all("by" in group for group in body["groups"])
            if not is_grouped and interval != "1h":
                # Of longer intervals GlitchTip counts the first hour only.
                return self.outcomes(names, projects, "1h")
            # It counts accepted events, without saying so.
            stats = [s for s in STATS if is_grouped or "accepted" in OUTCOMES[s]]
            counts.update({(stat, at): 0 for stat in stats for at in times})
            for group in body["groups"]:
                outcome = group.get("by", ACCEPTED)["outcome"]
                series = group["series"]["sum(quantity)"]
                for at, count in zip(times, series, strict=True):
                    for stat in stats:
                        if outcome in OUTCOMES[stat]:
                            counts[stat, at] += int(count or 0)
        return counts

    def points(
        self, stream: str, names: Mapping[str, str]
    ) -> Mapping[tuple[str, datetime], int]:
        """The counts of the older endpoints, which give one stat at a time."""
        path, stats = OLDER[stream]
        window = {
            "since": int(self.counted_from(self.resolution).timestamp()),
            "until": int(self.server.end.timestamp()),
        }
        return {
            (stat, parse(seconds)): count
            for stat in stats
            for page in self.figures(
                names, (path, {**window, "stat": stat, "resolution": self.resolution})
            )
            for seconds, count in page
        }

    def figures(self, names: Mapping[str, str], way: Way) -> Iterator[Any]:
        """The pages of a list of figures; none if the server lacks it."""
        with contextlib.suppress(AbsentError):
            yield from self.crawler.first(names, way)


#: The older endpoint for each stream, and the stats that it has: that of an
#: organization lacks `generated`, that of a team has nothing else.
OLDER = {
    "organization_event_counts": (f"{ORGANIZATION}/stats/", STATS[:-1]),
    "team_event_counts": ("teams/{organization}/{team}/stats/", STATS[-1:]),
    "project_event_counts": (f"{PROJECT}/stats/", STATS),
}


def is_lacking(response: requests.Response) -> bool:
    """Whether a response means that the server does not have the list at all."""
    status = response.status_code
    # GlitchTip sends the page of its user interface, in some cases with a 200.
    if status in {requests.codes.ok, requests.codes.not_found}:
        return "json" not in response.headers.get("Content-Type", "")
    if status == requests.codes.bad_request:
        return "multi project" in response.text
    if status == requests.codes.server_error:
        # Sentry 9 fails with a 500: it lists the issues of one project at a time.
        return ISSUES.search(response.url) is not None
    return status in {405, 410, 422}


def unwrap(body: Any, wrapper: str | None) -> list[Row]:
    """The rows of a page; a single object is one.

    Raises:
        LacksError: If the object does not have the list.
    """
    if isinstance(body, list):
        return body
    if wrapper is None:
        return [body]
    if wrapper not in body:
        raise LacksError(wrapper)
    rows: list[Row] = body[wrapper]
    return rows


def identity(row: Row, name: str) -> str:
    """What identifies a row: a field, or a field of a field."""
    found: Any = row
    for part in name.split("."):
        found = (found or {}).get(part)
    return "" if found is None else str(found)


def in_parallel(read: Callable[[dict[str, str]], None], what: list[Any]) -> None:
    """Read several things at once, and raise the first failure."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(read, what):
            pass


def parse(instant: str | float) -> datetime:
    """Parse a date of Sentry: a text, or seconds since 1970."""
    if isinstance(instant, str):
        return datetime.fromisoformat(instant).astimezone(UTC)
    return datetime.fromtimestamp(instant, tz=UTC)


def text(instant: datetime) -> str:
    """Format a date for Sentry."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def floor(instant: datetime, step: timedelta) -> datetime:
    """The last multiple of a step that is not after an instant."""
    return instant - (instant - datetime(1970, 1, 1, tzinfo=UTC)) % step
