"""The sample organizations that the simulator holds.

`demo` is small and believable, with the names of Sentry's documentation and one of each
oddity seen on real servers; `generated` is as large as asked for. Both are the same
whenever they are built from the same arguments.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Record = dict[str, Any]

FEATURES = ["alert-filters", "minidump", "rate-limits", "releases", "similarity-view"]
ACCESS = ["event:read", "member:read", "org:read", "project:read", "team:read"]
FLAGS = [
    *("hasFeedbacks", "hasFlags", "hasLogs", "hasMinifiedStackTrace", "hasMonitors"),
    *("hasNewFeedbacks", "hasProfiles", "hasReplays", "hasSessions", "hasTraceMetrics"),
    *("hasInsightsAgentMonitoring", "hasInsightsAppStart", "hasInsightsAssets"),
    *("hasInsightsCaches", "hasInsightsDb", "hasInsightsHttp", "hasInsightsMCP"),
    *("hasInsightsQueues", "hasInsightsScreenLoad", "hasInsightsVitals"),
]
#: How long ago they came out.
RELEASES = (
    (timedelta.max, "1.0.0"),
    (timedelta(days=18), "1.1.0"),
    (timedelta(days=6), "frontend@2026.11+7"),
)
LETTER_AVATAR = {"avatarType": "letter_avatar", "avatarUuid": None, "avatarUrl": None}
HOUR = 3600


def iso(moment: datetime, precision: str = "milliseconds") -> str:
    """Write a date as Sentry does."""
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


class Timeline:
    """Events in the order of their time."""

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.events: list[Event] = []

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def add(self, event: Event) -> None:
        """Put one event in its place."""
        place = bisect_right(self.times, event.created)
        self.times.insert(place, event.created)
        self.events.insert(place, event)

    def extend(self, events: Iterable[Event]) -> None:
        """Put many events in their places."""
        self.events = sorted([*self.events, *events], key=lambda event: event.created)
        self.times = [event.created for event in self.events]

    def newest(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Newest:
        """Give the events of `[start, end)`, newest first."""
        low = bisect_left(self.times, start) if start else 0
        high = bisect_left(self.times, end) if end else len(self.times)
        return Newest(self.events, low, max(low, high))


class Newest(Sequence["Event"]):
    """A stretch of a timeline, newest first, without a copy."""

    def __init__(self, events: list[Event], low: int, high: int) -> None:
        self._events = events
        self._low = low
        self._high = high

    def __len__(self) -> int:
        return self._high - self._low

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._events[self._high - 1 - index]


@dataclass(frozen=True, slots=True, eq=False)
class EventUser:
    """Somebody whom an event happened to."""

    number: int
    id: str | None = None
    username: str | None = None
    email: str | None = None
    name: str | None = None
    ip_address: str | None = None
    first_seen: datetime = datetime(2018, 11, 6, tzinfo=UTC)

    @property
    def identity(self) -> tuple[str, str] | None:
        """The first of the four things that tell users apart."""
        for kind in ("id", "username", "email", "ip_address"):
            if value := getattr(self, kind):
                return kind.removesuffix("_address"), value
        return None

    @property
    def hash(self) -> str:
        """Sentry's hash of that."""
        value = self.identity[1] if self.identity else f"nobody {self.number}"
        return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()

    @property
    def tag(self) -> str | None:
        """The user as the value of a tag."""
        return ":".join(self.identity) if self.identity else None

    def record(self) -> Record:
        """One row of a project's users."""
        return {
            "id": None,
            "tagValue": self.tag,
            "identifier": self.id,
            "username": self.username,
            "email": self.email,
            "name": self.email or self.username,
            "ipAddress": self.ip_address,
            "avatarUrl": f"https://secure.gravatar.com/avatar/{self.hash}?s=32&d=mm",
            "hash": self.hash,
            "dateCreated": None,
        }

    def inside(self) -> Record:
        """Describe the user as an event does."""
        return {
            "id": self.id,
            "email": self.email,
            "username": self.username,
            "ip_address": self.ip_address,
            "name": self.name,
            "geo": {"country_code": "AT", "city": "Wien"} if self.ip_address else None,
            "data": {"plan": "gold"} if self.id else None,
        }


