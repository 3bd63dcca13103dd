{#- The rows of a source table that passed validation: RAW.OLIST_ORDERS + RAW.LOAD_LEDGER → what staging may read.

    A table loaded as `snapshot` (each file holds everything) gives its newest validated batch; one loaded as `append` gives all
    validated batches. The mode is `meta.load` of the derived source, thus of the contract. A batch that is loaded but not
    yet validated, quarantined or undone is not seen. The choice is made when the view is read, so that a verdict or an
    undo counts at once. Snowflake cannot prune on a subquery while it compiles; written as IN, the filter becomes a semi-join
    on _BATCH_ID, whose few values it pushes into the scan as it runs, and a batch lies in its own micro-partitions. -#}
{% macro published(source_name, table_name) -%}
    {%- set rows = source(source_name, table_name) -%}
    {%- set ledger = source('cxm', 'load_ledger') -%}
    {%- set batches = 'BATCH_ID' -%}
    {%- if execute -%}
        {%- set unique_id = ['source', project_name, source_name, table_name] | join('.') -%}
        {%- set load = graph.sources[unique_id].config.meta.get('load') -%}
        {%- if load == 'snapshot' -%}
            {%- set batches = 'max(BATCH_ID)' -%}
        {%- elif load != 'append' -%}
            {{- exceptions.raise_compiler_error(
                unique_id ~ ': meta.load is ' ~ load ~ ', wanted snapshot or append; run `cxm contract sync`'
            ) -}}
        {%- endif -%}
    {%- endif -%}
    select *
    from {{ rows }}
    where _BATCH_ID in (
        select {{ batches }}
        from {{ ledger }}
        where SOURCE = '{{ source_name }}' and TABLE_NAME = '{{ rows.identifier }}' and STATUS = 'validated'
    )
{%- endmacro %}
