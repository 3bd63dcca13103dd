-- Counts a person's rows by object; the values that identify them are bound.
SELECT
    _SOURCE_FILENAME AS S3_KEY,
    COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
GROUP BY _SOURCE_FILENAME
