-- The database and its schemas. IF NOT EXISTS throughout: CREATE OR REPLACE drops the existing one.
USE ROLE SYSADMIN;

CREATE DATABASE IF NOT EXISTS {{ database | ident }} COMMENT = 'MedTech-CXM customer experience';

CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.RAW COMMENT = 'Files as they landed, with batch metadata';
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.STG COMMENT = 'dbt: typed and renamed';
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.INT COMMENT = 'dbt: joins and logic';
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.MARTS COMMENT = 'dbt: ready for analysis';
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.SNAPSHOTS COMMENT = 'dbt: slowly changing dimensions, type 2';
CREATE SCHEMA IF NOT EXISTS {{ database | ident }}.SEEDS COMMENT = 'dbt: static mappings';
{%- if pii_tags %}

-- The tag for personal data, by the contract; on tables and columns, for masking policies and audits.
CREATE TAG IF NOT EXISTS {{ database | ident }}.RAW.PII
    ALLOWED_VALUES 'indirect', 'direct'
    COMMENT = 'direct: names a person; indirect: points at one together with other data';
{%- endif %}
