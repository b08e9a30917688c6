select
  organization_id || '/' || issue_id || '/' || id as activity_key,
  organization_id || '/' || issue_id as issue_key,
  id as activity_id,
  type,
  "dateCreated" as happened_at
from {{ newest('issue_activities', ['organization_id', 'issue_id', 'id']) }} as activity
