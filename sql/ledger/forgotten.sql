-- Records the persons whose rows `cxm forget` deletes: one row for each value, as a keyed hash, never the value itself.
-- noqa: disable=AL03
INSERT INTO {{ database | ident }}.RAW.FORGOTTEN (
    REQUEST_ID,
    SOURCE,
    COLUMN_NAME,
    VALUE_HASH,
    PLACES,
    DONE_BY,
    DONE_AS,
    DONE_AT
)
SELECT
    :1,
    :2,
    ENTRY.VALUE:COLUMN_NAME::VARCHAR,
    ENTRY.VALUE:VALUE_HASH::VARCHAR,
    :3,
    :4,
    CURRENT_USER(),
    SYSDATE()
FROM TABLE(FLATTEN(INPUT => PARSE_JSON(:5))) AS ENTRY
