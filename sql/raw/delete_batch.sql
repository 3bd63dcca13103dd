-- Deletes a batch's rows from a table; call it in one transaction with the change of its ledger rows.
DELETE FROM {{ database | ident }}.RAW.{{ table | ident }}
WHERE _BATCH_ID = :1
