-- Adds columns that the contract has and the table lacks; nothing else changes. IF NOT EXISTS applies to one column.
ALTER TABLE CXM_MEDTECH.RAW.CLINIC_VISITS ADD COLUMN
    IF NOT EXISTS WARD_S_NO VARCHAR COMMENT 'Came with visits_list.csv as Ward\'s no';

-- Loads one batch of one table. FILES names every file, because ABORT_STATEMENT stops for a missing file only if it is
-- named. The scan time is TIMESTAMP_LTZ, which a cast would turn into the session's local time: it becomes UTC first.
-- noqa: disable=AL01,AL03,CP02,RF03,ST06
COPY INTO CXM_MEDTECH.RAW.CLINIC_VISITS (
    RATING,
    WARD_S_NO,
    VISIT_NO,
    SITE_CODE,
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
FILES = ('visits_list.csv')
FILE_FORMAT = (FORMAT_NAME = 'CXM_MEDTECH.RAW.CSV_FORMAT')
ON_ERROR = ABORT_STATEMENT
