select
  monitor.monitor_key,
  environment ->> 'name' as environment,
  environment ->> 'status' as status,
  (environment ->> 'lastCheckIn')::timestamptz at time zone 'utc' as last_checkin_at
from {{ ref('stg_sentry__monitors') }} as monitor
cross join unnest(monitor.environments) as environments (environment)
