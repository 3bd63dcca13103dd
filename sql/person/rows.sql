-- How many rows of each object are a person's; what points at them is bound.
SELECT
    _SOURCE_FILENAME AS S3_KEY,
    COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE {{ condition }}
GROUP BY _SOURCE_FILENAME
