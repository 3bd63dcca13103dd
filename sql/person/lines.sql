-- Broken lines, which are not CSV records, as they are in their files.
SELECT
    _SOURCE_FILENAME,
    _SOURCE_ROW_NUMBER,
    _REJECTED_TEXT
FROM {{ database | ident }}.{{ schema | ident }}.{{ table | ident }}
WHERE _REJECTED_TEXT IS NOT NULL
