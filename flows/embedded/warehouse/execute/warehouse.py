"""One warehouse: its files, and what its sessions share.

Warehouse(directory) ──connect──▶ WarehouseConnection ──Executor──▶ statements
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.registry import IDLE_TRANSACTION_SECONDS, Registry
from flows.embedded.warehouse.storage.engine import Engine
from flows.embedded.warehouse.storage.s3 import S3Access
from flows.embedded.warehouse.translate.catalogue import catalogue


class Warehouse:
    """An engine on a folder, and the registry of its sessions.

    Raises duckdb.IOException when another process has the files open, OSError or ValueError for an unreadable `users` file.
    """

    def __init__(
        self,
        directory: Path,
        s3: S3Access | None = None,
        users: Path | None = None,
        idle_transaction_seconds: float = IDLE_TRANSACTION_SECONDS,
        memory_limit: str | None = None,
    ) -> None:
        self.engine = Engine(directory, catalogue(), s3, users, memory_limit)
        self.registry = Registry(idle_transaction_seconds)

    def connect(self, database: str | None = None, schema: str | None = None, **options: Any) -> WarehouseConnection:
        """Open a session; `options` are those of `WarehouseConnection` (user, role, warehouse, autocommit, parameters)."""
        return WarehouseConnection(self.engine, self.registry, database, schema, **options)

    def close(self) -> None:
        """Write the logs into the files and close them."""
        self.engine.close()
