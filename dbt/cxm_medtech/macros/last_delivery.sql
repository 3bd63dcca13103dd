{#- When a table was last delivered, for `loaded_at_query` of a source: RAW.LOAD_LEDGER → one timestamp in UTC, or NULL.

    A published file counts as a delivery; so does one that arrived unchanged (`skipped-unchanged`), as long as the batch with
    the same content is published. For a table with a file for each day, only the newest day counts: an old day delivered again
    makes nothing fresh. It reads STARTED_AT and not FINISHED_AT, because a replay is not a delivery. -#}
{% macro last_delivery(source_name, name_in_raw, by_day=false) -%}
    select max(STARTED_AT) as LAST_DELIVERY
    from (
        select STARTED_AT
        from {{ source('cxm', 'load_ledger') }}
        where
            SOURCE = '{{ source_name }}'
            and TABLE_NAME = '{{ name_in_raw }}'
            and (
                STATUS = 'validated'
                or (
                    STATUS = 'skipped-unchanged'
                    and UNCHANGED_SINCE in (
                        select BATCH_ID
                        from {{ source('cxm', 'load_ledger') }}
                        where SOURCE = '{{ source_name }}' and TABLE_NAME = '{{ name_in_raw }}' and STATUS = 'validated'
                    )
                )
            )
        {%- if by_day %}
        qualify rank() over (order by regexp_substr(FILE_NAME, '[0-9]{4}-[0-9]{2}-[0-9]{2}') desc) = 1
        {%- endif %}
    )
{%- endmacro %}
