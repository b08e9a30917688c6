{# The value of a tag of an event; null without it. #}
{% macro tag(key) -%}
  (
    select max(tag ->> 'value')
    from unnest(event.tags) as tags (tag)
    where (tag ->> 'key') = '{{ key }}'
  )
{%- endmacro %}
