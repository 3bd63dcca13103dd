"""The one seam between the wire and fakesnow: every statement passes `WarehouseCursor.execute`.

SQL ──find_handler──▶ account objects, grants, stages, session  (this package)
    ──COPY──▶ flows.embedded.warehouse.copy
    ──else──▶ authorize ──▶ fakesnow's transforms ──▶ DuckDB

Transactions: https://docs.snowflake.com/en/sql-reference/transactions. DDL commits what is open and then itself.

Long because it is one class: each statement passes all of it, with the session, the transaction and the answer in common.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import snowflake.connector.errors
from fakesnow import info_schema, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.transforms.merge import operations as merge_operations
from sqlglot import Expr, exp, parse_one
from sqlglot.errors import ParseError, SqlglotError

from flows.embedded.warehouse import corrections, errors, functions, load_history, tables
from flows.embedded.warehouse.engine import QueryRecord
from flows.embedded.warehouse.grammar import Words, quote
from flows.embedded.warehouse.locks import DeadlockError
from flows.embedded.warehouse.privileges import authorize, exists, folded, is_named, parts_of, target_of
from flows.embedded.warehouse.result import Result, status
from flows.embedded.warehouse.running import Statement, cancel, cancellation, cancels
from flows.embedded.warehouse.statements import find_handler

if TYPE_CHECKING:
    from flows.embedded.warehouse.connection import WarehouseConnection

logger = logging.getLogger(__name__)

_DDL = (exp.Create, exp.Alter, exp.Drop, exp.Comment, exp.TruncateTable)
_DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.MultitableInserts)
_ROW_CHANGES = (exp.Update, exp.Delete, exp.Merge)
_TAKEN = (
    exp.Query,
    exp.Set,
    exp.Describe,
    exp.Show,
    exp.Put,
    exp.ListStage,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    *_DDL,
    *_DML,
)
_VARIABLE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"]|"")*" | --[^\n]* | //[^\n]* | /\*.*?\*/ | \$\$.*?\$\$ | (?<![\w$])\$([A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
# Not `::type` nor `value:path`.
_BIND = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"]|"")*" | --[^\n]* | (\? | (?<![:\w\])]):\w+)""", re.VERBOSE | re.DOTALL
)
RETRY_SECONDS = 20.0


