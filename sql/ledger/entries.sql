-- The rows of one batch, or of one table in it.
SELECT
    TABLE_NAME,
    FILE_NAME,
    S3_KEY,
    BYTES,
    CONTENT_SHA256,
    FILE_RECORDS,
    ROWS_LOADED,
    STATUS,
    FIRST_ERROR,
    COPY_QUERY_ID,
    FLOW_RUN_ID,
    IS_GENERATED,
    ETAG,
    FILE_COLUMNS
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND BATCH_ID = :2
ORDER BY TABLE_NAME, S3_KEY
