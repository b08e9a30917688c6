"""What the tap extracts: one stream per report of Sentry."""

from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.events import (
    IssueEventEntries,
    IssueEvents,
    ProjectEventEntries,
    ProjectEvents,
)
from tap_sentry.streams.feedback import ProjectFeedback
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.organizations import OrganizationRepositories, Organizations
from tap_sentry.streams.projects import OrganizationProjects, Projects, ProjectUsers
from tap_sentry.streams.stats import (
    OrganizationEventCounts,
    ProjectEventCounts,
    TeamEventCounts,
)
from tap_sentry.streams.teams import OrganizationTeams, TeamProjects

#: Every stream, parents before their children.
STREAMS: tuple[type[SentryStream], ...] = (
    Organizations,
    OrganizationProjects,
    OrganizationRepositories,
    OrganizationTeams,
    OrganizationEventCounts,
    Projects,
    TeamProjects,
    TeamEventCounts,
    ProjectIssues,
    ProjectEvents,
    ProjectEventEntries,
    ProjectFeedback,
    ProjectUsers,
    ProjectEventCounts,
    IssueEvents,
    IssueEventEntries,
)
