"""SET and UNSET: an expression is evaluated once, and its value, as a constant, replaces the variable in later statements.

SET (a, b) = (SELECT 50, 'x') ──change_variables──▶ conn.variables {A: 50, B: 'x'}

https://docs.snowflake.com/en/sql-reference/sql/set, …/sql-reference/session-variables
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.execute.reading import read
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.statements.session_statements import (
    assigned_variables,
    unset_variables,
    variable_literal,
)
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    import pyarrow as pa
    from sqlglot import Expr

    from flows.embedded.warehouse.session.connection import WarehouseConnection

    class Executor(Protocol):
        """The executor that runs the query of the values."""

        conn: WarehouseConnection
        rows: pa.Table | None
        described: Sequence[tuple[object, ...]]

        def run_parsed(self, tree: Expr, command: str, bindings: Any) -> None:
            """Run a parsed statement."""


def change_variables(executor: Executor, words: Words, bindings: Any) -> Result:
    """Run SET or UNSET, and return its answer."""
    conn = executor.conn
    if words.sees("UNSET"):
        return unset_variables(conn, words)
    names, query = assigned_variables(words)
    executor.run_parsed(read(query, conn.variables), query, bindings)
    rows = executor.rows
    if rows is None or rows.num_rows != 1 or rows.num_columns != len(names):
        raise errors.syntax(f"{query[:60]} (one row of {len(names)} values is expected)")
    values = [column[0].as_py() for column in rows.columns]
    types = [str(one[1]) for one in executor.described]
    conn.variables.update({name: variable_literal(name, v, t) for name, v, t in zip(names, values, types, strict=True)})
    return status()
