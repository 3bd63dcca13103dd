"""Wraps one execution of a statement: its queue, query id, timeout, history entry, and Snowflake's errors.

Executor ──with executing(executor, command)──▶ whatever the statement does ──▶ QUERY_HISTORY, or a Snowflake error
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import duckdb
import snowflake.connector.errors
from sqlglot.errors import ParseError, SqlglotError

from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.registry import QueryRecord
from flows.embedded.warehouse.session.running import Statement
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.engine_errors import from_duckdb, from_parser
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.text.statement_text import query_type, summary

logger = logging.getLogger(__name__)


class Execution(Protocol):
    """The executor of a statement, which holds its answer."""

    conn: WarehouseConnection
    statement: Statement | None
    query_id: str
    rows: Any  # a pyarrow.Table
    described: Sequence[tuple[object, ...]]
    rowcount: int | None


@contextlib.contextmanager
def executing(executor: Execution, command: str, alone: bool = True) -> Iterator[Statement]:
    """Give one statement its lock, id, timeout, history and Snowflake's errors. `alone`: wait for earlier ones of its session."""
    conn = executor.conn
    statement, executor.statement = executor.statement or Statement(conn), None
    conn.registry.running.add(statement)
    with conn.lock if alone else contextlib.nullcontext():
        started = conn.last_used = datetime.now(UTC)
        query_id = executor.query_id = statement.query_id
        conn.last_query_ids = [*conn.last_query_ids[-99:], query_id]
        executor.rows, executor.described, executor.rowcount = None, (), None
        failure: snowflake.connector.errors.Error | None = None
        before, timer = conn.statement, _timeout(statement) if alone else None
        try:
            if alone:
                conn.statement, conn.last_statement = statement, time.monotonic()
                statement.start()
                _raise_if_aborted(conn, command)
                conn.refresh_namespace()
            yield statement
            if executor.rows is not None:
                conn.registry.results.keep(query_id, executor.rows)
        except Exception as e:
            statement.end()
            failure = statement.stopped or _error(e, command)
            failure.sfqid = query_id
            if alone:
                conn.transaction.revive()
            raise failure from None if failure is e else e
        finally:
            conn.registry.running.remove(statement)
            if timer:
                timer.cancel()
            if alone:
                conn.statement, conn.last_statement = before, time.monotonic()
            if alone and conn.autocommit_on and not conn.transaction.open:
                conn.registry.locks.release(conn.session_id)
            _remember(executor, command, started, failure)


def _raise_if_aborted(conn: WarehouseConnection, command: str) -> None:
    """Raise 000625 once if the session's idle transaction was rolled back, unless the statement is ROLLBACK."""
    aborted, conn.transaction.aborted = conn.transaction.aborted, 0
    if aborted and not Words(command).sees("ROLLBACK"):
        raise errors.transaction_aborted(aborted)


def _timeout(statement: Statement) -> threading.Timer | None:
    """Start the timer of STATEMENT_TIMEOUT_IN_SECONDS; None if it is 0 or not below the default
    (https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds)."""
    seconds = int(str(statement.conn.parameter("STATEMENT_TIMEOUT_IN_SECONDS")))
    if not 0 < seconds < 172800:
        return None
    timer = threading.Timer(seconds, statement.stop, [errors.timed_out(seconds)])
    timer.daemon = True
    timer.start()
    return timer


def _error(error: Exception, command: str) -> snowflake.connector.errors.Error:
    """Translate any exception of a statement into a Snowflake error."""
    if isinstance(error, duckdb.Error):
        return from_duckdb(error, command)
    if isinstance(error, snowflake.connector.errors.Error):
        return error
    if isinstance(error, (ParseError, SqlglotError)):
        return from_parser(error, command)
    # The error's text is left out: it may quote a value.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.warning("refused %r: %s\n%s", command[:200], type(error).__name__, where)
    return errors.unsupported(summary(command))


def _remember(
    executor: Execution, command: str, started: datetime, failure: snowflake.connector.errors.Error | None
) -> None:
    conn = executor.conn
    conn.registry.history.add(
        QueryRecord(
            query_id=executor.query_id,
            query_text=command[:100_000],
            database_name=conn.database,
            schema_name=conn.schema,
            query_type=query_type(command),
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
            rows_produced=None if failure else executor.rowcount,
        )
    )
