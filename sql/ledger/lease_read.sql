-- Who holds the lease of a source.
SELECT
    BATCH_ID,
    HOLDER,
    FLOW_RUN_ID,
    EXPIRES_AT,
    COALESCE(EXPIRES_AT > SYSDATE(), FALSE) AS LIVES
FROM {{ database | ident }}.RAW.LOAD_LEASE
WHERE SOURCE = :1