class WarehouseCursor(FakeSnowflakeCursor):  # type: ignore[misc]
    """fakesnow's cursor plus the statements it lacks, privileges, transactions, query ids and Snowflake's errors."""

    _conn: WarehouseConnection
    _last_transformed: Expr | None
    _arrow_table: Any
    _rowcount: int | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._described: list[tuple[Any, ...]] | None = None
        self._query_id = ""
        self.statement: Statement | None = None  # what the server has announced, for the next execution

    # ---- entry points

    def execute(
        self,
        command: str,
        params: Sequence[Any] | dict[Any, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> WarehouseCursor:
        """Run one statement; afterwards `sfqid`, `rowcount` and the rows are set. `server=True` comes with `binding_params`.

        Raises snowflake.connector.errors.Error with Snowflake's errno and sqlstate, never anything else.
        """
        bindings = kwargs.get("binding_params") or None
        if cancels(command) and (call := cancellation(with_literals(command, bindings))):
            with self._statement(command, alone=False) as statement:
                self._answer(cancel(self._conn, call, statement))
            return self
        with self._statement(command):
            if bindings is None:
                command, bindings = self._rewrite_with_params(command, params)
            self._run(command, bindings)
            ran = self._last_transformed
            if not kwargs.get("server") and ran is not None and (upload := ran.args.get("put_stage_data")):
                self._put_files(upload)
        return self

    def execute_batch(self, command: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """An array binding: one statement, all rows or none (https://docs.snowflake.com/en/developer-guide/python-connector/
        python-connector-api#executemany); returns the rows affected."""
        total = 0
        with self._statement(command):
            expression = self._parsed(command)
            with self._atomic():
                for row in rows:
                    self._run_parsed(expression.copy(), command, list(row))
                    total += self._rowcount or 0
            self._rowcount = total
        return total

    def evaluate(self, expression: Expr) -> Any:
        """The value of a constant expression."""
        select = exp.select(expression.copy())
        with self._duck_conn.cursor() as duck:
            row = duck.execute(self._transform(select, None).sql(dialect="duckdb")).fetchone()
        return row[0] if row else None

    def describe_only(self, command: str) -> list[tuple[Any, ...]] | None:
        """The result columns of a statement that is not run, or None when only running it can tell."""
        if find_handler(Words(command)) is not None:
            return None
        expression = self._parsed(command)
        if isinstance(expression, exp.Query):
            for node in list(expression.find_all(exp.Placeholder)):
                node.replace(exp.Null())
            with self._statement(command):
                self._run_parsed(exp.Describe(this=expression), command, None)
            return list(self.fetchall())
        if isinstance(expression, exp.Copy):
            return None
        described: list[tuple[Any, ...]] | None = super()._describe_only(command)
        return described

    @contextlib.contextmanager
    def _statement(self, command: str, alone: bool = True) -> Iterator[Statement]:
        """Around one statement: lock, id, timeout, history, Snowflake's errors. `alone`: after those before it in its session."""
        conn = self._conn
        statement, self.statement = self.statement or Statement(conn), None
        conn.engine.running.add(statement)
        with conn.lock if alone else contextlib.nullcontext():
            started = conn.last_used = datetime.now(UTC)
            query_id = self._query_id = statement.query_id
            conn.last_query_ids = [*conn.last_query_ids[-99:], query_id]
            self._described, self._sqlstate, self._sfqid = None, None, None
            failure: snowflake.connector.errors.Error | None = None
            before, timer = conn.statement, self._timeout(statement) if alone else None
            try:
                if alone:
                    conn.statement, conn.last_statement = statement, time.monotonic()
                    statement.start()
                    self._hear_of_abortion(command)
                    conn.refresh_namespace()
                yield statement
                if self._sfqid and self._sfqid != query_id:
                    conn.engine.results.move(self._sfqid, query_id)
            except Exception as e:
                statement.end()
                failure = statement.stopped or self._error(e, command)
                failure.sfqid = query_id
                self._sqlstate = failure.sqlstate
                if alone:
                    self._revive()
                raise failure from None if failure is e else e
            finally:
                conn.engine.running.remove(statement)
                if timer:
                    timer.cancel()
                if alone:
                    conn.statement, conn.last_statement = before, time.monotonic()
                if alone and conn.autocommit_on and not conn.in_transaction:
                    conn.engine.locks.release(conn.session_id)
                self._sfqid = query_id
                self._remember(command, started, failure)

    def _hear_of_abortion(self, command: str) -> None:
        """A session whose idle transaction was taken away is told so once, unless it gives the transaction up itself."""
        aborted, self._conn.aborted = self._conn.aborted, 0
        if aborted and not Words(command).sees("ROLLBACK"):
            raise errors.transaction_aborted(aborted)

    def _timeout(self, statement: Statement) -> threading.Timer | None:
        """STATEMENT_TIMEOUT_IN_SECONDS (https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds)."""
        seconds = int(str(self._conn.parameter("STATEMENT_TIMEOUT_IN_SECONDS")))
        if not 0 < seconds < 172800:
            return None
        timer = threading.Timer(seconds, statement.stop, [errors.timed_out(seconds)])
        timer.daemon = True
        timer.start()
        return timer

    def _error(self, error: Exception, command: str) -> snowflake.connector.errors.Error:
        """The Snowflake error for whatever a statement raised."""
        cause = error.__cause__ if isinstance(error, snowflake.connector.errors.Error) else error
        if isinstance(cause, duckdb.ResourceInUseException) or (
            isinstance(error, snowflake.connector.errors.Error) and error.errno in (100103, 2002)
        ):
            assert isinstance(error, snowflake.connector.errors.Error)
            return error
        if isinstance(cause, duckdb.Error):
            return errors.from_duckdb(cause, command)
        if isinstance(error, snowflake.connector.errors.Error) and not isinstance(cause, NotImplementedError):
            return error
        if isinstance(error, (ParseError, SqlglotError)):
            return errors.from_parser(error, command)
        logger.warning("refused %r", command[:200], exc_info=error)
        return errors.unsupported(f"{_summary(command)} ({type(cause or error).__name__}: {str(cause or error)[:200]})")

    def _revive(self) -> None:
        """A failed statement leaves a Snowflake transaction open and usable; DuckDB may have given it up.

        When nothing was written in it yet, a new one is the same transaction. Otherwise it stays given up, and all that
        follows fails until ROLLBACK: rows that DuckDB has lost are never committed by half.
        """
        conn = self._conn
        if not conn.in_transaction:
            return
        try:
            self._duck_conn.execute("SELECT 1")
        except duckdb.TransactionException:
            if conn.wrote:
                conn.lost = True
            else:
                self._duck_conn.execute("ROLLBACK")
                self._duck_conn.execute("BEGIN TRANSACTION")
        except duckdb.Error:
            return

    def _remember(self, command: str, started: datetime, failure: snowflake.connector.errors.Error | None) -> None:
        conn = self._conn
        conn.engine.history.add(
            QueryRecord(
                query_id=self._query_id,
                query_text=command[:100_000],
                database_name=conn.database,
                schema_name=conn.schema,
                query_type=_query_type(command),
                session_id=conn.session_id,
                user_name=conn.user,
                role_name=conn.role,
                warehouse_name=conn.warehouse,
                query_tag=str(conn.parameter("QUERY_TAG")),
                execution_status="FAIL" if failure else "SUCCESS",
                error_code=f"{failure.errno:06d}" if failure and failure.errno else None,
                error_message=str(failure.raw_msg) if failure else None,
                start_time=started,
                end_time=datetime.now(UTC),
                rows_produced=None if failure else self._rowcount,
            )
        )

    # ---- one statement

    def _run(self, command: str, bindings: Any) -> None:
        words = Words(command)
        if words.at_end:
            raise errors.empty_statement()
        if self._conn.nop_regexes and any(re.match(p, command, re.IGNORECASE) for p in self._conn.nop_regexes):
            self._answer(status())
            return
        if words.sees("UNSET"):
            self._unset_variables(words)
            return
        if words.sees("CREATE", "OR", "ALTER", "TABLE"):
            from flows.embedded.warehouse.evolve import create_or_alter_table

            create_or_alter_table(self, command)
            return
        handler = find_handler(words)
        if handler is not None:
            conn = self._conn
            if words.upper() not in ("USE", "SHOW", "DESC", "DESCRIBE", "LIST", "LS") and not words.sees(
                "ALTER", "SESSION"
            ):
                conn.end_transaction("COMMIT")  # DDL
            result = handler(conn, Words(with_literals(self._inline_variables(command), bindings)))
            if result is not None:
                self._answer(result)
                return
        if not isinstance(bindings, (list, dict)) and bindings is not None:
            bindings = list(bindings)
        self._run_parsed(self._parsed(command), command, bindings)

    def _parsed(self, command: str) -> Expr:
        expression = parse_one(self._inline_variables(command), read="snowflake")
        if isinstance(expression, exp.Alias) and expression.this.name.upper() == "START":
            return exp.Transaction()
        if isinstance(expression, exp.Command):
            if transforms.alter_table_strip_cluster_by(expression) is not expression:
                return expression
            raise errors.unsupported(_summary(command))
        if not isinstance(expression, _TAKEN):
            raise errors.syntax(command.strip().split()[0])
        return expression

    def _run_parsed(self, expression: Expr, command: str, bindings: Any) -> None:
        conn = self._conn
        if isinstance(expression, exp.Copy):
            self._copy(expression, command, bindings)
            return
        if isinstance(expression, (exp.Transaction, exp.Commit, exp.Rollback)):
            self._end_or_begin(expression)
            return
        self.check_db_and_schema(expression)
        authorize(conn, expression)
        expression = load_history.rewrite(expression, conn.database, conn.schema, datetime.now(UTC))
        expression = functions.rewrite(conn, expression, self._query_id, command)
        if isinstance(expression, _DDL):
            conn.end_transaction("COMMIT")
            with conn.engine.ddl_lock:
                self._ddl(expression, bindings)
            return
        target = target_of(expression)
        written = None
        if isinstance(expression, _DML) and target is not None and is_named(target):
            written = conn.qualify(parts_of(target))
        expression = tables.resolve_temporary(conn, expression)
        if isinstance(expression, _DML) and not conn.autocommit_on:
            conn.begin()
        if isinstance(expression, _ROW_CHANGES) or (
            isinstance(expression, exp.Insert) and expression.args.get("overwrite")
        ):
            self._lock_rows(written)
            conn.refresh_snapshot()
            whole = isinstance(expression, exp.Insert)
            self._retried(lambda: self._run_atomic(expression.copy(), bindings, whole))
        elif isinstance(expression, _DML):
            conn.refresh_snapshot()
            self._retried(lambda: self._transformed(expression.copy(), bindings))
        else:
            conn.refresh_snapshot()
            self._transformed(expression, bindings)
        if isinstance(expression, _DML):
            conn.wrote = conn.wrote or conn.in_transaction
            self._touch(written)

    def _run_atomic(self, expression: Expr, bindings: Any, whole: bool) -> None:
        if isinstance(expression, exp.Merge):
            self._merge(expression, bindings)
            return
        with self._atomic() if whole else contextlib.nullcontext():
            self._transformed(expression, bindings)

    def _merge(self, expression: exp.Merge, bindings: Any) -> None:
        """MERGE by DuckDB's own, which is one statement; Snowflake's answer is a count for each operation it names
        (https://docs.snowflake.com/en/sql-reference/sql/merge). A row that matches twice is error 100090, as there."""
        named = merge_operations(expression)
        for then in expression.find_all(exp.Update, exp.Insert):
            # "SET t.a = …" and "INSERT (t.a)" are Snowflake's; DuckDB wants the bare column
            if isinstance(then, exp.Update):
                targets = [e.this for e in then.expressions]
            else:
                targets = list(then.this.expressions) if then.this else []
            for column in targets:
                if isinstance(column, exp.Column):
                    column.set("table", None)
        sql = self._transform(expression, bindings).sql(dialect="duckdb") + " RETURNING merge_action"
        counts: dict[str, int] = {}
        for (action,) in self._duck_conn.execute(sql, bindings).fetchall():
            counts[action] = counts.get(action, 0) + 1
        operations = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
        shown = [(f"number of rows {op}", counts.get(operations[op], 0)) for op, clauses in named.items() if clauses]
        self._answer(Result([(name, "BIGINT") for name, _ in shown], [[n for _, n in shown]], sum(n for _, n in shown)))

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[None]:
        """A transaction around what DuckDB needs several statements for; nothing when one is open already."""
        conn = self._conn
        if conn.in_transaction:
            yield
            return
        conn.begin()
        try:
            yield
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                conn.end_transaction("ROLLBACK")
            raise
        kept = self._arrow_table, self._rowcount, self._described
        conn.end_transaction("COMMIT")
        self._arrow_table, self._rowcount, self._described = kept

    def _retried(self, run: Callable[[], None]) -> None:
        """Outside a transaction a conflict with another session's commit is worth another try: Snowflake would have waited."""
        deadline = time.monotonic() + RETRY_SECONDS
        pause = 0.005
        while True:
            try:
                run()
                return
            except duckdb.TransactionException as e:
                if self._conn.statement:
                    self._conn.statement.check()
                if self._conn.in_transaction or "onflict" not in str(e) or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 0.25)

    def _transformed(self, expression: Expr, bindings: Any) -> None:
        """fakesnow's way, its rewriting of numbers and TRIM put right (see `corrections`)."""
        expression = corrections.trims(expression)
        exact = corrections.sums(expression)
        try:
            self._executed(exact, bindings)
        except snowflake.connector.errors.ProgrammingError as e:
            if corrections.SUM_OF_TEXT not in str(e):
                raise
            self._executed(expression, bindings)

    def _executed(self, expression: Expr, bindings: Any) -> None:
        """fakesnow's way: split, transform, execute."""
        for statement in self._transform_explode(expression):
            transformed = self._transform(statement, bindings)
            # a statement split into several, such as MERGE, has its placeholders in one of the parts
            self._execute(transformed, bindings if transformed.find(exp.Placeholder) else None)

    def _transform(self, expression: Expr, params: Any) -> Expr:
        """fakesnow's transforms; then every name is quoted, since DuckDB reserves words (AT, …) that Snowflake does not."""
        names = functions.column_names(expression)
        transformed: Expr = super()._transform(expression, params)
        if transformed is transforms.SUCCESS_NOP:
            return transformed
        if names:
            functions.name_columns(transformed, names)
        for name in transformed.find_all(exp.Identifier):
            if name.args.get("quoted") or name.name.upper() != "DEFAULT":  # VALUES (DEFAULT) is a keyword
                name.set("quoted", True)
        return transformed

    def _execute(self, transformed: Expr, params: Any = None) -> None:
        lengths = transformed.args.pop("text_lengths", None)
        transformed.args.pop("table_comment", None)
        super()._execute(transformed, params)
        if lengths and (table := transformed.find(exp.Table)) and not transformed.find(exp.TemporaryProperty):
            self._write_lengths(table, lengths)
        if self._arrow_table is not None and self._duck_conn.description:
            self._described = [(c[0], str(c[1]), "YES", None, None, None) for c in self._duck_conn.description]

    def _write_lengths(self, table: exp.Table, lengths: list[tuple[str, int]]) -> None:
        """Lengths of VARCHAR columns, written apart from the session's transaction, which may have its rows elsewhere."""
        name = self._conn.qualify(parts_of(table))
        with self._duck_conn.cursor() as duck:
            duck.execute(info_schema.insert_text_lengths_sql(*name, lengths))

    def _describe_last_sql(self) -> list[tuple[Any, ...]]:
        return self._described if self._described is not None else super()._describe_last_sql()

    def _answer(self, result: Result) -> None:
        """Make a handler's result the cursor's."""
        self._arrow_table = result.arrow()
        self._arrow_table_fetch_index = None
        self._rowcount = result.affected if result.affected is not None else len(result.rows)
        self._described = result.described()
        self._last_sql, self._last_params = "SELECT 1", None
        self._last_transformed = transforms.SUCCESS_NOP.copy()
        self._sfqid = self._query_id
        self._conn.results_cache[self._query_id] = (
            self._arrow_table, self._rowcount, self._last_sql, self._last_params, self._last_transformed,
        )  # fmt: skip

    # ---- kinds of statements

    def _end_or_begin(self, expression: Expr) -> None:
        conn = self._conn
        if isinstance(expression, exp.Transaction):
            conn.begin()
        else:
            conn.end_transaction("COMMIT" if isinstance(expression, exp.Commit) else "ROLLBACK")
        self._answer(status())

    def _unset_variables(self, words: Words) -> None:
        """UNSET name | (name, …) (https://docs.snowflake.com/en/sql-reference/sql/unset)."""
        words.expect("UNSET")
        bracket = words.accept("(")
        while True:
            name = words.part()
            for known in [k for k in self._conn.variables._variables if k.upper() == name]:
                self._conn.variables._unset(known)
            if not words.accept(","):
                break
        if bracket:
            words.expect(")")
        words.finish()
        self._answer(status())

    def _inline_variables(self, sql: str) -> str:
        """$name outside strings, quoted names and comments becomes its value
        (https://docs.snowflake.com/en/sql-reference/session-variables#using-variables-in-sql)."""
        if "$" not in sql:
            return sql
        values = {name.upper(): value for name, value in self._conn.variables._variables.items()}

        def one(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0]
            if match[1].upper() not in values:
                raise errors.unknown_variable(match[1].upper())
            return str(values[match[1].upper()])

        return _VARIABLE.sub(one, sql)

    def _copy(self, expression: exp.Copy, command: str, bindings: Any) -> None:
        """COPY INTO <table>; its rows, history and the statement's other rows commit together."""
        from flows.embedded.warehouse.copy import copy_into

        conn = self._conn
        if not expression.args.get("kind"):
            raise errors.unsupported("COPY INTO <location> (unloading)")
        authorize(conn, expression)
        if not conn.autocommit_on:
            conn.begin()
        context = conn.context(self._query_id, bindings)
        with self._atomic():
            made = copy_into(self._duck_conn, context, expression, command)
        conn.wrote = conn.wrote or conn.in_transaction
        target = target_of(expression)
        self._touch(conn.qualify(parts_of(target)) if target is not None else None)
        self._answer(Result(made.columns, made.rows))

    def _lock_rows(self, name: tuple[str, str, str] | None) -> None:
        """Wait for the transaction that changes rows of the same table (LOCK_TIMEOUT seconds at most)."""
        conn = self._conn
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
                other.release_if_abandoned()

        why = f"it waited longer than LOCK_TIMEOUT, {timeout:g} seconds"
        try:
            holder = engine.locks.acquire(full, conn.session_id, timeout, look)
        except DeadlockError as e:
            holder, why = int(str(e)), "it is part of a deadlock and the most recent statement in it"
        if holder is not None:
            other = engine.sessions.get(holder)
            raise errors.locked(full, other.transaction_id if other else 0, self._query_id, why)

    def _touch(self, name: tuple[str, str, str] | None) -> None:
        """Rows of a table have changed; the account hears of it when they are committed."""
        conn = self._conn
        if name is not None and name not in conn.temporary_tables:
            conn.changed.add(".".join(name))
        if not conn.in_transaction:
            conn.flush_changes()

    def _ddl(self, expression: Expr, bindings: Any) -> None:
        """Tables, views and sequences: what DuckDB runs, then what the account keeps of it."""
        conn = self._conn
        kind = str(expression.args.get("kind") or "").upper()
        original = expression.copy()
        target = target_of(expression)
        name = conn.qualify(parts_of(target)) if target is not None and is_named(target) and kind != "SCHEMA" else None
        gone = [conn.qualify(parts_of(t)) for t in expression.args.get("tables") or [] if isinstance(t, exp.Table)]
        before = exists(conn, name) if name and kind in ("TABLE", "VIEW") else ""
        spec = None
        if name and isinstance(expression, exp.Create):
            if conn.account.find("DATABASE", name[0]) is None:
                raise errors.not_found("DATABASE", name[0])
            if name[1] == "INFORMATION_SCHEMA" or not conn.has_schema(*name[:2]):
                raise errors.not_found("SCHEMA", f"{name[0]}.{name[1]}")
        if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
            spec = tables.take_apart(conn, expression)
            if before and expression.args.get("exists"):
                self._answer(status(f"{spec.name[2]} already exists, statement succeeded."))
                return
            if before and not spec.replaces and not spec.temporary:
                raise errors.already_exists(spec.full)
            self._refuse_stage_sources(expression)
        elif isinstance(expression, exp.Create) and kind not in ("SEQUENCE",):
            raise errors.unsupported(f"CREATE {kind}")
        elif isinstance(expression, exp.Drop):
            if kind not in ("TABLE", "VIEW", "SEQUENCE"):
                raise errors.unsupported(f"DROP {kind}")
            if name and kind in ("TABLE", "VIEW") and not before:
                if expression.args.get("exists"):
                    self._answer(status(f"Drop statement executed successfully ({name[2]} already dropped)."))
                    return
                raise errors.not_found(kind, ".".join(name))
        elif isinstance(expression, exp.Alter) and kind in ("TABLE", "VIEW"):
            if name and not before:
                if expression.args.get("exists"):
                    self._answer(status())
                    return
                raise errors.not_found(kind, ".".join(name))
            if self._swap(expression, name):
                return
            spec = tables.alter(conn, expression)
        elif isinstance(expression, exp.Comment):
            self._comment(expression)
            return
        if isinstance(expression, exp.Alter) and not expression.args.get("actions"):
            self._answer(status())  # comments only
        else:
            made = target if isinstance(expression, exp.Create) else None
            expression = tables.resolve_temporary(conn, expression, made)
            self._retried(lambda: self._transformed(expression.copy(), bindings))
        load_history.after_statement(self._duck_conn, original, conn.database, conn.schema)
        if isinstance(expression, exp.Create) and spec is not None:
            tables.register(conn, spec)
        elif isinstance(expression, exp.Create) and name:
            tables.ownership(conn, kind, ".".join(name))
        elif isinstance(expression, exp.Drop):
            for one in gone:
                tables.dropped(conn, one, kind)
        elif isinstance(expression, exp.Alter) and spec is not None:
            tables.altered(conn, spec, expression)
        elif isinstance(expression, exp.TruncateTable):
            conn.account.changed(".".join(conn.qualify(parts_of(t))) for t in original.expressions)

    def _refuse_stage_sources(self, expression: Expr) -> None:
        for table in expression.find_all(exp.Table):
            if table.name.startswith("@"):
                raise errors.unsupported("a query over a staged file (COPY INTO a table first)")

    def _swap(self, expression: exp.Alter, name: tuple[str, str, str] | None) -> bool:
        """ALTER TABLE a SWAP WITH b: both names change hands at once
        (https://docs.snowflake.com/en/sql-reference/sql/alter-table#parameters)."""
        actions = expression.args.get("actions") or []
        swap = next((a for a in actions if isinstance(a, exp.SwapTable)), None)
        if swap is None or name is None:
            return False
        from flows.embedded.warehouse.evolve import swap_tables

        swap_tables(self._conn, name, self._conn.qualify(parts_of(swap.this)))
        self._answer(status())
        return True

    def _comment(self, expression: exp.Comment) -> None:
        """COMMENT ON TABLE | VIEW | COLUMN … IS '…' (https://docs.snowflake.com/en/sql-reference/sql/comment)."""
        conn = self._conn
        text = expression.expression.name
        if str(expression.args["kind"]).upper() == "COLUMN":
            column = expression.this
            *table, short = [folded(p) for p in column.parts]
            name = conn.qualify(table)
            tables.comment_column(conn, name, short, text)
        else:
            name = conn.qualify(parts_of(expression.this))
            found = exists(conn, name)
            if not found:
                raise errors.not_found("TABLE", ".".join(name))
            tables.set_comment(conn, found, name, text)
        self._answer(status())


def with_literals(command: str, bindings: Any) -> str:
    """The statement with its server-side binds (`?`, `:1`, `:name`) as constants, for those that DuckDB never sees."""
    if not bindings:
        return command
    left = list(bindings.values() if isinstance(bindings, dict) else bindings)

    def one(match: re.Match[str]) -> str:
        mark = match[1]
        if mark is None:
            return match[0]
        if mark == "?":
            value = left.pop(0) if left else None
        else:
            value = bindings[mark[1:]] if isinstance(bindings, dict) else bindings[int(mark[1:]) - 1]
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else quote(str(value))

    return _BIND.sub(one, command)


def _summary(command: str) -> str:
    """The statement's first words, enough to know it by."""
    words = Words(command)
    shown: list[str] = []
    while len(shown) < 6 and words.peek():
        shown.append(words.take().text)
    return " ".join(shown)[:80]


def _query_type(command: str) -> str:
    """QUERY_TYPE of QUERY_HISTORY: SELECT, INSERT, CREATE_TABLE …"""
    words = Words(command)
    first = words.upper()
    if first == "WITH":
        return "SELECT"
    if first in ("CREATE", "ALTER", "DROP"):
        at = 3 if words.upper(1) == "OR" else 1
        while words.upper(at) in ("TRANSIENT", "TEMPORARY", "TEMP"):
            at += 1
        return f"{first}_{words.upper(at)}"
    return {"BEGIN": "BEGIN_TRANSACTION", "DESC": "DESCRIBE", "LS": "LIST_FILES", "LIST": "LIST_FILES"}.get(
        first, first
    )
