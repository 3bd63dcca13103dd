-- Batches of a source without a verdict: their runs ended early.
SELECT DISTINCT BATCH_ID
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND STATUS IN ('landed', 'loaded')
ORDER BY BATCH_ID
