"""The target table of a COPY: its full name, its columns in DuckDB, and which of them the statement names."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import duckdb
from sqlglot import exp

from flows.embedded.warehouse.copy.options import compilation, fail, folded
from flows.embedded.warehouse.session.context import SessionContext
from flows.embedded.warehouse.text.grammar import quote_name


@dataclass(frozen=True, slots=True)
class Column:
    """A target column: DuckDB's name and type, whether it may be NULL, and the VARCHAR length in characters where declared."""

    name: str
    type: str
    nullable: bool
    length: int | None


@dataclass(frozen=True)
class Target:
    """The target table: `relation` is its name for the engine, `named` the columns that the statement lists, or all."""

    database: str
    schema: str
    table: str
    relation: str
    every: list[Column]
    named: list[Column]


def find_target(duck: duckdb.DuckDBPyConnection, session: SessionContext, statement: exp.Copy) -> Target:
    """Find the statement's table.

    Raises 090105 or 090106 without a current database or schema, 002003 or 000904 for an unknown table or column.
    """
    database, schema, table = _full_name(session, statement)
    rows = duck.execute(
        "SELECT column_name, data_type, is_nullable, database_name = 'temp' FROM duckdb_columns() WHERE table_name = ? "
        "AND (database_name = 'temp' OR (upper(database_name) = upper(?) AND upper(schema_name) = upper(?))) "
        "ORDER BY database_name <> 'temp', column_index",
        [table, database, schema],
    ).fetchall()
    # A temporary table hides a permanent one of the same name.
    known = {row[0]: row for row in rows if row[3] == rows[0][3]}
    if not known:
        raise compilation(2003, "42S02", f"Table '{database}.{schema}.{table}' does not exist or not authorized.")
    relation = f"temp.{quote_name(table)}" if rows[0][3] else ".".join(quote_name(p) for p in (database, schema, table))
    lengths = _lengths(duck, database, schema, table)
    every = [Column(name, row[1], bool(row[2]), lengths.get(name)) for name, row in known.items()]
    return Target(database, schema, table, relation, every, _named(statement, every))


def _full_name(session: SessionContext, statement: exp.Copy) -> tuple[str, str, str]:
    target = statement.this.find(exp.Table)
    catalog, db = target.args.get("catalog"), target.args.get("db")
    database = folded(catalog) if catalog else session.database
    if database is None:
        raise fail(90105, "22000", "Cannot perform COPY. This session does not have a current database. Call 'USE DATABASE', "
              "or use a qualified name.")  # fmt: skip
    schema = folded(db) if db else session.schema
    if schema is None:
        raise fail(90106, "22000", "Cannot perform COPY. This session does not have a current schema. Call 'USE SCHEMA', "
              "or use a qualified name.")  # fmt: skip
    return database, schema, folded(target.this)


def _lengths(duck: duckdb.DuckDBPyConnection, database: str, schema: str, table: str) -> dict[str, int]:
    with suppress(duckdb.CatalogException):
        return dict(
            duck.execute(
                "SELECT ext_column_name, ext_character_maximum_length "
                "FROM _fs_global._fs_information_schema._fs_columns_ext WHERE ext_table_catalog = ? "
                "AND ext_table_schema = ? AND ext_table_name = ? AND ext_character_maximum_length > 0",
                [database, schema, table],
            ).fetchall()
        )
    return {}


def _named(statement: exp.Copy, every: list[Column]) -> list[Column]:
    if not isinstance(statement.this, exp.Schema):
        return every
    by_name = {c.name.upper(): c for c in every}
    chosen = []
    for item in statement.this.expressions:
        name = folded(item if isinstance(item, exp.Identifier) else item.this)
        column = by_name.get(name.upper())
        if column is None:
            raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{name}'")
        chosen.append(column)
    return chosen
