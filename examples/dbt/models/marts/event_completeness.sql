with loaded as (
  select
    project_key,
    organization_id,
    project_id,
    -- Old servers count by this date, too. New ones count by the date of receipt, which
    -- only full events have, and which is rarely on another day.
    happened_at::date as day,
    count(*) as events
  from {{ ref('stg_sentry__events') }}
  -- Sentry counts errors here.
  where is_error
  group by 1, 2, 3, 4
),

counted as (
  select
    project_key,
    organization_id,
    project_id,
    interval_start::date as day,
    sum(events)::bigint as events
  from {{ ref('stg_sentry__event_counts') }}
  where stat = 'generated' and resolution = '1d'
  group by 1, 2, 3, 4
),

newest as (
  select project_key, max(day) as day
  from counted
  group by project_key
)

select
  coalesce(loaded.day, counted.day) as day,
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, loaded.project_id, counted.project_id) as project,
  coalesce(loaded.events, 0) as loaded_events,
  counted.events as counted_events,
  counted.events - coalesce(loaded.events, 0) as missing_events,
  round(1.0 * coalesce(loaded.events, 0) / nullif(counted.events, 0), 4) as loaded_share,
  -- The newest interval is still growing.
  coalesce(counted.day < newest.day, false) as is_finished
from loaded
full join counted
  on (counted.project_key, counted.day) = (loaded.project_key, loaded.day)
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id
   = coalesce(loaded.organization_id, counted.organization_id)
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = coalesce(loaded.project_key, counted.project_key)
left join newest on newest.project_key = counted.project_key
