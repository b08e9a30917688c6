-- One query for each stream, in PostgreSQL, in the order of docs/streams.md. The line above
-- a query names the stream and asks the question. tests/warehouse/test_stream_queries.py
-- runs them.

-- organizations: How many projects does each organization have, and how new is the newest?
select organization.slug, count(*) as projects, max(project."dateCreated")::date as newest
from organizations as organization
join organization_projects as project on project.organization_id = organization.id
group by organization.slug
order by projects desc;

-- organization_projects: Which projects have never sent an event?
select slug, platform, "dateCreated"::date as created
from organization_projects
where "firstEvent" is null
order by created;

-- projects: In which projects is the user of the token on no team?
select project.slug
from organization_projects as project
left join projects as own
  on (own.organization_id, own.id) = (project.organization_id, project.id)
where own.id is null
order by project.slug;

-- organization_repositories: When did each repository last get a commit?
select repository.name, repository.status, max(commit."dateCreated")::date as last_commit
from organization_repositories as repository
left join repository_commits as commit
  on (commit.organization_id, commit.repository_id)
   = (repository.organization_id, repository.id)
group by repository.name, repository.status
order by last_commit nulls first;

-- organization_environments: How many projects use each environment?
select environment.name, count(project.id) as projects
from organization_environments as environment
left join project_environments as project
  on (project.organization_id, project.name)
   = (environment.organization_id, environment.name)
group by environment.name
order by projects desc, environment.name;

-- project_environments: Which environments do projects hide from their menus?
select environment.name, count(*) as projects, string_agg(project.slug, ', ') as slugs
from project_environments as environment
join organization_projects as project
  on (project.organization_id, project.id)
   = (environment.organization_id, environment.project_id)
where environment."isHidden"
group by environment.name;

-- organization_teams: Which teams have no projects?
select slug, "memberCount" as members
from organization_teams
where coalesce(cardinality(projects), 0) = 0
order by members desc;

-- organization_members: Which invitations are still open, and for how many days?
select email, role, "inviterName" as invited_by,
  (now() at time zone 'utc')::date - "dateCreated"::date as days
from organization_members
where pending
order by days desc;

-- team_members: Which teams is each member on?
select member.email, string_agg(team.slug, ', ' order by team.slug) as teams
from team_members as member
join organization_teams as team
  on (team.organization_id, team.id) = (member.organization_id, member.team_id)
group by member.email
order by member.email;

-- team_projects: Which projects do several teams work on?
select slug, count(*) as teams
from team_projects
group by organization_id, slug
having count(*) > 1
order by teams desc, slug;

-- project_issues: Which unresolved issues that nobody is assigned to hit the most users?
select "shortId", title, count, "userCount", "lastSeen"::date as last_seen
from project_issues
where status = 'unresolved' and "assignedTo" ->> 'id' is null
order by "userCount" desc
limit 10;

-- issue_activities: How long does it take until an issue is resolved?
select issue.project ->> 'slug' as slug, count(*) as resolved,
  avg(activity."dateCreated" - issue."firstSeen") as time_to_resolve
from issue_activities as activity
join project_issues as issue
  on (issue.organization_id, issue.id) = (activity.organization_id, activity.issue_id)
where activity.type like 'set_resolved%'
group by slug
order by time_to_resolve desc;

-- issue_comments: Which issues are discussed the most?
select issue."shortId", issue.title, count(*) as comments, max(comment."dateCreated") as last
from issue_comments as comment
join project_issues as issue
  on (issue.organization_id, issue.id) = (comment.organization_id, comment.issue_id)
group by issue."shortId", issue.title
order by comments desc, last desc
limit 10;

-- issue_tags: In which environments does each issue happen?
select issue."shortId", top ->> 'value' as environment, (top ->> 'count')::bigint as events
from issue_tags as tag
cross join unnest(tag."topValues") as top
join project_issues as issue
  on (issue.organization_id, issue.id) = (tag.organization_id, tag.issue_id)
where tag.key = 'environment'
order by issue."shortId", events desc;

-- issue_hashes: Which issues were merged from several hashes?
select issue."shortId", issue.title, count(*) as hashes
from issue_hashes as hash
join project_issues as issue
  on (issue.organization_id, issue.id) = (hash.organization_id, hash.issue_id)
group by issue."shortId", issue.title
having count(*) > 1
order by hashes desc;

-- issue_links: Which tickets belong to issues that are not resolved?
select issue."shortId", issue.title, link."displayName" as ticket, link."webUrl"
from issue_links as link
join project_issues as issue
  on (issue.organization_id, issue.id) = (link.organization_id, link.issue_id)
where issue.status = 'unresolved'
order by issue."shortId";

-- project_events: In which browsers did errors happen in the last seven days?
select tag ->> 'value' as browser, count(*) as events, count(distinct issue_id) as issues
from project_events
cross join unnest(tags) as tag
where tag ->> 'key' = 'browser'
  and "dateCreated" >= now() at time zone 'utc' - interval '7 days'
group by browser
order by events desc;

