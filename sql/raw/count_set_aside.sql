-- The number of rows set aside from each object of a batch, by rules; the batch id is bound.
SELECT
    _SOURCE_FILENAME AS S3_KEY,
    _RULES AS RULES,
    COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.RAW.{{ rejected | ident }}
WHERE _BATCH_ID = :1
GROUP BY _SOURCE_FILENAME, _RULES
