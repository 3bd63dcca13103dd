-- Snowflake reads the bucket by assuming a role, so no access key is in SQL or in the stage.
-- https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration
USE ROLE ACCOUNTADMIN;

CREATE STORAGE INTEGRATION IF NOT EXISTS {{ integration | ident }}
    TYPE = EXTERNAL_STAGE
    STORAGE_PROVIDER = 'S3'
    ENABLED = TRUE
    STORAGE_AWS_ROLE_ARN = {{ storage_role_arn | literal }}
    STORAGE_ALLOWED_LOCATIONS = ({{ ('s3://' ~ bucket ~ '/raw/') | literal }})
    COMMENT = 'MedTech-CXM landing bucket';

GRANT USAGE ON INTEGRATION {{ integration | ident }} TO ROLE SYSADMIN;
