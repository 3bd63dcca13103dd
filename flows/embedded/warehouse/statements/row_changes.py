"""Statements that change rows: INSERT, UPDATE, DELETE, MERGE, COPY INTO.

parsed DML ──wait for the table's lock, newest snapshot──▶ fakesnow, DuckDB, copy ──▶ rows; the account hears whose

https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fakesnow.transforms.merge import operations as merge_operations
from sqlglot import Expr, exp

from flows.embedded.warehouse.session.locks import DeadlockError
from flows.embedded.warehouse.session.privileges import authorize, is_named, parts_of, target_of
from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.execute.cursor import WarehouseCursor
    from flows.embedded.warehouse.session.connection import WarehouseConnection

DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.MultitableInserts)


def change_rows(cursor: WarehouseCursor, expression: Expr, bindings: Any) -> None:
    """Run one INSERT, UPDATE, DELETE or MERGE; outside a transaction again after a conflict."""
    conn = cursor._conn
    target = target_of(expression)
    written = conn.qualify(parts_of(target)) if target is not None and is_named(target) else None
    expression = tables.resolve_temporary(conn, expression)
    if not conn.autocommit_on:
        conn.transaction.begin()
    overwrites = isinstance(expression, exp.Insert) and bool(expression.args.get("overwrite"))
    if overwrites or isinstance(expression, (exp.Update, exp.Delete, exp.Merge)):
        _lock_rows(cursor, written)

    def run() -> None:
        again = expression.copy()
        if isinstance(again, exp.Merge):
            _merge(cursor, again, bindings)
            return
        with cursor.atomic() if overwrites else contextlib.nullcontext():
            cursor.run_transformed(again, bindings)

    with cursor.seeing(expression, written, adds=isinstance(expression, exp.Insert) and not overwrites):
        cursor.retried(run)
    conn.transaction.wrote = conn.transaction.wrote or conn.transaction.open
    _touch(conn, written)


def _merge(cursor: WarehouseCursor, expression: exp.Merge, bindings: Any) -> None:
    """MERGE by DuckDB's own, which is one statement; Snowflake's answer is a count for each operation it names
    (https://docs.snowflake.com/en/sql-reference/sql/merge). A row that matches twice is error 100090, as there; the table is
    locked, so what was looked at before is what is merged."""
    named = merge_operations(expression)
    looked = _several_matches(expression)
    if looked is not None:
        found = cursor._transform(looked, bindings)
        bound = bindings if found.find(exp.Placeholder) else None
        if cursor._duck_conn.execute(found.sql(dialect="duckdb"), bound).fetchone():
            raise errors.duplicate_row()
    for then in expression.find_all(exp.Update, exp.Insert):
        # "SET t.a = …" and "INSERT (t.a)" are Snowflake's; DuckDB wants the bare column
        if isinstance(then, exp.Update):
            targets = [e.this for e in then.expressions]
        else:
            targets = list(then.this.expressions) if then.this else []
        for column in targets:
            if isinstance(column, exp.Column):
                column.set("table", None)
    sql = cursor._transform(expression, bindings).sql(dialect="duckdb") + " RETURNING merge_action"
    counts: dict[str, int] = {}
    for (action,) in cursor._duck_conn.execute(sql, bindings).fetchall():
        counts[action] = counts.get(action, 0) + 1
    operations = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
    shown = [(f"number of rows {op}", counts.get(operations[op], 0)) for op, clauses in named.items() if clauses]
    cursor.answer(Result([(name, "BIGINT") for name, _ in shown], [[n for _, n in shown]], sum(n for _, n in shown)))


def _several_matches(merge: exp.Merge) -> exp.Select | None:
    """A query for target rows that several source rows would change, one of them by UPDATE; None where nothing is changed so.

    Deletes alone may match several times: https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior.
    DuckDB 2.0.1 updates such a row several times without an error, 2.0.0 refused it.
    """
    clauses = [when for when in merge.args["whens"] if when.args.get("matched")]
    if not any(isinstance(when.args["then"], exp.Update) for when in clauses):
        return None
    change = exp.Case()
    for when in clauses:
        updates = isinstance(when.args["then"], exp.Update)
        change = change.when((when.args.get("condition") or exp.true()).copy(), exp.Literal.number(int(updates)))
    target = merge.this
    row = exp.column("rowid", table=target.alias_or_name)
    return (
        exp.select(exp.Literal.number(1))
        .from_(target.copy())
        .join(merge.args["using"].copy(), on=merge.args["on"].copy())
        .where(exp.Not(this=exp.Is(this=change, expression=exp.Null())))
        .group_by(row)
        .having(exp.and_(exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1)),
                         exp.EQ(this=exp.Max(this=change.copy()), expression=exp.Literal.number(1))))
        .limit(1)
    )  # fmt: skip


def copy(cursor: WarehouseCursor, expression: exp.Copy, command: str, bindings: Any) -> None:
    """COPY INTO <table>; its rows, history and the statement's other rows commit together."""
    from flows.embedded.warehouse.copy.statement import copy_into

    conn = cursor._conn
    if not expression.args.get("kind"):
        raise errors.unsupported("COPY INTO <location> (unloading)")
    authorize(conn, expression)
    if not conn.autocommit_on:
        conn.transaction.begin()
    context = conn.context(cursor._query_id, bindings)
    target = target_of(expression)
    written = conn.qualify(parts_of(target)) if target is not None else None
    with cursor.atomic():
        made = copy_into(cursor._duck_conn, context, expression, command)
        if written:
            conn.transaction.parts.first.wrote.add(".".join(written))
    conn.transaction.wrote = conn.transaction.wrote or conn.transaction.open
    _touch(conn, written)
    cursor.answer(Result(made.columns, made.rows))


def _lock_rows(cursor: WarehouseCursor, name: tuple[str, str, str] | None) -> None:
    """Wait for the transaction that changes rows of the same table (LOCK_TIMEOUT seconds at most)."""
    conn = cursor._conn
    if name is None or name in conn.temporary_tables:
        return
    full = ".".join(name)
    engine, timeout = conn.engine, float(str(conn.parameter("LOCK_TIMEOUT")))

    def look(holder: int) -> None:
        if conn.statement:
            conn.statement.check()
        other = engine.sessions.get(holder)
        if other is None:
            engine.locks.release(holder)
        else:
            other.transaction.release_if_abandoned()

    why = f"it waited longer than LOCK_TIMEOUT, {timeout:g} seconds"
    try:
        holder = engine.locks.acquire(full, conn.session_id, timeout, look)
    except DeadlockError as e:
        holder, why = int(str(e)), "it is part of a deadlock and the most recent statement in it"
    if holder is not None:
        other = engine.sessions.get(holder)
        raise errors.locked(full, other.transaction.id if other else 0, cursor._query_id, why)


def _touch(conn: WarehouseConnection, name: tuple[str, str, str] | None) -> None:
    """Rows of a table have changed; the account hears of it when they are committed."""
    if name is not None and name not in conn.temporary_tables:
        conn.transaction.changed.add(".".join(name))
    if not conn.transaction.open:
        conn.transaction.flush_changes()
