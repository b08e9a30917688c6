"""The state of a simulated server, and the methods that change it."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from tests.sentry.calls import TOKEN, Limit, Token
from tests.sentry.data.builder import Builder
from tests.sentry.data.explore import explore_of
from tests.sentry.data.sizes import demo
from tests.sentry.flavours import FLAVOURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.sentry.calls import Fault, Request
    from tests.sentry.data.events import Event, Record
    from tests.sentry.data.objects import (
        Issue,
        Organization,
        Project,
    )


T = TypeVar("T")


class World:
    """The settings, the data and the faults of a simulated server."""

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
        #: Returns the server's time; a test may replace it.
        self.clock = clock or (lambda: datetime.now(UTC))
        now = self.clock()
        self.organizations = list(demo(now) if organizations is None else organizations)
        #: The rows of datasets other than errors, with their projects' slugs.
        self.explore: dict[str, list[Record]] = (
            explore_of(self.organizations, now) if organizations is None else {}
        )
        #: The longest window in which these are scanned in full; None is any.
        self.explore_exact: timedelta | None = None
        #: How many spans or logs stand for each, because clients sample.
        self.weight = 1
        self.flavour = FLAVOURS[flavour]
        self.url = url.rstrip("/")
        self.page_size = page_size
        self.tokens = dict({TOKEN: Token()} if tokens is None else tokens)
        self.rate_limits = dict(rate_limits or {})
        #: The delay of every answer, in seconds.
        self.latency = latency
        #: The base URL in `Link` headers, if it is not `url`.
        self.link_base = link_base
        self.is_compressing = is_compressing
        #: The maximum age of a window's start, and the status if it is older.
        self.refusal = refusal
        #: The prefix of the paths that `refusal` applies to; "" is all of them.
        self.refusing = ""
        self.requests: list[Request] = []
        #: Requests per path template, and the most of each at the same time.
        self.counts: Counter[str] = Counter()
        self.concurrency: Counter[str] = Counter()
        #: How many requests were answered with 429.
        self.refused = 0
        self.faults: list[Fault] = []
        self.underway: Counter[str] = Counter()
        self.held: Counter[tuple[str, str]] = Counter()
        self.windows: dict[tuple[str, str], tuple[int, int]] = {}
        self.moved: dict[tuple[str, str], Project] = {}
        #: Changes the body of an event before it is sent.
        self.rewrite: Callable[[Event, bytes], bytes] | None = None
        self.bodies: dict[tuple[int, str], bytes] = {}
        self.lists: dict[object, Any] = {}
        self.is_served = False
        self.lock = threading.RLock()
        #: The seed for the order of an issue's events within a second, which differs
        #: with every request; None orders them by id.
        self.order: int | None = 0
        self.answered: Counter[str] = Counter()
        #: How many old releases and further monitors each organization has.
        self.old_releases = 0
        self.more_monitors = 0
        #: How many days back the lists of a project's events go, where an organization
        #: has the flag `organizations:project-event-date-limit`; None is no limit.
        self.project_event_days: int | None = None
        #: Ids of issues that have events but are not in the issue list yet.
        self.unlisted: set[str] = set()
        self.builder = Builder(now, seed=2)
        self.builder.ids = itertools.count(9_000_000)
        self.builder.issue_ids = itertools.count(9_000_000_000)
        self.builder.events = itertools.count(900_000_000)

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
        issues = self.remembered(
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
    def changing(self) -> Iterator[None]:
        with self.lock:
            yield
            self.lists.clear()

    def add_event(
        self,
        project: str,
        issue: Issue | None = None,
        date: datetime | None = None,
        *,
        received: datetime | None = None,
        **columns: Any,
    ) -> Event:
        """Add an event, by default at the current time."""
        with self.changing():
            now = self.clock()
            owner = self.project(project)
            event = self.builder.event(
                owner, issue, date or now, received=received or now, **columns
            )
            if event.is_error:
                owner.events.add(event)
            if issue:
                issue.events.add(event)
                if issue.last_seen:
                    issue.last_seen = max(issue.last_seen, event.created)
            return event

    def add_explore_rows(
        self, organization_slug: str, dataset: str, rows: Iterable[Record]
    ) -> None:
        """Add rows to a dataset such as `spans`.

        Each has at least `trace`, `timestamp` (a date), `project` (a slug), and `id`,
        or `sentry.item_id` in logs.
        """
        with self.changing():
            self.explore.setdefault(dataset, []).extend(
                row | {"organization": organization_slug} for row in rows
            )

    def add_issue(self, project: str, title: str, **columns: Any) -> Issue:
        """Add an issue without events."""
        with self.changing():
            return self.builder.issue(self.project(project), title, **columns)

    def delete_issue(self, issue: Issue) -> None:
        """Delete an issue and its events, which no list shows and no count includes."""
        with self.changing():
            issue.project.issues.remove(issue)
            for event in issue.events:
                if event.is_error:
                    issue.project.events.remove(event)

    def set_issue_status(self, issue: Issue, status: str) -> None:
        """Resolve, ignore or reopen an issue."""
        with self.changing():
            issue.status = status

    def rename_project(self, project: str, slug: str) -> None:
        """Change the slug of a project; the old slug redirects to the new one."""
        with self.changing():
            renamed = self.project(project)
            owner = (renamed.organization.slug, renamed.slug)
            for row in itertools.chain.from_iterable(self.explore.values()):
                if (row["organization"], row["project"]) == owner:
                    row["project"] = slug
            self.moved[renamed.organization.slug, renamed.slug] = renamed
            renamed.slug = slug

    def delete_project(self, project: str) -> None:
        """Delete a project and everything in it."""
        with self.changing():
            deleted = self.project(project)
            deleted.organization.projects.remove(deleted)
            for team in deleted.teams:
                team.projects.remove(deleted)

    def forbid(self, name: str) -> None:
        """Deny access to a project or an organization and everything below it."""
        with self.changing():
            try:
                self.organization(name).forbidden = True
            except KeyError:
                self.project(name).forbidden = True

    def remembered(self, key: object, build: Callable[[], T]) -> T:
        """Return a cached value; it is built again after the data change."""
        if key not in self.lists:
            if len(self.lists) > 200:
                self.lists.clear()
            self.lists[key] = build()
        found: T = self.lists[key]
        return found

    def kept(self, start: datetime | None) -> datetime | None:
        """Return the later of `start` and the oldest date that is still kept."""
        if not self.flavour.retention:
            return start
        oldest = self.clock() - self.flavour.retention
        return max(start, oldest) if start else oldest
