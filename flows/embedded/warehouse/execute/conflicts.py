"""Conflicts with another session's commit: outside a transaction the statement runs again, where Snowflake would have waited."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb

from flows.embedded.warehouse.session.connection import WarehouseConnection

RETRY_SECONDS = 20.0


def retried(conn: WarehouseConnection, run: Callable[[], None]) -> None:
    """Repeat a statement that conflicts, for RETRY_SECONDS at most; in an open transaction run it once."""
    deadline = time.monotonic() + RETRY_SECONDS
    pause = 0.005
    while True:
        try:
            run()
            return
        except duckdb.TransactionException as e:
            if conn.statement:
                conn.statement.check()
            if conn.transaction.open or "onflict" not in str(e) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 0.25)
