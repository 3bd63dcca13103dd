"""Words that cannot be used as unquoted names: Snowflake's reserved and limited keywords, and snowflake-sqlalchemy's.

The groups are those of the table in https://docs.snowflake.com/en/sql-reference/reserved-keywords. (Its text calls ASC and DESC
reserved too, but its table does not, and snowflake-sqlalchemy's tests have an unquoted column DESC.) Great Expectations sends its
queries through that package, which quotes the words of its own list in lower case, so that Snowflake does not find the column;
therefore its list is included.
"""

from __future__ import annotations

# "Reserved by ANSI", "by Snowflake" or "by Snowflake and others": for every name.
_RESERVED = """
ALL ALTER AND ANY AS BETWEEN BY CHECK COLUMN CONNECT CREATE CURRENT DELETE DISTINCT DROP ELSE EXISTS FOLLOWING FOR FROM GRANT
GROUP HAVING ILIKE IN INCREMENT INSERT INTERSECT INTO IS LIKE MINUS NOT NULL OF ON OR ORDER QUALIFY REGEXP REVOKE RLIKE ROW ROWS
SAMPLE SELECT SET SOME START TABLE TABLESAMPLE THEN TO TRIGGER UNION UNIQUE UPDATE VALUES WHENEVER WHERE WINDOW WITH
"""
# "Cannot be used as a column name" in CREATE TABLE (CONSTRAINT) or at all (CURRENT_…, LOCAL…).
_NO_COLUMN_NAME = """
CONSTRAINT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER LOCALTIME LOCALTIMESTAMP
"""
# "Cannot be used as column reference in a scalar expression": a table may have it, and no query can name it.
_NO_REFERENCE = "CASE CAST FALSE TRUE TRY_CAST WHEN"
# "Cannot be used as table name or alias in a FROM clause".
_NO_TABLE = "CROSS FULL INNER JOIN LATERAL LEFT NATURAL RIGHT USING"
# "Cannot be used as an identifier in a SHOW command (SHOW … IN …)": columns and tables may have these names.
_IN_SHOW = "ACCOUNT CONNECTION DATABASE GSCLUSTER ISSUE ORGANIZATION SCHEMA VIEW"
# Snowflake accepts it unquoted, but snowflake-sqlalchemy quotes it.
_SQLALCHEMY = "COPY"

RESERVED = frozenset(f"{_RESERVED} {_NO_COLUMN_NAME} {_NO_REFERENCE} {_SQLALCHEMY}".split())
NO_TABLE = frozenset(_NO_TABLE.split())
IN_SHOW = frozenset(_IN_SHOW.split())
