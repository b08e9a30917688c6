select
  organization_id || '/' || id as project_key,
  organization_id,
  id as project_id,
  slug,
  name,
  platform,
  "dateCreated" as created_at,
  -- Of several teams, none owns the project alone.
  case when array_length(teams, 1) = 1 then teams[1] ->> 'slug' end as only_team
from {{ newest('organization_projects', ['organization_id', 'id']) }} as project
