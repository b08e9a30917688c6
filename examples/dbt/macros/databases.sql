{#
  All that differs between PostgreSQL and DuckDB. The models are written in what both have:
  `->>` reads JSON, `unnest` makes rows of arrays, dates are UTC without a zone.
#}

{#
  DuckDB has no tables of the tap, but files of JSON lines. Each stream becomes a view with
  the columns and types of the catalog, and with what target-postgres adds to a record:
  when it was loaded, which is when its file was written, and its place among the others.
#}
{% macro open_files() %}
  {{ adapter.dispatch('open_files')() }}
{% endmacro %}

{% macro default__open_files() %}
{% endmacro %}

{% macro duckdb__open_files() %}
  {% if execute %}
    {% set files = {} %}
    {% set found %}
      select regexp_extract(file, '(\w+)(-\d{8}T\d{6})?\.jsonl$', 1), file
      from glob('{{ var("sentry_files") }}/*.jsonl')
      order by file
    {% endset %}
    {% for stream, file in run_query(found).rows %}
      {% do files.setdefault(stream, []).append(file) %}
    {% endfor %}
    {% if not files %}
      {{ exceptions.raise_compiler_error(
        "There are no *.jsonl files in sentry_files: " ~ var("sentry_files")
      ) }}
    {% endif %}
    create schema if not exists "{{ target.database }}"."{{ var("sentry_schema") }}";
    {% for table in graph.sources.values() if table.source_name == "sentry" %}
      create or replace view {{ table.relation_name }} as
      {{ rows_of_files(files.get(table.name), table.columns.values()) }};
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro rows_of_files(files, columns) %}
  {% if files %}
    {% set paths = "['" ~ files | join("', '") ~ "']" %}
    select
      numbered.* exclude (filename),
      written.last_modified at time zone 'utc' as _sdc_extracted_at,
      null::timestamp as _sdc_deleted_at
    from (
      select *, row_number() over () as _sdc_sequence
      from read_json(
        {{ paths }},
        format = 'newline_delimited',
        filename = true,
        columns = {
          {% for column in columns -%}
            '{{ column.name }}': '{{ duckdb_type(column.data_type) }}'
            {{- ", " if not loop.last }}
          {%- endfor %}
        }
      )
    ) as numbered
    join read_blob({{ paths }}) as written using (filename)
  {% else %}
    select
      {% for column in columns %}
        null::{{ duckdb_type(column.data_type) }} as "{{ column.name }}",
      {% endfor %}
      null::bigint as _sdc_sequence,
      null::timestamp as _sdc_extracted_at,
      null::timestamp as _sdc_deleted_at
    limit 0
  {% endif %}
{% endmacro %}

{# A `numeric` of DuckDB would have three decimals. #}
{% macro duckdb_type(type) %}
  {{- type | replace("jsonb", "json") | replace("numeric", "double") -}}
{% endmacro %}
