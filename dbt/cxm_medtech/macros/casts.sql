{#- Casts of RAW text for staging: one macro for each logical type of the contract. A text that is no value of its type becomes
    NULL, because an error would fail the whole view; the test casts_succeed counts those texts. The other arguments come from
    the contract's dialect and the column's format. -#}

{#- The text without white space around it, NULL if empty. TRIM alone removes only blanks, and comments end in line breaks. -#}
{% macro text(column) -%}
    nullif(trim({{ column }}, ' \t\r\n'), '')
{%- endmacro %}

{#- A number's text in SQL's form. With a decimal comma, points may only separate groups of three digits: 1.5 is no number
    then, and never 15. The patterns have no braces, which Great Expectations would take for placeholders. -#}
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

{#- Nine decimal places: money needs two, and a billionth of a degree is a tenth of a millimetre. Not FLOAT, whose sums depend
    on the order of the rows. -#}
{% macro number(column, decimal='.') -%}
    try_cast({{ digits(column, decimal) }} as number(38, 9))
{%- endmacro %}

{#- The formats are explicit because a session's TIMESTAMP_INPUT_FORMAT could read the same text differently. -#}
{% macro timestamp(column, format='YYYY-MM-DD HH24:MI:SS') -%}
    try_to_timestamp_ntz({{ text(column) }}, '{{ format }}')
{%- endmacro %}

{% macro date(column, format='YYYY-MM-DD') -%}
    try_to_date({{ text(column) }}, '{{ format }}')
{%- endmacro %}

{#- `words`: pairs of the words for yes and no; by default true and false. -#}
{% macro boolean(column, words=[]) -%}
    {%- if words -%}
    case {{ text(column) }}
        {%- for yes, no in words %} when '{{ yes }}' then true when '{{ no }}' then false{% endfor %} end
    {%- else -%}
    try_to_boolean({{ text(column) }})
    {%- endif -%}
{%- endmacro %}

{#- Calls the macro of a logical type, for tests. dbt finds dependencies by parsing, so each call is written out.
    `how`: the macro's arguments besides the column. -#}
{% macro typed(logical_type, column, how={}) -%}
    {%- if logical_type == 'integer' -%} {{ integer(column, **how) }}
    {%- elif logical_type == 'number' -%} {{ number(column, **how) }}
    {%- elif logical_type == 'timestamp' -%} {{ timestamp(column, **how) }}
    {%- elif logical_type == 'date' -%} {{ date(column, **how) }}
    {%- elif logical_type == 'boolean' -%} {{ boolean(column, **how) }}
    {%- else -%} {{ exceptions.raise_compiler_error('no cast for the logical type ' ~ logical_type) }}
    {%- endif -%}
{%- endmacro %}
