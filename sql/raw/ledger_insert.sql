-- One file of one batch, in the same transaction as its COPY. Values are bound.
INSERT INTO {{ database | ident }}.RAW.LOAD_LEDGER (
    BATCH_ID,
    SOURCE,
    TABLE_NAME,
    FILE_NAME,
    S3_KEY,
    BYTES,
    CONTENT_SHA256,
    FILE_RECORDS,
    ROWS_PARSED,
    ROWS_LOADED,
    STATUS,
    FIRST_ERROR,
    COPY_QUERY_ID,
    FLOW_RUN_ID,
    FLOW_RUN_URL,
    STARTED_AT,
    FINISHED_AT
)
VALUES (:1, :2, :3, :4, :5, :6, :7, :8, :9, :10, :11, :12, :13, :14, :15, :16, SYSDATE())
