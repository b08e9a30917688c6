"""Organizations, projects, teams, issues and the like."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sentry.data.events import (
    FLAGS,
    HOUR,
    EventUser,
    Record,
    Timeline,
    iso,
    tally,
)

if TYPE_CHECKING:
    from datetime import datetime

FEATURES = ["alert-filters", "minidump", "rate-limits", "releases", "similarity-view"]


ACCESS = ["event:read", "member:read", "org:read", "project:read", "team:read"]


LETTER_AVATAR = {"avatarType": "letter_avatar", "avatarUuid": None, "avatarUrl": None}


@dataclass(slots=True, kw_only=True, eq=False)
class Issue:
    """A group of events of a project that have the same cause."""

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
    #: Earlier changes of its status, newest first: the kind of activity and the date.
    history: list[tuple[str, datetime]] = field(default_factory=list)
    #: How many comments it has.
    comments: int = 1
    events: Timeline = field(default_factory=Timeline)
    #: The number of events that the server counted but did not keep.
    sampled: int = 0
    #: The date reported as last seen, which may not be the newest event's.
    last_seen: datetime | None = None

    @property
    def hash(self) -> str:
        """The fingerprint of the issue's events."""
        return hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest()

    @property
    def short_id(self) -> str:
        """The short id that people use."""
        return f"{self.project.slug.upper()}-{self.number}"

    @property
    def latest(self) -> datetime:
        """The date when the issue was last seen, as the server reports it."""
        if self.last_seen:
            return self.last_seen
        return self.events.times[-1] if len(self.events) else self.project.created

    @property
    def first_seen(self) -> datetime:
        """The date when the issue was first seen."""
        return self.events.times[0] if len(self.events) else self.project.created

    def lifetime(self) -> Record:
        """Return the figures over all time."""
        return tally(self.events.newest(), self.sampled) | {
            "firstSeen": iso(self.first_seen),
            "lastSeen": iso(self.latest),
        }

    def record(self) -> Record:
        """Return the issue's record with its figures over all time."""
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
            # Sentry counts them apart, and can be wrong.
            "numComments": 0,
            "assignedTo": self.assigned_to,
            "isBookmarked": False,
            "isSubscribed": False,
            "subscriptionDetails": None,
            "hasSeen": False,
            "annotations": [],
            **self.lifetime(),
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Feedback:
    """A user's report about an event."""

    id: str
    event_id: str
    created: datetime
    comments: str
    name: str | None = None
    email: str | None = None
    user: EventUser | None = None
    issue: Issue | None = None

    def record(self) -> Record:
        """Return the report's record, without its issue."""
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


#: Quantities per hour (epoch seconds) of each category, outcome and reason.
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
        """The teams that own the project."""
        return [team for team in self.organization.teams if self in team.projects]

    def named(self) -> Record:
        """Return the columns that identify it."""
        return {"id": self.id, "name": self.name, "slug": self.slug}

    def count(
        self, category: str, outcome: str, reason: str, at: datetime, by: int = 1
    ) -> None:
        """Add to the count of an outcome in one hour."""
        hour = int(at.timestamp()) // HOUR * HOUR
        self.outcomes.setdefault((category, outcome, reason), Counter())[hour] += by

    def common(self) -> Record:
        """Return the columns that every list of projects has."""
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
        """Return a row of an organization's or a team's projects."""
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
        """Return a row of the projects of all organizations."""
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
    """A team that owns projects."""

    id: str
    slug: str
    name: str
    created: datetime
    is_member: bool = True
    projects: list[Project] = field(default_factory=list)

    def named(self) -> Record:
        """Return the columns that identify it."""
        return {"id": self.id, "name": self.name, "slug": self.slug}

    def record(self) -> Record:
        """Return a row of an organization's teams, without projects."""
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
    """A source code repository that is connected to an organization."""

    id: str
    name: str
    created: datetime
    status: str = "active"

    def record(self) -> Record:
        """Return a row of an organization's repositories."""
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
    """An organization and everything in it."""

    id: str
    slug: str
    name: str
    created: datetime
    forbidden: bool = False
    teams: list[Team] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    repositories: list[Repository] = field(default_factory=list)

    def row(self) -> Record:
        """Return a row of the list of organizations."""
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
        """Return the organization's detailed record."""
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
