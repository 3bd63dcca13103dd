-- Snowflake, as SYSADMIN ------------------------------------------------------------
USE ROLE SYSADMIN;

-- table CXM_MEDTECH.RAW.T_CASES: columns missing: HOSPITAL; PII tag of HOSPITAL is not indirect
-- Adds columns that the contract has and the table lacks; nothing else changes. IF NOT EXISTS applies to one column.
ALTER TABLE CXM_MEDTECH.RAW.T_CASES ADD COLUMN
    IF NOT EXISTS HOSPITAL VARCHAR COMMENT 'Hospital: The row\'s hospital';
ALTER TABLE CXM_MEDTECH.RAW.T_CASES MODIFY COLUMN HOSPITAL SET TAG CXM_MEDTECH.RAW.PII = 'indirect';

-- Plan: 1 to change, 57 unchanged.
