-- Snowflake, as ACCOUNTADMIN ------------------------------------------------------------
USE ROLE ACCOUNTADMIN;

-- resource monitor WH_CXM_QUOTA: does not exist
CREATE RESOURCE MONITOR IF NOT EXISTS WH_CXM_QUOTA WITH
    CREDIT_QUOTA = 20
    FREQUENCY = MONTHLY
    START_TIMESTAMP = IMMEDIATELY
    TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND ON 110 PERCENT DO SUSPEND_IMMEDIATE;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- warehouse WH_CXM: does not exist
CREATE WAREHOUSE IF NOT EXISTS WH_CXM
    WAREHOUSE_SIZE = 'XSMALL'
    GENERATION = '1'
    ENABLE_QUERY_ACCELERATION = FALSE
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    STATEMENT_TIMEOUT_IN_SECONDS = 3600
    STATEMENT_QUEUED_TIMEOUT_IN_SECONDS = 600
    COMMENT = 'MedTech-CXM: loads, validation and dbt';

-- Snowflake, as ACCOUNTADMIN ------------------------------------------------------------
USE ROLE ACCOUNTADMIN;

-- resource monitor of WH_CXM: resource monitor: got nothing, expected WH_CXM_QUOTA
ALTER WAREHOUSE WH_CXM SET RESOURCE_MONITOR = WH_CXM_QUOTA;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- database CXM_MEDTECH: does not exist
CREATE DATABASE IF NOT EXISTS CXM_MEDTECH COMMENT = 'MedTech-CXM customer experience';

-- schema CXM_MEDTECH.RAW: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.RAW COMMENT = 'Files as they landed, with batch metadata';

-- schema CXM_MEDTECH.STG: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.STG COMMENT = 'dbt: typed and renamed';

-- schema CXM_MEDTECH.INT: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.INT COMMENT = 'dbt: joins and logic';

-- schema CXM_MEDTECH.MARTS: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.MARTS COMMENT = 'dbt: ready for analysis';

-- schema CXM_MEDTECH.SNAPSHOTS: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.SNAPSHOTS COMMENT = 'dbt: slowly changing dimensions, type 2';

-- schema CXM_MEDTECH.SEEDS: does not exist
CREATE SCHEMA IF NOT EXISTS CXM_MEDTECH.SEEDS COMMENT = 'dbt: static mappings';

-- tag CXM_MEDTECH.RAW.PII: does not exist
-- The tag for personal data, by the contract; on tables and columns, for masking policies and audits.
CREATE TAG IF NOT EXISTS CXM_MEDTECH.RAW.PII
    ALLOWED_VALUES 'indirect', 'direct'
    COMMENT = 'direct: names a person; indirect: points at one together with other data';

-- Snowflake, as USERADMIN ------------------------------------------------------------
USE ROLE USERADMIN;

-- role CXM_LOADER: does not exist
CREATE ROLE IF NOT EXISTS CXM_LOADER COMMENT = 'Writes RAW: COPY INTO and the ledger';

-- role CXM_TRANSFORMER: does not exist
CREATE ROLE IF NOT EXISTS CXM_TRANSFORMER COMMENT = 'Reads RAW, owns STG, INT, MARTS, SNAPSHOTS and SEEDS';

-- role CXM_REPORTER: does not exist
CREATE ROLE IF NOT EXISTS CXM_REPORTER COMMENT = 'Reads MARTS';

-- user CXM_PIPELINE_SVC: does not exist
-- Service users, which log in with a key pair and never a password; `cxm keys create` makes the keys. A session has
-- only the role that it asks for: with secondary roles the loader could do what the transformer may.
CREATE USER IF NOT EXISTS CXM_PIPELINE_SVC
    TYPE = SERVICE
    DEFAULT_ROLE = CXM_LOADER
    DEFAULT_WAREHOUSE = WH_CXM
    DEFAULT_SECONDARY_ROLES = ()
    COMMENT = 'Runs the pipeline: the loader role, and the transformer role for dbt';

