"""Runs a translated tree on DuckDB and returns Snowflake's result: rows, a count of changed rows, or one status line.

SELECT ──▶ its rows; INSERT | UPDATE | DELETE ──▶ "number of rows …"; CREATE | ALTER | DROP | TRUNCATE ──▶ "… successfully …"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import target_of
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.result_types import KINDS, shown_kind
from flows.embedded.warehouse.translate.translation import NameContext, described_relation, merge_operations

Described = Sequence[tuple[object, ...]]

_COUNTS: dict[type, tuple[str, ...]] = {
    exp.Insert: ("number of rows inserted",),
    exp.Update: ("number of rows updated", "number of multi-joined rows updated"),
    exp.Delete: ("number of rows deleted",),
}
_DDL = (exp.Create, exp.Alter, exp.Drop, exp.TruncateTable)


@dataclass(frozen=True)
class Answer:
    """Rows, their columns as DuckDB's DESCRIBE would give them, and the row count that a client gets."""

    rows: pa.Table
    described: Described
    count: int

    @classmethod
    def of(cls, result: Result) -> Answer:
        """Return a handler's result as an answer."""
        count = result.affected if result.affected is not None else len(result.rows)
        return cls(result.arrow(), result.described(), count)


def engine_sql(tree: Expr, place: NameContext) -> str:
    """Return the engine's SQL of a translated tree."""
    if isinstance(tree, exp.Describe) and str(tree.args.get("kind") or "").upper() in ("TABLE", "VIEW"):
        tree = described_relation(tree, place)
    sql = tree.sql(dialect="duckdb", copy=not isinstance(tree, exp.Query))
    if not sql:
        raise errors.unsupported(tree.sql(dialect="snowflake"))
    return sql


def run_tree(tree: Expr, sql: str, duck: duckdb.DuckDBPyConnection, bindings: Any) -> Answer:
    """Run a translated tree, whose text is `sql`. Raises duckdb.Error."""
    if (seed := tree.args.get("seed")) and tree.find(exp.Select):
        sql = f"SELECT setseed({seed}); {sql}"
    duck.execute(sql, bindings)
    if type(tree) in _COUNTS:
        return Answer.of(_counted(tree, int(duck.fetchall()[0][0])))
    if isinstance(tree, _DDL):
        return Answer.of(status(_done(tree)))
    rows: pa.Table = duck.to_arrow_table()
    described = [(c[0], str(c[1]), "YES", None, None, None) for c in duck.description or []]
    return Answer(*_with_kinds(tree, rows, described), rows.num_rows)


def _with_kinds(tree: Expr, rows: pa.Table, described: list[Any]) -> tuple[pa.Table, Described]:
    """Name ARRAY and OBJECT, which the engine calls JSON, in the types of a query's columns or in the rows of DESCRIBE."""
    query = tree.this if isinstance(tree, exp.Describe) else tree
    kinds = query.meta.get(KINDS) if isinstance(query, exp.Query) else None
    if not kinds or len(kinds) != (rows.num_rows if isinstance(tree, exp.Describe) else len(described)):
        return rows, described
    if not isinstance(tree, exp.Describe):
        return rows, [(n, shown_kind(t, kind), *rest) for (n, t, *rest), kind in zip(described, kinds, strict=True)]
    names = [shown_kind(name, kind) for name, kind in zip(rows.column(1).to_pylist(), kinds, strict=True)]
    return rows.set_column(1, rows.schema.field(1), pa.array(names, rows.schema.field(1).type)), described


def _counted(tree: Expr, count: int) -> Result:
    names = _COUNTS[type(tree)]
    return Result([(name, "BIGINT") for name in names], [[count, 0][: len(names)]], count)


def _done(tree: Expr) -> str:
    target = target_of(tree)
    kind = str(tree.args.get("kind") or "").capitalize()
    if target is not None and isinstance(tree, exp.Create):
        return f"{kind} {target.name} successfully created."
    if target is not None and isinstance(tree, exp.Drop):
        return f"{target.name} successfully dropped."
    return "Statement executed successfully."


def described_unrun(tree: Expr) -> Described | None:
    """Return the columns of the answer to a statement other than a query; None where only running it can tell."""
    if type(tree) in _COUNTS:
        return _counted(tree, 0).described()
    if isinstance(tree, exp.Merge):
        return Result([(f"number of rows {done}", "BIGINT") for done in merge_operations(tree)]).described()
    return status().described() if isinstance(tree, _DDL) else None
