"""What the tap extracts: one stream per list of Sentry."""

from tap_sentry.streams.alerts import (
    OrganizationDetectors,
    OrganizationIncidents,
    OrganizationMetricAlertRules,
    OrganizationWorkflows,
    ProjectAlertRules,
)
from tap_sentry.streams.audit_logs import OrganizationAuditLogs
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.dashboards import (
    OrganizationDashboards,
    OrganizationSavedQueries,
)
from tap_sentry.streams.environments import (
    OrganizationEnvironments,
    ProjectEnvironments,
)
from tap_sentry.streams.events import (
    IssueEventEntries,
    IssueEvents,
    ProjectEventEntries,
    ProjectEvents,
)
from tap_sentry.streams.feedback import ProjectFeedback
from tap_sentry.streams.integrations import (
    OrganizationAppInstallations,
    OrganizationCodeMappings,
    OrganizationIntegrations,
)
from tap_sentry.streams.issue_details import (
    IssueActivities,
    IssueComments,
    IssueHashes,
    IssueLinks,
    IssueTags,
)
from tap_sentry.streams.issues import ProjectIssues
from tap_sentry.streams.members import OrganizationMembers, TeamMembers
from tap_sentry.streams.monitors import MonitorCheckins, OrganizationMonitors
from tap_sentry.streams.organizations import OrganizationRepositories, Organizations
from tap_sentry.streams.project_settings import (
    ProjectInboundFilters,
    ProjectKeys,
    ProjectOwnership,
    ProjectServiceHooks,
    ProjectTags,
)
from tap_sentry.streams.projects import OrganizationProjects, Projects, ProjectUsers
from tap_sentry.streams.releases import (
    OrganizationReleases,
    ReleaseCommits,
    ReleaseDeploys,
    RepositoryCommits,
)
from tap_sentry.streams.replays import OrganizationReplays
from tap_sentry.streams.stats import (
    OrganizationEventCounts,
    ProjectEventCounts,
    TeamEventCounts,
)
from tap_sentry.streams.teams import OrganizationTeams, TeamProjects
from tap_sentry.streams.usage import OrganizationUsage, ReleaseHealth

#: Every stream, parents before their children.
STREAMS: tuple[type[SentryStream], ...] = (
    Organizations,
    OrganizationProjects,
    OrganizationRepositories,
    OrganizationTeams,
    OrganizationMembers,
    OrganizationEnvironments,
    OrganizationReleases,
    OrganizationMonitors,
    OrganizationEventCounts,
    OrganizationUsage,
    ReleaseHealth,
    OrganizationReplays,
    OrganizationDashboards,
    OrganizationSavedQueries,
    OrganizationDetectors,
    OrganizationWorkflows,
    OrganizationMetricAlertRules,
    OrganizationIncidents,
    OrganizationIntegrations,
    OrganizationAppInstallations,
    OrganizationCodeMappings,
    OrganizationAuditLogs,
    Projects,
    RepositoryCommits,
    ReleaseDeploys,
    ReleaseCommits,
    MonitorCheckins,
    TeamProjects,
    TeamMembers,
    TeamEventCounts,
    ProjectIssues,
    ProjectEvents,
    ProjectEventEntries,
    ProjectFeedback,
    ProjectUsers,
    ProjectEventCounts,
    ProjectEnvironments,
    ProjectKeys,
    ProjectServiceHooks,
    ProjectOwnership,
    ProjectInboundFilters,
    ProjectTags,
    ProjectAlertRules,
    IssueEvents,
    IssueEventEntries,
    IssueActivities,
    IssueComments,
    IssueTags,
    IssueHashes,
    IssueLinks,
)
