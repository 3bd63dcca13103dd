{#- The published rows of a source table, which staging may read: RAW.OLIST_ORDERS filtered by RAW.LOAD_LEDGER.

    `load: snapshot` (each file holds all rows): the newest validated batch, by its sequence; batch ids have no order.
    `load: append`: for each file the newest validated batch, so that a day delivered again replaces that day; if several files
    make up a day, for each day, so that a part that is not delivered again is gone.
    Both come from the contract, by way of the derived source's `meta`. Batches that are landed, loaded, quarantined or undone
    are left out. The filter is evaluated when the view is read, so a verdict or an undo counts at once. Written as IN, it
    becomes a semi-join on _BATCH_ID, whose few values Snowflake pushes into the scan; a batch has its own micro-partitions, so
    one batch of a snapshot table is read, however many RAW keeps. -#}
{% macro published(source_name, table_name) -%}
    {%- set rows = source(source_name, table_name) -%}
    {%- if execute and load_mode(source_name, table_name) == 'append' -%}
    select *
    from {{ rows }}
    where (_BATCH_ID, _SOURCE_FILENAME) in (
        {{ published_objects(source_name, table_name) }}
    )
    {%- else -%}
    select *
    from {{ rows }}
    where _BATCH_ID in (
        select BATCH_ID
        from {{ source('cxm', 'load_ledger') }}
        where SOURCE = '{{ source_name }}' and TABLE_NAME = '{{ raw_name(source_name, table_name) }}' and STATUS = 'validated'
        qualify row_number() over (order by {{ newest_first() }}) = 1
    )
    {%- endif -%}
{%- endmacro %}

{#- Batch and key of every object that an append table publishes. A split file is several objects of one FILE_NAME and batch. -#}
{% macro published_objects(source_name, table_name) -%}
    {%- set day = "regexp_substr(FILE_NAME, '[0-9]{4}-[0-9]{2}-[0-9]{2}')" -%}
        select
            BATCH_ID,
            {{ key_in_raw('S3_KEY') }} as S3_KEY
        from {{ source('cxm', 'load_ledger') }}
        where SOURCE = '{{ source_name }}' and TABLE_NAME = '{{ raw_name(source_name, table_name) }}' and STATUS = 'validated'
        qualify rank() over (partition by {{ day if has_parts(source_name, table_name) else 'FILE_NAME' }} order by {{ newest_first() }}) = 1
{%- endmacro %}

{#- The key that COPY read, which RAW keeps. The ledger has archive/ instead of raw/ once maintenance has moved an object. -#}
{% macro key_in_raw(column) -%}
    regexp_replace({{ column }}, '^archive/', 'raw/')
{%- endmacro %}

{#- The order of a source's batches. Those without a sequence, which older versions wrote, come first, in the order of their
    ids. -#}
{% macro newest_first() -%}
    coalesce(BATCH_SEQUENCE, 0) desc, BATCH_ID desc
{%- endmacro %}

{#- The RAW table's name, as the ledger has it; a separate macro because a unit test gives a source another name. -#}
{% macro raw_name(source_name, table_name) -%}
    {{- return(source(source_name, table_name).identifier) -}}
{%- endmacro %}

{#- Whether several files make up one day of an append table. -#}
{% macro has_parts(source_name, table_name) -%}
    {%- if not execute -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set unique_id = ['source', project_name, source_name, table_name] | join('.') -%}
    {%- set file = graph.sources[unique_id].config.meta.get('file', '') -%}
    {{- return('*' in file or '{part}' in file) -}}
{%- endmacro %}

{% macro load_mode(source_name, table_name) -%}
    {%- set unique_id = ['source', project_name, source_name, table_name] | join('.') -%}
    {%- set load = graph.sources[unique_id].config.meta.get('load') -%}
    {%- if load not in ('snapshot', 'append') -%}
        {{- exceptions.raise_compiler_error(
            unique_id ~ ': meta.load is ' ~ load ~ ', expected snapshot or append; run `cxm contract sync`'
        ) -}}
    {%- endif -%}
    {{- return(load) -}}
{%- endmacro %}
