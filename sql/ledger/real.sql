-- The newest batch of a source with rows that were not generated and were once in RAW; NULL if none exists.
-- An object that a killed run left in S3 is recorded as undone without rows in RAW, so it does not count.
SELECT MAX(BATCH_ID) AS BATCH_ID
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE
    SOURCE = :1
    AND NOT COALESCE(IS_GENERATED, FALSE)
    AND (STATUS = 'validated' OR (STATUS = 'undone' AND ROWS_LOADED IS NOT NULL))
