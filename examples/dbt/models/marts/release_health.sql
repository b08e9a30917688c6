with released as (
  select release_key, project_key, max(new_issues) as new_issues
  from {{ ref('stg_sentry__release_projects') }}
  group by release_key, project_key
),

health as (
  select
    release_key,
    project_key,
    project_id,
    sum(sessions) as sessions,
    sum(sessions) filter (where crash_free_session_rate is not null) as rated,
    sum(sessions * crash_free_session_rate) as crash_free,
    min(interval_start) as first_session_on,
    max(interval_start) as last_session_on
  from {{ ref('stg_sentry__release_health') }}
  -- Days and hours would be counted twice.
  where resolution = '1d'
  group by release_key, project_key, project_id
),

deploys as (
  select
    release_key,
    count(*) as deploys,
    min(deployed_at) as first_deployed_at,
    max(deployed_at) as last_deployed_at
  from {{ ref('stg_sentry__deploys') }}
  group by release_key
),

errors as (
  select
    organization_id || '/' || release as release_key,
    project_key,
    count(*) as errors
  from {{ ref('stg_sentry__events') }}
  where is_error and release <> ''
  group by 1, 2
)

select
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, health.project_id) as project,
  release.version as release,
  release.created_at,
  release.released_at,
  health.sessions::bigint as sessions,
  round((health.crash_free / nullif(health.rated, 0))::numeric(9, 6), 4)
    as crash_free_rate,
  health.first_session_on::date as first_session_on,
  health.last_session_on::date as last_session_on,
  released.new_issues,
  coalesce(errors.errors, 0) as errors,
  coalesce(deploys.deploys, 0) as deploys,
  deploys.first_deployed_at,
  deploys.last_deployed_at
from released
full join health
  on (health.release_key, health.project_key)
   = (released.release_key, released.project_key)
join {{ ref('stg_sentry__releases') }} as release
  on release.release_key = coalesce(released.release_key, health.release_key)
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id = release.organization_id
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = coalesce(released.project_key, health.project_key)
left join deploys on deploys.release_key = release.release_key
left join errors
  on (errors.release_key, errors.project_key)
   = (release.release_key, coalesce(released.project_key, health.project_key))
