-- What became of a batch that was loaded.
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER
SET
    STATUS = :1,
    FIRST_ERROR = :2,
    FINISHED_AT = SYSDATE()
WHERE SOURCE = :3 AND BATCH_ID = :4 AND STATUS = 'loaded'
