"""The columns that DuckDB gives a table or a query, without reading rows: `"SHOP"."PUBLIC"."ORDERS"` → [("ID", "INTEGER"), …]."""

from __future__ import annotations

import duckdb


def columns(duck: duckdb.DuckDBPyConnection, source: str) -> list[tuple[str, str]]:
    """Return the columns of a quoted name, or of a query in parentheses, in order, with DuckDB's types.

    Raises:
        duckdb.Error: the table does not exist, or the query is wrong.
    """
    described = duck.execute(f"SELECT * FROM {source} LIMIT 0").description
    return [(str(column[0]), str(column[1])) for column in described or []]
