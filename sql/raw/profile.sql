-- How many rows a batch of one table has, and how many of them have a value in each column.
SELECT
    _BATCH_ID AS BATCH_ID,
    COUNT(*) AS ROW_COUNT
{%- for column in columns %},
    COUNT({{ column.name | ident }}) AS {{ ("C" ~ column.position) | ident }}
{%- endfor %}
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE _BATCH_ID IN (:1, :2)
GROUP BY _BATCH_ID
