-- The ledger's row of one table in one batch, if this batch has loaded it before.
SELECT
    STATUS,
    ROWS_LOADED,
    COPY_QUERY_ID,
    CONTENT_SHA256
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND BATCH_ID = :2 AND TABLE_NAME = :3
