"""The state that the sessions of a server share: sessions, running statements, locks, results and their times.

`Registry` is in memory and lost when the server stops; the account and the databases are on disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import pyarrow as pa

from flows.embedded.warehouse.session.known_columns import KnownColumns
from flows.embedded.warehouse.session.later_parts import Commits
from flows.embedded.warehouse.session.locks import TableLocks
from flows.embedded.warehouse.session.running import Running

RESULT_BYTES = 64 * 1024 * 1024
HISTORY_BYTES = 32 * 1024 * 1024
# https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions: idle for 5 minutes and blocking another
IDLE_TRANSACTION_SECONDS = 300.0


class Results:
    """Results by query id for RESULT_SCAN and get_results_from_sfqid; the oldest are dropped above RESULT_BYTES.

    Snowflake keeps a result for 24 hours (https://docs.snowflake.com/en/user-guide/querying-persisted-results).
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self._bytes = 0
        self._guard = threading.Lock()

    def keep(self, query_id: str, table: pa.Table) -> None:
        """Add a result, and drop the oldest above RESULT_BYTES."""
        with self._guard:
            self._forget(query_id)
            self._tables[query_id] = table
            self._bytes += _size(table)
            while len(self._tables) > 1 and self._bytes > RESULT_BYTES:
                self._forget(next(iter(self._tables)))

    def get(self, query_id: str) -> pa.Table | None:
        """Return the rows of one statement; None if they have been dropped."""
        return self._tables.get(query_id)

    def _forget(self, query_id: str) -> None:
        if (table := self._tables.pop(query_id, None)) is not None:
            self._bytes -= _size(table)


def _size(table: pa.Table) -> int:
    return int(table.nbytes) + 1024


@dataclass(frozen=True)
class QueryRecord:
    """One finished statement, as QUERY_HISTORY lists it (times in UTC)."""

    query_id: str
    query_text: str
    database_name: str | None
    schema_name: str | None
    query_type: str
    session_id: int
    user_name: str
    role_name: str
    warehouse_name: str | None
    query_tag: str
    execution_status: str
    error_code: str | None
    error_message: str | None
    start_time: datetime
    end_time: datetime
    rows_produced: int | None


class History:
    """The last statements of every session, in memory, bounded by HISTORY_BYTES of text."""

    def __init__(self) -> None:
        self._records: deque[QueryRecord] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, record: QueryRecord) -> None:
        """Add a record, and drop the oldest above HISTORY_BYTES."""
        with self._lock:
            self._records.append(record)
            self._bytes += len(record.query_text) + 512
            while self._bytes > HISTORY_BYTES:
                self._bytes -= len(self._records.popleft().query_text) + 512

    def all(self) -> list[QueryRecord]:
        """Return all records, oldest first."""
        with self._lock:
            return list(self._records)


class Registry:
    """The shared state of all sessions of one server."""

    def __init__(self, idle_transaction_seconds: float = IDLE_TRANSACTION_SECONDS) -> None:
        self.idle_transaction_seconds = idle_transaction_seconds
        # by id; weak, because each session refers to this registry
        self.sessions: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.results = Results()
        self.history = History()
        self.locks = TableLocks()
        self.commits = Commits()
        self.columns = KnownColumns()
        self.running = Running()
        # whether a session's client is still connected; the server replaces this with a look at the client's sockets
        self.client_lives: Callable[[Any], bool] = lambda _: True
