-- Functional roles, each a child of SYSADMIN so that an administrator keeps sight of what they own.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ loader | ident }} COMMENT = 'Writes RAW: COPY INTO and the ledger';
CREATE ROLE IF NOT EXISTS {{ transformer | ident }} COMMENT = 'Reads RAW, owns STG, INT, MARTS, SNAPSHOTS and SEEDS';
CREATE ROLE IF NOT EXISTS {{ reporter | ident }} COMMENT = 'Reads MARTS';

-- Machines log in as these, with a key pair and never a password; `cxm keys create` makes the keys. A session has the
-- one role it asks for: no secondary roles, or the loader could do what the transformer may.
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
