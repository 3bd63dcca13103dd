{#- Fails if a value is outside the contract's limits, which are inclusive. One scan for all columns; `limits` is column →
    min, max. -#}
{% test within_limits(model, limits) %}
with outside as (
    select
        {%- for column, limit in limits.items() %}
        count_if(
            {%- if limit.min is defined %}{{ column }} < {{ limit.min }}{% endif -%}
            {%- if limit.min is defined and limit.max is defined %} or {% endif -%}
            {%- if limit.max is defined %}{{ column }} > {{ limit.max }}{% endif -%}
        ) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
)

select {{ limits | join(', ') }}
from outside
where {% for column in limits %}{{ column }} > 0{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}
