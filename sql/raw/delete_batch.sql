-- A batch's rows go from a table; in one transaction with its ledger rows.
DELETE FROM {{ database | ident }}.RAW.{{ table | ident }}
WHERE _BATCH_ID = :1
