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
    from {{ source('sentry', stream) }}
  ) as numbered
  where _sdc_place = 1 and _sdc_deleted_at is null
)
{% endmacro %}
