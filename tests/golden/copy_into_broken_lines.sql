-- The RAW table of a file. Data columns are VARCHAR, so that a bad value fails a rule that names it, not the load.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.CLINIC_VISITS_REJECTED (
    VISIT_NO VARCHAR COMMENT 'Visit number: Counts an HCP\'s visits.',
    SITE_CODE VARCHAR COMMENT 'Site code: Where it was.',
    SEEN_AT VARCHAR COMMENT 'Seen at: A path such as C:\\visits stands here now and then.',
    RATING VARCHAR COMMENT 'Rating: From 0 to 10.',
    _RULES VARCHAR COMMENT 'Rules: The rules that the row broke; `record`: it is no record',
    _REJECTED_LINE VARCHAR COMMENT 'Line: Of what is no record, the number of its line in the file',
    _REJECTED_REASON VARCHAR COMMENT 'Reason: Why it is none',
    _REJECTED_TEXT VARCHAR COMMENT 'Text: The line as it stands in the file',
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'When COPY began to read the file, in UTC',
    _BATCH_ID VARCHAR COMMENT 'The batch that brought the row, YYYYMMDD_HHMMSS in UTC',
    _SOURCE_FILENAME VARCHAR COMMENT 'Key of the file in the landing bucket',
    _SOURCE_ROW_NUMBER NUMBER(38, 0) COMMENT 'Number of the row in the file, as COPY counts'
)
COMMENT = 'Visit, set aside: One row for each visit\nand site.';

-- Loads one batch of one table. FILES names every file, because ABORT_STATEMENT stops for a missing file only if it is
-- named. The scan time is TIMESTAMP_LTZ, which a cast would turn into the session's local time: it becomes UTC first.
-- noqa: disable=AL01,AL03,CP02,RF03,ST06
COPY INTO CXM_MEDTECH.RAW.CLINIC_VISITS_REJECTED (
    _RULES,
    _REJECTED_LINE,
    _REJECTED_REASON,
    _REJECTED_TEXT,
    _LOAD_TIMESTAMP,
    _BATCH_ID,
    _SOURCE_FILENAME,
    _SOURCE_ROW_NUMBER
)
FROM (
    SELECT
        t.$1,
        t.$2,
        t.$3,
        t.$4,
        CONVERT_TIMEZONE('UTC', METADATA$START_SCAN_TIME)::TIMESTAMP_NTZ,
        '20261122_101500',
        METADATA$FILENAME,
        METADATA$FILE_ROW_NUMBER
    FROM @CXM_MEDTECH.RAW.CLINIC_STAGE/visits_list/20261122_101500/ t
)
FILES = ('visits_list.broken.csv.zst')
FILE_FORMAT = (FORMAT_NAME = 'CXM_MEDTECH.RAW.CSV_FORMAT')
ON_ERROR = ABORT_STATEMENT
