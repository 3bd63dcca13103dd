"""The columns of a table that a statement names, with Snowflake's types: read from the engine and cached until the next DDL."""

from __future__ import annotations

from typing import cast

import duckdb
from sqlglot import exp

from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.privileges import parts_of
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.storage import described
from flows.embedded.warehouse.text.grammar import quote_name
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.scopes import Columns, folded


def columns_of(conn: WarehouseConnection, duck: duckdb.DuckDBPyConnection, table: exp.Table) -> Columns | None:
    """Return the columns of a table by name; None if the engine does not know the table."""
    parts = [folded(part) for part in table.parts]
    if any("INFORMATION_SCHEMA" in part.upper() for part in parts[:-1]):  # DuckDB has its own
        return None
    name, known = ".".join(map(quote_name, parts)), conn.registry.columns
    generation = known.generation
    # the rows of a function such as QUERY_HISTORY are not a table of a database
    registered = parts[0].upper().startswith("_CXM_")
    full = "" if registered else ".".join(map(quote_name, conn.qualify(parts_of(table))))
    # a transaction that has written sees the catalogue as it was at BEGIN; a temporary table is the session's own
    older = conn.transaction.wrote and conn.transaction.catalogue != generation
    own = registered or older or any(t[2] == parts[-1] for t in conn.temporary_tables)
    if not own and (cached := known.get(full)) is not None:
        return cast(Columns, cached)
    try:
        columns = {column: types.of_engine(type_) for column, type_ in described.columns(duck, name)}
    except duckdb.Error:
        return None
    if {types.VARCHAR, types.Type("VARIANT")} & set(columns.values()) and not registered:
        kept = tables.lengths(conn, conn.qualify(parts_of(table)))
        columns |= {n: types.as_declared(t, kept[n]) for n, t in columns.items() if n in kept}
    if not own:
        known.keep(full, columns, generation)
    return columns
