-- Copies the rows of a batch that break a rule to the table of rows set aside; the rest of the batch is published.
INSERT INTO {{ database | ident }}.RAW.{{ rejected | ident }} (
{%- for column in columns %}
    {{ column.name | ident }},
{%- endfor %}
    _RULES,
    _LOAD_TIMESTAMP,
    _BATCH_ID,
    _SOURCE_FILENAME,
    _SOURCE_ROW_NUMBER
)
SELECT
{%- for column in columns %}
    T.{{ column.name | ident }},
{%- endfor %}
    BROKEN._RULES,
    T._LOAD_TIMESTAMP,
    T._BATCH_ID,
    T._SOURCE_FILENAME,
    T._SOURCE_ROW_NUMBER
FROM {{ database | ident }}.RAW.{{ table | ident }} AS T
INNER JOIN ( -- noqa: ST05
    {{ broken }}
) AS BROKEN
    ON T._SOURCE_FILENAME = BROKEN._SOURCE_FILENAME AND T._SOURCE_ROW_NUMBER = BROKEN._SOURCE_ROW_NUMBER
WHERE T._BATCH_ID = {{ batch_id | literal }}