-- project_event_entries: Which exceptions were raised the most?
select exception ->> 'type' as type_of_exception, count(*) as events
from project_event_entries as entry
cross join jsonb_array_elements(entry.data -> 'values') as exception
where entry.type = 'exception'
group by type_of_exception
order by events desc
limit 10;

-- issue_events: Which releases did each issue happen in?
select issue."shortId", tag ->> 'value' as release, count(*) as events
from issue_events as event
cross join unnest(event.tags) as tag
join project_issues as issue
  on (issue.organization_id, issue.id) = (event.organization_id, event.issue_id)
where tag ->> 'key' = 'release'
group by issue."shortId", release
order by issue."shortId", events desc;

-- issue_event_entries: Which addresses were requested when an issue happened?
select issue."shortId", entry.data ->> 'url' as url, count(*) as events
from issue_event_entries as entry
join project_issues as issue
  on (issue.organization_id, issue.id) = (entry.organization_id, entry.issue_id)
where entry.type = 'request'
group by issue."shortId", url
order by events desc
limit 10;

-- project_feedback: How many users sent a report in each month?
select date_trunc('month', "dateCreated")::date as month, count(*) as reports,
  count(distinct email) as people
from project_feedback
group by month
order by month desc;

-- project_users: How does each project identify its users?
select project.slug, split_part(person."tagValue", ':', 1) as by, count(*) as users
from project_users as person
join organization_projects as project
  on (project.organization_id, project.id) = (person.organization_id, person.project_id)
group by project.slug, by
order by project.slug, users desc;

-- organization_releases: Which releases brought the most new issues?
select version, coalesce("dateReleased", "dateCreated")::date as date, "newGroups" as issues
from organization_releases
where status = 'open'
order by issues desc, date desc
limit 10;

-- release_deploys: How often was each environment deployed to, by week?
select date_trunc('week', "dateFinished")::date as week, environment, count(*) as deploys
from release_deploys
group by week, environment
order by week desc, environment;

-- release_commits: How long did commits wait for their release?
select release.version, count(*) as commits,
  avg(release."dateReleased" - commit."dateCreated") as lead_time
from release_commits as commit
join organization_releases as release
  on (release.organization_id, release.version)
   = (commit.organization_id, commit.release_version)
where release."dateReleased" is not null
group by release.organization_id, release.version;

-- repository_commits: Who committed the most to each repository?
select repository.name, commit.author ->> 'email' as author, count(*) as commits
from repository_commits as commit
join organization_repositories as repository
  on (repository.organization_id, repository.id)
   = (commit.organization_id, commit.repository_id)
group by repository.name, author
order by repository.name, commits desc;

-- release_health: How many sessions of each release were free of crashes in the last seven days?
select release, environment, sum(sessions) as all_sessions,
  round(100 * sum(sessions * crash_free_session_rate) / sum(sessions), 2) as "crash-free in %"
from release_health
where resolution = '1d' and interval_start >= now() at time zone 'utc' - interval '7 days'
group by release, environment
having sum(sessions) > 0
order by all_sessions desc;

-- organization_monitors: When did the active monitors last check in?
select monitor.slug, environment ->> 'name' as environment, environment ->> 'status' as status,
  (environment ->> 'lastCheckIn')::timestamptz as last_checkin
from organization_monitors as monitor
cross join unnest(monitor.environments) as environment
where monitor.status = 'active' and monitor."isMuted" is not true
order by last_checkin nulls first;

-- monitor_checkins: Which jobs fail, and how long do they take?
select monitor.slug, count(*) as runs,
  count(*) filter (where checkin.status in ('error', 'missed', 'timeout')) as failed,
  percentile_cont(0.95) within group (order by checkin.duration) as p95_milliseconds
from monitor_checkins as checkin
join organization_monitors as monitor
  on (monitor.organization_id, monitor.id) = (checkin.organization_id, checkin.monitor_id)
group by monitor.slug
order by failed desc, monitor.slug;

-- organization_event_counts: How many errors did each organization have, by week?
select organization.slug, date_trunc('week', timestamp)::date as week, sum(count) as errors
from organization_event_counts as counts
join organizations as organization on organization.id = counts.organization_id
where stat = 'received' and resolution = '1d'
group by organization.slug, week
order by organization.slug, week desc;

-- team_event_counts: Which teams had the most errors in the last 30 days?
select team.slug, sum(counts.count) as errors
from team_event_counts as counts
join organization_teams as team
  on (team.organization_id, team.id) = (counts.organization_id, counts.team_id)
where counts.stat = 'received' and counts.resolution = '1d'
  and counts.timestamp >= now() at time zone 'utc' - interval '30 days'
group by team.slug
order by errors desc;

-- project_event_counts: What was the worst day of each project?
select distinct on (project.organization_id, project.slug)
  project.slug, counts.timestamp::date as day, counts.count as errors
from project_event_counts as counts
join organization_projects as project
  on (project.organization_id, project.id) = (counts.organization_id, counts.project_id)
where counts.stat = 'received' and counts.resolution = '1d'
order by project.organization_id, project.slug, counts.count desc;

-- organization_usage: What was not accepted this month, and why?
select project.slug, usage.category, usage.outcome, usage.reason, sum(usage.quantity)
from organization_usage as usage
join organization_projects as project
  on (project.organization_id, project.id) = (usage.organization_id, usage.project_id)
