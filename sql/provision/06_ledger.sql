-- The load ledger: one row for each S3 object of each batch, from delivery to verdict.
USE ROLE SYSADMIN;

CREATE TABLE IF NOT EXISTS {{ database | ident }}.RAW.LOAD_LEDGER (
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

-- The persons whose rows `cxm forget` deleted: a row for each value and source, never the value itself. Rows of dbt's
-- tables have a row of their own, written before they are deleted.
CREATE TABLE IF NOT EXISTS {{ database | ident }}.RAW.FORGOTTEN (
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

-- The run that may write a source's batches: a row for each source, created here, changed under the table's lock only.
CREATE TABLE IF NOT EXISTS {{ database | ident }}.RAW.LOAD_LEASE (
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
{% for source in sources %}
MERGE INTO {{ database | ident }}.RAW.LOAD_LEASE AS HELD
USING (SELECT {{ source.name | literal }} AS SOURCE) AS CONTRACT
    ON HELD.SOURCE = CONTRACT.SOURCE
WHEN NOT MATCHED THEN INSERT (SOURCE, TOKEN) VALUES (CONTRACT.SOURCE, 0);
{% endfor %}
