-- What became of what one flow run brought: its batch, and each state that its rows are in.
SELECT DISTINCT
    BATCH_ID,
    STATUS
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND FLOW_RUN_ID = :2
