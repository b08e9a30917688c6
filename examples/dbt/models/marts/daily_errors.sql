select
  event.happened_at::date as day,
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, event.project_id) as project,
  coalesce(issue.owner_team, project.only_team, '(none)') as team,
  coalesce(nullif(event.release, ''), '(none)') as release,
  coalesce(nullif(event.environment, ''), '(none)') as environment,
  count(*) as errors,
  count(distinct event.issue_key) as issues,
  count(distinct event.who) as users
from {{ ref('stg_sentry__events') }} as event
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id = event.organization_id
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = event.project_key
left join {{ ref('issue_lifecycle') }} as issue on issue.issue_key = event.issue_key
where event.is_error
group by 1, 2, 3, 4, 5, 6
