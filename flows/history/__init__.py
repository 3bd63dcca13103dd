"""The history of a source's loads, from the ledger: by table and day, compared with the usual volume, with quarantined batches.

`loads` queries the ledger, `History` computes what the page shows, `page` writes it. Everything but `loads` is pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Literal

from flows.clients.snowflake import run
from flows.contract.model import Source, Table
from flows.contract.sql import template

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

State = Literal["published", "unchanged", "quarantined", "undone", "open", "missing"]
_STATES: dict[str, State] = {
    "validated": "published",
    "skipped-unchanged": "unchanged",
    "quarantined": "quarantined",
    "undone": "undone",
}
# If a day has several batches, the first state in this order is shown: problems before successes.
WORST: tuple[State, ...] = ("quarantined", "open", "undone", "published", "unchanged", "missing")
# The band that the page draws for tables without a volume rule. It is only for orientation and decides nothing.
WINDOW, TOLERANCE = 8, 1.5
DAYS = 35  # days on a page by default
# How a quarantined batch's reason in the ledger names each rule: `- <table>: <rule and column>: <result>`.
_REASON = re.compile(r"(?:^|; )- (?P<table>\w+): (?P<rule>[^:;]+)")


@dataclass(frozen=True, slots=True)
class Load:
    """What one batch loaded for one table. Times are UTC, `rows` are those of the file."""

    source: str
    batch_id: str
    table: str  # RAW name
    state: State
    bytes: int
    rows: int
    rows_set_aside: int
    reason: str
    run_url: str
    file_day: date | None  # the newest file's day, if the table has a file for each day
    started: datetime
    finished: datetime | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Volume:
    """The rows of a published or quarantined batch, and the usual range; `low` and `high` are None while history is too short."""

    load: Load
    low: float | None
    high: float | None

    @property
    def unusual(self) -> bool:
        """Whether the number of rows is outside the usual range."""
        return self.low is not None and self.high is not None and not self.low <= self.load.rows <= self.high


@dataclass(frozen=True, slots=True)
class Delivery:
    """A table's last delivery, its age in hours, and whether its contract allows that age."""

    table: Table
    at: datetime | None
    hours: float | None
    state: Literal["fresh", "late", "stale", "never", "no limit"]


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """A batch as a whole."""

    batch_id: str
    state: State
    rows: int
    bytes: int
    started: datetime
    seconds: float | None  # from the first object to the verdict; None if that took more than a day
    reason: str
    run_url: str


def loads(connection: SnowflakeConnection, database: str, source: str | None, days: int) -> list[Load]:
    """The loads of the last `days`, oldest first, of one source or of all.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    rows = run(connection, template("ledger/history.sql", database=database), (source, days)).dicts()
    return [
        Load(
            source=row["source"],
            batch_id=row["batch_id"],
            table=row["table_name"],
            state=_state(row["status"]),
            bytes=int(row["bytes"]),
            rows=int(row["file_records"]),
            rows_set_aside=int(row["rows_set_aside"]),
            reason=row["first_error"] or "",
            run_url=row["flow_run_url"] or "",
            file_day=date.fromisoformat(row["file_day"]) if row["file_day"] else None,
            started=row["started_at"].replace(tzinfo=UTC),
            finished=row["finished_at"].replace(tzinfo=UTC) if row["finished_at"] else None,
            sequence=int(row["batch_sequence"]),
        )
        for row in rows
    ]


def _state(status: str) -> State:
    """The state of a table's objects in a batch. They all have the same status, except while a run is working on them."""
    states = {_STATES.get(one, "open") for one in status.split(", ")}
    return next(state for state in WORST if state in states)


