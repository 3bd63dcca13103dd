-- A person's rows go from a table; what points at them is bound.
DELETE FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
