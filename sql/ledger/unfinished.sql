-- Batches of a source that no verdict was written for: their runs ended early.
SELECT DISTINCT BATCH_ID
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND STATUS IN ('landed', 'loaded')
ORDER BY BATCH_ID
