"""A column's DEFAULT as SHOW and DESC write it: in Snowflake's words, not the engine's.

nextval('_fs_seq_…') ──shown_default──▶ IDENTITY START 1 INCREMENT 1 NOORDER; now() ──▶ CURRENT_TIMESTAMP()

https://docs.snowflake.com/en/sql-reference/sql/desc-table, …/sql/show-columns
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flows.embedded.warehouse.statements.sequences_shown import OF_IDENTITY

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_SEQUENCE = re.compile(r"nextval\('(.*)'\)", re.IGNORECASE)
_CLOCK = {
    "now()": "CURRENT_TIMESTAMP()",
    "get_current_timestamp()": "CURRENT_TIMESTAMP()",
    "current_date()": "CURRENT_DATE()",
}


def shown_default(conn: WarehouseConnection, default: str | None, ordered: bool = False) -> str | None:
    """Return the text of a default; `ordered`: AUTOINCREMENT was made with ORDER."""
    if default is None:
        return None
    if (made := identity(conn, default)) is None:
        return _CLOCK.get(default.lower(), default)
    return f"IDENTITY START {made[0]} INCREMENT {made[1]} {'ORDER' if ordered else 'NOORDER'}"


def identity(conn: WarehouseConnection, default: str | None) -> tuple[int, int] | None:
    """Return start and increment of an AUTOINCREMENT column, from its default; None for any other column."""
    sequence = _SEQUENCE.search(default or "")
    name = sequence[1].rpartition(".")[2].strip('"') if sequence else ""
    if not name.lower().startswith(OF_IDENTITY):
        return None
    row = conn.duck.execute(
        "SELECT start_value, increment_by FROM duckdb_sequences() WHERE lower(sequence_name) = lower(?)", [name]
    ).fetchone()
    return (row[0], row[1]) if row else (1, 1)
