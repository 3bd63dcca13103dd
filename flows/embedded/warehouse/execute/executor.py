"""Executes one statement of a session, from its text to its rows.

SQL ──find_handler──▶ account objects, grants, stages, session  (`statements`)
    ──COPY, INSERT, UPDATE, DELETE, MERGE──▶ `row_changes`
    ──CREATE, ALTER, DROP──▶ `ddl`
    ──else──▶ legal, authorize ──▶ translate ──▶ DuckDB

Transactions: https://docs.snowflake.com/en/sql-reference/transactions. DDL commits what is open and then itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import Expr, exp

from flows.embedded.warehouse.execute.answers import Answer, Described, described_unrun, engine_sql, run_tree
from flows.embedded.warehouse.execute.conflicts import retried
from flows.embedded.warehouse.execute.execution import executing
from flows.embedded.warehouse.execute.reading import DDL, read
from flows.embedded.warehouse.execute.variables import change_variables
from flows.embedded.warehouse.session import visibility
from flows.embedded.warehouse.session.beside import Beside, beside, cannot_fail
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.privileges import authorize, look_in_public, parts_of, sources, target_of
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.session.running import Statement
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.statements.cancel import cancel, cancellation, cancels
from flows.embedded.warehouse.statements.columns import columns_of
from flows.embedded.warehouse.statements.ddl import run_ddl
from flows.embedded.warehouse.statements.dispatch import find_handler
from flows.embedded.warehouse.statements.row_changes import DML, change_rows, copy, truncate
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.text.statement_text import (
    check_form,
    refused_description,
    variables_inlined,
    with_literals,
)
from flows.embedded.warehouse.translate import account_usage, corrections, functions, legal, masking, types
from flows.embedded.warehouse.translate.bound_values import is_text
from flows.embedded.warehouse.translate.translation import NameContext, require_place, split, translated
from flows.embedded.warehouse.translate.typing import Typing


class Executor:
    """Runs statements of one session, one after the other; `rows`, `described` and `rowcount` are those of the last."""

    def __init__(self, conn: WarehouseConnection, statement: Statement | None = None) -> None:
        self.conn = conn
        self.duck = conn.duck
        self.query_id = ""
        self.rows: pa.Table | None = None
        self.described: Described = ()
        self.rowcount: int | None = None
        self.trial = False  # whether a statement is only tried, see `session.beside`
        self._tried = False  # whether it has been tried
        self._sure = False  # whether the open transaction is the statement's own, which an error may roll back
        self._part = conn.transaction.parts.first
        self._beside: Beside | None = None
        self.binds = 0  # number of binds of the statement described last
        self.statement = statement  # the statement that the server has announced, for the next execution

    # ---- entry points

    def execute(self, command: str, bindings: Any = None) -> Executor:
        """Run one statement; `bindings` are the values of its `?` or `:n`.

        Raises snowflake.connector.errors.Error with Snowflake's errno and sqlstate, never anything else.
        """
        if cancels(command) and (call := cancellation(with_literals(command, bindings))):
            with executing(self, command, alone=False) as statement:
                self.answer(cancel(self.conn, call, statement))
            return self
        with executing(self, command):
            try:
                self._run_text(command, bindings)
            finally:
                self._let_go()
        return self

    def execute_batch(self, command: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run a statement for each row of an array binding (https://docs.snowflake.com/en/developer-guide/python-connector/
        python-connector-api#executemany), all or none; returns the rows affected."""
        total = 0
        with executing(self, command):
            tree, transaction = read(command, self.conn.variables), self.conn.transaction
            if not self.conn.autocommit_on:
                transaction.begin()
            if transaction.open:  # each row is tried before the first of them is kept
                self.trial = True
                for row in rows:
                    self.run_parsed(tree.copy(), command, list(row))
                self.trial, self._tried = False, True
            with self.atomic():
                for row in rows:
                    self.run_parsed(tree.copy(), command, list(row))
                    total += self.rowcount or 0
            self.rowcount = total
        return total

    def describe_only(self, command: str) -> Described | None:
        """Return the result columns of a statement that is not run, or None when only running it can tell."""
        if find_handler(Words(command)) is not None:
            return None
        tree = read(command, self.conn.variables)
        places = list(tree.find_all(exp.Placeholder))
        self.binds = len(places)
        if not isinstance(tree, exp.Query):
            return described_unrun(tree)
        for node in places:
            node.replace(exp.Null())
        with executing(self, command):
            self.run_parsed(exp.Describe(this=tree), command, None)
        rows = self.rows
        return [] if rows is None else list(zip(*(c.to_pylist() for c in rows.columns), strict=True))

    # ---- one statement

    def _run_text(self, command: str, bindings: Any) -> None:
        words = Words(command)
        if words.at_end:
            raise errors.empty_statement()
        check_form(words)
        if words.upper() in ("SET", "UNSET"):
            self.answer(change_variables(self, words, bindings))
            return
        handler = find_handler(words)
        if handler is None and words.upper() in ("DESC", "DESCRIBE"):
            raise refused_description(words)
        if handler is not None:
            looks = words.upper() in ("USE", "SHOW", "DESC", "DESCRIBE", "LIST", "LS") or words.sees("ALTER", "SESSION")
            if not looks:
                self.conn.transaction.end("COMMIT")  # DDL
            plain = variables_inlined(command, self.conn.variables)
            try:
                result = handler(self.conn, Words(with_literals(plain, bindings)))
            finally:
                if not looks:
                    self.conn.registry.columns.changed()
            if result is not None:
                self.answer(result)
                return
        if not isinstance(bindings, (list, dict)) and bindings is not None:
            bindings = list(bindings)
        self.run_parsed(read(command, self.conn.variables), command, bindings)

    def run_parsed(self, tree: Expr, command: str, bindings: Any) -> None:
        """Run a parsed statement; its answer is then the executor's."""
        conn = self.conn
        if isinstance(tree, (exp.Transaction, exp.Commit, exp.Rollback)):
            self._end_or_begin(tree)
            return
        tree = legal.check(tree, bindings)
        if isinstance(tree, exp.Copy):
            copy(self, tree, bindings)
            return
        require_place(tree, self._place())
        authorize(conn, tree := look_in_public(conn, account_usage.rewrite(conn, tree)))
        tree = visibility.filtered(conn, masking.masked(conn, tree))
        tree = load_history.rewrite(
            tree, conn.database, conn.schema, datetime.now(UTC), lambda name: visibility.sees_table(conn, name)
        )
        if isinstance(tree, (*DDL, *DML)):
            tree = functions.rewrite(conn, tree, self.query_id, command, self.duck)
        if isinstance(tree, DDL):
            conn.transaction.end("COMMIT")
            tree.meta[masking.VIEW_TEXT] = variables_inlined(command, conn.variables)
            with conn.engine.ddl_lock:
                run_ddl(self, tree, bindings)
        elif isinstance(tree, exp.TruncateTable):
            truncate(self, tree)
        elif isinstance(tree, DML):
            change_rows(self, tree, bindings)
        else:
            with self.seeing(tree):
                # here, because Arrow tables registered earlier would be lost with the older snapshot
                tree = functions.rewrite(conn, tree, self.query_id, command, self.duck)
                tree = self.typed(tables.resolve_temporary(conn, tree), bindings)
                with self._apart(tree, bindings):
                    self.run(tree, bindings)
            if isinstance(tree, exp.Show) and self.rows is not None:
                self.rows = visibility.shown_columns(conn, self.rows, tree)
                self.rowcount = self.rows.num_rows

    def _let_go(self) -> None:
        """Forget the Arrow tables that the statement read."""
        while self.conn.registered:
            name, duck = self.conn.registered.popitem()
            with contextlib.suppress(duckdb.Error):
                duck.unregister(name)

    def _end_or_begin(self, tree: Expr) -> None:
        if isinstance(tree, exp.Transaction):
            self.conn.transaction.begin()
        else:
            self.conn.transaction.end("COMMIT" if isinstance(tree, exp.Commit) else "ROLLBACK")
        self.answer(status())

    # ---- what statement handlers call (`statements.runner`)

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """Open a transaction for work that takes several of DuckDB's statements; does nothing if one is open."""
        transaction = self.conn.transaction
        if transaction.open:
            yield
            return
        transaction.begin()
        self._sure = True
        try:
            yield
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                transaction.end("ROLLBACK")
            raise
        finally:
            self._sure = False
        transaction.end("COMMIT")

    @contextlib.contextmanager
    def trying(self, several: bool = False) -> Iterator[Beside | None]:
        """Open a connection to try a statement whose failure would abort the open transaction; None if none is needed."""
        transaction = self.conn.transaction
        if not transaction.open or self._sure or self._tried or not (transaction.wrote or several or self.trial):
            yield None
            return
        with beside(self.conn, self._part) as attempt, attempt.rolled_back():
            yield attempt

    @contextlib.contextmanager
    def _apart(self, tree: Expr, bindings: Any) -> Iterator[None]:
        """Let a query run on a second connection if the transaction has written and the query may fail, see `session.beside`."""
        wrote = self.conn.transaction.open and self.conn.transaction.wrote
        if not (wrote and isinstance(tree, exp.Query)) or cannot_fail(tree, lambda node: is_text(node, bindings)):
            yield
            return
        with beside(self.conn, self._part) as reader:
            self._beside = reader if reader.sees(tree) else None
            try:
                yield
            finally:
                self._beside = None

    @contextlib.contextmanager
    def seeing(self, tree: Expr, written: tuple[str, str, str] | None = None, adds: bool = False) -> Iterator[None]:
        """Let a statement see what was committed before it began (see `later_parts`). `adds`: it only adds rows."""
        transaction = self.conn.transaction
        transaction.refresh_snapshot()
        if not transaction.open:
            yield
            return
        part = transaction.parts.first
        if transaction.wrote:
            target = target_of(tree) if adds else None
            names = {self.conn.qualify(parts_of(table)) for table in sources(tree, target)}
            if not names & self.conn.temporary_tables.keys():  # those are the session's own
                part = transaction.parts.choose(frozenset(map(".".join, names)), ".".join(written or ()))
        own, self.duck, self._part = self.duck, part.duck, part
        try:
            yield
        finally:
            self.duck = own
        if written and not self.trial and (self.rowcount or isinstance(tree, exp.Insert)):
            part.wrote.add(".".join(written))

    def retried(self, run: Callable[[], None]) -> None:
        """Run a statement; outside a transaction, repeat it after a conflict."""
        retried(self.conn, run)

    def typed(self, tree: Expr, bindings: Any = None) -> Expr:
        """Give the tree's numbers and texts Snowflake's types, in place (see `translate.typing`); returns the tree."""
        return Typing(lambda table: columns_of(self.conn, self.duck, table), bindings).statement(tree)

    def run(self, tree: Expr, bindings: Any) -> None:
        """Translate a tree and run it, corrected for what fakesnow's rewriting would change (see `corrections`)."""
        tree = corrections.trims(tree)
        original = tree.copy() if corrections.may_add_text(tree) else None
        try:
            self._run_parts(corrections.sums(tree), bindings)
        except duckdb.BinderException as e:
            if original is None or corrections.SUM_OF_TEXT not in str(e):
                raise
            self._run_parts(original, bindings)

    def _run_parts(self, tree: Expr, bindings: Any) -> None:
        parts = split(tree)
        if not isinstance(tree, DML):
            for part in parts:
                self._run_translated(*self._ready(part, bindings))
            return
        steps = [self._ready(part, bindings) for part in parts]
        with self.trying(len(steps) > 1) as attempt:
            if tried := attempt is not None and all(attempt.sees(step) for step, _ in steps):
                for step, bound in steps:
                    attempt.run(step, bound)
        if self.trial:
            return
        statement = self.conn.statement
        with statement.unstoppable() if statement and (tried or self._tried) else contextlib.nullcontext():
            for step, bound in steps:
                self._run_translated(step, bound)

    def _ready(self, part: Expr, bindings: Any) -> tuple[Expr, Any]:
        """Translate a part; returns its binds too, as only one part of a split statement has placeholders."""
        ready = self.translated(part, bindings)
        return ready, bindings if ready.find(exp.Placeholder) else None

    def _run_translated(self, tree: Expr, bindings: Any) -> None:
        lengths = [*tree.meta.get(types.LENGTHS, {}).items(), *(tree.args.pop("text_lengths", None) or [])]
        tree.args.pop("table_comment", None)
        duck = self.duck
        if self._beside is not None:
            tree, duck = self._beside.over_copies(tree), self._beside.duck
        sql = engine_sql(tree, self._place())
        legal.check_engine_sql(self.conn.engine.parser, tree, sql)
        self._take(run_tree(tree, sql, duck, bindings))
        if lengths and (table := tree.find(exp.Table)):
            name = self.conn.qualify(parts_of(table))
            if tree.find(exp.TemporaryProperty):
                self.conn.temporary_lengths[name] = {c: n for c, n in lengths if n < types.LONGEST_TEXT}
            else:
                tables.write_lengths(self.conn, name, lengths)

    def translated(self, tree: Expr, bindings: Any = None) -> Expr:
        """Translate a tree for the engine without running it."""
        return translated(tree, self._place(), bindings)

    def _place(self) -> NameContext:
        return NameContext.of(self.conn, self.duck)

    def answer(self, result: Result) -> None:
        """Set a handler's result as the statement's."""
        self._take(Answer.of(result))

    def _take(self, answer: Answer) -> None:
        self.rows, self.described, self.rowcount = answer.rows, answer.described, answer.count
