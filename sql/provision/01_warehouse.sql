-- The one virtual warehouse: X-Small, asleep after a minute, awake on the first query.
-- Not CREATE OR REPLACE: that would reset a size or a quota that an operator has set.
USE ROLE SYSADMIN;

CREATE WAREHOUSE IF NOT EXISTS {{ warehouse | ident }}
    WAREHOUSE_SIZE = 'XSMALL'
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    COMMENT = 'MedTech-CXM: loads, validation and dbt';
