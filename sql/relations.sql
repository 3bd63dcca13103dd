-- The tables and views of the database, as SCHEMA.NAME, with the number of rows of tables.
SELECT
    ROW_COUNT,
    TABLE_SCHEMA || '.' || TABLE_NAME AS RELATION
FROM {{ database | ident }}.INFORMATION_SCHEMA.TABLES
WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'
