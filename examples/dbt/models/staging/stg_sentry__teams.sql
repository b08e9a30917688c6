select
  organization_id || '/' || id as team_key,
  organization_id,
  id as team_id,
  slug,
  name
from {{ newest('organization_teams', ['organization_id', 'id']) }} as team
