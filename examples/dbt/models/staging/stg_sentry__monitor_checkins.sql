select
  organization_id || '/' || monitor_id || '/' || id as checkin_key,
  organization_id || '/' || monitor_id as monitor_key,
  id as checkin_id,
  environment,
  status,
  duration as milliseconds,
  "dateCreated" as checked_in_at
from {{ newest('monitor_checkins', ['organization_id', 'monitor_id', 'id']) }} as checkin
