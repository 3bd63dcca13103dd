-- The newest validated load of each file of a source; the objects of a split file are added up.
-- Loads without a sequence, which older versions wrote, count as older than all others, in the order of their ids.
SELECT
    TABLE_NAME,
    FILE_NAME,
    BATCH_ID,
    CONTENT_SHA256,
    MAX(COALESCE(BATCH_SEQUENCE, 0)) AS BATCH_SEQUENCE,
    MAX(FILE_COLUMNS) AS FILE_COLUMNS,
    MAX(FILE_DIALECT) AS FILE_DIALECT,
    SUM(FILE_RECORDS) AS FILE_RECORDS
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND STATUS = 'validated'
GROUP BY TABLE_NAME, FILE_NAME, BATCH_ID, CONTENT_SHA256
QUALIFY
    ROW_NUMBER() OVER (
        PARTITION BY TABLE_NAME, FILE_NAME ORDER BY MAX(COALESCE(BATCH_SEQUENCE, 0)) DESC, BATCH_ID DESC
    ) = 1
