-- The number of rows of one batch; the batch id is bound.
SELECT COUNT(*) AS ROW_COUNT
FROM {{ database | ident }}.RAW.{{ table | ident }}
WHERE _BATCH_ID = :1
