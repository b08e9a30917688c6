select
  organization_id || '/' || release_version || '/' || id as deploy_key,
  organization_id || '/' || release_version as release_key,
  organization_id,
  release_version,
  id as deploy_id,
  environment,
  "dateFinished" as deployed_at
from {{ newest('release_deploys', ['organization_id', 'release_version', 'id']) }} as deploy
