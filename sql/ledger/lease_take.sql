-- The lease goes to a run for so many minutes; with holder NULL it is given back.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET
    BATCH_ID = :2,
    HOLDER = :3,
    FLOW_RUN_ID = :4,
    EXPIRES_AT = DATEADD('minute', :5, SYSDATE())
WHERE SOURCE = :1
