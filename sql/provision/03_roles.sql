-- Functional roles, each granted to SYSADMIN, so that an administrator can manage what they own.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ loader | ident }} COMMENT = 'Writes RAW: COPY INTO and the ledger';
CREATE ROLE IF NOT EXISTS {{ transformer | ident }} COMMENT = 'Reads RAW, owns STG, INT, MARTS, SNAPSHOTS and SEEDS';
CREATE ROLE IF NOT EXISTS {{ reporter | ident }} COMMENT = 'Reads MARTS';

-- Service users, which log in with a key pair and never a password; `cxm keys create` makes the keys. A session has
-- only the role that it asks for: with secondary roles the loader could do what the transformer may.
CREATE USER IF NOT EXISTS {{ pipeline_user | ident }}
    TYPE = SERVICE
    DEFAULT_ROLE = {{ loader | ident }}
    DEFAULT_WAREHOUSE = {{ warehouse | ident }}
    DEFAULT_SECONDARY_ROLES = ()
    COMMENT = 'Runs the pipeline: the loader role, and the transformer role for dbt';
CREATE USER IF NOT EXISTS {{ reporter_user | ident }}
    TYPE = SERVICE
    DEFAULT_ROLE = {{ reporter | ident }}
    DEFAULT_WAREHOUSE = {{ warehouse | ident }}
    DEFAULT_SECONDARY_ROLES = ()
    COMMENT = 'Reads marts for reports';

USE ROLE SECURITYADMIN;

GRANT ROLE {{ loader | ident }} TO ROLE SYSADMIN;
GRANT ROLE {{ transformer | ident }} TO ROLE SYSADMIN;
GRANT ROLE {{ reporter | ident }} TO ROLE SYSADMIN;
GRANT ROLE {{ loader | ident }} TO USER {{ pipeline_user | ident }};
GRANT ROLE {{ transformer | ident }} TO USER {{ pipeline_user | ident }};
GRANT ROLE {{ reporter | ident }} TO USER {{ reporter_user | ident }};
