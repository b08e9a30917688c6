with changes as (
  select issue_key, first_seen_at as changed_at, true as opens
  from {{ ref('stg_sentry__issues') }}
  union all
  select issue_key, happened_at, type in ('set_unresolved', 'set_regression')
  from {{ ref('stg_sentry__issue_activities') }}
  where type in ('set_unresolved', 'set_regression')
    -- A pull request only announces a resolution.
    or (type like 'set_resolved%' and type <> 'set_resolved_in_pull_request')
),

steps as (
  select
    *,
    lag(opens) over issue as was_open,
    changed_at - lag(changed_at) over issue as took
  from changes
  window issue as (partition by issue_key order by changed_at, opens desc)
),

resolutions as (
  select
    *,
    count(*) over (partition by issue_key) as times_resolved,
    min(changed_at) over (partition by issue_key) as first_resolved_at,
    row_number() over (partition by issue_key order by changed_at desc) as place
  from steps
  where was_open and not opens
),

reopenings as (
  select issue_key, max(changed_at) as reopened_at, count(*) as times_reopened
  from steps
  where opens and not was_open
  group by issue_key
),

known as (
  select distinct issue_key
  from {{ ref('stg_sentry__issue_activities') }}
),

loaded as (
  select
    issue_key,
    min(happened_at) as first_event_at,
    max(happened_at) as last_event_at,
    count(*) as loaded_events
  from {{ ref('stg_sentry__events') }}
  where issue_key is not null
  group by issue_key
)

select
  issue.issue_key,
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, issue.project_id) as project,
  issue.short_id as issue,
  issue.title,
  issue.category,
  issue.level,
  issue.priority,
  issue.status,
  issue.assignee,
  coalesce(team.slug, project.only_team) as owner_team,
  issue.first_seen_at as opened_at,
  issue.last_seen_at,
  loaded.first_event_at,
  loaded.last_event_at,
  coalesce(loaded.loaded_events, 0) as loaded_events,
  issue.events,
  issue.users,
  resolution.first_resolved_at,
  resolution.changed_at as resolved_at,
  reopening.reopened_at,
  case when known.issue_key is not null then coalesce(resolution.times_resolved, 0) end
    as times_resolved,
  case when known.issue_key is not null then coalesce(reopening.times_reopened, 0) end
    as times_reopened,
  round((extract(epoch from resolution.took) / 86400)::numeric, 2) as days_to_resolve
from {{ ref('stg_sentry__issues') }} as issue
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id = issue.organization_id
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = issue.project_key
left join {{ ref('stg_sentry__teams') }} as team
  on (team.organization_id, team.team_id) = (issue.organization_id, issue.assignee_id)
  and issue.assignee_type = 'team'
left join known on known.issue_key = issue.issue_key
left join loaded on loaded.issue_key = issue.issue_key
left join resolutions as resolution
  on resolution.issue_key = issue.issue_key and resolution.place = 1
left join reopenings as reopening on reopening.issue_key = issue.issue_key
