-- Rows of a batch that break a rule go to the table of those set aside; what is left of the batch is published.
INSERT INTO CXM_MEDTECH.RAW.CLINIC_VISITS_REJECTED (
    VISIT_NO,
    SITE_CODE,
    SEEN_AT,
    RATING,
    _RULES,
    _LOAD_TIMESTAMP,
    _BATCH_ID,
    _SOURCE_FILENAME,
    _SOURCE_ROW_NUMBER
)
SELECT
    T.VISIT_NO,
    T.SITE_CODE,
    T.SEEN_AT,
    T.RATING,
    BROKEN._RULES,
    T._LOAD_TIMESTAMP,
    T._BATCH_ID,
    T._SOURCE_FILENAME,
    T._SOURCE_ROW_NUMBER
FROM CXM_MEDTECH.RAW.CLINIC_VISITS AS T
INNER JOIN ( -- noqa: ST05
    SELECT * FROM (SELECT r._SOURCE_FILENAME, r._SOURCE_ROW_NUMBER, SUBSTR(IFF(r.SITE_CODE IS NOT NULL AND r.VISIT_NO__VALUE IS NOT NULL AND COUNT(*) OVER (PARTITION BY r.SITE_CODE, r.VISIT_NO__VALUE) > 1, '; unique(SITE_CODE, VISIT_NO)', '') || IFF(r.VISIT_NO IS NULL, '; not_null(VISIT_NO)', '') || IFF(r.VISIT_NO__UNREAD IS NOT NULL, '; number(VISIT_NO)', '') || IFF((r.VISIT_NO__VALUE < 1.0), '; between(VISIT_NO)', '') || IFF(r.SITE_CODE IS NULL, '; not_null(SITE_CODE)', '') || IFF(REGEXP_COUNT(r.SITE_CODE, '^[A-Z]{3}$') = 0, '; regex(SITE_CODE)', '') || IFF(r.SEEN_AT__UNREAD IS NOT NULL, '; timestamp(SEEN_AT)', '') || IFF(r.RATING__UNREAD IS NOT NULL, '; number(RATING)', '') || IFF((r.RATING__VALUE > 10.0), '; between(RATING)', ''), 3) AS _RULES FROM (SELECT t.* REPLACE (nullif(trim(t.VISIT_NO, ' \t\r\n'), '') AS VISIT_NO, nullif(trim(t.SITE_CODE, ' \t\r\n'), '') AS SITE_CODE, nullif(trim(t.SEEN_AT, ' \t\r\n'), '') AS SEEN_AT, nullif(trim(t.RATING, ' \t\r\n'), '') AS RATING), IFF(try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0)) IS NULL OR try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0)) IS DISTINCT FROM try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 9)) OR ABS(try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0))) >= 100000000000000000000000000000, NULL, try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0))) AS VISIT_NO__VALUE, IFF(try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0)) IS NULL OR try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0)) IS DISTINCT FROM try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 9)) OR ABS(try_cast(nullif(trim(t.VISIT_NO, ' \t\r\n'), '') as number(38, 0))) >= 100000000000000000000000000000, nullif(trim(t.VISIT_NO, ' \t\r\n'), ''), NULL) AS VISIT_NO__UNREAD, IFF(try_to_timestamp_ntz(nullif(trim(t.SEEN_AT, ' \t\r\n'), ''), 'YYYY-MM-DD HH24:MI:SS') IS NULL OR LENGTH(nullif(trim(t.SEEN_AT, ' \t\r\n'), '')) <> 19 OR YEAR(try_to_timestamp_ntz(nullif(trim(t.SEEN_AT, ' \t\r\n'), ''), 'YYYY-MM-DD HH24:MI:SS')) < 1582, nullif(trim(t.SEEN_AT, ' \t\r\n'), ''), NULL) AS SEEN_AT__UNREAD, IFF(try_cast(nullif(trim(t.RATING, ' \t\r\n'), '') as number(38, 9)) IS NULL OR ABS(try_cast(nullif(trim(t.RATING, ' \t\r\n'), '') as number(38, 9))) >= 100000000000000000000, NULL, try_cast(nullif(trim(t.RATING, ' \t\r\n'), '') as number(38, 9))) AS RATING__VALUE, IFF(try_cast(nullif(trim(t.RATING, ' \t\r\n'), '') as number(38, 9)) IS NULL OR ABS(try_cast(nullif(trim(t.RATING, ' \t\r\n'), '') as number(38, 9))) >= 100000000000000000000, nullif(trim(t.RATING, ' \t\r\n'), ''), NULL) AS RATING__UNREAD FROM RAW.CLINIC_VISITS AS t WHERE t._BATCH_ID = '20261122_101500') AS r) AS judged WHERE judged._RULES <> ''
) AS BROKEN
    ON T._SOURCE_FILENAME = BROKEN._SOURCE_FILENAME AND T._SOURCE_ROW_NUMBER = BROKEN._SOURCE_ROW_NUMBER
WHERE T._BATCH_ID = '20261122_101500'
