-- Profiles a batch of one table: its rows, and for each column the values and about how many different ones.
SELECT
    _BATCH_ID AS BATCH_ID,
    COUNT(*) AS ROW_COUNT
{%- for column in columns %},
    COUNT({{ column.name | ident }}) AS {{ ("C" ~ column.position) | ident }}
{%- endfor %}
{%- for column in listed %},
    APPROX_COUNT_DISTINCT({{ column.name | ident }}) AS {{ ("D" ~ column.position) | ident }}
{%- endfor %}
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE _BATCH_ID IN (:1, :2)
GROUP BY _BATCH_ID
