{#- Incremental models over append tables: they read only the batches that they do not have yet.

    Batches are not only added: one can be undone, or replaced when its day is delivered again, and a delivery can correct a row
    of an earlier day. So each build compares the ledger's published batches with those of the model (batches_to_read):
    - only new batches: their ids and their earliest possible _LOAD_TIMESTAMP become literals in the query, by which Snowflake
      prunes at compile time;
    - a batch of the model is no longer published: all batches are read, because the row that it had overwritten may be in any
      of them.
    The strategy replace_batches then deletes rows that are no longer published and merges the rest by key, in one
    transaction. -#}

{#- A condition on batch_id and loaded_at, for the WHERE of such a model; `tables` is a list of (source, table). It checks for a
    full refresh before it looks for the model, so that `dbt compile --full-refresh` needs no warehouse. -#}
{% macro batches_to_read(tables) -%}
    {%- if not execute or should_full_refresh() or not is_incremental() -%}
        {{- return('true') -}}
    {%- endif -%}
    {%- set differences -%}
        with published as (
            {%- for source_name, table_name in tables %}
            select
                objects.BATCH_ID,
                objects.S3_KEY,
                ledger.STARTED_AT
            from (
                {{ published_objects(source_name, table_name) }}
            ) as objects
            inner join {{ source('cxm', 'load_ledger') }} as ledger
                on objects.BATCH_ID = ledger.BATCH_ID and objects.S3_KEY = {{ key_in_raw('ledger.S3_KEY') }}
            where ledger.FILE_RECORDS > 0
            {{ 'union all' if not loop.last }}
            {%- endfor %}
        ),

        held as (
            select distinct
                batch_id,
                source_filename
            from {{ this }}
        )

        select
            published.BATCH_ID,
            -- The ledger's times are the loader's: its clock differs from the warehouse's by less than a day.
            to_varchar(dateadd(day, -1, published.STARTED_AT), 'YYYY-MM-DD HH24:MI:SS') as earliest
        from published
        full outer join held on published.BATCH_ID = held.batch_id and published.S3_KEY = held.source_filename
        where published.BATCH_ID is null or held.batch_id is null
    {%- endset -%}
    {%- set rows = run_query(differences).rows -%}
    {%- set new = rows | map(attribute=0) | unique | list -%}
    {%- if none in new -%}
        {{- return('true') -}}
    {%- elif not new -%}
        {{- return('false') -}}
    {%- endif -%}
    {{- return("batch_id in ('" ~ new | sort | join("', '") ~ "') and loaded_at >= '" ~ (rows | map(attribute=1) | min) ~ "'::timestamp_ntz") -}}
{%- endmacro %}

{#- Later deliveries win: by the day in the file's name, then by batch, then by row. -#}
{% macro delivery_order(relation='') -%}
    {%- set at = relation ~ '.' if relation else '' -%}
    split_part({{ at }}source_filename, '/', -1) || ' ' || {{ at }}batch_id
{%- endmacro %}

{#- The strategy; dbt finds it by the macro's name. The model's config meta.tables names its (source, table) pairs. -#}
{% macro get_incremental_replace_batches_sql(arg_dict) -%}
    {%- set target_relation = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | list -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set dml -%}
    delete from {{ target_relation }}
    where (batch_id, source_filename) not in (
        {%- for source_name, table_name in config.get('meta')['tables'] %}
        select objects.BATCH_ID, objects.S3_KEY from (
        {{ published_objects(source_name, table_name) }}
        ) as objects
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    );

    merge into {{ target_relation }} as held
    using {{ arg_dict['temp_relation'] }} as brought
        on held.{{ key }} = brought.{{ key }}
    when matched and {{ delivery_order('brought') }} >= {{ delivery_order('held') }} then update set
        {%- for column in columns %}
        {{ column }} = brought.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    when not matched then insert ({{ columns | join(', ') }})
    values (brought.{{ columns | join(', brought.') }})
    {%- endset -%}
    {{- return(snowflake_dml_explicit_transaction(dml)) -}}
{%- endmacro %}
