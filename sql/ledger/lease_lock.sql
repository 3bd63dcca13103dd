-- Locks the lease table until the transaction ends, so one run at a time gets past this. The caller counts its rows.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET LOCKED_AT = SYSDATE()
WHERE SOURCE = :1
