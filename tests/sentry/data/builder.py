"""Build the data of simulated organizations."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.sentry.data.events import (
    NO_ENTRIES,
    RELEASES,
    Entries,
    Event,
    EventUser,
    Record,
)
from tests.sentry.data.objects import (
    Feedback,
    Issue,
    Organization,
    Project,
    Repository,
    Team,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class Builder:
    """Builds organizations and what is in them, each with the next free id."""

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
        """Add a project and the users that its events will have."""
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
            comments=len(project.issues) % 3,
            **columns,
        )
        project.issues.append(issue)
        return issue

    def event(
        self, project: Project, issue: Issue | None, created: datetime, **columns: Any
    ) -> Event:
        """Create an event and count it, without adding it to any list."""
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
        """Create events of an issue over the past days, most of them with a user."""
        ages = (60 + self.random.random() * (days * 86400 - 60) for _ in range(number))
        return self.happen(issue, ages, people)

    def happen(
        self, issue: Issue, ages: Iterable[float], people: int | None = None
    ) -> list[Event]:
        """Create events of an issue, each as many seconds ago as `ages` says."""
        users: list[EventUser | None] = [*self.pools[issue.project.id][:people]]
        users += [None, None]
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
        """Return the newest release of that time, or sometimes the one before it."""
        newest = sum(age < released for released, _ in RELEASES[1:])
        return RELEASES[max(0, newest - self.random.choice((0, 0, 1)))][1]

    def file(self, events: Iterable[Event]) -> None:
        """Add events to the lists of their projects and issues."""
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
        """Count errors that Sentry did not keep, and data of other categories."""
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
            project.count("transaction", "filtered", "filtered-transaction", at, 3)
            for category, number in (("transaction", 2), ("attachment", 900)):
                over = f"{category}_usage_exceeded"
                project.count(category, "rate_limited", over, at, number)
            project.count("transaction", "rate_limited", "smart_rate_limit", at)

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
        """Create one of each oddity seen on real servers."""
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
    """Create entries of about that size."""
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
