"""Translates Snowflake's syntax tree to the tree that DuckDB's SQL is written from, by fakesnow's list of transforms.

tree ──translated(tree, place)──▶ tree; ──split──▶ several, where DuckDB needs more than one statement

fakesnow's cursor holds its list of transforms in a method that reads its connection's database, schema and variables. This module
passes it a stand-in that has just these, so that fakesnow's cursor and connection are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
from fakesnow import checks, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.expr import key_command
from fakesnow.transforms.merge import operations
from fakesnow.variables import Variables
from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import semi_structured, times
from flows.embedded.warehouse.translate.column_names import column_names, name_columns
from flows.embedded.warehouse.translate.corrections import trims, whole_numbers
from flows.embedded.warehouse.translate.passes import Passes

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

SERVER_VERSION: str = transforms.SERVER_VERSION
_SUCCESS: Expr = transforms.SUCCESS_NOP


@dataclass(frozen=True)
class NameContext:
    """What a statement's translation depends on: the database and schema that complete its names, the variables, and the
    connection that knows the types of a CREATE … AS."""

    database: str | None
    schema: str | None
    duck: duckdb.DuckDBPyConnection
    variables: dict[str, Any] = field(default_factory=dict)  # SET writes them

    @classmethod
    def of(cls, conn: WarehouseConnection, duck: duckdb.DuckDBPyConnection) -> NameContext:
        """Return the session's context for a statement that runs on `duck`."""
        return cls(conn.database, conn.schema, duck, conn.variables)


def translated(tree: Expr, place: NameContext, bindings: Any = None) -> Expr:
    """Translate a tree for DuckDB; `tree` is changed. Names are quoted: DuckDB reserves words (AT, …) that Snowflake does not."""
    names = column_names(tree)
    result = _passes(place, bindings).applied(_prepared(tree))
    if result is _SUCCESS:
        return result
    if names:
        name_columns(result, names)
    whole_numbers(result)
    for name in result.find_all(exp.Identifier):
        if name.args.get("quoted") or name.name.upper() != "DEFAULT":  # VALUES (DEFAULT) is a keyword
            name.set("quoted", True)
    return result


def _prepared(tree: Expr) -> Expr:
    """Rewrite what fakesnow's transforms would translate differently."""
    return times.rewrite(semi_structured.rewrite(tree))


def expression_sql(node: Expr, place: NameContext) -> str:
    """Translate one expression to DuckDB's SQL, so that it means the same in a COPY and in a query."""
    result = _passes(place, None).applied(trims(_prepared(exp.select(node))))
    return str(whole_numbers(result).expressions[0].sql(dialect="duckdb"))


def _passes(place: NameContext, bindings: Any) -> Passes:
    """Return fakesnow's transforms for a statement in this context."""
    used: Passes = FakeSnowflakeCursor._transform(_stand_in(place), Passes(), bindings)
    return used


def split(tree: Expr) -> list[Expr]:
    """Split a statement into those that DuckDB needs for it, such as a sequence for AUTOINCREMENT."""
    statements: list[Expr] = FakeSnowflakeCursor._transform_explode(None, tree)
    return statements


def require_place(tree: Expr, place: NameContext) -> None:
    """Raise 090105 or 090106 when a name in the statement cannot be completed."""
    no_database, no_schema = checks.is_unqualified_table_expression(tree)
    if no_database and place.database is None:
        raise errors.no_current("database", key_command(tree))
    if no_schema and place.schema is None:
        raise errors.no_current("schema", key_command(tree))


def described_relation(tree: Expr, place: NameContext) -> Expr:
    """Translate DESCRIBE TABLE | VIEW to the query that returns its columns as Snowflake does."""
    rewritten: Expr = tree.transform(lambda e: transforms.describe_table(e, place.database, place.schema))
    return rewritten


def strips_clustering(tree: Expr) -> bool:
    """Whether a statement that sqlglot does not parse is ALTER TABLE … CLUSTER BY, which changes nothing for DuckDB."""
    return transforms.alter_table_strip_cluster_by(tree) is not tree


def merge_operations(merge: exp.Merge) -> list[str]:
    """Return what a MERGE counts in its result: inserted, updated, deleted, each if one of its clauses does it."""
    return [operation for operation, clauses in operations(merge).items() if clauses]


def _stand_in(place: NameContext) -> Any:
    variables = Variables()
    variables._variables = place.variables
    connection = SimpleNamespace(
        variables=variables, database=place.database, schema=place.schema, db_path=None, table_stages=None
    )
    return SimpleNamespace(_conn=connection, _duck_conn=place.duck)
