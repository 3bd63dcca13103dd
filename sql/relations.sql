-- What the database has of tables and views, SCHEMA.NAME, with the rows of tables.
SELECT
    ROW_COUNT,
    TABLE_SCHEMA || '.' || TABLE_NAME AS RELATION
FROM {{ database | ident }}.INFORMATION_SCHEMA.TABLES
WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'
