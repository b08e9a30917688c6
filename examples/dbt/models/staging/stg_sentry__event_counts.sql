select
  organization_id || '/' || project_id as project_key,
  organization_id,
  project_id,
  stat,
  resolution,
  "timestamp" as interval_start,
  count as events
from {{ newest(
  'project_event_counts',
  ['organization_id', 'project_id', 'stat', 'resolution', '"timestamp"']
) }} as counts
