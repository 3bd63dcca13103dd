-- The newest batch of a source with rows that were not generated and that were in RAW once; NULL: there is none.
-- An object that a killed run left in S3 is noted as undone and had no rows in RAW: nobody knows whose they were.
SELECT MAX(BATCH_ID) AS BATCH_ID
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE
    SOURCE = :1
    AND NOT COALESCE(IS_GENERATED, FALSE)
    AND (STATUS = 'validated' OR (STATUS = 'undone' AND ROWS_LOADED IS NOT NULL))
