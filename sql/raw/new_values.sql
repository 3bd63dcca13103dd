-- Values that a batch has and the batch before lacks, in columns with few values; both batch ids are bound.
{% for column in columns %}
SELECT DISTINCT
    {{ column.name | literal }} AS COLUMN_NAME,
    NEWER.{{ column.name | ident }} AS NEW_VALUE
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} AS NEWER
WHERE
    NEWER._BATCH_ID = :1
    AND NEWER.{{ column.name | ident }} NOT IN (
        SELECT OLDER.{{ column.name | ident }}
        FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} AS OLDER
        WHERE OLDER._BATCH_ID = :2 AND OLDER.{{ column.name | ident }} IS NOT NULL
    )
{%- if not loop.last %}
UNION ALL
{%- endif %}
{%- endfor %}
ORDER BY COLUMN_NAME, NEW_VALUE
