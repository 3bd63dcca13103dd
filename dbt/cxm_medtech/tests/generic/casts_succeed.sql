{#- Fails if a cast turns a published text of RAW into NULL. One scan for all columns; `columns` is RAW column → logical type,
    or its `type` and `how` (the cast's other arguments). Returns one row, with the failures of each column, or none. -#}
{% test casts_succeed(model, source, table, columns) %}
-- depends_on: {{ model }}
with published as (
    {{ published(source, table) }}
),

failures as (
    select
        {%- for column, cast in columns.items() %}
        {%- set kind = cast if cast is string else cast['type'] %}
        {%- set how = {} if cast is string else cast['how'] %}
        count_if({{ text(column) }} is not null and {{ typed(kind, column, how) }} is null) as {{ column | lower }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from published
)

select {{ columns | join(', ') | lower }}
from failures
where {% for column in columns %}{{ column | lower }} > 0{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}
