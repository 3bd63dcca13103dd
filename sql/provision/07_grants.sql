-- The privileges of each role. Future grants cover tables that a contract adds later.
USE ROLE SECURITYADMIN;

GRANT USAGE, OPERATE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ loader | ident }};
GRANT USAGE, OPERATE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ transformer | ident }};
GRANT USAGE ON WAREHOUSE {{ warehouse | ident }} TO ROLE {{ reporter | ident }};

GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ loader | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ transformer | ident }};
GRANT USAGE ON DATABASE {{ database | ident }} TO ROLE {{ reporter | ident }};

-- The loader writes RAW and reads it to count and to validate; it can neither drop nor alter tables,
-- except those to which a contract lets it add columns (onNewColumn: add), which it owns.
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON ALL STAGES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON FUTURE STAGES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON ALL FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};
GRANT USAGE ON FUTURE FILE FORMATS IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ loader | ident }};

-- dbt reads RAW and creates objects in its five schemas. dbt sends CREATE SCHEMA IF NOT EXISTS even if they exist.
GRANT USAGE ON SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
GRANT SELECT ON ALL TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
GRANT SELECT ON FUTURE TABLES IN SCHEMA {{ database | ident }}.RAW TO ROLE {{ transformer | ident }};
{% for schema in ('STG', 'INT', 'MARTS', 'SNAPSHOTS', 'SEEDS') %}
GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA {{ database | ident }}.{{ schema }} TO ROLE {{ transformer | ident }};
{%- endfor %}

-- Reports read only marts.
GRANT USAGE ON SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON ALL TABLES IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON FUTURE TABLES IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON ALL VIEWS IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
GRANT SELECT ON FUTURE VIEWS IN SCHEMA {{ database | ident }}.MARTS TO ROLE {{ reporter | ident }};
