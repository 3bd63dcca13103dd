-- Objects under raw/ whose batch has a verdict and ended more than :2 days ago.
SELECT
    BATCH_ID,
    S3_KEY,
    BYTES,
    ETAG
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE
    SOURCE = :1
    AND S3_KEY LIKE 'raw/%'
    AND STATUS IN ('validated', 'quarantined', 'undone')
    AND FINISHED_AT < DATEADD('day', 0 - :2, SYSDATE())
ORDER BY S3_KEY
