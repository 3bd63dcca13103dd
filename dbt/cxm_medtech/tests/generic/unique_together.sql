{#- Fails if two rows have the same values in `columns`, a key of several columns. As in dbt's own `unique`, and in the
    contract's rule, NULL equals nothing. -#}
{% test unique_together(model, columns) %}
select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ model }}
where {% for column in columns %}{{ column }} is not null{{ ' and ' if not loop.last }}{% endfor %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
