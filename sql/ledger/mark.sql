-- The verdict on a batch, or on one table of it (:5 is then its name).
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER
SET
    STATUS = :3,
    FIRST_ERROR = :4,
    FINISHED_AT = SYSDATE()
WHERE
    SOURCE = :1
    AND BATCH_ID = :2
    AND COALESCE(:5, TABLE_NAME) = TABLE_NAME
    AND STATUS IN ({{ before | map('literal') | join(', ') }})
