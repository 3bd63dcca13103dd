"""The statements that run now: finds them by their ids, and stops them.

SYSTEM$CANCEL_QUERY, SYSTEM$CANCEL_ALL_QUERIES, abort-request, STATEMENT_TIMEOUT_IN_SECONDS
    ──Statement.stop──▶ DuckDB's interrupt; a COPY between two batches and a statement that waits for a lock call `check`

https://docs.snowflake.com/en/user-guide/querying-cancel-statements
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from snowflake.connector.errors import Error

PRESS_SECONDS = 0.05


def new_query_id() -> str:
    """Make an id in Snowflake's format."""
    return re.sub(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5", secrets.token_hex(16))


class Owner(Protocol):
    """The session that a statement belongs to."""

    session_id: int
    user: str
    warehouse: str | None

    def interrupt(self) -> None:
        """Stop what the engine runs for it at this moment."""

    def parameter(self, name: str) -> object:
        """Return a session parameter's value."""


class Statement:
    """One statement from its arrival to its end: queued behind others of its session, running, ended.

    `stopped` is the error that it ends with if it was stopped.
    """

    def __init__(self, conn: Owner, request_id: str = "") -> None:
        self.query_id = new_query_id()
        self.request_id = request_id
        self.conn = conn
        self.stopped: Error | None = None
        self._runs = False
        self._ended = threading.Event()
        self._guard = threading.RLock()

    def start(self) -> None:
        """Mark it as running. Raises the error that it was stopped with while it was queued."""
        self.check()
        with self._guard:
            self._runs = True

    def end(self) -> None:
        """Mark it as ended, so that stopping it no longer interrupts its session."""
        with self._guard:
            self._runs = False
            self._ended.set()

    def check(self) -> None:
        """Raise the error it was stopped with, if it was."""
        if self.stopped is not None:
            raise self.stopped

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Hold back interrupts during BEGIN, COMMIT and ROLLBACK, which must never be half done."""
        with self._guard:
            yield

    @contextmanager
    def unstoppable(self) -> Iterator[None]:
        """Send no interrupts during work that has been tried already and must not fail."""
        with self._guard:
            runs, self._runs = self._runs, False
        try:
            yield
        finally:
            with self._guard:
                self._runs = runs and not self._ended.is_set()

    def stop(self, error: Error) -> None:
        """End it with `error` as soon as possible; returns at once."""
        with self._guard:
            if self.stopped is not None or self._ended.is_set():
                return
            self.stopped = error
        threading.Thread(target=self._interrupt_until_ended, name=f"stop-{self.query_id}", daemon=True).start()

    def _interrupt_until_ended(self) -> None:
        """Interrupt again and again until the statement ends: it runs as several of DuckDB's, and an interrupt stops only one."""
        while not self._ended.is_set():
            with self._guard:
                if self._runs:
                    self.conn.interrupt()
            self._ended.wait(PRESS_SECONDS)


class Running:
    """The statements of every session that have not ended."""

    def __init__(self) -> None:
        self._statements: dict[str, Statement] = {}
        self._lock = threading.Lock()

    def add(self, statement: Statement) -> None:
        """Register a statement."""
        with self._lock:
            self._statements[statement.query_id] = statement

    def remove(self, statement: Statement) -> None:
        """End a statement and remove it."""
        statement.end()
        with self._lock:
            self._statements.pop(statement.query_id, None)

    def get(self, query_id: str) -> Statement | None:
        """Return the statement with this id, or None."""
        return self._statements.get(query_id)

    def asked_as(self, request_id: str, conn: Owner) -> Statement | None:
        """Return the session's statement by the id that its client gave the request, or None."""
        with self._lock:
            statements = [s for s in self._statements.values() if s.request_id == request_id and s.conn is conn]
        return statements[0] if statements and request_id else None

    def of_session(self, session_id: int) -> list[Statement]:
        """Return all statements of one session."""
        with self._lock:
            return [s for s in self._statements.values() if s.conn.session_id == session_id]
