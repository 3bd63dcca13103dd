-- The ledger's rows of one table in one batch, and its rows in RAW.
SELECT
    ledger.STATUS,
    ledger.ROWS_LOADED,
    ledger.COPY_QUERY_ID,
    ledger.CONTENT_SHA256
FROM {{ database | ident }}.RAW.LOAD_LEDGER AS ledger
WHERE ledger.SOURCE = %s AND ledger.BATCH_ID = %s AND ledger.TABLE_NAME = %s
