"""Filters the objects of a SHOW statement: LIKE, IN, STARTS WITH, LIMIT.

https://docs.snowflake.com/en/sql-reference/sql/show
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, like

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


@dataclass(frozen=True)
class ShowFilter:
    """LIKE, IN, STARTS WITH and LIMIT of a SHOW statement."""

    like: str | None = None
    scope_kind: str = ""
    scope: tuple[str, ...] = ()
    starts: str | None = None
    limit: int | None = None
    after: str | None = None  # LIMIT … FROM

    def admits(self, name: str) -> bool:
        """Whether a name passes LIKE (case does not matter) and STARTS WITH (case matters)."""
        if self.like is not None and not like(self.like, name):
            return False
        return self.starts is None or name.startswith(self.starts)

    def cut(self, rows: list[dict[str, object]]) -> list[dict[str, object]]:
        """Apply LIMIT to the rows; FROM leaves out the names that sort before its text
        (https://docs.snowflake.com/en/sql-reference/sql/show-tables#parameters)."""
        if self.after is not None:
            at = next((i for i, row in enumerate(rows) if str(row["name"]) >= self.after), len(rows))
            rows = rows[at:]
        return rows if self.limit is None else rows[: self.limit]


def show_filter(words: Words) -> ShowFilter:
    """Parse what follows the plural: [LIKE '…'] [IN …] [STARTS WITH '…'] [LIMIT n [FROM '…']]."""
    if words.accept("HISTORY"):  # would list dropped objects, which are not kept here
        raise errors.unsupported("SHOW … HISTORY")
    pattern = words.string() if words.accept("LIKE") else None
    scope_kind = ""
    scope: tuple[str, ...] = ()
    if words.accept("IN"):
        scope_kind = words.accept_any("ACCOUNT", "DATABASE", "SCHEMA") or "NAME"
        if scope_kind != "ACCOUNT" and not words.at_end and not words.sees("STARTS") and not words.sees("LIMIT"):
            scope = words.name()
    starts = words.string() if words.accept("STARTS", "WITH") else None
    limit, after = None, None
    if words.accept("LIMIT"):
        limit = int(str(words.value()))
        if limit < 1:
            raise errors.syntax(str(limit))
        if words.accept("FROM"):
            after = words.string()
    words.finish()
    return ShowFilter(pattern, scope_kind, scope, starts, limit, after)


def in_scope(conn: WarehouseConnection, filter_: ShowFilter, name: str) -> bool:
    """Whether an object in a schema is where SHOW … IN looks: the given place, else the current schema or database."""
    database, schema, _ = name.split(".", 2)
    if filter_.scope_kind == "ACCOUNT":
        return True
    if filter_.scope_kind == "DATABASE":
        return database == (filter_.scope[0] if filter_.scope else conn.database)
    if filter_.scope_kind == "SCHEMA" or (filter_.scope_kind == "NAME" and filter_.scope):
        if not filter_.scope:
            return (database, schema) == (conn.database, conn.schema)
        return (database, schema) == conn.qualify_schema(filter_.scope, "SHOW")
    if conn.database is None:
        return True
    return database == conn.database and (conn.schema is None or schema == conn.schema)
