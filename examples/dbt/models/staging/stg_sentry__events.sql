select
  organization_id || '/' || project_id || '/' || "eventID" as event_key,
  organization_id || '/' || project_id as project_key,
  organization_id || '/' || issue_id as issue_key,
  organization_id,
  project_id,
  issue_id,
  "eventID" as event_id,
  type,
  -- Some servers list events of other kinds, too.
  coalesce(type, 'error') not in ('transaction', 'generic') as is_error,
  title,
  platform,
  "dateCreated" as happened_at,
  coalesce(
    event."user" ->> 'id',
    event."user" ->> 'email',
    event."user" ->> 'username',
    event."user" ->> 'ip_address'
  ) as who,
  {{ tag('release') }} as release,
  {{ tag('environment') }} as environment
from {{ newest('project_events', ['organization_id', 'project_id', '"eventID"']) }} as event
