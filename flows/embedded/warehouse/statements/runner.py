"""The interface for statement handlers: the session, the engine's connection, methods that run a tree and set the result.

statements ──Runner──▶ execute; handlers use nothing else of the executor
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import duckdb
    from sqlglot import Expr

    from flows.embedded.warehouse.session.beside import Beside
    from flows.embedded.warehouse.session.connection import WarehouseConnection
    from flows.embedded.warehouse.session.result import Result


class Runner(Protocol):
    """One statement's execution, as far as its handler needs it."""

    conn: WarehouseConnection
    duck: duckdb.DuckDBPyConnection  # where it runs: the session's own, or a later part of its transaction
    query_id: str
    rowcount: int | None
    trial: bool  # the statement is only tried and rolled back

    def answer(self, result: Result) -> None:
        """Set a handler's result as the statement's."""

    def run(self, tree: Expr, bindings: Any) -> None:
        """Translate a tree and run it; its rows or counts are the statement's answer."""

    def typed(self, tree: Expr) -> Expr:
        """Give the tree's numbers and texts Snowflake's types, in place; returns the tree."""

    def translated(self, tree: Expr, bindings: Any = None) -> Expr:
        """Translate a tree for the engine without running it."""

    def atomic(self) -> AbstractContextManager[None]:
        """Open a transaction for work that takes several of the engine's statements; does nothing if one is open."""

    def seeing(
        self, tree: Expr, written: tuple[str, str, str] | None = None, adds: bool = False
    ) -> AbstractContextManager[None]:
        """Let a statement see what was committed before it began. `adds`: it only adds rows."""

    def trying(self, several: bool = False) -> AbstractContextManager[Beside | None]:
        """Open a connection to try statements whose failure would abort the open transaction; None if none is needed.
        `several`: more than one statement follows."""

    def retried(self, run: Callable[[], None]) -> None:
        """Run a statement; outside a transaction, repeat it after a conflict."""
