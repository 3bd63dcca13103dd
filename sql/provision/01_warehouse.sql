-- The monthly credit quota: notify at 80 %, start no new query from 100 % on, stop running ones at 110 %.
USE ROLE ACCOUNTADMIN;

CREATE RESOURCE MONITOR IF NOT EXISTS {{ monitor | ident }} WITH
    CREDIT_QUOTA = {{ credit_quota }}
    FREQUENCY = MONTHLY
    START_TIMESTAMP = IMMEDIATELY
    TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND ON 110 PERCENT DO SUSPEND_IMMEDIATE;

-- The one virtual warehouse: X-Small, suspended after a minute, resumed by the first query.
-- Not CREATE OR REPLACE, which would reset a size that an operator has set. Generation and query acceleration are set
-- because new accounts default to the more expensive: generation 2, and serverless compute that no monitor stops.
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
