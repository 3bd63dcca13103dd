{#- RAW text as staging types it. A text that is no value of its type becomes NULL, and the test casts_succeed counts those:
    a view that stopped on one would take every row of the table with it. One macro for each logical type of the contract. -#}

{#- No white space around it, and NULL rather than nothing. TRIM alone takes only blanks away, and comments end in line breaks. -#}
{% macro text(column) -%}
    nullif(trim({{ column }}, ' \t\r\n'), '')
{%- endmacro %}

{% macro integer(column) -%}
    try_cast({{ text(column) }} as number(38, 0))
{%- endmacro %}

{#- Nine places: money needs two, and nine of a degree are a tenth of a millimetre. Never a float, whose sums depend on order. -#}
{% macro number(column) -%}
    try_cast({{ text(column) }} as number(38, 9))
{%- endmacro %}

{#- The formats are spelled out because a session's TIMESTAMP_INPUT_FORMAT could read the same text otherwise. -#}
{% macro timestamp(column) -%}
    try_to_timestamp_ntz({{ text(column) }}, 'YYYY-MM-DD HH24:MI:SS')
{%- endmacro %}

{% macro date(column) -%}
    try_to_date({{ text(column) }}, 'YYYY-MM-DD')
{%- endmacro %}

{% macro boolean(column) -%}
    try_to_boolean({{ text(column) }})
{%- endmacro %}

{#- The macro of a logical type by its name, for tests: dbt finds what a test calls by reading it, so each call is spelled out. -#}
{% macro typed(logical_type, column) -%}
    {%- if logical_type == 'integer' -%} {{ integer(column) }}
    {%- elif logical_type == 'number' -%} {{ number(column) }}
    {%- elif logical_type == 'timestamp' -%} {{ timestamp(column) }}
    {%- elif logical_type == 'date' -%} {{ date(column) }}
    {%- elif logical_type == 'boolean' -%} {{ boolean(column) }}
    {%- else -%} {{ exceptions.raise_compiler_error('no cast for the logical type ' ~ logical_type) }}
    {%- endif -%}
{%- endmacro %}
