-- What the database has of tables and views, SCHEMA.NAME, with the rows of tables.
SELECT
    TABLE_SCHEMA || '.' || TABLE_NAME AS RELATION,
    ROW_COUNT
FROM {{ database | ident }}.INFORMATION_SCHEMA.TABLES
WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'
