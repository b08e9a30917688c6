{# At least this share of what Sentry counted is loaded, over the newest whole days. #}
{% test loaded_share(model, at_least) %}
with recent as (
  select *, max(day) over (partition by organization, project) as newest
  from {{ model }}
  where is_finished
)

select
  organization,
  project,
  sum(loaded_events) as loaded_events,
  sum(counted_events) as counted_events
from recent
where day > newest - interval '{{ var("completeness_days") }} days'
group by organization, project
having sum(loaded_events) < {{ at_least }} * sum(counted_events)
{% endtest %}
