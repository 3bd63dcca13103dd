-- Gives the lease to a run for a number of seconds; with holder NULL the lease is given back.
-- The batches to recover are a JSON array of batch ids.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET
    TOKEN = :2,
    BATCH_ID = :3,
    HOLDER = :4,
    FLOW_RUN_ID = :5,
    EXPIRES_AT = IFF(:4 IS NULL, NULL, DATEADD('second', :6, SYSDATE())),
    TO_RECOVER = :7
WHERE SOURCE = :1
