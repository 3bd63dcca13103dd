"""A session's transaction: Snowflake's BEGIN, COMMIT and ROLLBACK on DuckDB's.

begin ──▶ DuckDB's BEGIN; end ──▶ COMMIT | ROLLBACK, the session's locks are released, the account notes the changed tables

https://docs.snowflake.com/en/sql-reference/transactions
"""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from typing import Any, Protocol

import duckdb

from flows.embedded.warehouse.account.account import Account
from flows.embedded.warehouse.session.later_parts import LaterParts
from flows.embedded.warehouse.session.registry import Registry
from flows.embedded.warehouse.session.running import Statement

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """The session that a transaction belongs to."""

    session_id: int
    account: Account
    registry: Registry
    statement: Statement | None
    last_statement: float
    lock: Any  # a threading.RLock, which is not a type


class Transaction:
    """The transaction of one session, open or not, and what it has changed."""

    def __init__(self, conn: Owner, duck: duckdb.DuckDBPyConnection) -> None:
        # weak: without a reference cycle a session that has ended is freed at once
        self._conn: Owner = weakref.proxy(conn)
        self._duck = duck
        self.open = False
        self.id = 0
        self.wrote = False
        self.catalogue = 0  # generation of the known columns when it began
        self.lost = False  # DuckDB has aborted it
        self.changed: set[str] = set()
        self.aborted = 0  # number of the transaction that was rolled back while idle
        self.parts = LaterParts(conn.registry.commits, duck)

    def begin(self) -> None:
        """Open a transaction; does nothing if one is open."""
        if not self.open:
            self.catalogue = self._conn.registry.columns.generation
            with self._uninterrupted():
                self.parts.begin()
                self._duck.execute("BEGIN TRANSACTION")
            self.open, self.wrote = True, False
            self.id = time.time_ns()

    def end(self, verb: str) -> None:
        """COMMIT or ROLLBACK what is open; a COMMIT that fails has rolled back."""
        if not self.open:
            return
        self.open = False
        lost, self.lost = self.lost, False
        try:
            if lost and verb == "COMMIT":  # DuckDB would report success
                raise duckdb.TransactionException(
                    "its rows were lost when a statement in it failed; nothing is committed"
                )
            with self._uninterrupted():
                self._duck.execute(verb)
                self.parts.end(verb)
                if verb == "COMMIT":
                    self._conn.registry.commits.add(self.changed)
        except duckdb.Error:
            self.parts.end("ROLLBACK")
            with contextlib.suppress(duckdb.TransactionException):  # a failed COMMIT may have ended it already
                self._duck.execute("ROLLBACK")
            self.changed.clear()
            raise
        finally:
            self._conn.registry.locks.release(self._conn.session_id)
        if verb == "COMMIT":
            self.flush_changes()
        self.changed.clear()

    def _start_anew(self) -> None:
        with self._uninterrupted():
            self._duck.execute("ROLLBACK")
            self.parts.begin()
            self._duck.execute("BEGIN TRANSACTION")

    def _uninterrupted(self) -> contextlib.AbstractContextManager[None]:
        """Hold back interrupts during BEGIN, COMMIT and ROLLBACK: DuckDB leaves the transaction of an interrupted BEGIN open and
        aborted, and each statement that follows in the session would fail."""
        return self._conn.statement.uninterrupted() if self._conn.statement else contextlib.nullcontext()

    def refresh_snapshot(self) -> None:
        """Let the next statement of an open transaction see what others have committed: READ COMMITTED
        (https://docs.snowflake.com/en/sql-reference/transactions#read-committed-isolation).

        DuckDB keeps one snapshot for a whole transaction; while nothing is written in it, a new one is the same to the user.
        `later_parts` handles a transaction that has written.
        """
        if self.open and not self.wrote:
            self._start_anew()

    def revive(self) -> None:
        """Make the transaction usable again after a failed statement, as on Snowflake; DuckDB may have aborted it.

        If nothing was written in it yet, a new one is the same to the user. Otherwise it stays aborted, and every statement
        fails until ROLLBACK: rows that DuckDB has lost are never committed in part.
        """
        if not self.open:
            return
        if self.parts.drop_broken():
            self.lost = True
        try:
            self._duck.execute("SELECT 1")
        except duckdb.TransactionException:
            if self.wrote:
                self.lost = True
            else:
                self._start_anew()
        except duckdb.Error:
            return

    def release_if_abandoned(self) -> None:
        """Roll back the open transaction, which another session waits for, if its client is gone or it has been idle for long
        (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions)."""
        if not self._conn.lock.acquire(blocking=False):
            return  # a statement runs
        try:
            idle = time.monotonic() - self._conn.last_statement
            if self.open and (
                idle > self._conn.registry.idle_transaction_seconds or not self._conn.registry.client_lives(self._conn)
            ):
                logger.warning(
                    "session %d: transaction %d rolled back after %.0f s without a statement, another session waits for it",
                    self._conn.session_id, self.id, idle,
                )  # fmt: skip
                self.aborted = self.id
                self.end("ROLLBACK")
        finally:
            self._conn.lock.release()

    def flush_changes(self) -> None:
        """Record in the account which tables have changed rows that are committed."""
        if self.changed:
            self._conn.registry.commits.add(self.changed)
            self._conn.account.changed(self.changed)
            self.changed.clear()
