-- Loads one batch of one table. FILES names every file, because ABORT_STATEMENT stops for a missing file only if it is
-- named. The scan time is TIMESTAMP_LTZ, which a cast would turn into the session's local time: it becomes UTC first.
-- noqa: disable=AL01,AL03,CP02,RF03,ST06
COPY INTO {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} (
{%- for column in columns %}
    {{ column.name | ident }},
{%- endfor %}
    _LOAD_TIMESTAMP,
    _BATCH_ID,
    _SOURCE_FILENAME,
    _SOURCE_ROW_NUMBER
)
FROM (
    SELECT
{%- for column in columns %}
        t.${{ column.position }},
{%- endfor %}
        CONVERT_TIMEZONE('UTC', METADATA$START_SCAN_TIME)::TIMESTAMP_NTZ,
        {{ batch_id | literal }},
        METADATA$FILENAME,
        METADATA$FILE_ROW_NUMBER
    FROM @{{ database | ident }}.{{ schema | ident }}.{{ stage | ident }}/{{ folder }}/{{ batch_id }}/ t
)
FILES = ({{ files | map('literal') | join(', ') }})
FILE_FORMAT = (FORMAT_NAME = {{ file_format | literal }})
ON_ERROR = ABORT_STATEMENT
{%- if force %}
FORCE = TRUE
{%- endif %}
