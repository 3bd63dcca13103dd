-- The newest batch of a source with rows that were not generated and that were published once; NULL: there is none.
SELECT MAX(BATCH_ID) AS BATCH_ID
FROM {{ database | ident }}.RAW.LOAD_LEDGER
WHERE SOURCE = :1 AND STATUS IN ('validated', 'undone') AND NOT COALESCE(IS_GENERATED, FALSE)
