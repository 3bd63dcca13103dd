-- The columns of a table; schema and table are bound.
SELECT COLUMN_NAME
FROM {{ database | ident }}.INFORMATION_SCHEMA.COLUMNS
WHERE TABLE_SCHEMA = :1 AND TABLE_NAME = :2
