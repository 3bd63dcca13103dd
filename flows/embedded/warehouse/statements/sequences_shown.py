"""SHOW SEQUENCES: DuckDB's sequences + owners, comments and times of the account ──▶ Snowflake's columns.

Those that AUTOINCREMENT makes are not objects, so they are not shown (https://docs.snowflake.com/en/sql-reference/sql/show-sequences).
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

OF_IDENTITY = "_fs_seq_"  # the prefix of fakesnow's sequences for AUTOINCREMENT, in lower case
_COLUMNS: list[str | tuple[str, str]] = [
    "name", "database_name", "schema_name", ("next_value", "BIGINT"), ("interval", "BIGINT"), ("created_on", TIMESTAMP_LTZ),
    "owner", "comment", "owner_role_type", "ordered",
]  # fmt: skip


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW SEQUENCES [LIKE …] [IN …] [STARTS WITH …] [LIMIT …]: the sequences that the role may see."""
    words.expect("SHOW", "SEQUENCES")
    filter_ = show_filter(words)
    found = conn.duck.execute(
        "SELECT database_name, schema_name, sequence_name, coalesce(last_value + increment_by, start_value), increment_by "
        "FROM duckdb_sequences() WHERE NOT starts_with(lower(sequence_name), ?) AND database_name NOT IN ('system', 'temp') "
        "AND schema_name NOT IN ('main', '_fs_information_schema') ORDER BY 1, 2, 3",
        [OF_IDENTITY],
    ).fetchall()
    rows: list[dict[str, object]] = []
    for database, schema, name, following, step in found:
        full = f"{database}.{schema}.{name}"
        item = conn.account.find("SEQUENCE", full)
        if filter_.admits(name) and in_scope(conn, filter_, full) and may_show(conn, "SEQUENCE", full):
            rows.append({
                "name": name, "database_name": database, "schema_name": schema, "next_value": following, "interval": step,
                "created_on": item.created_on.astimezone(UTC) if item else None, "owner": item.owner if item else "",
                "comment": item.comment if item else "", "owner_role_type": "ROLE", "ordered": "N",
            })  # fmt: skip
    return table(filter_.cut(rows), _COLUMNS)
