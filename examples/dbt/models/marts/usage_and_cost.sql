select
  usage.interval_start::date as day,
  organization.slug as organization,
  -- A project that Sentry no longer lists goes by its id.
  coalesce(project.slug, usage.project_id) as project,
  usage.category,
  usage.outcome,
  case when usage.reason in ('', 'none') then '(none)' else usage.reason end as reason,
  sum(usage.quantity)::bigint as quantity,
  {% if var('unit_prices') -%}
  sum(
    case usage.category
    {% for category, price in var('unit_prices').items() %}
      when '{{ category }}' then {{ price }} * usage.quantity
    {% endfor %}
    end
  ) filter (where usage.outcome = 'accepted')::double precision
  {%- else -%}
  null::double precision
  {%- endif %} as cost
from {{ ref('stg_sentry__usage') }} as usage
join {{ ref('stg_sentry__organizations') }} as organization
  on organization.organization_id = usage.organization_id
left join {{ ref('stg_sentry__projects') }} as project
  on project.project_key = usage.project_key
group by 1, 2, 3, 4, 5, 6
