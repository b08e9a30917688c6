"""A second reader of Sentry's API, to compare the tap with.

Written from https://docs.sentry.io/api/ and, for endpoints of other servers, from
Sentry 9.1.2 and GlitchTip. It shares nothing with the tap: it has its own session and
window, reads every list to its end and drops rows outside the window itself.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]
#: A path with names to fill in, and the parameters of its pages.
Way: TypeAlias = "tuple[str, Mapping[str, Any]]"

#: Every stream, in the order of the README.
STREAMS = (
    "organizations",
    "organization_projects",
    "organization_repositories",
    "organization_teams",
    "organization_event_counts",
    "projects",
    "team_projects",
    "team_event_counts",
    "project_issues",
    "project_events",
    "project_event_entries",
    "project_feedback",
    "project_users",
    "project_event_counts",
    "issue_events",
    "issue_event_entries",
)
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


class LacksError(Exception):
    """The server does not have the requested list."""


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
        """The bodies of all pages; none of a list that is refused or not found.

        Raises:
            LacksError: If the server does not have the list.
        """
        cursor: dict[str, str] = {}
        while True:
            response = self.get(path, {**params, **cursor})
            if is_lacking(response):
                raise LacksError(path)
            if response.status_code in {403, 404}:
                return
            response.raise_for_status()
            yield response.json()
            following = NEXT.search(response.headers.get("Link", ""))
            if following is None:
                return
            cursor = {"cursor": following["cursor"]}

    def first(self, names: Mapping[str, str], *ways: Way) -> Iterator[Any]:
        """The pages of the first of these lists that the server has."""
        for path, params in ways:
            if path in self.lacks:
                continue
            try:
                yield from self.pages(path.format(**names), params)
            except LacksError:
                self.lacks.add(path)
            else:
                return

    def rows(self, names: Mapping[str, str], *ways: Way) -> Iterator[Row]:
        """The rows of the first of these lists that the server has."""
        for page in self.first(names, *ways):
            yield from page


class Crawl:
    """The keys that the server lists, by stream."""

    def __init__(self, server: Server, resolution: str) -> None:
        """Read all organizations."""
        self.server = server
        self.resolution = resolution
        self.crawler = Crawler(server)
        self.rows = self.crawler.rows
        self.keys: dict[str, set[Key]] = {stream: set() for stream in STREAMS}
        #: The number of event rows that lists repeat: each of them hides another row.
        self.repeated: Counter[str] = Counter()
        #: The event counts by stream and key.
        self.counts: dict[str, dict[Key, int]] = {stream: {} for stream in COUNTS}
        for slug, key in self.organizations():
            self.organization({"organization": slug, "organization_id": key})
        for stream, counts in self.counts.items():
            self.keys[stream] = set(counts)

    @property
    def window(self) -> Mapping[str, str]:
        """The parameters of lists that the server filters by date."""
        start = self.server.start or BEGINNING
        return {"start": text(start), "end": text(self.server.end)}

    def organizations(self) -> Iterator[tuple[str, str]]:
        """The slug and the id of each organization."""
        found: Iterable[Row] = (
            self.crawler.get(f"organizations/{slug}/", {}).json()
            for slug in self.server.organizations
        )
        if not self.server.organizations:
            found = self.rows({}, ("organizations/", {}))
        for row in found:
            self.keys["organizations"].add((row["id"],))
            yield row["slug"], row["id"]

    def organization(self, names: dict[str, str]) -> None:
        """Read everything in an organization."""
        organization = names["organization_id"]
        projects = list(self.rows(names, (f"{ORGANIZATION}/projects/", {})))
        teams = list(self.rows(names, (f"{ORGANIZATION}/teams/", {})))
        repositories = self.rows(names, (f"{ORGANIZATION}/repos/", {"status": ""}))
        for stream, rows in (
            ("organization_projects", projects),
            ("organization_teams", teams),
            ("organization_repositories", repositories),
        ):
            self.keys[stream] |= {(organization, str(row["id"])) for row in rows}
        for row in self.rows({}, ("projects/", {})):
            if row["organization"]["id"] == organization:
                self.keys["projects"].add((organization, row["id"]))
        if "projects/" in self.crawler.lacks:
            self.keys["projects"] |= {(organization, row["id"]) for row in projects}
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
        ids = [row["id"] for row in self.rows(names, (path, {}))]
        self.keys["team_projects"] |= {(*key, project) for project in ids}
        if ids:
            self.count("team_event_counts", names, key, ids)

    def project(self, names: dict[str, str]) -> None:
        """Read everything in a project."""
        key = (names["organization_id"], names["project_id"])
        for row in self.rows(names, (f"{PROJECT}/users/", {})):
            tag = row["tagValue"]
            self.keys["project_users"].add(
                (*key, f"hash:{row['hash']}" if tag is None else tag)
            )
        for row in self.rows(names, (f"{PROJECT}/user-feedback/", {"status": ""})):
            if self.server.has(row["dateCreated"]):
                self.keys["project_feedback"].add((*key, row["id"]))
        self.count("project_event_counts", names, key)
        full = {**self.window, "full": "true"}
        self.events("project", key, names, (f"{PROJECT}/events/", full))
        for row in self.issues(names):
            issue = row["id"]
            if self.is_seen(row):
                self.keys["project_issues"].add((key[0], issue))
            # Issues outside the window too: on old servers `lastSeen` can be before the
            # last event.
            self.events(
                "issue",
                key,
                {**names, "issue": issue},
                (f"{ORGANIZATION}/issues/{{issue}}/events/", full),
                ("issues/{issue}/events/", full),
            )

    def issues(self, names: Mapping[str, str]) -> list[Row]:
        """The issues of a project, of every status."""
        params = {"query": "", "limit": 100}
        of_project = {**params, **self.window, "project": names["project_id"]}
        return list(
            self.rows(
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
        for row in self.rows(names, *ways):
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

    # Event counts ---------------------------------------------------------------------

    def count(
        self, stream: str, names: Mapping[str, str], key: Key, projects: object = ()
    ) -> None:
        """Read the event counts of an organization, team or project."""
        found: Mapping[tuple[str, datetime], int] = {}
        if stream != "project_event_counts":
            found = self.outcomes(names, projects)
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
        self, names: Mapping[str, str], projects: object
    ) -> Mapping[tuple[str, datetime], int]:
        """The counts of `stats_v2`; none if the server lacks it."""
        counts: Counter[tuple[str, datetime]] = Counter()
        params = {
            "field": "sum(quantity)",
            "category": "error",
            "groupBy": "outcome",
            "interval": self.resolution,
            "start": text(self.counted_from(self.resolution)),
            "end": text(self.server.end),
            **({"project": projects} if projects else {}),
        }
        for body in self.crawler.first(names, (f"{ORGANIZATION}/stats_v2/", params)):
            times = [parse(instant) for instant in body["intervals"]]
            counts.update({(stat, at): 0 for stat in STATS for at in times})
            for group in body["groups"]:
                series = zip(times, group["series"]["sum(quantity)"], strict=True)
                for at, count in series:
                    for stat in STATS:
                        if group["by"]["outcome"] in OUTCOMES[stat]:
                            counts[stat, at] += int(count)
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
            for page in self.crawler.first(
                names, (path, {**window, "stat": stat, "resolution": self.resolution})
            )
            for seconds, count in page
        }


ORGANIZATION = "organizations/{organization}"
PROJECT = "projects/{organization}/{project}"

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
