-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- table CXM_MEDTECH.RAW.T_KITS: does not exist
-- The RAW table of a file. Data columns are VARCHAR, so that a bad value fails a rule that names it, not the load.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.T_KITS (
    KIT_ID VARCHAR COMMENT 'Kit_Id: The row\'s kit_id',
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'When COPY began to read the file, in UTC',
    _BATCH_ID VARCHAR COMMENT 'The batch that brought the row, YYYYMMDD_HHMMSS in UTC',
    _SOURCE_FILENAME VARCHAR COMMENT 'Key of the file in the landing bucket',
    _SOURCE_ROW_NUMBER NUMBER(38, 0) COMMENT 'Number of the row in the file, as COPY counts'
)
COMMENT = 'Kit: A kit';

-- Plan: 1 to create, 58 unchanged.
