-- The keys of a person's rows, by which other rows refer to them; the values that identify them are bound.
SELECT DISTINCT
{%- for name in names %}
    {{ name | ident }}{{ ',' if not loop.last }}
{%- endfor %}
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
