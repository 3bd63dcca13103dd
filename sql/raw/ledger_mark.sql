-- What became of a batch that was loaded.
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER
SET
    STATUS = %s,
    FIRST_ERROR = %s,
    FINISHED_AT = SYSDATE()
WHERE SOURCE = %s AND BATCH_ID = %s AND STATUS = 'loaded'
