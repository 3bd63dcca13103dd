"""The columns of tables and views, kept from one statement to the next until DDL may have changed them.

table ──get──▶ its columns; asked of the engine ──keep──▶ for the next statement; DDL of any session ──changed──▶ all forgotten
CREATE OR REPLACE of a table whose columns stay as they were ──restore──▶ those of the others, which depend on no more than these
"""

from __future__ import annotations

import threading
from collections.abc import Mapping


class KnownColumns:
    """Columns by full name. What was read before a change of the catalogue is never kept after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Mapping[str, object]] = {}
        self.generation = 0  # grows with each change; note it before the engine is asked

    def get(self, name: str) -> Mapping[str, object] | None:
        """The columns, None where the engine has to be asked."""
        return self._found.get(name)

    def keep(self, name: str, columns: Mapping[str, object], generation: int) -> None:
        """Remember what the engine said when the catalogue was of this generation, unless it has changed since."""
        with self._lock:
            if generation == self.generation:
                self._found[name] = columns

    def all(self) -> tuple[dict[str, Mapping[str, object]], int]:
        """What is known now, and of which generation."""
        with self._lock:
            return dict(self._found), self.generation

    def restore(self, found: Mapping[str, Mapping[str, object]], generation: int) -> None:
        """Know again what was known, unless something else than one statement has changed the catalogue since."""
        with self._lock:
            if self.generation == generation + 1:
                self._found = {**found, **self._found}

    def forget(self, name: str) -> None:
        """A statement has changed this table, and no other session sees it yet."""
        with self._lock:
            self._found.pop(name, None)

    def changed(self, made: str = "") -> None:
        """The catalogue has changed, committed and all. `made` is a new table or view, on which nothing else can depend yet."""
        with self._lock:
            self.generation += 1
            if made:
                self._found.pop(made, None)
            else:
                self._found.clear()
