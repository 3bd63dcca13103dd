-- Sets the status of a batch's rows, or of those of one table (:5 is its name).
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