-- user CXM_REPORTER_SVC: does not exist
CREATE USER IF NOT EXISTS CXM_REPORTER_SVC
    TYPE = SERVICE
    DEFAULT_ROLE = CXM_REPORTER
    DEFAULT_WAREHOUSE = WH_CXM
    DEFAULT_SECONDARY_ROLES = ()
    COMMENT = 'Reads marts for reports';

-- Snowflake, as SECURITYADMIN ------------------------------------------------------------
USE ROLE SECURITYADMIN;

-- grant CXM_LOADER → SYSADMIN: not granted
GRANT ROLE CXM_LOADER TO ROLE SYSADMIN;

-- grant CXM_TRANSFORMER → SYSADMIN: not granted
GRANT ROLE CXM_TRANSFORMER TO ROLE SYSADMIN;

-- grant CXM_REPORTER → SYSADMIN: not granted
GRANT ROLE CXM_REPORTER TO ROLE SYSADMIN;

-- grant CXM_LOADER → CXM_PIPELINE_SVC: not granted
GRANT ROLE CXM_LOADER TO USER CXM_PIPELINE_SVC;

-- grant CXM_TRANSFORMER → CXM_PIPELINE_SVC: not granted
GRANT ROLE CXM_TRANSFORMER TO USER CXM_PIPELINE_SVC;

-- grant CXM_REPORTER → CXM_REPORTER_SVC: not granted
GRANT ROLE CXM_REPORTER TO USER CXM_REPORTER_SVC;

-- Snowflake, as ACCOUNTADMIN ------------------------------------------------------------
USE ROLE ACCOUNTADMIN;

-- storage integration CXM_S3_INTEGRATION: does not exist
CREATE STORAGE INTEGRATION IF NOT EXISTS CXM_S3_INTEGRATION
    TYPE = EXTERNAL_STAGE
    STORAGE_PROVIDER = 'S3'
    ENABLED = TRUE
    STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/cxm-snowflake-landing'
    STORAGE_ALLOWED_LOCATIONS = ('s3://cxm-medtech-landing-ssen27/raw/')
    COMMENT = 'MedTech-CXM landing bucket';

-- grant CXM_S3_INTEGRATION → SYSADMIN: missing: USAGE
GRANT USAGE ON INTEGRATION CXM_S3_INTEGRATION TO ROLE SYSADMIN;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- file format CXM_MEDTECH.RAW.CSV_FORMAT: does not exist
CREATE FILE FORMAT IF NOT EXISTS CXM_MEDTECH.RAW.CSV_FORMAT
    TYPE = CSV
    FIELD_DELIMITER = ','
    SKIP_HEADER = 1
    NULL_IF = ('', 'null')
    FIELD_OPTIONALLY_ENCLOSED_BY = '"'
    -- Snowflake's default escape outside quotes is the backslash, which would drop a \ in free text.
    ESCAPE_UNENCLOSED_FIELD = NONE
    -- Inside quotes only a doubled quote escapes, as RFC 4180 and Python's csv module write it.
    ESCAPE = NONE
    -- Landing sends UTF-8, whatever a file is written in; this keeps COPY from guessing.
    ENCODING = 'UTF8'
    -- The translation file begins with a byte-order mark, which is not part of the first header.
    SKIP_BYTE_ORDER_MARK = TRUE
    -- Spaces are data: RAW keeps them, staging trims them.
    TRIM_SPACE = FALSE
    -- An empty field is NULL, quoted or not, as NULL_IF says.
    EMPTY_FIELD_AS_NULL = TRUE
    -- A blank line is a broken record, which must not be skipped silently; landing refuses it.
    SKIP_BLANK_LINES = FALSE
    -- A byte that is not UTF-8 fails the load instead of becoming a replacement character.
    REPLACE_INVALID_CHARACTERS = FALSE
    -- COPY recognizes the compression by the key's ending: .csv.zst, .csv.gz or .csv.
    COMPRESSION = AUTO
    COMMENT = 'Comma-separated UTF-8 with a header';

-- stage CXM_MEDTECH.RAW.T_S3_STAGE: does not exist
CREATE STAGE IF NOT EXISTS CXM_MEDTECH.RAW.T_S3_STAGE
    URL = 's3://cxm-medtech-landing-ssen27/raw/t/'
    STORAGE_INTEGRATION = CXM_S3_INTEGRATION
    FILE_FORMAT = (FORMAT_NAME = 'CXM_MEDTECH.RAW.CSV_FORMAT')
    COMMENT = 'Landing zone of t';

