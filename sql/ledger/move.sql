-- Where objects lie now, after they were archived or brought back: a JSON array; a copy has an entity tag of its own.
UPDATE {{ database | ident }}.RAW.LOAD_LEDGER AS LEDGER
SET
    S3_KEY = MOVED.NEW_KEY,
    ETAG = MOVED.ETAG
FROM (
    SELECT
        ENTRY.VALUE:OLD::VARCHAR AS OLD_KEY,
        ENTRY.VALUE:NEW::VARCHAR AS NEW_KEY,
        ENTRY.VALUE:ETAG::VARCHAR AS ETAG
    FROM TABLE(FLATTEN(INPUT => PARSE_JSON(:2))) AS ENTRY
) AS MOVED
WHERE LEDGER.SOURCE = :1 AND LEDGER.S3_KEY = MOVED.OLD_KEY
