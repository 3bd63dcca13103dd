-- The lease of a source. Run it after lease_lock.sql, in the same transaction: a statement sees what was committed
-- before it began.
SELECT
    BATCH_ID,
    HOLDER,
    FLOW_RUN_ID,
    EXPIRES_AT,
    LOCKED_AT,
    COALESCE(TOKEN, 0) AS TOKEN,
    COALESCE(TO_RECOVER, '[]') AS TO_RECOVER,
    COALESCE(EXPIRES_AT > SYSDATE(), FALSE) AS LIVES
FROM {{ database | ident }}.RAW.LOAD_LEASE
WHERE SOURCE = :1