-- table CXM_MEDTECH.RAW.LOAD_LEDGER: does not exist
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.LOAD_LEDGER (
    BATCH_ID VARCHAR NOT NULL COMMENT 'YYYYMMDD_HHMMSS in UTC: the flow run''s expected start; a name, no order',
    SOURCE VARCHAR NOT NULL COMMENT 'The contract the file belongs to',
    TABLE_NAME VARCHAR NOT NULL COMMENT 'RAW table',
    FILE_NAME VARCHAR NOT NULL COMMENT 'The source file; a split file has several objects',
    S3_KEY VARCHAR COMMENT 'Object key in the landing bucket; NULL where nothing was sent',
    BYTES NUMBER(38, 0) NOT NULL COMMENT 'Size of the object',
    CONTENT_SHA256 VARCHAR NOT NULL COMMENT 'SHA-256 of the whole source file, hex',
    FILE_RECORDS NUMBER(38, 0) COMMENT 'CSV records in the object; NULL where its run ended before it said',
    ROWS_PARSED NUMBER(38, 0) COMMENT 'As COPY said',
    ROWS_LOADED NUMBER(38, 0) COMMENT 'As COPY said',
    ROWS_SET_ASIDE NUMBER(38, 0) COMMENT 'Of these, rows that broke a rule and went to <TABLE>_REJECTED; NULL: none',
    STATUS VARCHAR NOT NULL COMMENT 'How far it came: landed, loaded, validated … (architecture/loads.md)',
    UNCHANGED_SINCE VARCHAR COMMENT 'For skipped-unchanged: the validated batch with the same content',
    FIRST_ERROR VARCHAR COMMENT 'Why a batch was quarantined or undone',
    COPY_QUERY_ID VARCHAR COMMENT 'Query id of the COPY',
    FLOW_RUN_ID VARCHAR COMMENT 'Prefect flow run',
    FLOW_RUN_URL VARCHAR COMMENT 'Prefect flow run, in the UI',
    IS_GENERATED BOOLEAN COMMENT 'The file was made by `cxm generate`; NULL: its run was older than this column',
    STARTED_AT TIMESTAMP_NTZ NOT NULL COMMENT 'UTC',
    FINISHED_AT TIMESTAMP_NTZ COMMENT 'UTC',
    BATCH_SEQUENCE NUMBER(38, 0) COMMENT 'Order of a source''s batches, the greatest is the newest: the lease''s token',
    ETAG VARCHAR COMMENT 'The object''s entity tag, as S3 gave it when it was written: other bytes have another one',
    FILE_COLUMNS VARCHAR COMMENT 'The file''s header: JSON pairs of a name and its RAW column, null where ignored',
    FILE_DIALECT VARCHAR COMMENT 'What the file is read by: JSON of what differs from RFC 4180 in UTF-8; NULL: nothing',
    COLUMNS_IGNORED NUMBER(38, 0) COMMENT 'Columns of the file that were not loaded',
    COLUMNS_MISSING NUMBER(38, 0) COMMENT 'Columns of the contract that the file lacks: NULL in RAW',
    ROW_LIMIT NUMBER(38, 0) COMMENT 'A trial of the first so many records of the file, never published; NULL: no trial'
)
COMMENT = 'Load ledger: a row turns to loaded in the same transaction as its COPY';

-- table CXM_MEDTECH.RAW.FORGOTTEN: does not exist
-- The persons whose rows `cxm forget` deleted: a row for each value and source, never the value itself. Rows of dbt's
-- tables have a row of their own, written before they are deleted.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.FORGOTTEN (
    REQUEST_ID VARCHAR NOT NULL COMMENT 'YYYYMMDD_HHMMSS in UTC: when `cxm forget` was started',
    SOURCE VARCHAR NOT NULL COMMENT 'The contract whose rows and objects these are',
    COLUMN_NAME VARCHAR NOT NULL COMMENT 'The column by which the person was named: RAW table and column',
    VALUE_HASH VARCHAR NOT NULL COMMENT 'HMAC-SHA256 of column and value, hex, by the key CXM_FORGET_KEY',
    PLACES VARCHAR NOT NULL COMMENT 'JSON: rows taken out of each place, for all values of the request together',
    DONE_BY VARCHAR NOT NULL COMMENT 'user@host who ran the command',
    DONE_AS VARCHAR NOT NULL COMMENT 'Snowflake user',
    DONE_AT TIMESTAMP_NTZ NOT NULL COMMENT 'UTC'
)
COMMENT = 'Persons whose rows were taken out of RAW, of what dbt keeps, and of landed objects';

