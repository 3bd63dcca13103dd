"""Refuses a reserved word as an unquoted name (001003), where sqlglot's parser accepts it.

https://docs.snowflake.com/en/sql-reference/reserved-keywords: words reserved for every name, for columns and for tables.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors

_EVERYWHERE = """
ALL ALTER AND ANY AS BETWEEN BY CHECK COLUMN CONNECT CREATE CURRENT DELETE DISTINCT DROP ELSE EXISTS FOLLOWING FOR FROM GRANT
GROUP HAVING ILIKE IN INCREMENT INSERT INTERSECT INTO IS LIKE MINUS NOT NULL OF ON OR ORDER QUALIFY REGEXP REVOKE RLIKE ROW ROWS
SAMPLE SELECT SET SOME START TABLE TABLESAMPLE THEN TO TRIGGER UNION UNIQUE UPDATE VALUES WHENEVER WHERE WINDOW WITH
"""
_COLUMNS = """
CASE CAST CONSTRAINT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER FALSE LOCALTIME LOCALTIMESTAMP TRUE TRY_CAST WHEN
"""
_TABLES = "CROSS FULL INNER JOIN LATERAL LEFT NATURAL RIGHT USING"

RESERVED = frozenset(_EVERYWHERE.split())
NO_COLUMN = frozenset(_COLUMNS.split())
NO_TABLE = frozenset(_TABLES.split())


def refuse_reserved(expression: Expr) -> None:
    """Raise 001003 (42000) if a column, alias or table of the statement has a reserved word as its unquoted name."""
    for node in expression.find_all(exp.Column, exp.ColumnDef, exp.Table, exp.Alias):
        name = node.args.get("alias") if isinstance(node, exp.Alias) else node.this
        if isinstance(node, exp.ColumnDef) and isinstance(name, exp.Func):  # CURRENT_DATE VARCHAR
            raise errors.syntax(name.sql("snowflake"), 0)
        if not isinstance(name, exp.Identifier) or name.quoted:
            continue
        word = name.name.upper()
        if isinstance(node, exp.Alias) and word not in RESERVED:
            continue
        if word in RESERVED or word in (NO_TABLE if isinstance(node, exp.Table) else NO_COLUMN):
            raise errors.syntax(name.name, 0)
