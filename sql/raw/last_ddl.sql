-- How many tables and views the RAW schemas have, and when one of them was last created or altered. Rows do not count.
-- https://docs.snowflake.com/en/sql-reference/info-schema/tables
SELECT
    COUNT(*) AS TABLE_COUNT,
    MAX(LAST_DDL) AS LAST_DDL
FROM {{ database | ident }}.INFORMATION_SCHEMA.TABLES
WHERE TABLE_SCHEMA IN ({{ schemas | map('literal') | join(', ') }})
