-- Every object of a source, in its newest state.
SELECT
    BATCH_ID,
    TABLE_NAME,
    FILE_NAME,
    S3_KEY,
    BYTES,
    STATUS,
    ROWS_LOADED,
    ROWS_SET_ASIDE,
    FINISHED_AT,
    ETAG,
    FILE_RECORDS,
    FILE_COLUMNS,
    FILE_DIALECT
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND S3_KEY IS NOT NULL
ORDER BY S3_KEY
