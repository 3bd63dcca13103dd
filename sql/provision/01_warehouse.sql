-- A month's credits, then no new query starts; the last tenth stops running ones too.
USE ROLE ACCOUNTADMIN;

CREATE RESOURCE MONITOR IF NOT EXISTS {{ monitor | ident }} WITH
    CREDIT_QUOTA = {{ credit_quota }}
    FREQUENCY = MONTHLY
    START_TIMESTAMP = IMMEDIATELY
    TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND ON 110 PERCENT DO SUSPEND_IMMEDIATE;

-- The one virtual warehouse: X-Small, asleep after a minute, awake on the first query.
-- Not CREATE OR REPLACE: that would reset a size that an operator has set. The generation and query acceleration are
-- said, since new accounts choose the dearer of both: generation 2, and serverless compute that no monitor stops.
USE ROLE SYSADMIN;

CREATE WAREHOUSE IF NOT EXISTS {{ warehouse | ident }}
    WAREHOUSE_SIZE = 'XSMALL'
    GENERATION = '1'
    ENABLE_QUERY_ACCELERATION = FALSE
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    STATEMENT_TIMEOUT_IN_SECONDS = 3600
    STATEMENT_QUEUED_TIMEOUT_IN_SECONDS = 600
    COMMENT = 'MedTech-CXM: loads, validation and dbt';

-- Only an account administrator may assign a monitor.
USE ROLE ACCOUNTADMIN;

ALTER WAREHOUSE {{ warehouse | ident }} SET RESOURCE_MONITOR = {{ monitor | ident }};