-- table CXM_MEDTECH.RAW.LOAD_LEASE: does not exist
-- The run that may write a source's batches: a row for each source, created here, changed under the table's lock only.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.LOAD_LEASE (
    SOURCE VARCHAR NOT NULL COMMENT 'The contract',
    BATCH_ID VARCHAR COMMENT 'The batch at work',
    HOLDER VARCHAR COMMENT 'host/process/start of the run; NULL while nobody holds it',
    FLOW_RUN_ID VARCHAR COMMENT 'Prefect flow run of the holder',
    EXPIRES_AT TIMESTAMP_NTZ COMMENT 'UTC; from then on another run may take over; the holder renews it while it works',
    TOKEN NUMBER(38, 0) COMMENT 'Grows each time a run takes the lease: whose is smaller writes nothing more',
    TO_RECOVER VARCHAR COMMENT 'Batches to clear up, as a JSON array: their runs ended without a verdict',
    LOCKED_AT TIMESTAMP_NTZ COMMENT 'UTC; written to take the lock'
)
COMMENT = 'Load lease: one run at a time for each source';

-- lease CXM_MEDTECH.RAW.LOAD_LEASE of t: does not exist
MERGE INTO CXM_MEDTECH.RAW.LOAD_LEASE AS HELD
USING (SELECT 't' AS SOURCE) AS CONTRACT
    ON HELD.SOURCE = CONTRACT.SOURCE
WHEN NOT MATCHED THEN INSERT (SOURCE, TOKEN) VALUES (CONTRACT.SOURCE, 0);

-- Snowflake, as SECURITYADMIN ------------------------------------------------------------
USE ROLE SECURITYADMIN;

-- grant WH_CXM → CXM_LOADER: missing: USAGE, OPERATE
GRANT USAGE, OPERATE ON WAREHOUSE WH_CXM TO ROLE CXM_LOADER;

-- grant WH_CXM → CXM_TRANSFORMER: missing: USAGE, OPERATE
GRANT USAGE, OPERATE ON WAREHOUSE WH_CXM TO ROLE CXM_TRANSFORMER;

-- grant WH_CXM → CXM_REPORTER: missing: USAGE
GRANT USAGE ON WAREHOUSE WH_CXM TO ROLE CXM_REPORTER;

-- grant CXM_MEDTECH → CXM_LOADER: missing: USAGE
GRANT USAGE ON DATABASE CXM_MEDTECH TO ROLE CXM_LOADER;

-- grant CXM_MEDTECH → CXM_TRANSFORMER: missing: USAGE
GRANT USAGE ON DATABASE CXM_MEDTECH TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH → CXM_REPORTER: missing: USAGE
GRANT USAGE ON DATABASE CXM_MEDTECH TO ROLE CXM_REPORTER;

-- grant CXM_MEDTECH.RAW → CXM_LOADER: missing: USAGE
-- The loader writes RAW and reads it to count and to validate; it can neither drop nor alter tables,
-- except those to which a contract lets it add columns (onNewColumn: add), which it owns.
GRANT USAGE ON SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant all tables in CXM_MEDTECH.RAW → CXM_LOADER: for what this plan makes
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant future tables in CXM_MEDTECH.RAW → CXM_LOADER: missing: SELECT, INSERT, UPDATE, DELETE
GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant all stages in CXM_MEDTECH.RAW → CXM_LOADER: for what this plan makes
GRANT USAGE ON ALL STAGES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant future stages in CXM_MEDTECH.RAW → CXM_LOADER: missing: USAGE
GRANT USAGE ON FUTURE STAGES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant all file formats in CXM_MEDTECH.RAW → CXM_LOADER: for what this plan makes
GRANT USAGE ON ALL FILE FORMATS IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant future file formats in CXM_MEDTECH.RAW → CXM_LOADER: missing: USAGE
GRANT USAGE ON FUTURE FILE FORMATS IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_LOADER;

