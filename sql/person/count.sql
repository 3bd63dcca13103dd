-- How many rows of a table that dbt keeps are a person's; what points at them is bound.
SELECT COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
