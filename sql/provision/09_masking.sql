{%- if masking %}
-- Masking of columns about people (Enterprise Edition), by the tag RAW.PII that the contract and dbt set on them.
-- One role sees them unmasked. It is not granted to SYSADMIN, so an administrator sees masked values too.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ privacy | ident }} COMMENT = 'Reads personal data as it is: for people who may';

USE ROLE ACCOUNTADMIN;

-- A schema of the administrator: no other role has a privilege in it, so no other role reads the key of the hash.
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.PRIVACY COMMENT = 'Masking policies and the key of their hash';

-- Snowflake makes the key here, so it is in no statement, bind, file or log.
CREATE TABLE IF NOT EXISTS {{ database | ident }}.PRIVACY.MASKING_KEY (
    ID NUMBER(1, 0) NOT NULL COMMENT '1: there is one',
    HASH_KEY VARCHAR NOT NULL COMMENT 'Goes into the hash of each value; another key, other pseudonyms',
    MADE_AT TIMESTAMP_NTZ NOT NULL COMMENT 'UTC'
)
COMMENT = 'The secret key of the hash that stands for values which name a person';

MERGE INTO {{ database | ident }}.PRIVACY.MASKING_KEY AS HELD
USING (SELECT 1 AS ID) AS MADE
    ON HELD.ID = MADE.ID
WHEN NOT MATCHED THEN INSERT (ID, HASH_KEY, MADE_AT)
    VALUES (MADE.ID, SHA2(CONCAT(UUID_STRING(), UUID_STRING(), UUID_STRING(), UUID_STRING()), 512), SYSDATE());

-- Policies call it with their owner's rights; no other role may call it:
-- https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-scalar-functions#memoizable-udfs.
CREATE FUNCTION IF NOT EXISTS {{ database | ident }}.PRIVACY.MASK_KEY()
RETURNS VARCHAR
MEMOIZABLE
COMMENT = 'The key of the hash; nobody but the owner of the policies may call it'
AS 'SELECT MIN(HASH_KEY) FROM {{ database | ident }}.PRIVACY.MASKING_KEY';

-- The policies themselves, one for each type of column, are made by flows/steps/provision/masks.py.
USE ROLE SECURITYADMIN;

GRANT USAGE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ privacy | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ privacy | ident }};
{%- for schema in ('RAW', 'STG', 'INT', 'MARTS', 'SNAPSHOTS') %}
GRANT USAGE ON SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ privacy | ident }};
GRANT SELECT ON ALL TABLES IN SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ privacy | ident }};
GRANT SELECT ON FUTURE TABLES IN SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ privacy | ident }};
GRANT SELECT ON ALL VIEWS IN SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ privacy | ident }};
GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ privacy | ident }};
{%- endfor %}
{%- endif %}
