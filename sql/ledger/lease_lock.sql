-- Takes the lease table's lock until the transaction ends: one run at a time gets past this. Its rows are counted.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET LOCKED_AT = SYSDATE()
WHERE SOURCE = :1
