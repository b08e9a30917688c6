select
  organization_id || '/' || project_id as project_key,
  organization_id,
  project_id,
  category,
  outcome,
  reason,
  "timestamp" as interval_start,
  quantity
from {{ newest(
  'organization_usage',
  ['organization_id', 'project_id', 'category', 'outcome', 'reason', '"timestamp"']
) }} as usage