@dataclass(frozen=True)
class History:
    """The loads of one source up to `now` (UTC)."""

    source: Source
    loads: Sequence[Load]  # oldest first
    now: datetime
    days: int

    def of(self, table: Table) -> list[Load]:
        """A table's loads, oldest first."""
        return [load for load in self.loads if load.table == table.raw_name]

    @cached_property
    def batches(self) -> list[BatchSummary]:
        """Every batch, oldest first."""
        grouped: dict[str, list[Load]] = defaultdict(list)
        for load in self.loads:
            grouped[load.batch_id].append(load)
        return [_whole(batch, group) for batch, group in grouped.items()]

    def calendar(self, table: Table) -> dict[date, State]:
        """The state of each day: the worst of its batches, or `missing` if at the day's end the last delivery was older than the
        contract's warning limit. Days without a batch that are within the limit are left out."""
        by_day: dict[date, set[State]] = defaultdict(set)
        for load in self.of(table):
            by_day[load.started.date()].add(load.state)
        states = {day: next(state for state in WORST if state in seen) for day, seen in by_day.items()}
        limits = self.source.limits(table)
        delivered = sorted(load.started for load in self.of(table) if load.state in ("published", "unchanged"))
        if limits is None or not delivered:
            return states
        day = delivered[0].date()
        while day < self.now.date():
            end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
            last = max(at for at in delivered if at < end)
            if day not in states and end - last > timedelta(hours=limits.warn_after_hours):
                states[day] = "missing"
            day += timedelta(days=1)
        return states

    def volumes(self, table: Table) -> list[Volume]:
        """The rows of each published or quarantined batch of a table, with the range that was usual before it."""
        rule = next((rule for rule in table.rules if rule.kind == "volume"), None)
        window = int(rule.argument("window")) if rule else WINDOW
        tolerance = float(rule.argument("tolerance")) if rule else TOLERANCE
        weekday = bool(rule and rule.argument("weekday"))
        before: list[Load] = []
        volumes = []
        for load in self.of(table):
            if load.state not in ("published", "quarantined"):
                continue
            like = [b for b in before if not weekday or _day(b).weekday() == _day(load).weekday()][-window:]
            usual = median(b.rows for b in like) if len(like) >= (window if rule else 3) else None
            volumes.append(Volume(load, usual and usual / tolerance, usual and usual * tolerance))
            if load.state == "published":
                before.append(load)
        return volumes

    def deliveries(self) -> list[Delivery]:
        """How fresh each table is, by the same rule as dbt's `last_delivery`."""
        return [self._delivery(table) for table in self.source.tables]

    def _delivery(self, table: Table) -> Delivery:
        good = [load for load in self.of(table) if load.state in ("published", "unchanged")]
        if table.daily and good:
            newest = max(load.file_day or date.min for load in good)
            good = [load for load in good if (load.file_day or date.min) == newest]
        limits = self.source.limits(table)
        if not good:
            return Delivery(table, None, None, "never" if limits else "no limit")
        at = max(load.started for load in good)
        hours = (self.now - at) / timedelta(hours=1)
        if limits is None:
            return Delivery(table, at, hours, "no limit")
        late = "stale" if hours > limits.error_after_hours else "late" if hours > limits.warn_after_hours else "fresh"
        return Delivery(table, at, hours, late)  # type: ignore[arg-type]

    def broken_rules(self) -> list[tuple[str, str, int]]:
        """(table, rule, number of batches that it quarantined), the most frequent first."""
        counts: Counter[tuple[str, str]] = Counter()
        for batch in self.batches:
            if batch.state == "quarantined":
                counts.update({(m["table"], m["rule"].strip()) for m in _REASON.finditer(batch.reason)})
        return [(table, rule, count) for (table, rule), count in sorted(counts.items(), key=lambda f: (-f[1], f[0]))]


def by_source(sources: Iterable[Source], past_loads: Sequence[Load], now: datetime, days: int) -> list[History]:
    """The history of each source that has loads."""
    histories = [History(s, [load for load in past_loads if load.source == s.name], now, days) for s in sources]
    return [history for history in histories if history.loads]


def _day(load: Load) -> date:
    return load.file_day or load.started.date()


def _whole(batch_id: str, group: Sequence[Load]) -> BatchSummary:
    states = {load.state for load in group}
    started = min(load.started for load in group)
    finished = max((load.finished for load in group if load.finished), default=None)
    seconds = (finished - started).total_seconds() if finished else None
    return BatchSummary(
        batch_id=batch_id,
        state=next(state for state in WORST if state in states),
        rows=sum(load.rows for load in group if load.state != "unchanged"),
        bytes=sum(load.bytes for load in group),
        started=started,
        # A replay or an undo sets the time of a batch's verdict long after it began: no duration then.
        seconds=seconds if seconds is not None and seconds < 24 * 3600 else None,
        reason=next((load.reason for load in group if load.reason), ""),
        run_url=next((load.run_url for load in group if load.run_url), ""),
    )
