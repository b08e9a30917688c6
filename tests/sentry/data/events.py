"""Events, their users and entries."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from tests.sentry.data.objects import Issue, Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Record = dict[str, Any]


FLAGS = [
    *("hasFeedbacks", "hasFlags", "hasLogs", "hasMinifiedStackTrace", "hasMonitors"),
    *("hasNewFeedbacks", "hasProfiles", "hasReplays", "hasSessions", "hasTraceMetrics"),
    *("hasInsightsAgentMonitoring", "hasInsightsAppStart", "hasInsightsAssets"),
    *("hasInsightsCaches", "hasInsightsDb", "hasInsightsHttp", "hasInsightsMCP"),
    *("hasInsightsQueues", "hasInsightsScreenLoad", "hasInsightsVitals"),
]


#: The age and the version of each release.
RELEASES = (
    (timedelta.max, "1.0.0"),
    (timedelta(days=18), "1.1.0"),
    (timedelta(days=6), "frontend@2026.11+7"),
)


HOUR = 3600


def iso(moment: datetime, precision: str = "milliseconds") -> str:
    """Format a date as Sentry does."""
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


class Timeline:
    """Events in chronological order."""

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.events: list[Event] = []

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def add(self, event: Event) -> None:
        """Insert one event in order."""
        place = bisect_right(self.times, event.created)
        self.times.insert(place, event.created)
        self.events.insert(place, event)

    def remove(self, event: Event) -> None:
        """Remove one event."""
        place = self.events.index(event, bisect_left(self.times, event.created))
        del self.times[place], self.events[place]

    def extend(self, events: Iterable[Event]) -> None:
        """Insert many events in order."""
        self.events = sorted([*self.events, *events], key=lambda event: event.created)
        self.times = [event.created for event in self.events]

    def newest(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Newest:
        """Return the events of `[start, end)`, newest first."""
        low = bisect_left(self.times, start) if start else 0
        high = bisect_left(self.times, end) if end else len(self.times)
        return Newest(self.events, low, max(low, high))


class Newest(Sequence["Event"]):
    """A view of a part of a timeline, newest first."""

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
    """A user affected by an event."""

    number: int
    id: str | None = None
    username: str | None = None
    email: str | None = None
    name: str | None = None
    ip_address: str | None = None
    first_seen: datetime = datetime(2018, 11, 6, tzinfo=UTC)

    @property
    def identity(self) -> tuple[str, str] | None:
        """The kind and value of the first of the four fields that identify a user."""
        for kind in ("id", "username", "email", "ip_address"):
            if value := getattr(self, kind):
                return kind.removesuffix("_address"), value
        return None

    @property
    def hash(self) -> str:
        """Sentry's hash of the identity."""
        value = self.identity[1] if self.identity else f"nobody {self.number}"
        return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()

    @property
    def tag(self) -> str | None:
        """The user as the value of a tag."""
        return ":".join(self.identity) if self.identity else None

    def record(self) -> Record:
        """Return a row of a project's users."""
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
        """Return the user's record in an event."""
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
    """The entries of an event, encoded once and shared by many events."""

    def __init__(self, rows: list[Record]) -> None:
        self.rows = rows

    @cached_property
    def json(self) -> bytes:
        """The encoded entries, as in the body of an answer."""
        return json.dumps(self.rows, ensure_ascii=False).encode()


NO_ENTRIES = Entries([])


@dataclass(slots=True, kw_only=True, eq=False)
class Event:
    """An event of a project."""

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
        """Whether the event is in its project's list of events."""
        return self.kind in {"error", "default", "csp"}

    def tags(self) -> list[Record]:
        """Return the event's tags."""
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
        """Return the event as lists send it by default."""
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
        """Return the event as lists send it with `full=true`, without its entries."""
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


def tally(events: Sequence[Event], sampled: int = 0) -> Record:
    """Return an issue's figures for events, which must be sorted newest first."""
    return {
        "count": str(len(events) + sampled),
        "userCount": len({event.user for event in events if event.user}),
        "firstSeen": iso(events[len(events) - 1].created, "seconds")
        if events
        else None,
        "lastSeen": iso(events[0].created, "seconds") if events else None,
    }
