select
  release.release_key,
  release.organization_id || '/' || (project ->> 'id') as project_key,
  release.organization_id,
  release.version,
  (project ->> 'newGroups')::bigint as new_issues
from {{ ref('stg_sentry__releases') }} as release
cross join unnest(release.projects) as projects (project)
