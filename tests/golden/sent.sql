-- The objects, bytes and requests sent to S3 in the last days, by table and batch. An object up to the size of a part
-- is one PUT; a larger one is a request to begin, one for each part, and one to complete.
SELECT
    SOURCE,
    BATCH_ID,
    TABLE_NAME,
    COUNT(*) AS OBJECT_COUNT,
    SUM(BYTES) AS BYTES,
    SUM(IFF(BYTES <= 6291456, 1, CEIL(BYTES / 6291456) + 2)) AS REQUESTS
FROM CXM_MEDTECH.RAW.LOAD_LEDGER
WHERE
    S3_KEY IS NOT NULL
    AND COALESCE(:1, SOURCE) = SOURCE
    AND STARTED_AT >= DATEADD(DAY, -:2, SYSDATE())
GROUP BY SOURCE, BATCH_ID, TABLE_NAME
ORDER BY SOURCE, BATCH_ID, TABLE_NAME
