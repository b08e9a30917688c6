with checkins as (
  select
    monitor_key,
    environment,
    count(*) filter (where status = 'ok') as ok,
    count(*) filter (where status = 'error') as errors,
    count(*) filter (where status = 'missed') as missed,
    count(*) filter (where status = 'timeout') as timeouts,
    count(*) filter (where status in ('ok', 'error', 'missed', 'timeout')) as ended,
    max(checked_in_at) filter (where status in ('error', 'missed', 'timeout'))
      as last_failed_at,
    percentile_cont(0.5) within group (order by milliseconds) as median_milliseconds,
    max(milliseconds) as longest_milliseconds
  from {{ ref('stg_sentry__monitor_checkins') }}
  group by monitor_key, environment
)

select
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, monitor.project_id) as project,
  monitor.slug as monitor,
  coalesce(environment.environment, '(none)') as environment,
  monitor.status as monitor_status,
  environment.status,
  monitor.is_muted,
  monitor.schedule,
  monitor.owner,
  environment.last_checkin_at,
  checkins.last_failed_at,
  checkins.ok,
  checkins.errors,
  checkins.missed,
  checkins.timeouts,
  round(1.0 * checkins.ok / nullif(checkins.ended, 0), 4) as ok_rate,
  checkins.median_milliseconds,
  checkins.longest_milliseconds
from {{ ref('stg_sentry__monitors') }} as monitor
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id = monitor.organization_id
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = monitor.project_key
left join {{ ref('stg_sentry__monitor_environments') }} as environment
  on environment.monitor_key = monitor.monitor_key
left join checkins
  on (checkins.monitor_key, checkins.environment)
   = (environment.monitor_key, environment.environment)
