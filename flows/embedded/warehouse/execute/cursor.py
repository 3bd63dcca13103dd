"""The one seam between the wire and fakesnow: every statement passes `WarehouseCursor.execute`.

SQL ──find_handler──▶ account objects, grants, stages, session  (`statements`)
    ──COPY, INSERT, UPDATE, DELETE, MERGE──▶ `row_changes`
    ──CREATE, ALTER, DROP──▶ `ddl`
    ──else──▶ legal, authorize ──▶ fakesnow's transforms ──▶ DuckDB

Transactions: https://docs.snowflake.com/en/sql-reference/transactions. DDL commits what is open and then itself.
Long because what happens to a statement, and around it, is read together.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import snowflake.connector.errors
from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from sqlglot import Expr, exp

from flows.embedded.warehouse.execute.execution import executing
from flows.embedded.warehouse.session import visibility
from flows.embedded.warehouse.session.privileges import authorize, parts_of, sources, target_of
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.session.running import Statement, cancel, cancellation, cancels
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.statements.ddl import run_ddl
from flows.embedded.warehouse.statements.dispatch import find_handler
from flows.embedded.warehouse.statements.evolve import create_or_alter_table
from flows.embedded.warehouse.statements.row_changes import DML, change_rows, copy
from flows.embedded.warehouse.statements.session_statements import unset_variables
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.text.reserved import refuse_reserved
from flows.embedded.warehouse.text.statement_text import (
    check_form,
    refused,
    refused_description,
    variables_inlined,
    with_literals,
)
from flows.embedded.warehouse.translate import corrections, functions, legal

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_DDL = (exp.Create, exp.Alter, exp.Drop, exp.Comment, exp.TruncateTable)
_TAKEN = (
    exp.Query, exp.Set, exp.Describe, exp.Show, exp.Put, exp.ListStage, exp.Transaction, exp.Commit, exp.Rollback, *_DDL, *DML,
)  # fmt: skip
RETRY_SECONDS = 20.0


class WarehouseCursor(FakeSnowflakeCursor):  # type: ignore[misc]
    """fakesnow's cursor plus the statements it lacks, privileges, transactions, query ids and Snowflake's errors."""

    _conn: WarehouseConnection
    _last_transformed: Expr | None
    _arrow_table: Any
    _rowcount: int | None
    _sqlstate: str | None
    _sfqid: str | None
    _duck_conn: duckdb.DuckDBPyConnection

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
            with executing(self, command, alone=False) as statement:
                self.answer(cancel(self._conn, call, statement))
            return self
        with executing(self, command):
            if bindings is None:
                command, bindings = self._rewrite_with_params(command, params)
            try:
                self._run(command, bindings)
            finally:
                self._let_go()
            ran = self._last_transformed
            if not kwargs.get("server") and ran is not None and (upload := ran.args.get("put_stage_data")):
                self._put_files(upload)
        return self

    def execute_batch(self, command: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """An array binding: one statement, all rows or none (https://docs.snowflake.com/en/developer-guide/python-connector/
        python-connector-api#executemany); returns the rows affected."""
        total = 0
        with executing(self, command):
            expression = self._parsed(command)
            with self.atomic():
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
            with executing(self, command):
                self._run_parsed(exp.Describe(this=expression), command, None)
            return list(self.fetchall())
        if isinstance(expression, exp.Copy):
            return None
        described: list[tuple[Any, ...]] | None = super()._describe_only(command)
        return described

    # ---- one statement

    def _run(self, command: str, bindings: Any) -> None:
        words = Words(command)
        if words.at_end:
            raise errors.empty_statement()
        check_form(words)
        if words.sees("UNSET"):
            self.answer(unset_variables(self._conn, words))
            return
        if words.sees("CREATE", "OR", "ALTER", "TABLE"):
            create_or_alter_table(self, command)
            return
        handler = find_handler(words)
        if handler is None and words.upper() in ("DESC", "DESCRIBE"):
            raise refused_description(words)
        if handler is not None:
            conn = self._conn
            looks = words.upper() in ("USE", "SHOW", "DESC", "DESCRIBE", "LIST", "LS") or words.sees("ALTER", "SESSION")
            if not looks:
                conn.transaction.end("COMMIT")  # DDL
            plain = variables_inlined(command, conn.variables._variables)
            result = handler(conn, Words(with_literals(plain, bindings)))
            if result is not None:
                self.answer(result)
                return
        if not isinstance(bindings, (list, dict)) and bindings is not None:
            bindings = list(bindings)
        self._run_parsed(self._parsed(command), command, bindings)

    def _parsed(self, command: str) -> Expr:
        expression = parse(variables_inlined(command, self._conn.variables._variables))
        if isinstance(expression, exp.Alias) and expression.this.name.upper() == "START":
            return exp.Transaction()
        if isinstance(expression, exp.Command):
            if transforms.alter_table_strip_cluster_by(expression) is not expression:
                return expression
            raise refused(command)
        if not isinstance(expression, _TAKEN):
            raise errors.syntax(command.strip().split()[0])
        refuse_reserved(expression)
        return expression

    def _run_parsed(self, expression: Expr, command: str, bindings: Any) -> None:
        conn = self._conn
        if isinstance(expression, (exp.Transaction, exp.Commit, exp.Rollback)):
            self._end_or_begin(expression)
            return
        expression = legal.check(expression, bindings)
        if isinstance(expression, exp.Copy):
            copy(self, expression, command, bindings)
            return
        self.check_db_and_schema(expression)
        authorize(conn, expression)
        expression = visibility.filtered(conn, expression)
        expression = load_history.rewrite(
            expression, conn.database, conn.schema, datetime.now(UTC), lambda name: visibility.sees_table(conn, name)
        )
        if isinstance(expression, (*_DDL, *DML)):
            expression = functions.rewrite(conn, expression, self._query_id, command, self._duck_conn)
        if isinstance(expression, _DDL):
            conn.transaction.end("COMMIT")
            with conn.engine.ddl_lock:
                run_ddl(self, expression, bindings)
            return
        if isinstance(expression, DML):
            change_rows(self, expression, bindings)
        else:
            with self.seeing(expression):
                # what is registered for the engine would be gone with an older snapshot
                expression = functions.rewrite(conn, expression, self._query_id, command, self._duck_conn)
                self.run_transformed(tables.resolve_temporary(conn, expression), bindings)
            if isinstance(expression, exp.Show):
                self._arrow_table = visibility.shown_columns(conn, self._arrow_table)
                self._rowcount = self._arrow_table.num_rows

    def _let_go(self) -> None:
        """Forget the Arrow tables that the statement read."""
        while self._conn.registered:
            name, duck = self._conn.registered.popitem()
            with contextlib.suppress(duckdb.Error):
                duck.unregister(name)

    def _end_or_begin(self, expression: Expr) -> None:
        conn = self._conn
        if isinstance(expression, exp.Transaction):
            conn.transaction.begin()
        else:
            conn.transaction.end("COMMIT" if isinstance(expression, exp.Commit) else "ROLLBACK")
        self.answer(status())

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction around what DuckDB needs several statements for; nothing when one is open already."""
        conn = self._conn
        if conn.transaction.open:
            yield
            return
        conn.transaction.begin()
        try:
            yield
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                conn.transaction.end("ROLLBACK")
            raise
        kept = self._arrow_table, self._rowcount, self._described
        conn.transaction.end("COMMIT")
        self._arrow_table, self._rowcount, self._described = kept

    @contextlib.contextmanager
    def seeing(
        self, expression: Expr, written: tuple[str, str, str] | None = None, adds: bool = False
    ) -> Iterator[None]:
        """Around a statement: it sees what was committed before it began (see `later_parts`). `adds`: it adds rows, no more."""
        transaction = self._conn.transaction
        transaction.refresh_snapshot()
        if not transaction.open:
            yield
            return
        part = transaction.parts.first
        if transaction.wrote:
            target = target_of(expression) if adds else None
            names = {self._conn.qualify(parts_of(table)) for table in sources(expression, target)}
            if not names & self._conn.temporary_tables.keys():  # those are the session's own
                part = transaction.parts.choose(frozenset(map(".".join, names)), ".".join(written or ()))
        own: duckdb.DuckDBPyConnection = self._duck_conn
        self._duck_conn = part.duck
        try:
            yield
        finally:
            self._duck_conn = own
        if written:
            part.wrote.add(".".join(written))

    def retried(self, run: Callable[[], None]) -> None:
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
                if self._conn.transaction.open or "onflict" not in str(e) or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 0.25)

    def run_transformed(self, expression: Expr, bindings: Any) -> None:
        """fakesnow's way, its rewriting of numbers and TRIM put right (see `corrections`)."""
        expression = corrections.texts(corrections.trims(expression))
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
        nothing: Expr = transforms.SUCCESS_NOP
        if transformed is nothing:
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
        legal.check_engine_sql(self._conn.engine.parser, transformed)
        super()._execute(transformed, params)
        if lengths and (table := transformed.find(exp.Table)) and not transformed.find(exp.TemporaryProperty):
            tables.write_lengths(self._conn, self._conn.qualify(parts_of(table)), lengths)
        if self._arrow_table is not None and self._duck_conn.description:
            self._described = [(c[0], str(c[1]), "YES", None, None, None) for c in self._duck_conn.description]

    def _describe_last_sql(self) -> list[tuple[Any, ...]]:
        return self._described if self._described is not None else super()._describe_last_sql()

    def answer(self, result: Result) -> None:
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
