-- Functional roles, each a child of SYSADMIN so that an administrator keeps sight of what they own.
USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS {{ loader | ident }} COMMENT = 'Writes RAW: COPY INTO and the ledger';
CREATE ROLE IF NOT EXISTS {{ transformer | ident }} COMMENT = 'Reads RAW, owns STG, INT, MARTS, SNAPSHOTS and SEEDS';
CREATE ROLE IF NOT EXISTS {{ reporter | ident }} COMMENT = 'Reads MARTS';

USE ROLE SECURITYADMIN;

GRANT ROLE {{ loader | ident }} TO ROLE SYSADMIN;
GRANT ROLE {{ transformer | ident }} TO ROLE SYSADMIN;
GRANT ROLE {{ reporter | ident }} TO ROLE SYSADMIN;
