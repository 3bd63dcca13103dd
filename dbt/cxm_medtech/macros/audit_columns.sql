{#- Where a row came from, the last four columns of every staging model. -#}
{% macro audit_columns() -%}
    _LOAD_TIMESTAMP as loaded_at,
    _BATCH_ID as batch_id,
    _SOURCE_FILENAME as source_filename,
    _SOURCE_ROW_NUMBER as source_row_number
{%- endmacro %}
