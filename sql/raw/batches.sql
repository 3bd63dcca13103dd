-- The number of rows of each batch in each table.
{% for table in tables %}
SELECT
    {{ table | literal }} AS TABLE_NAME,
    _BATCH_ID AS BATCH_ID,
    COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.RAW.{{ table | ident }}
GROUP BY _BATCH_ID
{%- if not loop.last %}
UNION ALL
{%- endif %}
{%- endfor %}
