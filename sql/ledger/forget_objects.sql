-- Records that the objects of a trial were deleted from S3.
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER
SET
    S3_KEY = NULL,
    ETAG = NULL
WHERE SOURCE = :1 AND BATCH_ID = :2 AND STATUS = 'trial'
