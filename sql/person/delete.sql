-- Deletes a person's rows from a table; the values that identify them are bound.
DELETE FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
