{#- A RAW text as staging shows it: no white space around it, and NULL rather than nothing. TRIM alone takes only blanks away, and
    feedback texts end in line breaks. -#}
{% macro text(column) -%}
    nullif(trim({{ column }}, ' \t\r\n'), '')
{%- endmacro %}

{#- The format is spelled out because a session's TIMESTAMP_INPUT_FORMAT could read the same text otherwise. -#}
{% macro timestamp(column) -%}
    try_to_timestamp_ntz(trim({{ column }}), 'YYYY-MM-DD HH24:MI:SS')
{%- endmacro %}
