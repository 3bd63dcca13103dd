-- A role that looks at what provisioning made and changes nothing: `cxm provision --plan` logs in as CXM_PLAN_ROLE.
-- It reads how objects are set, who was granted what, and the structure of tables: no row of data, no file.
-- `cxm provision --plan-role` prints this; an administrator runs it once, after `cxm provision --apply`.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ plan_role | ident }} COMMENT = 'Looks for drift: reads metadata, changes nothing';

USE ROLE SECURITYADMIN;

-- DESC USER: defaults and the fingerprints of keys. SHOW USERS tells these to the user's owner only.
-- https://docs.snowflake.com/en/developer-guide/streamlit/app-development/personalization
-- https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements
GRANT MONITOR ON USER {{ pipeline_user | ident }} TO ROLE {{ plan_role | ident }};
GRANT MONITOR ON USER {{ reporter_user | ident }} TO ROLE {{ plan_role | ident }};

-- SELECT … INFORMATION_SCHEMA needs a warehouse and USAGE on the database, and tells of the tables on which the role
-- has a privilege. REFERENCES shows a table's structure and not its data.
-- https://docs.snowflake.com/en/sql-reference/info-schema#general-usage-notes
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#table-privileges
GRANT USAGE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ plan_role | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ plan_role | ident }};
GRANT REFERENCES ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};
GRANT REFERENCES ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- Which sources have a lease: the one table whose rows it reads. They tell which run works, and nothing of the data.
GRANT SELECT ON TABLE {{ database | ident }}.RAW.LOAD_LEASE TO ROLE {{ plan_role | ident }};

-- SYSTEM$GET_TAG needs USAGE on the tag's database and schema, and of the table what DESC needs.
-- https://docs.snowflake.com/en/sql-reference/functions/system_get_tag#usage-notes
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- DESC FILE FORMAT: what a format says of files holds no data.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#file-format-privileges
GRANT USAGE ON ALL FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};
GRANT USAGE ON FUTURE FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- Not here: USAGE on the storage integration, for DESC STORAGE INTEGRATION. Whoever has it and may create a stage
-- somewhere reads the bucket's files through it, so the plan says of its properties that they are not visible.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#integration-privileges

-- SHOW lists every object of the account, and SHOW GRANTS every grant on one. Without it they list those on which the
-- role has a privilege, and a stage never: the one privilege on an external stage, USAGE, reads its files.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges
-- https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes
USE ROLE ACCOUNTADMIN;

-- The last statement, as sqlfluff does not know this privilege.
GRANT RESOLVE ALL ON ACCOUNT TO ROLE {{ plan_role | ident }}; -- noqa: PRS
