"""Compares a table's rows in two batches: row counts, shares of NULLs by column, and new values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flows.clients.snowflake import run
from flows.contract.model import Column, Table
from flows.contract.sql import template

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MOST_VALUES = 20  # the values of columns with more distinct ones are not listed


@dataclass(frozen=True, slots=True)
class Profile:
    """A table's rows in one batch: their number, and the share of NULLs (0 to 1) by column name."""

    batch_id: str
    rows: int
    null_rates: dict[str, float]


@dataclass(frozen=True, slots=True)
class Compared:
    """A table's batch compared with the one published before it; `before` is None if there is none, or its rows were pruned."""

    table: str
    now: Profile
    before: Profile | None
    # Column → values that the batch before did not have; only for columns with few values that are not personal.
    new_values: dict[str, tuple[str, ...]] = field(default_factory=dict)


def compare(
    connection: SnowflakeConnection, database: str, schema: str, table: Table, batch_id: str, before: str | None
) -> Compared:
    """Profile a table's rows of `batch_id` and of the batch `before`, in one query, and a second one for new values if there are
    columns with few values.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    place = {"database": database, "schema": schema, "table": table.raw_name}
    listed = _listed(table)
    sql = template("raw/profile.sql", **place, columns=table.columns, listed=listed)
    profiles, few = {}, set(listed)
    for batch, rows, *counts in run(connection, sql, (batch_id, before or batch_id)).rows:
        filled, different = counts[: len(table.columns)], counts[len(table.columns) :]
        rates = {column.name: 1 - int(count) / int(rows) for column, count in zip(table.columns, filled, strict=True)}
        profiles[str(batch)] = Profile(str(batch), int(rows), rates)
        few &= {c for c, count in zip(listed, different, strict=True) if 1 <= int(count) <= MOST_VALUES}
    now = profiles.get(batch_id) or Profile(batch_id, 0, {})
    earlier = profiles.get(before) if before and before != batch_id else None
    new: dict[str, tuple[str, ...]] = {}
    if earlier and now.rows and few:
        columns = [c for c in listed if c in few]
        sql = template("raw/new_values.sql", **place, columns=columns)
        for name, value in run(connection, sql, (batch_id, before)).rows:
            new[str(name)] = (*new.get(str(name), ()), str(value))
    return Compared(table.name, now, earlier, new)


def _listed(table: Table) -> list[Column]:
    """Return the columns whose values may be listed: not personal, not keys, not numbers."""
    keys = {name for link in table.relationships for name in link.columns} | set(table.primary_key)
    keys |= {rule.column for rule in table.rules if rule.kind == "unique" and rule.column}
    return [
        c for c in table.columns if c.logical_type in ("string", "boolean") and c.pii == "none" and c.name not in keys
    ]
