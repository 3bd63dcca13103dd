{#- RAW text as staging types it. A text that is no value of its type becomes NULL, and the test casts_succeed counts those:
    a view that stopped on one would take every row of the table with it. One macro for each logical type of the contract; what
    they take besides the column is said by the contract's dialect and by the column's format. -#}

{#- No white space around it, and NULL rather than nothing. TRIM alone takes only blanks away, and comments end in line breaks. -#}
{% macro text(column) -%}
    nullif(trim({{ column }}, ' \t\r\n'), '')
{%- endmacro %}

{#- A number's text as SQL writes it. With a decimal comma, points part thousands, in groups of three and in no other way: a 1.5
    from elsewhere is no number, and never 15. No braces: Great Expectations takes them for places to fill. -#}
{% macro digits(column, decimal='.') -%}
    {%- if decimal == '.' -%}
    {{ text(column) }}
    {%- else -%}
    iff(
        regexp_like({{ text(column) }}, '[-+]?([0-9][0-9]?[0-9]?([.][0-9][0-9][0-9])+|[0-9]*)(,[0-9]*)?([eE][-+]?[0-9]+)?'),
        replace(replace({{ text(column) }}, '.', ''), ',', '.'),
        null
    )
    {%- endif -%}
{%- endmacro %}

{% macro integer(column, decimal='.') -%}
    try_cast({{ digits(column, decimal) }} as number(38, 0))
{%- endmacro %}

{#- Nine places: money needs two, and nine of a degree are a tenth of a millimetre. Never a float, whose sums depend on order. -#}
{% macro number(column, decimal='.') -%}
    try_cast({{ digits(column, decimal) }} as number(38, 9))
{%- endmacro %}

{#- The formats are spelled out because a session's TIMESTAMP_INPUT_FORMAT could read the same text otherwise. -#}
{% macro timestamp(column, format='YYYY-MM-DD HH24:MI:SS') -%}
    try_to_timestamp_ntz({{ text(column) }}, '{{ format }}')
{%- endmacro %}

{% macro date(column, format='YYYY-MM-DD') -%}
    try_to_date({{ text(column) }}, '{{ format }}')
{%- endmacro %}

{#- `words`: pairs of the words for yes and no; without them true and false. -#}
{% macro boolean(column, words=[]) -%}
    {%- if words -%}
    case {{ text(column) }}
        {%- for yes, no in words %} when '{{ yes }}' then true when '{{ no }}' then false{% endfor %} end
    {%- else -%}
    try_to_boolean({{ text(column) }})
    {%- endif -%}
{%- endmacro %}

{#- The macro of a logical type by its name, for tests: dbt finds what a test calls by reading it, so each call is spelled out.
    `how`: what the macro takes besides the column. -#}
{% macro typed(logical_type, column, how={}) -%}
    {%- if logical_type == 'integer' -%} {{ integer(column, **how) }}
    {%- elif logical_type == 'number' -%} {{ number(column, **how) }}
    {%- elif logical_type == 'timestamp' -%} {{ timestamp(column, **how) }}
    {%- elif logical_type == 'date' -%} {{ date(column, **how) }}
    {%- elif logical_type == 'boolean' -%} {{ boolean(column, **how) }}
    {%- else -%} {{ exceptions.raise_compiler_error('no cast for the logical type ' ~ logical_type) }}
    {%- endif -%}
{%- endmacro %}
