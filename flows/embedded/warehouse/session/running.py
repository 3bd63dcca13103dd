"""Statements that run now: known by their ids, stopped by whoever may.

SYSTEM$CANCEL_QUERY, SYSTEM$CANCEL_ALL_QUERIES, abort-request, STATEMENT_TIMEOUT_IN_SECONDS
    ──Statement.stop──▶ DuckDB's interrupt; a COPY between two batches and a statement that waits for a lock look at `check`

https://docs.snowflake.com/en/user-guide/querying-cancel-statements
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snowflake.connector.errors import Error

from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

PRESS_SECONDS = 0.05

_CANCEL = re.compile(
    r"\s*(?:SELECT|CALL)\s+(SYSTEM\$CANCEL_(QUERY|ALL_QUERIES)\s*\(\s*('?)([\w-]*)\3\s*\))(?:\s+(?:AS\s+)?(\w+))?\s*;?\s*",
    re.IGNORECASE,
)


def new_query_id() -> str:
    """An id in Snowflake's shape."""
    return re.sub(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5", secrets.token_hex(16))


class Statement:
    """One statement from its arrival to its end: queued behind others of its session, running, ended.

    `stopped` is the error it ends with when somebody has stopped it.
    """

    def __init__(self, conn: WarehouseConnection, request_id: str = "") -> None:
        self.query_id = new_query_id()
        self.request_id = request_id
        self.conn = conn
        self.stopped: Error | None = None
        self._runs = False
        self._ended = threading.Event()
        self._guard = threading.RLock()

    def start(self) -> None:
        """It runs from now on. Raises the error it was stopped with while it was queued."""
        self.check()
        with self._guard:
            self._runs = True

    def end(self) -> None:
        """It has ended; what its session runs next is not interrupted for its sake."""
        with self._guard:
            self._runs = False
            self._ended.set()

    def check(self) -> None:
        """Raise the error it was stopped with, if it was."""
        if self.stopped is not None:
            raise self.stopped

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Around COMMIT and ROLLBACK, which are done or not done, never half."""
        with self._guard:
            yield

    def stop(self, error: Error) -> None:
        """End it with `error` as soon as it can be; returns at once."""
        with self._guard:
            if self.stopped is not None or self._ended.is_set():
                return
            self.stopped = error
        threading.Thread(target=self._press, name=f"stop-{self.query_id}", daemon=True).start()

    def _press(self) -> None:
        """DuckDB stops only what it runs at this moment, and a statement is several of its own: so again until the end."""
        while not self._ended.is_set():
            with self._guard:
                if self._runs:
                    for part in (self.conn.transaction.parts.first, *self.conn.transaction.parts.later):
                        part.duck.interrupt()
            self._ended.wait(PRESS_SECONDS)


class Running:
    """The statements of every session that have not ended."""

    def __init__(self) -> None:
        self._statements: dict[str, Statement] = {}
        self._lock = threading.Lock()

    def add(self, statement: Statement) -> None:
        """Make it known."""
        with self._lock:
            self._statements[statement.query_id] = statement

    def remove(self, statement: Statement) -> None:
        """It has ended."""
        statement.end()
        with self._lock:
            self._statements.pop(statement.query_id, None)

    def get(self, query_id: str) -> Statement | None:
        """By its id."""
        return self._statements.get(query_id)

    def asked_as(self, request_id: str, conn: WarehouseConnection) -> Statement | None:
        """By the id that its client gave the request."""
        with self._lock:
            found = [s for s in self._statements.values() if s.request_id == request_id and s.conn is conn]
        return found[0] if found and request_id else None

    def of_session(self, session_id: int) -> list[Statement]:
        """All of one session."""
        with self._lock:
            return [s for s in self._statements.values() if s.conn.session_id == session_id]


def cancels(command: str) -> bool:
    """Whether a statement begins as SYSTEM$CANCEL_… does; its argument may be a bind still."""
    return re.match(r"\s*(?:SELECT|CALL)\s+SYSTEM\$CANCEL_", command, re.IGNORECASE) is not None


def cancellation(command: str) -> re.Match[str] | None:
    """SELECT | CALL SYSTEM$CANCEL_…, which does not wait for the statement that its own session runs."""
    return _CANCEL.fullmatch(command)


def cancel(conn: WarehouseConnection, call: re.Match[str], own: Statement | None) -> Result:
    """SYSTEM$CANCEL_QUERY('<query id>'), SYSTEM$CANCEL_ALL_QUERIES(<session id>): what is named ends with 000604.

    For the user's own statements, and with OWNERSHIP of the other user, OPERATE or OWNERSHIP on the warehouse, or ACCOUNTADMIN
    (https://docs.snowflake.com/en/sql-reference/functions/system_cancel_query#usage-notes,
    https://docs.snowflake.com/en/sql-reference/functions/system_cancel_all_queries).
    """
    running, wanted = conn.engine.running, call[4]
    if call[2].upper() == "QUERY":
        one = running.get(wanted)
        found = [one] if one is not None else []
        answer = f"query [{wanted}] terminated." if found else "Identified SQL statement is not currently executing."
    else:
        if not wanted.isdigit():
            raise errors.invalid_value(wanted, "session id")
        found = [s for s in running.of_session(int(wanted)) if s is not own]
        answer = f"cancelled {len(found)} queries."
    for statement in found:
        _require(conn, statement.conn)
        statement.stop(errors.canceled())
    return Result([(call[5] or call[1].upper(), "VARCHAR")], [[answer]])


def _require(conn: WarehouseConnection, other: WarehouseConnection) -> None:
    if other.user == conn.user or conn.may("OWNERSHIP", "USER", other.user):
        return
    if other.warehouse and any(conn.may(p, "WAREHOUSE", other.warehouse) for p in ("OPERATE", "OWNERSHIP")):
        return
    raise errors.insufficient("USER", other.user)
