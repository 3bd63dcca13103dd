"""Statements that change rows: INSERT, UPDATE, DELETE, MERGE, COPY INTO.

parsed DML ──wait for the table's lock, newest snapshot──▶ fakesnow, DuckDB, copy ──▶ rows; the account notes the changed tables

https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.copy.load import copy_into
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.context import SessionContext
from flows.embedded.warehouse.session.locks import DeadlockError
from flows.embedded.warehouse.session.privileges import authorize, exists, is_named, parts_of, target_of
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.session.stage_lookup import file_format_options, stage_info
from flows.embedded.warehouse.session.storage_access import storage_of
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.statements.runner import Runner
from flows.embedded.warehouse.storage import described, load_history
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import quote_name
from flows.embedded.warehouse.translate.assignments import assign
from flows.embedded.warehouse.translate.translation import NameContext, expression_sql, merge_operations

DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.MultitableInserts)


def change_rows(runner: Runner, expression: Expr, bindings: Any) -> None:
    """Run one INSERT, UPDATE, DELETE or MERGE; outside a transaction, repeat it after a conflict."""
    conn = runner.conn
    target = target_of(expression)
    written = conn.qualify(parts_of(target)) if target is not None and is_named(target) else None
    expression = tables.resolve_temporary(conn, expression)
    if not conn.autocommit_on:
        conn.transaction.begin()
    if isinstance(expression, exp.Update):
        _bare_targets(expression)
    overwrites = isinstance(expression, exp.Insert) and bool(expression.args.get("overwrite"))
    if overwrites and any(
        conn.qualify(parts_of(t)) == written for t in expression.expression.find_all(exp.Table) if is_named(t)
    ):
        raise errors.unsupported("INSERT OVERWRITE of a table from itself (write another table, then ALTER … RENAME)")
    if overwrites or isinstance(expression, (exp.Update, exp.Delete, exp.Merge)):
        _lock_rows(runner, written)

    if target is not None and not isinstance(expression, exp.Delete):
        assign(expression, engine_columns(runner, written))

    def run() -> None:
        again = expression.copy()
        if isinstance(again, exp.Merge):
            _merge(runner, again, bindings)
            return
        several = _joined_rows(runner, again, bindings) if isinstance(again, exp.Update) else None
        with runner.atomic() if overwrites else contextlib.nullcontext():
            runner.run(again, bindings)
        if several is not None and not runner.trial:
            names = ("number of rows updated", "number of multi-joined rows updated")
            runner.answer(Result([(name, "BIGINT") for name in names], [[*several]], several[0]))

    with runner.seeing(expression, written, adds=isinstance(expression, exp.Insert) and not overwrites):
        expression = runner.typed(expression)
        runner.retried(run)
    if runner.trial:
        return
    conn.transaction.wrote = conn.transaction.wrote or (conn.transaction.open and (overwrites or bool(runner.rowcount)))
    _touch(conn, written)


def _bare_targets(update: exp.Update) -> None:
    """Write SET T.A = … of the target T as SET A = … (https://docs.snowflake.com/en/sql-reference/sql/update#examples)."""
    for pair in update.expressions:
        column = pair.this if isinstance(pair, exp.EQ) else None
        if isinstance(column, exp.Column) and column.table:
            if column.table.upper() != update.this.alias_or_name.upper():
                raise errors.invalid_identifier(column.sql(dialect="snowflake"))
            column.set("table", None)


def _joined_rows(runner: Runner, update: exp.Update, bindings: Any) -> tuple[int, int] | None:
    """Count the rows that an UPDATE … FROM changes, and those of them that its tables join several times; None without FROM.
    Raises 100090 for the latter if ERROR_ON_NONDETERMINISTIC_UPDATE is set
    (https://docs.snowflake.com/en/sql-reference/sql/update#usage-notes)."""
    from_, target = update.args.get("from_"), update.this
    if not isinstance(from_, exp.From):
        return None
    times = exp.Count(this=exp.Star())
    rows = (
        exp.select(exp.alias_(times, "N", quoted=True)).from_(target.copy()).join(from_.this.copy(), join_type="CROSS")
    )
    if isinstance(where := update.args.get("where"), exp.Where):
        rows = rows.where(where.this.copy())
    rows = rows.group_by(exp.column("rowid", table=target.alias_or_name))
    several = exp.CountIf(this=exp.GT(this=exp.column("N", quoted=True), expression=exp.Literal.number(1)))
    counting = runner.translated(exp.select(times.copy(), several).from_(rows.subquery("S")), bindings)
    bound = _bound(counting, bindings)
    with runner.trying() as beside:
        if beside is not None:
            counted = beside.run(counting, bound)
        else:
            counted = runner.duck.execute(counting.sql(dialect="duckdb"), bound).fetchall()
    total, twice = (int(n) for n in counted[0])
    if twice and runner.conn.parameter("ERROR_ON_NONDETERMINISTIC_UPDATE"):
        raise errors.duplicate_row()
    return total, twice


def truncate(runner: Runner, expression: exp.TruncateTable) -> None:
    """TRUNCATE [TABLE] [IF EXISTS]: delete rows and load metadata, in the open transaction if there is one
    (https://docs.snowflake.com/en/sql-reference/sql/truncate-table, …/transactions#terminology)."""
    conn, table = runner.conn, expression.expressions[0]
    others = [o for o in ("cluster", "identity", "option", "partition") if expression.args.get(o)]
    if len(expression.expressions) != 1 or others:
        raise errors.syntax(",") if len(expression.expressions) != 1 else errors.syntax(str(expression.args[others[0]]))
    name = conn.qualify(parts_of(table))
    if exists(conn, name):
        if exists(conn, name) == "VIEW":
            raise errors.not_found("TABLE", ".".join(name))
        with runner.atomic():
            change_rows(runner, exp.Delete(this=table.copy()), None)
            if name not in conn.temporary_tables:
                load_history.after_statement(runner.duck, expression, conn.database, conn.schema)
    runner.answer(status())


def _bound(query: Expr, bindings: Any) -> dict[str, Any] | None:
    """Return the binds that a query made from part of a statement uses (the engine refuses others); None if it uses none."""
    places = [place.name for place in query.find_all(exp.Placeholder)]
    return {name: bindings[name if isinstance(bindings, dict) else int(name) - 1] for name in places} or None


def engine_columns(runner: Runner, name: tuple[str, str, str] | None) -> list[tuple[str, str]]:
    """Return the columns of the table that is written, with the engine's types."""
    if name is None:
        return []
    where = quote_name(name[2]) if name in runner.conn.temporary_tables else ".".join(map(quote_name, name))
    with contextlib.suppress(duckdb.Error):
        return described.columns(runner.duck, where)
    return []


def _merge(runner: Runner, expression: exp.Merge, bindings: Any) -> None:
    """Run MERGE as DuckDB's, which is one statement, and answer as Snowflake with a count for each operation it names
    (https://docs.snowflake.com/en/sql-reference/sql/merge). Raises 100090 for a row that matches twice, as Snowflake does; the
    table is locked, so the rows that were checked are those that are merged."""
    named = merge_operations(expression)
    conn, looked = runner.conn, _several_matches(expression)
    counting = runner.translated(looked, bindings) if looked is not None else None
    bound = _bound(counting, bindings) if counting is not None else None
    for then in expression.find_all(exp.Update, exp.Insert):
        # "SET t.a = …" and "INSERT (t.a)" are Snowflake's; DuckDB takes the bare column
        if isinstance(then, exp.Update):
            targets = [e.this for e in then.expressions]
        else:
            targets = list(then.this.expressions) if then.this else []
        for column in targets:
            if isinstance(column, exp.Column):
                column.set("table", None)
    merge = runner.translated(expression, bindings)
    with runner.trying() as beside:
        if beside is not None:
            if counting is not None and beside.run(counting, bound):
                raise errors.duplicate_row()
            beside.run(merge, bindings, " RETURNING merge_action")
    if runner.trial:
        return
    tried = beside is not None and conn.statement
    counts: dict[str, int] = {}
    with conn.statement.unstoppable() if tried and conn.statement else contextlib.nullcontext():
        if not tried and counting is not None and runner.duck.execute(counting.sql(dialect="duckdb"), bound).fetchone():
            raise errors.duplicate_row()
        sql = merge.sql(dialect="duckdb") + " RETURNING merge_action"
        for (action,) in runner.duck.execute(sql, bindings).fetchall():
            counts[action] = counts.get(action, 0) + 1
    operations = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
    shown = [(f"number of rows {op}", counts.get(operations[op], 0)) for op in named]
    runner.answer(Result([(name, "BIGINT") for name, _ in shown], [[n for _, n in shown]], sum(n for _, n in shown)))


def _several_matches(merge: exp.Merge) -> exp.Select | None:
    """Build a query for target rows that several source rows would change, one by UPDATE; None for a MERGE without UPDATE.

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


def copy(runner: Runner, expression: exp.Copy, bindings: Any) -> None:
    """COPY INTO <table>; its rows and its load history commit together."""
    conn = runner.conn
    if not expression.args.get("kind"):
        raise errors.unsupported("COPY INTO <location> (unloading)")
    authorize(conn, expression)
    if not conn.autocommit_on:
        conn.transaction.begin()
    context = copy_context(runner, bindings)
    target = target_of(expression)
    written = conn.qualify(parts_of(target)) if target is not None else None
    with runner.atomic():
        made = copy_into(runner.duck, context, expression)
        if written:
            conn.transaction.parts.first.wrote.add(".".join(written))
    conn.transaction.wrote = conn.transaction.wrote or conn.transaction.open
    _touch(conn, written)
    runner.answer(made)


def copy_context(runner: Runner, bindings: Any = None) -> SessionContext:
    """Return the session's data and functions that a COPY needs."""
    conn = runner.conn
    return SessionContext(
        database=conn.database,
        schema=conn.schema,
        storage=partial(storage_of, conn),
        stage=partial(stage_info, conn),
        file_format=partial(file_format_options, conn),
        expression_sql=lambda node, database, schema, duck: expression_sql(node, NameContext(database, schema, duck)),
        query_id=runner.query_id,
        bindings=bindings,
        scratch=conn.engine.directory / "tmp",
        check=conn.statement.check if conn.statement else lambda: None,
    )


def _lock_rows(runner: Runner, name: tuple[str, str, str] | None) -> None:
    """Wait for the transaction that changes rows of the same table. Raises 000625 after LOCK_TIMEOUT seconds or in a deadlock."""
    conn = runner.conn
    if name is None or name in conn.temporary_tables:
        return
    full = ".".join(name)
    registry, timeout = conn.registry, float(str(conn.parameter("LOCK_TIMEOUT")))

    def look(holder: int) -> None:
        if conn.statement:
            conn.statement.check()
        other = registry.sessions.get(holder)
        if other is None:
            registry.locks.release(holder)
        else:
            other.transaction.release_if_abandoned()

    why = f"it waited longer than LOCK_TIMEOUT, {timeout:g} seconds"
    try:
        holder = registry.locks.acquire(full, conn.session_id, timeout, look)
    except DeadlockError as e:
        holder, why = int(str(e)), "it is part of a deadlock and the most recent statement in it"
    if holder is not None:
        other = registry.sessions.get(holder)
        raise errors.locked(full, other.transaction.id if other else 0, runner.query_id, why)


def _touch(conn: WarehouseConnection, name: tuple[str, str, str] | None) -> None:
    """Note that rows of a table have changed; the account records it at the commit."""
    if name is not None and name not in conn.temporary_tables:
        conn.transaction.changed.add(".".join(name))
    if not conn.transaction.open:
        conn.transaction.flush_changes()
