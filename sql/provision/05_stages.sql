-- A file format for each dialect in use, and a stage for each source.
USE ROLE SYSADMIN;
{% for file_format, dialect in file_formats.items() %}
CREATE FILE FORMAT IF NOT EXISTS {{ database | ident }}.RAW.{{ file_format | ident }}
    TYPE = CSV
    FIELD_DELIMITER = {{ dialect.delimiter | literal }}
{%- if dialect.line_end == 'cr' %}
    RECORD_DELIMITER = '\r'
{%- endif %}
    SKIP_HEADER = {{ 1 if dialect.sends_header else 0 }}
    NULL_IF = ({{ ([''] + (dialect.nulls | list)) | map('literal') | join(', ') }})
    FIELD_OPTIONALLY_ENCLOSED_BY = {{ dialect.quote | literal if dialect.quote else 'NONE' }}
{%- if dialect.escape and dialect.quote %}
    ESCAPE_UNENCLOSED_FIELD = {{ dialect.escape | literal }}
    ESCAPE = {{ dialect.escape | literal }}
{%- elif dialect.escape %}
    ESCAPE_UNENCLOSED_FIELD = {{ dialect.escape | literal }}
    ESCAPE = NONE
{%- else %}
    -- Snowflake's default escape outside quotes is the backslash, which would drop a \ in free text.
    ESCAPE_UNENCLOSED_FIELD = NONE
    -- Inside quotes only a doubled quote escapes, as RFC 4180 and Python's csv module write it.
    ESCAPE = NONE
{%- endif %}
    -- Landing sends UTF-8, whatever a file is written in; this keeps COPY from guessing.
    ENCODING = 'UTF8'
    -- The translation file begins with a byte-order mark, which is not part of the first header.
    SKIP_BYTE_ORDER_MARK = TRUE
    -- Spaces are data: RAW keeps them, staging trims them.
    TRIM_SPACE = FALSE
    -- An empty field is NULL, quoted or not, as NULL_IF says.
    EMPTY_FIELD_AS_NULL = TRUE
    -- A blank line is a broken record, which must not be skipped silently; landing refuses it.
    SKIP_BLANK_LINES = FALSE
    -- A byte that is not UTF-8 fails the load instead of becoming a replacement character.
    REPLACE_INVALID_CHARACTERS = FALSE
    -- COPY recognizes the compression by the key's ending: .csv.zst, .csv.gz or .csv.
    COMPRESSION = AUTO
    COMMENT = {{ dialect.format_comment | literal }};
{% endfor -%}
{% for source in sources %}
CREATE STAGE IF NOT EXISTS {{ database | ident }}.RAW.{{ source.stage | ident }}
    URL = {{ ('s3://' ~ bucket ~ '/raw/' ~ source.name ~ '/') | literal }}
    STORAGE_INTEGRATION = {{ integration | ident }}
    FILE_FORMAT = (FORMAT_NAME = {{ (database ~ '.RAW.' ~ source.file_format) | literal }})
    COMMENT = {{ ('Landing zone of ' ~ source.name) | literal }};
{% endfor -%}