class Entries:
    """The entries of an event, written once and shared by many."""

    def __init__(self, rows: list[Record]) -> None:
        self.rows = rows

    @cached_property
    def json(self) -> bytes:
        """The entries as they stand in a body."""
        return json.dumps(self.rows, ensure_ascii=False).encode()


NO_ENTRIES = Entries([])


@dataclass(slots=True, kw_only=True, eq=False)
class Event:
    """Something that happened in a project."""

    number: int
    id: str
    project: Project
    issue: Issue | None
    created: datetime
    received: datetime
    kind: str = "error"
    message: str = ""
    title: str = ""
    level: str = "error"
    user: EventUser | None = None
    release: str = "1.0.0"
    environment: str = "production"
    extra_tags: tuple[tuple[str | None, str | None], ...] = ()
    entries: Entries = NO_ENTRIES
    errors: tuple[Record, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether a project's list of events shows it."""
        return self.kind in {"error", "default", "csp"}

    def tags(self) -> list[Record]:
        """The tags, sorted by key as far as they have one."""
        pairs = [
            ("browser", "Chrome 60.0"),
            ("environment", self.environment),
            ("level", self.level),
            ("release", self.release),
            ("server_name", "web1.example.com"),
            *self.extra_tags,
        ]
        if self.user and self.user.tag:
            pairs.append(("user", self.user.tag))
        return [{"key": key, "value": value} for key, value in pairs]

    def light(self) -> Record:
        """The event as a list shows it by default."""
        issue = self.issue
        return {
            "id": self.id,
            "event.type": self.kind,
            "groupID": issue.id if issue else None,
            "eventID": self.id,
            "projectID": self.project.id,
            "message": self.message,
            "title": self.title,
            "location": issue.location if issue else None,
            "culprit": issue.culprit if issue else None,
            "user": self.user.inside() if self.user else None,
            "tags": self.tags(),
            "platform": self.project.platform or "other",
            "dateCreated": iso(self.created, "seconds"),
            "crashFile": None,
            "metadata": issue.metadata if issue else {"title": self.title},
        }

    def full(self) -> Record:
        """The event with `full=true`, all but its entries."""
        record = self.light()
        del record["event.type"]
        record |= {
            "size": 1000 + len(self.entries.json),
            "dist": None,
            "contexts": {
                "browser": {"name": "Chrome", "version": "60.0", "type": "browser"},
                "trace": {
                    "trace_id": self.id,
                    "span_id": self.id[:16],
                    "type": "trace",
                },
            },
            "sdk": {"name": "sentry.python", "version": "2.40.0"},
            "context": {"attempt": self.number, "nested": {"deep": [1, 2.5, None]}},
            "packages": {"requests": "2.32.3"},
            "type": self.kind,
            "dateReceived": iso(self.received, "microseconds"),
            "errors": list(self.errors),
            "occurrence": None,
            "_meta": {"entries": {}, "message": None, "user": None, "tags": None},
            "fingerprints": [self.issue.hash if self.issue else self.id],
            "groupingConfig": {"id": "newstyle:2023-01-11", "enhancements": "KLUv"},
        }
        if self.kind == "transaction":
            for column in (
                "dateCreated",
                "fingerprints",
                "groupingConfig",
                "crashFile",
            ):
                del record[column]
            end = self.created.timestamp()
            record |= {
                "startTimestamp": end - 1.5,
                "endTimestamp": end,
                "measurements": {"lcp": {"value": 1200.5, "unit": "millisecond"}},
                "breakdowns": None,
            }
        if self.kind == "generic":
            record["occurrence"] = {
                "id": self.id,
                "type": 6001,
                "issueTitle": self.title,
            }
        return record


@dataclass(slots=True, kw_only=True, eq=False)
class Issue:
    """Events of a project that have the same cause."""

    id: str
    number: int
    project: Project
    title: str
    culprit: str | None = "app.views in main"
    location: str | None = "app/views.py"
    kind: str = "error"
    category: str = "error"
    type: str = "error"
    status: str = "unresolved"
    level: str = "error"
    priority: str | None = "medium"
    metadata: Record = field(default_factory=dict)
    assigned_to: Record | None = None
    events: Timeline = field(default_factory=Timeline)
    #: Events that the server counted and did not keep.
    sampled: int = 0
    #: What the server believes, which need not be the newest event.
    last_seen: datetime | None = None

    @property
    def hash(self) -> str:
        """The fingerprint of its events."""
        return hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest()

    @property
    def short_id(self) -> str:
        """The name that people use."""
        return f"{self.project.slug.upper()}-{self.number}"

    @property
    def latest(self) -> datetime:
        """When it was last seen, as the server believes."""
        if self.last_seen:
            return self.last_seen
        return self.events.times[-1] if len(self.events) else self.project.created

    @property
    def first_seen(self) -> datetime:
        """When it was first seen."""
        return self.events.times[0] if len(self.events) else self.project.created

    def lifetime(self) -> Record:
        """Count everything, of all time."""
        return tally(self.events.newest(), self.sampled) | {
            "firstSeen": iso(self.first_seen),
            "lastSeen": iso(self.latest),
        }

    def record(self) -> Record:
        """Describe the issue, with its figures of all time."""
        organization = self.project.organization.slug
        substatus = {"unresolved": "ongoing", "ignored": "archived_until_escalating"}
        return {
            "id": self.id,
            "shareId": None,
            "shortId": self.short_id,
            "title": self.title,
            "culprit": self.culprit,
            "permalink": f"https://{organization}.sentry.io/issues/{self.id}/",
            "logger": None,
            "level": self.level,
            "status": self.status,
            "statusDetails": {},
            "substatus": substatus.get(self.status),
            "isPublic": False,
            "platform": self.project.platform,
            "priority": self.priority,
            "priorityLockedAt": None,
            "seerFixabilityScore": None,
            "seerAutofixLastTriggered": None,
            "seerExplorerAutofixLastTriggered": None,
            "project": self.project.named() | {"platform": self.project.platform},
            "type": self.kind,
            "issueType": self.type,
            "issueCategory": self.category,
            "metadata": self.metadata or {"title": self.title},
            "numComments": 0,
            "assignedTo": self.assigned_to,
            "isBookmarked": False,
            "isSubscribed": False,
            "subscriptionDetails": None,
            "hasSeen": False,
            "annotations": [],
            **self.lifetime(),
        }


def tally(events: Sequence[Event], sampled: int = 0) -> Record:
    """Count events, newest first, as an issue does."""
    return {
        "count": str(len(events) + sampled),
        "userCount": len({event.user for event in events if event.user}),
        "firstSeen": iso(events[len(events) - 1].created, "seconds")
        if events
        else None,
        "lastSeen": iso(events[0].created, "seconds") if events else None,
    }


@dataclass(slots=True, kw_only=True, eq=False)
class Feedback:
    """What a user wrote about an event."""

    id: str
    event_id: str
    created: datetime
    comments: str
    name: str | None = None
    email: str | None = None
    user: EventUser | None = None
    issue: Issue | None = None

    def record(self) -> Record:
        """Describe the report, without its issue."""
        user = self.user
        return {
            "id": self.id,
            "eventID": self.event_id,
            "name": self.name,
            "email": self.email,
            "comments": self.comments,
            "dateCreated": iso(self.created, "microseconds"),
            "user": user
            and {
                "id": str(user.id),
                "username": user.username,
                "email": user.email,
                "name": user.name,
                "ipAddress": user.ip_address,
                "avatarUrl": user.record()["avatarUrl"],
            },
            "event": {"id": None, "eventID": self.event_id},
        }


#: Quantities per hour (epoch seconds) of one category, outcome and reason.
Outcomes = dict[tuple[str, str, str], Counter[int]]


@dataclass(slots=True, kw_only=True, eq=False)
class Project:
    """A project of an organization."""

    id: str
    slug: str
    name: str
    organization: Organization
    created: datetime
    platform: str | None = "python"
    is_member: bool = True
    forbidden: bool = False
    issues: list[Issue] = field(default_factory=list)
    events: Timeline = field(default_factory=Timeline)
    feedback: list[Feedback] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=dict)

    @property
    def teams(self) -> list[Team]:
        """The teams that own it."""
        return [team for team in self.organization.teams if self in team.projects]

    def named(self) -> Record:
        """Just enough to recognise it."""
        return {"id": self.id, "name": self.name, "slug": self.slug}

    def count(
        self, category: str, outcome: str, reason: str, at: datetime, by: int = 1
    ) -> None:
        """Count events into the outcomes."""
        hour = int(at.timestamp()) // HOUR * HOUR
        self.outcomes.setdefault((category, outcome, reason), Counter())[hour] += by

    def common(self) -> Record:
        """What every list of projects tells."""
        events = self.events.times
        return {
            **self.named(),
            "platform": self.platform,
            "dateCreated": iso(self.created, "microseconds"),
            "isBookmarked": False,
            "isMember": self.is_member,
            "features": FEATURES,
            "firstEvent": iso(events[0]) if events else None,
            "firstTransactionEvent": False,
            "access": ACCESS if self.is_member else [],
            "hasAccess": self.is_member and not self.forbidden,
            **dict.fromkeys(FLAGS, False),
        }

    def summary(self) -> Record:
        """One row of the projects of an organization or team."""
        teams = [team.named() for team in self.teams]
        return self.common() | {
            "team": teams[0] if teams else None,
            "teams": teams,
            "platforms": [self.platform] if self.platform else [],
            "hasUserReports": bool(self.feedback),
            "environments": ["production", "staging"] if len(self.events) else [],
            "latestRelease": {"version": "1.0.0"} if len(self.events) else None,
        }

    def row(self) -> Record:
        """One row of the projects of all organizations."""
        return self.common() | {
            "isInternal": False,
            "isPublic": False,
            "avatar": LETTER_AVATAR,
            "color": "#6d3fbf",
            "status": "active",
            "organization": self.organization.row(),
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Team:
    """People who look after projects."""

    id: str
    slug: str
    name: str
    created: datetime
    is_member: bool = True
    projects: list[Project] = field(default_factory=list)

    def named(self) -> Record:
        """Just enough to recognise it."""
        return {"id": self.id, "name": self.name, "slug": self.slug}

    def record(self) -> Record:
        """One row of an organization's teams, without projects."""
        return {
            **self.named(),
            "dateCreated": iso(self.created, "microseconds"),
            "isMember": self.is_member,
            "teamRole": "contributor" if self.is_member else None,
            "flags": {"idp:provisioned": False},
            "access": ACCESS,
            "hasAccess": True,
            "isPending": False,
            "memberCount": 2,
            "avatar": LETTER_AVATAR,
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Repository:
    """Source code that an organization has connected."""

    id: str
    name: str
    created: datetime
    status: str = "active"

    def record(self) -> Record:
        """One row of an organization's repositories."""
        return {
            "id": self.id,
            "name": self.name,
            "url": f"https://git.example.com/{self.name}",
            "provider": {"id": "integrations:github", "name": "GitHub"},
            "status": self.status,
            "dateCreated": iso(self.created, "microseconds"),
            "integrationId": "7",
            "externalSlug": self.name,
            "externalId": f"9{self.id}",
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Organization:
    """An organization with all that belongs to it."""

    id: str
    slug: str
    name: str
    created: datetime
    forbidden: bool = False
    teams: list[Team] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    repositories: list[Repository] = field(default_factory=list)

    def row(self) -> Record:
        """One row of the list of organizations."""
        return {
            "id": self.id,
            "slug": self.slug,
            "status": {"id": "active", "name": "active"},
            "name": self.name,
            "dateCreated": iso(self.created, "microseconds"),
            "isEarlyAdopter": False,
            "require2FA": False,
            "avatar": LETTER_AVATAR,
            "links": {
                "organizationUrl": f"https://{self.slug}.sentry.io",
                "regionUrl": "https://us.sentry.io",
            },
            "hasAuthProvider": False,
            "allowMemberInvite": True,
            "allowMemberProjectCreation": True,
            "allowSuperuserAccess": False,
        }

    def detail(self) -> Record:
        """Describe the organization at length."""
        return self.row() | {
            "features": ["advanced-search", "issue-platform"],
            "access": ACCESS,
            "orgRole": "member",
            "quota": {"maxRate": None, "maxRateInterval": 60, "accountLimit": 0},
            "openMembership": True,
            "onboardingTasks": [],
            "teams": [team.record() for team in self.teams],
            "projects": [project.summary() for project in self.projects],
        }


class Builder:
    """Builds organizations, each call adding one thing with the next free id."""

    def __init__(self, now: datetime, seed: int, kilobytes: float = 2) -> None:
        self.now = now.astimezone(UTC).replace(microsecond=0)
        self.random = random.Random(seed)  # noqa: S311, nothing is secret here
        self.ids = itertools.count(2)
        self.issue_ids = itertools.count(1889724436, 7)
        self.users = itertools.count(1)
        self.events = itertools.count(1)
        self.pools: dict[str, list[EventUser]] = {}
        self.entries = [entries_of(kilobytes, number) for number in range(4)]

    def _created(self) -> datetime:
        return (
            self.now
            - timedelta(days=700)
            + timedelta(hours=next(self.ids), microseconds=101)
        )

    def organization(
        self, slug: str, name: str, repositories: Iterable[str]
    ) -> Organization:
        """Add an organization; the last of its repositories is hidden."""
        organization = Organization(
            id=str(next(self.ids)), slug=slug, name=name, created=self._created()
        )
        for repository in repositories:
            organization.repositories.append(
                Repository(
                    id=str(next(self.ids)), name=repository, created=self._created()
                )
            )
        organization.repositories[-1].status = "hidden"
        return organization

    def team(self, organization: Organization, slug: str, name: str = "") -> Team:
        """Add a team."""
        team = Team(
            id=str(next(self.ids)),
            slug=slug,
            name=name or slug.replace("-", " ").title(),
            created=self._created(),
        )
        organization.teams.append(team)
        return team

    def project(
        self,
        organization: Organization,
        slug: str,
        platform: str | None,
        teams: Iterable[Team],
        users: int = 12,
    ) -> Project:
        """Add a project with users who will meet its errors."""
        project = Project(
            id=str(next(self.ids)),
            slug=slug,
            name=slug.replace("-", " ").title(),
            organization=organization,
            created=self._created(),
            platform=platform,
        )
        organization.projects.append(project)
        for team in teams:
            team.projects.append(project)
        self.pools[project.id] = [self._user() for _ in range(users)]
        return project

    def _user(self) -> EventUser:
        number = next(self.users)
        first_seen = self._created()
        match number % 4:
            case 0:
                return EventUser(
                    number,
                    ip_address=f"198.51.100.{number % 256}",
                    first_seen=first_seen,
                )
            case 1:
                return EventUser(
                    number,
                    username=f"captain-{number}",
                    name="Ada Ångström",
                    first_seen=first_seen,
                )
            case 2:
                email = f"jane{number}@example.com"
                return EventUser(
                    number, email=email, name="Jane Schmidt", first_seen=first_seen
                )
        return EventUser(
            number,
            id=f"{1000 + number}",
            email=f"jd{number}@example.com",
            ip_address="192.0.2.7",
            first_seen=first_seen,
        )

    def issue(self, project: Project, title: str, **columns: Any) -> Issue:
        """Add an issue that has no events yet."""
        kind, _, value = title.partition(": ")
        issue = Issue(
            id=str(next(self.issue_ids)),
            number=len(project.issues) + 1,
            project=project,
            title=title,
            metadata={"type": kind, "value": value, "filename": "app/views.py"},
            **columns,
        )
        project.issues.append(issue)
        return issue

    def event(
        self, project: Project, issue: Issue | None, created: datetime, **columns: Any
    ) -> Event:
        """Make an event and count it; it is not in any list yet."""
        received = columns.pop(
            "received", created + timedelta(seconds=2, microseconds=250)
        )
        kind = {"performance": "transaction", "feedback": "generic"}
        columns.setdefault(
            "kind", kind.get(issue.category, "error") if issue else "error"
        )
        columns.setdefault("title", issue.title if issue else "<unlabeled event>")
        columns.setdefault("message", columns["title"].partition(": ")[2])
        columns.setdefault("entries", self.random.choice(self.entries))
        event = Event(
            number=next(self.events),
            id=f"{self.random.getrandbits(128):032x}",
            project=project,
            issue=issue,
            created=created,
            received=received,
            **columns,
        )
        if event.is_error and received > self.now - timedelta(days=90):
            project.count("error", "accepted", "", received)
        return event

    def scatter(
        self, issue: Issue, number: int, days: float, people: int | None = None
    ) -> list[Event]:
        """Make events of an issue over the past days, most with one of some users."""
        users: list[EventUser | None] = [*self.pools[issue.project.id][:people]]
        users += [None, None]
        ages = (60 + self.random.random() * (days * 86400 - 60) for _ in range(number))
        return [
            self.event(
                issue.project,
                issue,
                self.now - timedelta(seconds=age),
                user=self.random.choice(users),
                release=self.release(timedelta(seconds=age)),
                environment=self.random.choice(("production", "production", "staging")),
            )
            for age in ages
        ]

    def release(self, age: timedelta) -> str:
        """What ran at that time: the newest release, or at times the one before it."""
        newest = sum(age < released for released, _ in RELEASES[1:])
        return RELEASES[max(0, newest - self.random.choice((0, 0, 1)))][1]

    def file(self, events: Iterable[Event]) -> None:
        """Put events into the lists of their projects and issues."""
        projects: dict[Project, list[Event]] = {}
        issues: dict[Issue, list[Event]] = {}
        for event in events:
            if event.is_error:
                projects.setdefault(event.project, []).append(event)
            if event.issue:
                issues.setdefault(event.issue, []).append(event)
        for project, mine in projects.items():
            project.events.extend(mine)
        for issue, mine in issues.items():
            issue.events.extend(mine)

    def losses(self, project: Project, days: int = 30) -> None:
        """Count what the project sent and Sentry did not keep, and other categories."""
        for hour in range(0, days * 24, 5):
            at = self.now - timedelta(hours=hour)
            project.count(
                "error", "filtered", "web-crawlers", at, self.random.randint(0, 3)
            )
            project.count(
                "error", "rate_limited", "key_quota", at, self.random.randint(0, 2)
            )
            project.count("error", "invalid", "invalid_json", at)
            project.count("error", "client_discard", "sample_rate", at, 4)
            project.count("transaction", "accepted", "", at, self.random.randint(5, 50))
            project.count("attachment", "accepted", "", at, 20_000)

    def report(
        self, issue: Issue | None, project: Project, age: timedelta, text: str
    ) -> Feedback:
        """Add a user's report of an event."""
        event = issue.events.events[-1] if issue and len(issue.events) else None
        feedback = Feedback(
            id=str(next(self.ids)),
            event_id=event.id if event else f"{self.random.getrandbits(128):032x}",
            created=self.now - age,
            comments=text,
            name="Jane Schmidt",
            email="jane@example.com",
            user=event.user if event else None,
            issue=issue,
        )
        project.feedback.append(feedback)
        return feedback

    def oddities(self, project: Project) -> list[Event]:
        """Add one of each thing that is rare and real."""
        ago = self.now.__sub__
        events = [
            self.event(project, None, ago(timedelta(hours=5)), message="no issue"),
            self.event(project, None, ago(timedelta(days=3)), entries=NO_ENTRIES),
        ]
        surrogate = self.issue(
            project, "UnicodeError: lone \ud83d surrogate \udc00 here"
        )
        zero = self.issue(
            project, "ValueError: null\u0000byte \N{SNOWMAN} in “message”"
        )
        for number, issue in enumerate((surrogate, zero)):
            at = ago(timedelta(hours=7 + number))
            extra = ((None, "no key"), ("novalue", None), (f"tag {issue.title}", "x"))
            events.append(self.event(project, issue, at, extra_tags=extra))
        slow = self.issue(
            project,
            "N+1 Query",
            kind="transaction",
            category="performance",
            type="performance_n_plus_one_db_queries",
            priority="low",
        )
        spans = Entries([{"type": "spans", "data": [{"op": "db", "span_id": "a1"}]}])
        events += [
            self.event(project, slow, ago(timedelta(days=day, hours=2)), entries=spans)
            for day in range(3)
        ]
        widget = self.issue(
            project,
            "User Feedback",
            kind="feedback",
            category="feedback",
            type="feedback",
        )
        widget.metadata = {
            "title": "User Feedback",
            "value": "The pump hums, but no water comes",
            "message": "The pump hums, but no water comes",
            "name": "Ada Ångström",
            "contact_email": "ada@example.com",
            "source": "new_feedback_envelope",
        }
        events.append(self.event(project, widget, ago(timedelta(days=2, hours=1))))
        breadcrumbs = Entries(
            [
                {"type": "breadcrumbs", "data": []},
                {"type": "message", "data": {"formatted": "x"}},
            ]
        )
        stale = self.issue(project, "TimeoutError: seen later than it knows")
        nobody = EventUser(next(self.users), name="Nobody")
        same = ago(timedelta(days=6, hours=3))
        events += [
            self.event(
                project, stale, same + timedelta(milliseconds=step), entries=breadcrumbs
            )
            for step in range(0, 900, 300)
        ]
        events += [
            self.event(project, stale, ago(timedelta(days=1)), user=nobody),
            self.event(
                project, stale, ago(timedelta(days=9)), received=ago(timedelta(days=1))
            ),
            self.event(
                project,
                stale,
                ago(timedelta(days=200)),
                received=ago(timedelta(days=2)),
            ),
            self.event(
                project,
                stale,
                ago(timedelta(days=-3)),
                received=ago(timedelta(hours=4)),
            ),
        ]
        stale.last_seen = ago(timedelta(days=9))
        stale.sampled = 40
        old = self.issue(project, "KeyError: long gone")
        events.append(self.event(project, old, ago(timedelta(days=150))))
        return events


def entries_of(kilobytes: float, number: int) -> Entries:
    """Make entries of about that size."""
    frames: list[Record] = []
    size = 0
    while not frames or size < kilobytes * 1024:
        line = len(frames)
        frame: Record = {
            "function": f"compute_orbit_{number}",
            "module": "observatory.orbit",
            "filename": "observatory/orbit.py",
            "absPath": "/srv/observatory/orbit.py",
            "lineNo": line,
            "colNo": None,
            "inApp": line % 2 == 0,
            "context": [
                [line + step, f"    radius = {step} * “ü”"] for step in range(5)
            ],
            "vars": {"self": "<Orbit>", "n": line, "password": "[Filtered]"},
            "platform": None,
        }
        frames.append(frame)
        size += len(json.dumps(frame, ensure_ascii=False).encode())
    exception: Record = {
        "type": "ArithmeticError",
        "value": "no orbit",
        "mechanism": {"type": "generic", "handled": number % 2 == 0},
        "threadId": None,
        "module": "observatory.errors",
        "stacktrace": {
            "frames": frames,
            "framesOmitted": None,
            "hasSystemFrames": True,
        },
        "rawStacktrace": None,
    }
    request: Record = {
        "method": "GET",
        "url": "https://observatory.example.com/orbits/",
        "query": [["page", str(number)]],
        "fragment": "",
        "data": None,
        "headers": [["Accept", "*/*"], ["User-Agent", "Mozilla/5.0"]],
        "cookies": [],
        "env": {"SERVER_NAME": "web1.example.com"},
        "inferredContentType": None,
    }
    rows: list[Record] = [
        {
            "type": "exception",
            "data": {
                "values": [exception],
                "hasSystemFrames": True,
                "excOmitted": None,
            },
        },
        {"type": "request", "data": request},
    ]
    if number % 2:
        rows.append({"type": "debugmeta", "data": {"images": []}})
    return Entries(rows)


def demo(now: datetime) -> list[Organization]:
    """Two small organizations with a few hundred events over thirty days."""
    build = Builder(now, seed=1)
    jurisdiction = build.organization(
        "the-interstellar-jurisdiction",
        "The Interstellar Jurisdiction",
        ["jurisdiction/pumps", "jurisdiction/movers", "jurisdiction/attic"],
    )
    abolitionist = build.team(jurisdiction, "powerful-abolitionist")
    gabelers = build.team(jurisdiction, "ancient-gabelers")
    build.team(jurisdiction, "silent-choir").is_member = False
    pump = build.project(
        jurisdiction, "pump-station", "python", [abolitionist, gabelers]
    )
    mover = build.project(jurisdiction, "prime-mover", "javascript", [abolitionist])
    yoghurt = build.project(
        jurisdiction, "the-spoiled-yoghurt", "node-express", [gabelers]
    )
    yoghurt.is_member = False
    build.project(jurisdiction, "quiet-harbour", None, [gabelers])
    observatory = build.organization(
        "sternwarte",
        "Sternwarte Königstuhl \N{TELESCOPE}",
        ["sternwarte/optik", "sternwarte/alt"],
    )
    night = build.team(observatory, "night-shift", "Nachtschicht")
    telescope = build.project(observatory, "telescope", "java", [night])

    events: list[Event] = []
    for project, title, number, people, days, status in (
        (pump, "ZeroDivisionError: division by zero", 120, 12, 30, "unresolved"),
        (pump, "ConnectionError: valve 3 does not answer", 45, 7, 20, "unresolved"),
        (pump, "KeyError: 'pressure'", 12, 5, 30, "resolved"),
        (pump, "OSError: [Errno 28] No space left on device", 5, 5, 2, "ignored"),
        (
            mover,
            "TypeError: Cannot read properties of undefined",
            60,
            10,
            30,
            "unresolved",
        ),
        (mover, "ReferenceError: gear is not defined", 8, 4, 10, "resolved"),
        (yoghurt, "Error: spoiled", 20, 6, 30, "unresolved"),
        (telescope, "NullPointerException: mirror", 35, 9, 30, "unresolved"),
        (telescope, "IllegalStateException: dome is closed", 6, 3, 15, "ignored"),
        (mover, "RangeError: there is no gear 7", 40, 8, 4, "unresolved"),
    ):
        issue = build.issue(project, title, status=status)
        events += build.scatter(issue, number, days, people)
    jd = {"type": "user", "id": "1", "name": "John Doe", "email": "jd@example.com"}
    pump.issues[0].assigned_to = jd
    pump.issues[0].priority = "high"
    pump.issues[1].sampled = 200
    events += build.oddities(pump)
    build.file(events)

    first, second, resolved, ignored = pump.issues[:4]
    for number, (issue, text) in enumerate(
        (
            (first, "I pressed Start and got an error"),
            (first, "Again! And nothing was pumped"),
            (second, "Valve 3 is open, I can see it from here"),
            (resolved, "No pressure, no message \N{SNOWMAN}"),
            (first, "It broke!"),
            (ignored, "It says that a disk is full. Which one?"),
            (first, "Division by zero? I divided nothing"),
        )
    ):
        build.report(issue, pump, timedelta(days=3 * number, hours=1), text)
    pump.feedback[1].user = None
    build.report(None, pump, timedelta(hours=3), "Of an event that never came")
    build.report(
        telescope.issues[0],
        telescope,
        timedelta(days=4),
        "Dunkel … \N{NEW MOON SYMBOL}",
    )
    for project in (pump, mover, yoghurt, telescope):
        build.losses(project)
    return [jurisdiction, observatory]


def generated(  # noqa: PLR0913, each is a size
    *,
    organizations: int = 2,
    teams: int = 5,
    projects: int = 12,
    issues: int = 300,
    events: int = 5000,
    now: datetime,
    seed: int = 1,
    full_kilobytes: float = 4,
    oddities: bool = True,
) -> list[Organization]:
    """Organizations of any size; numbers are totals, events spread over thirty days."""
    build = Builder(now, seed, full_kilobytes)
    built = [
        build.organization(
            f"organization-{number}",
            f"Organization {number}",
            [f"code/{number}", "code/hidden"],
        )
        for number in range(1, organizations + 1)
    ]
    for number in range(teams):
        build.team(built[number % organizations], f"team-{number + 1}")
    everything: list[Project] = []
    for number in range(projects):
        organization = built[number % organizations]
        owners = organization.teams[:1] if number % 3 else organization.teams[:2]
        users = max(3, events // max(1, projects) // 10)
        slug = f"project-{number + 1}"
        everything.append(build.project(organization, slug, "python", owners, users))
    statuses = ["unresolved"] * 7 + ["resolved", "resolved", "ignored"]
    causes = [
        build.issue(
            everything[number % projects],
            f"Error{number}: cause number {number}",
            status=build.random.choice(statuses),
        )
        for number in range(issues)
    ]
    shares = Counter(range(min(issues, events)))
    weights = [1 / (rank + 5) for rank in range(issues)]
    if causes:
        rest = max(0, events - issues)
        shares.update(build.random.choices(range(issues), weights, k=rest))
    happened = [
        event
        for cause, n in shares.items()
        for event in build.scatter(causes[cause], n, 30)
    ]
    if oddities and everything:
        happened += build.oddities(everything[0])
    build.file(happened)
    for number, issue in enumerate(causes[: max(1, issues // 10)]):
        build.report(
            issue, issue.project, timedelta(hours=7 * number % 700), f"Report {number}"
        )
    for project in everything:
        build.losses(project)
    return built
