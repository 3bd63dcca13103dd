-- Records that the objects of an expired load were deleted from S3.
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER
SET
    S3_KEY = NULL,
    ETAG = NULL,
    FIRST_ERROR = :4
WHERE SOURCE = :1 AND BATCH_ID = :2 AND TABLE_NAME = :3 AND STATUS = 'undone'