-- grant CXM_MEDTECH.RAW → CXM_TRANSFORMER: missing: USAGE
-- dbt reads RAW and creates objects in its five schemas. dbt sends CREATE SCHEMA IF NOT EXISTS even if they exist.
GRANT USAGE ON SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_TRANSFORMER;

-- grant all tables in CXM_MEDTECH.RAW → CXM_TRANSFORMER: for what this plan makes
GRANT SELECT ON ALL TABLES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_TRANSFORMER;

-- grant future tables in CXM_MEDTECH.RAW → CXM_TRANSFORMER: missing: SELECT
GRANT SELECT ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.RAW TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.STG → CXM_TRANSFORMER: missing: USAGE, CREATE TABLE, CREATE VIEW
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA CXM_MEDTECH.STG TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.INT → CXM_TRANSFORMER: missing: USAGE, CREATE TABLE, CREATE VIEW
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA CXM_MEDTECH.INT TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.MARTS → CXM_TRANSFORMER: missing: USAGE, CREATE TABLE, CREATE VIEW
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA CXM_MEDTECH.MARTS TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.SNAPSHOTS → CXM_TRANSFORMER: missing: USAGE, CREATE TABLE, CREATE VIEW
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA CXM_MEDTECH.SNAPSHOTS TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.SEEDS → CXM_TRANSFORMER: missing: USAGE, CREATE TABLE, CREATE VIEW
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA CXM_MEDTECH.SEEDS TO ROLE CXM_TRANSFORMER;

-- grant CXM_MEDTECH.MARTS → CXM_REPORTER: missing: USAGE
-- Reports read only marts.
GRANT USAGE ON SCHEMA CXM_MEDTECH.MARTS TO ROLE CXM_REPORTER;

-- grant future tables in CXM_MEDTECH.MARTS → CXM_REPORTER: missing: SELECT
GRANT SELECT ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.MARTS TO ROLE CXM_REPORTER;

-- grant future views in CXM_MEDTECH.MARTS → CXM_REPORTER: missing: SELECT
GRANT SELECT ON FUTURE VIEWS IN SCHEMA CXM_MEDTECH.MARTS TO ROLE CXM_REPORTER;

-- Snowflake, as ACCOUNTADMIN ------------------------------------------------------------
USE ROLE ACCOUNTADMIN;

-- grant SNOWFLAKE.USAGE_VIEWER → CXM_LOADER: not granted
GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE CXM_LOADER;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- table CXM_MEDTECH.RAW.T_CASES: does not exist
-- The RAW table of a file. Data columns are VARCHAR, so that a bad value fails a rule that names it, not the load.
CREATE TABLE IF NOT EXISTS CXM_MEDTECH.RAW.T_CASES (
    CASE_ID VARCHAR COMMENT 'Case_Id: The row\'s case_id',
    SURGEON VARCHAR COMMENT 'Surgeon: The row\'s surgeon',
    _LOAD_TIMESTAMP TIMESTAMP_NTZ COMMENT 'When COPY began to read the file, in UTC',
    _BATCH_ID VARCHAR COMMENT 'The batch that brought the row, YYYYMMDD_HHMMSS in UTC',
    _SOURCE_FILENAME VARCHAR COMMENT 'Key of the file in the landing bucket',
    _SOURCE_ROW_NUMBER NUMBER(38, 0) COMMENT 'Number of the row in the file, as COPY counts'
)
COMMENT = 'Case: A surgeon\'s case';
ALTER TABLE CXM_MEDTECH.RAW.T_CASES SET TAG CXM_MEDTECH.RAW.PII = 'direct';
ALTER TABLE CXM_MEDTECH.RAW.T_CASES MODIFY COLUMN SURGEON SET TAG CXM_MEDTECH.RAW.PII = 'direct';

-- Plan: 56 to create, 2 unchanged.
