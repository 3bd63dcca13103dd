"""RAW rows of two batches → how many, and how many NULLs in each column: what changed since the last batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.clients.snowflake import run
from flows.contract.model import Table
from flows.contract.sql import template

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True, slots=True)
class Profile:
    """One batch of one table: rows, and the share of NULLs (0 to 1) by column name."""

    batch_id: str
    rows: int
    null_rates: dict[str, float]


@dataclass(frozen=True, slots=True)
class Compared:
    """A table's batch beside the one that was published before it, if there was one and its rows are still in RAW."""

    table: str
    now: Profile
    before: Profile | None


def compare(
    connection: SnowflakeConnection, database: str, schema: str, table: Table, batch_id: str, before: str | None
) -> Compared:
    """Profile a table's rows of `batch_id`, and of the batch `before`; one statement that reads only those rows.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    sql = template("raw/profile.sql", database=database, schema=schema, table=table.raw_name, columns=table.columns)
    found = {}
    for row in run(connection, sql, (batch_id, before or batch_id)).rows:
        batch, rows, *filled = row
        rates = {column.name: 1 - int(count) / int(rows) for column, count in zip(table.columns, filled, strict=True)}
        found[str(batch)] = Profile(str(batch), int(rows), rates)
    now = found.get(batch_id) or Profile(batch_id, 0, {})
    return Compared(table.name, now, found.get(before) if before and before != batch_id else None)
