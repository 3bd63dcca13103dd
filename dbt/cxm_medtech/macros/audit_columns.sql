{#- The audit columns, the last four of every staging model: where a row comes from. -#}
{% macro audit_columns() -%}
    _LOAD_TIMESTAMP as loaded_at,
    _BATCH_ID as batch_id,
    _SOURCE_FILENAME as source_filename,
    _SOURCE_ROW_NUMBER as source_row_number
{%- endmacro %}
