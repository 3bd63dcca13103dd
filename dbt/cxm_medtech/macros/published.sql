{#- The rows of a source table that passed validation: RAW.OLIST_ORDERS + RAW.LOAD_LEDGER → what staging may read.

    A table loaded as `snapshot` (each file holds everything) gives its newest validated batch: the one of the greatest
    sequence, which the load gives; a batch id orders nothing. One loaded as `append` gives of
    each file the newest validated batch, so that a day delivered again replaces that day; where several files make up a day, of
    each day, so that a part which is not delivered again is gone. Both are in the derived source's `meta`, thus the contract's. A batch that is landed, loaded, quarantined or undone is not seen. The choice is made when
    the view is read, so that a verdict or an undo counts at once. Written as IN, the filter becomes a semi-join on
    _BATCH_ID, whose few values Snowflake pushes into the scan as it runs, and a batch lies in its own micro-partitions: of a
    snapshot table one batch is read, however many RAW keeps. -#}
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

{#- The key that COPY read, as RAW keeps it: once maintenance has moved an object, the ledger says archive/ instead of raw/. -#}
{% macro key_in_raw(column) -%}
    regexp_replace({{ column }}, '^archive/', 'raw/')
{%- endmacro %}

{#- The order of a source's batches. Those from before there was a sequence are the oldest, in the order of their ids. -#}
{% macro newest_first() -%}
    coalesce(BATCH_SEQUENCE, 0) desc, BATCH_ID desc
{%- endmacro %}

{#- The RAW table's name, as the ledger has it; a macro of its own because a unit test gives a source another one. -#}
{% macro raw_name(source_name, table_name) -%}
    {{- return(source(source_name, table_name).identifier) -}}
{%- endmacro %}

{#- Whether several files make up a day of an append table. -#}
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
            unique_id ~ ': meta.load is ' ~ load ~ ', wanted snapshot or append; run `cxm contract sync`'
        ) -}}
    {%- endif -%}
    {{- return(load) -}}
{%- endmacro %}