where usage.outcome <> 'accepted'
  and usage.timestamp >= date_trunc('month', now() at time zone 'utc')
group by project.slug, usage.category, usage.outcome, usage.reason
order by sum(usage.quantity) desc;

-- organization_detectors: Which workflows does each detector start?
select detector.name as detector, detector.type, workflow.name as workflow
from organization_detectors as detector
left join organization_workflows as workflow
  on workflow.organization_id = detector.organization_id
  and workflow.id = any (detector."workflowIds")
where detector.enabled
order by detector.name, workflow.name;

-- organization_workflows: Which workflows are on, but have not run for 90 days?
select name, owner, "lastTriggered"::date as last_run
from organization_workflows
where enabled
  and coalesce("lastTriggered", '-infinity') < now() at time zone 'utc' - interval '90 days'
order by last_run nulls first, name;

-- project_alert_rules: Which rules are on, and how often may they act?
select project.slug, rule.name, rule.frequency as minutes, cardinality(rule.actions) as actions
from project_alert_rules as rule
join organization_projects as project
  on (project.organization_id, project.id) = (rule.organization_id, rule.project_id)
where rule.status = 'active' and rule.snooze is not true
order by project.slug, rule.name;

-- organization_metric_alert_rules: What do the active rules watch?
select name, aggregate, query, "timeWindow" as minutes, owner
from organization_metric_alert_rules
where status = 0
order by name;

-- organization_incidents: How long do the incidents of each rule last?
select "alertRule" ->> 'name' as rule, count(*) as incidents,
  avg("dateClosed" - "dateStarted") as duration,
  count(*) filter (where "dateClosed" is null) as still_open
from organization_incidents
group by rule
order by incidents desc;

-- project_keys: Which client keys accept events without a rate limit?
select project.slug, key.name, key."dateCreated"::date as made
from project_keys as key
join organization_projects as project
  on (project.organization_id, project.id) = (key.organization_id, key.project_id)
where key."isActive" and key."rateLimit" ->> 'count' is null
order by project.slug, made;

-- project_service_hooks: Which addresses does Sentry call, and when?
select hook.url, event, count(*) as projects
from project_service_hooks as hook
cross join unnest(hook.events) as event
where hook.status = 'active'
group by hook.url, event
order by hook.url, event;

-- project_ownership: Which projects have no ownership rules?
select project.slug
from project_ownership as ownership
join organization_projects as project
  on (project.organization_id, project.id)
   = (ownership.organization_id, ownership.project_id)
where ownership.raw is null
order by project.slug;

-- project_inbound_filters: In how many projects is each filter on?
select id as filter, count(*) filter (where active) as projects_with_it, count(*) as projects
from project_inbound_filters
group by id
order by projects_with_it desc, id;

-- project_tags: Which tags have the most different values?
select project.slug, tag.key, tag."uniqueValues"
from project_tags as tag
join organization_projects as project
  on (project.organization_id, project.id) = (tag.organization_id, tag.project_id)
order by tag."uniqueValues" desc nulls last
limit 10;

-- organization_integrations: How many repositories does each integration give access to?
select integration.name, integration.status, count(repository.id) as repositories
from organization_integrations as integration
left join organization_repositories as repository
  on (repository.organization_id, repository."integrationId")
   = (integration.organization_id, integration.id)
group by integration.organization_id, integration.id, integration.name, integration.status
order by repositories desc;

-- organization_app_installations: Which apps are installed in which organization?
select organization.slug, installation.app ->> 'slug' as app, installation.status
from organization_app_installations as installation
join organizations as organization on organization.id = installation.organization_id
order by organization.slug, app;

-- organization_code_mappings: Which projects have no code mapping?
select project.slug
from organization_projects as project
left join organization_code_mappings as mapping
  on (mapping.organization_id, mapping."projectId") = (project.organization_id, project.id)
where mapping.id is null
order by project.slug;

-- organization_dashboards: Who makes dashboards?
select "createdBy" ->> 'email' as who, count(*) as dashboards,
  max("dateCreated")::date as newest
from organization_dashboards
where "dateCreated" is not null
group by who
order by dashboards desc;

-- organization_saved_queries: Which saved queries did nobody change for a year?
select name, "createdBy" ->> 'email' as saved_by, "dateCreated"::date as saved
from organization_saved_queries
where coalesce("dateUpdated", "dateCreated") < now() at time zone 'utc' - interval '1 year'
order by saved;

-- organization_replays: On which pages do users click in frustration?
select url, count(*) as replays, sum(count_dead_clicks) as dead_clicks,
  sum(count_rage_clicks) as rage_clicks, sum(count_errors) as errors
from organization_replays
cross join unnest(urls) as url
group by url
order by rage_clicks desc nulls last, errors desc
limit 10;

-- organization_audit_logs: Who changed what in the last seven days?
select "dateCreated", actor ->> 'email' as who, event, note
from organization_audit_logs
where "dateCreated" >= now() at time zone 'utc' - interval '7 days'
order by "dateCreated" desc;
