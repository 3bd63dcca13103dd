-- A read-only role for `cxm provision --plan`, which logs in as CXM_PLAN_ROLE.
-- It reads the properties of objects, grants, and the structure of tables: no row of data, no file.
-- `cxm provision --plan-role` prints this; an administrator runs it once, after `cxm provision --apply`.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ plan_role | ident }} COMMENT = 'Looks for drift: reads metadata, changes nothing';

USE ROLE SECURITYADMIN;

-- DESC USER: defaults and the fingerprints of keys. SHOW USERS shows these to the user's owner only.
-- https://docs.snowflake.com/en/developer-guide/streamlit/app-development/personalization
-- https://docs.snowflake.com/en/sql-reference/sql/show-users#access-control-requirements
GRANT MONITOR ON USER {{ pipeline_user | ident }} TO ROLE {{ plan_role | ident }};
GRANT MONITOR ON USER {{ reporter_user | ident }} TO ROLE {{ plan_role | ident }};

-- SELECT … INFORMATION_SCHEMA needs a warehouse and USAGE on the database, and shows the tables on which the role has
-- a privilege. REFERENCES shows a table's structure and not its data.
-- https://docs.snowflake.com/en/sql-reference/info-schema#general-usage-notes
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#table-privileges
GRANT USAGE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ plan_role | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ plan_role | ident }};
GRANT REFERENCES ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};
GRANT REFERENCES ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- The sources that have a lease: the one table whose rows it reads. They say which run is at work, nothing of the data.
GRANT SELECT ON TABLE {{ database | ident }}.RAW.LOAD_LEASE TO ROLE {{ plan_role | ident }};

-- SYSTEM$GET_TAG needs USAGE on the tag's database and schema, and on the table the privileges that DESC needs.
-- https://docs.snowflake.com/en/sql-reference/functions/system_get_tag#usage-notes
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- DESC FILE FORMAT: a file format holds no data.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#file-format-privileges
GRANT USAGE ON ALL FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};
GRANT USAGE ON FUTURE FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ plan_role | ident }};

-- Not granted: USAGE on the storage integration, for DESC STORAGE INTEGRATION. A role with it that may create a stage
-- anywhere could read the bucket's files through it; so the plan reports its properties as not visible.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#integration-privileges

-- RESOLVE ALL: SHOW lists every object of the account, and SHOW GRANTS every grant on one. Without it they list only
-- objects on which the role has a privilege, and no stage: the only privilege on an external stage, USAGE, reads files.
-- https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges
-- https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes
USE ROLE ACCOUNTADMIN;

-- This statement is the last because sqlfluff does not know the privilege.
GRANT RESOLVE ALL ON ACCOUNT TO ROLE {{ plan_role | ident }}; -- noqa: PRS
