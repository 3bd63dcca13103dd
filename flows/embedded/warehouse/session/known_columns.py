"""A cache of the columns of tables and views, which DDL invalidates.

table ──get──▶ its columns; the engine's answer ──keep──▶ for the next statement; DDL of any session ──changed──▶ cache emptied
CREATE OR REPLACE of a table whose columns stay the same ──restore──▶ the other tables' columns, which depend on these only
"""

from __future__ import annotations

import threading
from collections.abc import Mapping


class KnownColumns:
    """Columns by full name. A change of the catalogue drops what was read before it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: dict[str, Mapping[str, object]] = {}
        self.generation = 0  # grows with each change; read it before asking the engine

    def get(self, name: str) -> Mapping[str, object] | None:
        """Return the cached columns; None if the engine has to be asked."""
        return self._columns.get(name)

    def keep(self, name: str, columns: Mapping[str, object], generation: int) -> None:
        """Cache what the engine answered at this generation of the catalogue, unless the catalogue has changed since."""
        with self._lock:
            if generation == self.generation:
                self._columns[name] = columns

    def all(self) -> tuple[dict[str, Mapping[str, object]], int]:
        """Return the cached columns, and the generation of the catalogue they belong to."""
        with self._lock:
            return dict(self._columns), self.generation

    def restore(self, columns: Mapping[str, Mapping[str, object]], generation: int) -> None:
        """Put columns back that one statement invalidated, unless another statement has changed the catalogue since."""
        with self._lock:
            if self.generation == generation + 1:
                self._columns = {**columns, **self._columns}

    def forget(self, name: str) -> None:
        """Drop one table, which an uncommitted statement has changed."""
        with self._lock:
            self._columns.pop(name, None)

    def changed(self, made: str = "") -> None:
        """Drop the cache after a committed change of the catalogue; for a new table or view `made`, only its own entry."""
        with self._lock:
            self.generation += 1
            if made:
                self._columns.pop(made, None)
            else:
                self._columns.clear()
