select
  release.release_key,
  project.project_key,
  -- Old servers send neither this nor the id of the project.
  (released ->> 'newGroups')::bigint as new_issues
from {{ ref('stg_sentry__releases') }} as release
cross join unnest(release.projects) as projects (released)
-- A project that Sentry no longer lists has no id here.
join {{ ref('stg_sentry__projects') }} as project
  on (project.organization_id, project.slug)
   = (release.organization_id, released ->> 'slug')
