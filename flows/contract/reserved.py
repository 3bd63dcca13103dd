"""Words that cannot stand unquoted where a name is wanted: Snowflake's reserved and limited keywords, and snowflake-sqlalchemy's.

https://docs.snowflake.com/en/sql-reference/reserved-keywords. Great Expectations' queries go through snowflake-sqlalchemy, which
quotes its own words, in lower case, so that Snowflake does not find the column: its list is in this one.
"""

from __future__ import annotations

# Reserved for every name.
_RESERVED = """
ALL ALTER AND ANY AS BETWEEN BY CHECK COLUMN CONNECT CREATE CURRENT DELETE DISTINCT DROP ELSE EXISTS FOLLOWING FOR FROM GRANT
GROUP HAVING ILIKE IN INCREMENT INSERT INTERSECT INTO IS LIKE MINUS NOT NULL OF ON OR ORDER QUALIFY REGEXP REVOKE RLIKE ROW ROWS
SAMPLE SELECT SET SOME START TABLE TABLESAMPLE THEN TO TRIGGER UNION UNIQUE UPDATE VALUES WHENEVER WHERE WITH
"""
# No name of a column in CREATE TABLE, or no reference to one in an expression.
_NO_COLUMN = """
CASE CAST CONSTRAINT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER FALSE LOCALTIME LOCALTIMESTAMP TRUE TRY_CAST WHEN
"""
# No name of a table, nor an alias, in FROM.
_NO_TABLE = "CROSS FULL INNER JOIN LATERAL LEFT NATURAL RIGHT USING"
# Quoted by snowflake-sqlalchemy though Snowflake takes it bare.
_SQLALCHEMY = "COPY"

RESERVED = frozenset(f"{_RESERVED} {_NO_COLUMN} {_SQLALCHEMY}".split())
NO_TABLE = frozenset(_NO_TABLE.split())
