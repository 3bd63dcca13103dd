-- The newest validated load of each table of a source.
SELECT
    TABLE_NAME,
    BATCH_ID,
    CONTENT_SHA256,
    FILE_RECORDS
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND STATUS = 'validated'
QUALIFY ROW_NUMBER() OVER (PARTITION BY TABLE_NAME ORDER BY BATCH_ID DESC) = 1
