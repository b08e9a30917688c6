select
  organization_id || '/' || id as monitor_key,
  organization_id || '/' || project_id as project_key,
  organization_id,
  project_id,
  id as monitor_id,
  slug,
  name,
  status,
  "isMuted" as is_muted,
  config ->> 'schedule' as schedule,
  owner ->> 'name' as owner,
  environments
from {{ newest('organization_monitors', ['organization_id', 'id']) }} as monitor
