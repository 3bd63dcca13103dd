-- The RAW table of a file. Data columns are VARCHAR, so that a bad value fails a rule that names it, not the load.
CREATE TABLE IF NOT EXISTS {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} (
{%- for column in columns %}
    {{ column.name | ident }} VARCHAR COMMENT {{ column.comment | literal }},
{%- endfor %}
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'When COPY began to read the file, in UTC',
    _BATCH_ID VARCHAR COMMENT 'The batch that brought the row, YYYYMMDD_HHMMSS in UTC',
    _SOURCE_FILENAME VARCHAR COMMENT 'Key of the file in the landing bucket',
    _SOURCE_ROW_NUMBER NUMBER(38, 0) COMMENT 'Number of the row in the file, as COPY counts'
)
COMMENT = {{ comment | literal }}
