select
  organization_id || '/' || project_id as project_key,
  organization_id || '/' || release as release_key,
  organization_id,
  project_id,
  release as release_version,
  environment,
  resolution,
  interval_start,
  sessions,
  users,
  crash_free_session_rate,
  crash_free_user_rate
from {{ newest(
  'release_health',
  ['organization_id', 'project_id', 'release', 'environment', 'resolution', 'interval_start']
) }} as health
