"""What loads cost, from query tags and the ledger: credits and seconds of queries; objects, bytes and requests sent to S3.

`read` queries, `Costs` adds up. Query costs are those of QUERY_ATTRIBUTION_HISTORY
(https://docs.snowflake.com/en/sql-reference/account-usage/query_attribution_history): up to eight hours late, and without queries
of about 100 milliseconds or less, idle time, cloud services, serverless features, data transfer and storage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from flows.clients.snowflake import run
from flows.clients.upload import PART_BYTES
from flows.contract.sql import template

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from flows.settings import Settings


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries of one day with the same query tag. `credits` is None if the warehouse reports none."""

    day: date
    batch_id: str
    step: str
    table: str
    model: str
    queries: int
    seconds: float
    credits: float | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to S3 for one table in one batch."""

    source: str
    batch_id: str
    table: str
    objects: int
    bytes: int
    requests: int


@dataclass(frozen=True, slots=True)
class Sum:
    """The total cost of the queries of one step, table, model or batch."""

    name: str
    queries: int
    seconds: float
    credits: float | None


@dataclass(frozen=True)
class Costs:
    """What the loads of some days cost; `queries` is None if the loader may not read query costs (CXM_QUERY_COSTS)."""

    queries: Sequence[Queries] | None
    sent: Sequence[Sent]

    @property
    def unit(self) -> str:
        """The unit to show: credits, or seconds if the warehouse reports no credits."""
        return "credits" if any(one.credits is not None for one in self.queries or ()) else "query seconds"

    def by_step(self) -> list[Sum]:
        """Cost of each pipeline step, the most expensive first."""
        return self._by(lambda one: one.step)

    def by_table(self) -> list[Sum]:
        """Cost of each RAW table, the most expensive first."""
        return self._by(lambda one: one.table)

    def by_model(self) -> list[Sum]:
        """Cost of each dbt node, the most expensive first."""
        return self._by(lambda one: one.model)

    def by_batch(self) -> list[Sum]:
        """Cost of each batch, the newest first; dbt's queries belong to no batch."""
        return sorted(self._by(lambda one: one.batch_id), key=lambda one: one.name, reverse=True)

    def by_day(self) -> list[tuple[date, str, float]]:
        """(day, step, credits or seconds)."""
        sums: dict[tuple[date, str], float] = defaultdict(float)
        in_credits = self.unit == "credits"
        for one in self.queries or ():
            sums[one.day, one.step] += (one.credits or 0) if in_credits else one.seconds
        return [(day, step, amount) for (day, step), amount in sorted(sums.items())]

    def sent_by_table(self) -> list[Sent]:
        """What was sent for each table, over all batches; `batch_id` is empty."""
        grouped: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        for one in self.sent:
            grouped[one.source, one.table].append(one)
        return [
            Sent(
                source,
                "",
                table,
                *(sum(getattr(one, what) for one in ones) for what in ("objects", "bytes", "requests")),
            )
            for (source, table), ones in grouped.items()
        ]

    def _by(self, name: Callable[[Queries], str]) -> list[Sum]:
        grouped: dict[str, list[Queries]] = defaultdict(list)
        for one in self.queries or ():
            if name(one):
                grouped[name(one)].append(one)
        sums = [
            Sum(
                key,
                sum(one.queries for one in ones),
                round(sum(one.seconds for one in ones), 3),
                credits_of(ones),
            )
            for key, ones in grouped.items()
        ]
        return sorted(sums, key=lambda one: (-(one.credits or 0), -one.seconds, one.name))


def credits_of(ones: Sequence[Queries]) -> float | None:
    """The sum of their credits; None if none are reported."""
    known = [one.credits for one in ones if one.credits is not None]
    return round(sum(known), 9) if known else None


def read(connection: SnowflakeConnection, settings: Settings, source: str | None, days: int) -> Costs:
    """The costs of the last `days`: all queries on the pipeline's warehouse, and what was sent for one source or for all.

    Raises:
        ConfigurationError: the loader may not read what queries cost.
        InfrastructureError: as `flows.clients.snowflake.run`.
    """
    sent = run(
        connection, template("ledger/sent.sql", database=settings.database, part_bytes=PART_BYTES), (source, days)
    ).dicts()
    queries = None
    if settings.reads_query_costs:
        queries = run(connection, template("cost/queries.sql"), (settings.warehouse, days)).dicts()
    return Costs(
        None if queries is None else [_queries(row) for row in queries],
        [
            Sent(
                row["source"],
                row["batch_id"],
                row["table_name"],
                *(int(row[w]) for w in ("object_count", "bytes", "requests")),
            )
            for row in sent
        ],
    )


def _queries(row: dict[str, object]) -> Queries:
    day, credits = row["query_day"], row["credits"]
    assert isinstance(day, date)
    return Queries(
        day=day,
        batch_id=str(row["batch_id"]),
        step=str(row["step"]),
        table=str(row["table_name"]),
        model=str(row["dbt_node"]),
        queries=int(str(row["query_count"])),
        seconds=int(str(row["milliseconds"])) / 1000,
        credits=None if credits is None else float(str(credits)),
    )
