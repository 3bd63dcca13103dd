-- By which values other rows refer to a person's; what points at them is bound.
SELECT DISTINCT
{%- for name in names %}
    {{ name | ident }}{{ ',' if not loop.last }}
{%- endfor %}
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
