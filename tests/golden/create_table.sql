-- The RAW table of a file. Data columns are VARCHAR, so that a bad value fails a rule that names it, not the load.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.CLINIC_VISITS (
    VISIT_NO VARCHAR COMMENT 'Visit number: Counts an HCP\'s visits.',
    SITE_CODE VARCHAR COMMENT 'Site code: Where it was.',
    SEEN_AT VARCHAR COMMENT 'Seen at: A path such as C:\\visits stands here now and then.',
    RATING VARCHAR COMMENT 'Rating: From 0 to 10.',
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'When COPY began to read the file, in UTC',
    _BATCH_ID VARCHAR COMMENT 'The batch that brought the row, YYYYMMDD_HHMMSS in UTC',
    _SOURCE_FILENAME VARCHAR COMMENT 'Key of the file in the landing bucket',
    _SOURCE_ROW_NUMBER NUMBER(38, 0) COMMENT 'Number of the row in the file, as COPY counts'
)
COMMENT = 'Visit: One row for each visit\nand site.'
