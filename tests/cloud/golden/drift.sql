-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- warehouse WH_CXM: AUTO_SUSPEND: got 3600, expected 60
ALTER WAREHOUSE WH_CXM SET
    AUTO_SUSPEND = 60;

-- Snowflake, as SECURITYADMIN ------------------------------------------------------------
USE ROLE SECURITYADMIN;

-- grant CXM_TRANSFORMER → CXM_PIPELINE_SVC: not granted
GRANT ROLE CXM_TRANSFORMER TO USER CXM_PIPELINE_SVC;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- file format CXM_MEDTECH.RAW.CSV_FORMAT: SKIP_HEADER: got 0, expected 1
ALTER FILE FORMAT CXM_MEDTECH.RAW.CSV_FORMAT SET
    SKIP_HEADER = 1;

-- Snowflake, as SECURITYADMIN ------------------------------------------------------------
USE ROLE SECURITYADMIN;

-- grant future tables in CXM_MEDTECH.MARTS → CXM_REPORTER: missing: SELECT
GRANT SELECT ON FUTURE TABLES IN SCHEMA CXM_MEDTECH.MARTS TO ROLE CXM_REPORTER;

-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- table CXM_MEDTECH.RAW.T_CASES: comment of CASE_ID differs
COMMENT ON COLUMN CXM_MEDTECH.RAW.T_CASES.CASE_ID IS 'Case_Id: The row\'s case_id';

-- Plan: 2 to create, 3 to change, 53 unchanged.
