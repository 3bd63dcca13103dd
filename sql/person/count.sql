-- Counts a person's rows in a table that dbt has built; the values that identify them are bound.
SELECT COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
