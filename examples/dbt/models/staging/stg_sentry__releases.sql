select
  organization_id || '/' || version as release_key,
  organization_id,
  version,
  "shortVersion" as short_version,
  status,
  "dateCreated" as created_at,
  "dateReleased" as released_at,
  "newGroups" as new_issues,
  "commitCount" as commits,
  projects
from {{ newest('organization_releases', ['organization_id', 'version']) }} as release
