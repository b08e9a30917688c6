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
      {% if table.name in files %}
        create or replace view {{ table.relation_name }} as
        {{ rows_of_files(files[table.name], table.columns.values()) }};
      {% else %}
        drop view if exists {{ table.relation_name }};
      {% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro rows_of_files(files, columns) %}
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
          '{{ column.name }}': '{{ type_of(column) }}' {{- ", " if not loop.last }}
        {%- endfor %}
      }
    )
  ) as numbered
  join read_blob({{ paths }}) as written using (filename)
{% endmacro %}

{#
  The type of a column of a source, which has those of PostgreSQL. A `numeric` of DuckDB
  would have three decimals.
#}
{% macro type_of(column) %}
  {{- adapter.dispatch('type_of')(column) -}}
{% endmacro %}

{% macro default__type_of(column) %}
  {{- column.data_type -}}
{% endmacro %}

{% macro duckdb__type_of(column) %}
  {{- column.data_type | replace("jsonb", "json") | replace("numeric", "double") -}}
{% endmacro %}
