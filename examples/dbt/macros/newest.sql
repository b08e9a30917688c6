{#
  The records of a stream, each as it was loaded last. A loader that appends has a record
  once for each time that it was read; one that was told of a deletion may only mark it.
#}
{% macro newest(stream, key) %}
(
  select *
  from (
    select
      *,
      row_number() over (
        partition by {{ key | join(', ') }}
        order by _sdc_extracted_at desc nulls last, _sdc_sequence desc nulls last
      ) as _sdc_place
    from {{ table_of(stream) }}
  ) as numbered
  where _sdc_place = 1 and _sdc_deleted_at is null
)
{% endmacro %}

{# The table of a stream, or one without rows if the stream was never loaded. #}
{% macro table_of(stream) %}
  {%- set table = source('sentry', stream) -%}
  {%- if not execute or load_relation(table) is not none -%}
    {{ table }} as loaded
  {%- else -%}
    {%- for node in graph.sources.values()
        if node.source_name == 'sentry' and node.name == stream -%}
      ({{ no_rows(node.columns.values()) }}) as never_loaded
    {%- endfor -%}
  {%- endif -%}
{% endmacro %}

{% macro no_rows(columns) %}
  select
    {% for column in columns %}
      cast(null as {{ type_of(column) }}) as "{{ column.name }}",
    {% endfor %}
    cast(null as bigint) as _sdc_sequence,
    cast(null as timestamp) as _sdc_extracted_at,
    cast(null as timestamp) as _sdc_deleted_at
  limit 0
{% endmacro %}
