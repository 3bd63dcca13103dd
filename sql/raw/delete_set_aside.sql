-- Deletes from the table the rows of a batch that were set aside; the batch id is bound.
DELETE FROM {{ database | ident }}.RAW.{{ table | ident }}
WHERE
    _BATCH_ID = :1
    AND (_SOURCE_FILENAME, _SOURCE_ROW_NUMBER) IN (
        SELECT
            _SOURCE_FILENAME,
            _SOURCE_ROW_NUMBER
        FROM {{ database | ident }}.RAW.{{ rejected | ident }}
        WHERE _BATCH_ID = :1
    )
