-- The batches that a flow run loaded, with the statuses of their rows now.
SELECT DISTINCT
    BATCH_ID,
    STATUS
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND FLOW_RUN_ID = :2
