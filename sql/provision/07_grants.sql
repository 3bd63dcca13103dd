-- What each role may do, and nothing more. Future grants cover tables that a contract adds later.
USE ROLE SECURITYADMIN;

GRANT USAGE, OPERATE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ loader | ident }};
GRANT USAGE, OPERATE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ transformer | ident }};
GRANT USAGE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ reporter | ident }};

GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ loader | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ transformer | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ reporter | ident }};

-- The loader writes RAW and reads it back to count and to validate; it can neither drop nor alter,
-- but for the tables that a contract lets it add columns to (onNewColumn: add), which it owns.
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON ALL STAGES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON FUTURE STAGES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON ALL FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON FUTURE FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};

-- dbt reads RAW and creates in its own five schemas. CREATE SCHEMA IF NOT EXISTS is sent by dbt before it looks.
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
GRANT SELECT ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
GRANT SELECT ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
{% for schema in ('STG', 'INT', 'MARTS', 'SNAPSHOTS', 'SEEDS') %}
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ transformer | ident }};
{%- endfor %}

-- Reports read finished marts only.
GRANT USAGE ON SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON ALL TABLES IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON FUTURE TABLES IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON ALL VIEWS IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
