"""`RAW.LOAD_LEDGER`: the status of each object of each batch. `lease` decides which run may write it.

    (sent) → landed → loaded → validated        skipped-unchanged: nothing was sent, the content is published already
                 └───────┴────→ quarantined      not-delivered: the file of an optional table did not come
                                                 landed, loaded, validated, quarantined → undone → (replay) loaded → …
                                                 landed, loaded → trial: the first rows of each file, never published

`loaded` is written in the transaction of its COPY. Only `validated` rows are published. If a run ended without a verdict, the
next run of the source undoes its batch. The newest batch of a source is the one with the highest sequence, which is the lease's
token at the time of loading. A batch id is only a name and does not order batches.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import psutil

from flows.clients.snowflake import Rows, run
from flows.contract.file_names import day_in
from flows.contract.model import Table
from flows.contract.sql import literal, template
from flows.errors import BusyError, ConfigurationError
from flows.landing import Published

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Status = Literal[
    "landed", "loaded", "validated", "quarantined", "undone", "trial", "skipped-unchanged", "not-delivered"
]

# Snowflake accepts at most 16 MB in one bound value; a row takes about 400 bytes.
_ROWS_AT_ONCE = 10_000


@cache
def this_process() -> str:
    """Return a name for this process that no other process ever has: `host/pid/start`."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that writes: its batch id, its Prefect flow run if it has one, and the process that holds the lease."""

    batch_id: str
    flow_run_id: str = ""
    flow_run_url: str = ""
    is_generated: bool = False  # its files were generated, not delivered
    holder: str = field(default_factory=this_process)  # passed to tasks, which may run in other processes
    limit: int = 0  # above 0: a trial of the first `limit` records of each file, never published
    token: int = 0  # the lease's token: fences this run's writes and orders its batch; 0 before it has the lease


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger row: one object of a batch (`key` is None if nothing was sent)."""

    table: str  # RAW name
    file: str
    key: str | None
    bytes: int
    sha256: str
    records: int | None
    rows_loaded: int
    rows_set_aside: int  # included in rows_loaded
    status: Status
    error: str | None
    query_id: str | None
    flow_run_id: str | None
    is_generated: bool
    columns: str  # which column each field was loaded into, as `Layout.text`; empty in rows older than this column
    etag: str  # empty if nothing was sent, and in rows older than this column
    is_trial: bool
    dialect: str  # how the file is parsed, as `Dialect.file_text`
    sequence: int = 0  # the batch's position among the source's batches, as `Published.sequence`


# The beginning of the ledger's reason for a load that was deleted because of the contract's retention.
EXPIRED = "retention of the contract:"
# The statuses that undo can start from.
UNDOABLE: tuple[Status, ...] = ("landed", "loaded", "validated", "quarantined")


@dataclass(frozen=True)
class Ledger:
    """The ledger of one source, over one connection; not shared between threads."""

    connection: SnowflakeConnection
    database: str
    source: str

    def _run(self, name: str, *values: Any, **places: Any) -> Rows:
        return run(self.connection, template(f"ledger/{name}.sql", database=self.database, **places), values)

    def published(self) -> dict[tuple[str, str], Published]:
        """Read (RAW table name, file name) → its newest validated load."""
        return {
            (row["table_name"], row["file_name"]): Published(
                row["batch_id"],
                row["content_sha256"],
                int(row["file_records"]),
                int(row["batch_sequence"]),
                row["file_columns"] or "",
                row["file_dialect"] or "",
            )
            for row in self._run("published", self.source).dicts()
        }

    def of_run(self, flow_run_id: str) -> dict[str, set[Status]]:
        """Read the batches that a flow run loaded → the current statuses of their rows."""
        states: dict[str, set[Status]] = {}
        for batch_id, status in self._run("of_run", self.source, flow_run_id).rows:
            states.setdefault(str(batch_id), set()).add(status)
        return states

    def entries(self, batch_id: str, table: str | None = None) -> list[Entry]:
        """Read the rows of a batch, or of one RAW table in it, ordered by table and key."""
        return [
            Entry(
                table=row["table_name"],
                file=row["file_name"],
                key=row["s3_key"],
                bytes=int(row["bytes"]),
                sha256=row["content_sha256"],
                records=None if row["file_records"] is None else int(row["file_records"]),
                rows_loaded=int(row["rows_loaded"] or 0),
                rows_set_aside=int(row["rows_set_aside"] or 0),
                status=row["status"],
                error=row["first_error"],
                query_id=row["copy_query_id"],
                flow_run_id=row["flow_run_id"],
                is_generated=bool(row["is_generated"]),
                columns=row["file_columns"] or "",
                etag=row["etag"] or "",
                is_trial=row["row_limit"] is not None,
                dialect=row["file_dialect"] or "",
                sequence=int(row["batch_sequence"] or 0),
            )
            for row in self._run("entries", self.source, batch_id).dicts()
            if table in (None, row["table_name"])
        ]

    def insert(
        self, info: RunInfo, status: Status, rows: Sequence[Mapping[str, Any]], reason: str | None = None
    ) -> None:
        """Insert rows: table_name, file_name, s3_key, bytes, content_sha256, file_records, etag, unchanged_since, file_columns,
        file_dialect, columns_ignored, columns_missing (any key may be absent)."""
        trial = {"ROW_LIMIT": info.limit} if info.limit else {}
        for some in _slices([{k.upper(): v for k, v in row.items() if v is not None} | trial for row in rows]):
            self._run(
                "insert",
                info.batch_id,
                self.source,
                status,
                reason,
                info.flow_run_id,
                info.flow_run_url,
                info.is_generated,
                info.token,
                json.dumps(some),
            )

    def loaded(
        self, info: RunInfo, query_id: str, rows: Sequence[Mapping[str, Any]], keeps_place: bool = False
    ) -> None:
        """Set rows (s3_key, rows_parsed, rows_loaded, column layout) to `loaded`. Call it in the COPY's transaction.

        The batch becomes the newest of its source, unless it `keeps_place`: a batch that is loaded again keeps its age.

        Raises:
            BusyError: the ledger does not have exactly one row for each object, so another run wrote it. Do not commit.
        """
        changed = 0
        for some in _slices([{k.upper(): v for k, v in row.items()} for row in rows]):
            done = self._run(
                "loaded",
                self.source,
                info.batch_id,
                query_id,
                info.flow_run_id,
                info.flow_run_url,
                None if keeps_place else info.token,
                json.dumps(some),
            )
            changed += int(done.rows[0][0])
        if changed != len(rows):
            raise BusyError(
                f"source {self.source}: batch {info.batch_id}: expected {len(rows):,} ledger rows of loaded objects, got "
                f"{changed:,}; another run wrote them. Nothing is committed: see `cxm batches`, then run again"
            )

    def set_aside(self, info: RunInfo, rows: Mapping[str, int]) -> None:
        """Record how many rows of each object were set aside (key → rows). Call it in the verdict's transaction."""
        for some in _slices([{"S3_KEY": key, "ROWS_SET_ASIDE": count} for key, count in rows.items()]):
            self._run("set_aside", self.source, info.batch_id, json.dumps(some))

    def mark(
        self,
        batch_id: str,
        status: Status,
        before: Sequence[Status],
        expected: int,
        reason: str | None = None,
        table: str | None = None,
    ) -> None:
        """Set a new status, with a reason, on those rows of the batch whose status is in `before`.

        Raises:
            BusyError: not exactly `expected` rows changed, so another run wrote them. Do not commit.
        """
        marked = self._run(
            "mark", self.source, batch_id, status, reason[:4000] if reason else None, table, before=tuple(before)
        )
        changed = int(marked.rows[0][0])
        if changed != expected:
            raise BusyError(
                f"source {self.source}: batch {batch_id}: expected {expected:,} ledger rows to turn {status}, got {changed:,}; "
                "another run wrote them. Nothing is committed: see `cxm batches`, then run again"
            )

    def forget_objects(self, batch_id: str) -> None:
        """Record that the objects of a trial were deleted from S3."""
        self._run("forget_objects", self.source, batch_id)

    def unfinished(self) -> list[str]:
        """List batches without a verdict, oldest first."""
        return [str(row[0]) for row in self._run("unfinished", self.source).rows]

    def refuse_generated(self, what: str, own: str) -> None:
        """Make sure that no real rows were ever published for this source, before generated rows are loaded.

        Args:
            what: the folder or batch of the generated rows.
            own: the folder where the user's own files belong.

        Raises:
            ConfigurationError: a batch of real rows exists.
        """
        if real := self._run("real", self.source).rows[0][0]:
            raise ConfigurationError(
                f"{what}: generated rows, and source {self.source} has real ones (batch {real}), which generated rows never "
                f"replace; nothing was loaded. Put the files into {own}, or name their folder with --data; generated rows "
                "can be tried in a home of their own: CXM_HOME=<an empty folder>"
            )

    def objects(self) -> list[dict[str, Any]]:
        """Read every object in the ledger: batch_id, table_name, file_name, s3_key, bytes, etag, status, rows_loaded,
        file_records, file_columns, file_dialect."""
        return self._run("objects", self.source).dicts()

    def rewritten(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Record what is left of objects (s3_key, bytes, etag, records_gone, rows_gone, aside_gone). Call it in the transaction
        that deletes their rows from RAW."""
        for some in _slices([{k.upper(): v for k, v in row.items() if v is not None} for row in objects]):
            self._run("rewritten", self.source, json.dumps(some))

    def forgotten(self, request: str, done_by: str, values: Sequence[Mapping[str, str]], places: str) -> None:
        """Record whose rows were deleted: for each value its column_name and value_hash. `places`: JSON, place → rows."""
        for some in _slices([{k.upper(): v for k, v in row.items()} for row in values]):
            self._run("forgotten", request, self.source, places, done_by, json.dumps(some))

    def archivable(self, days: int) -> list[dict[str, Any]]:
        """Read the objects under `raw/` of batches that were published, quarantined or undone more than `days` days ago:
        batch_id, s3_key, bytes, etag."""
        return self._run("archivable", self.source, days).dicts()

    def prunable(
        self,
        keep: int,
        quarantined_days: int,
        tables: Sequence[Table] = (),
        without: Sequence[tuple[str, str]] = (),
    ) -> list[tuple[str, str]]:
        """List the loads to prune, as (batch id, RAW table): all but the newest `keep` of each file, and old quarantined ones.
        `tables` are the contract's; loads in `without` do not count, as if they were deleted."""
        rows = self._run(
            "prunable", self.source, keep, quarantined_days, loaded_as=_loaded_as(tables), without=without
        ).dicts()
        return list(dict.fromkeys((row["batch_id"], row["table_name"]) for row in rows))

    def expired(self, tables: Sequence[Table]) -> list[tuple[str, str]]:
        """List the loads whose retention by the contract is over, as (batch id, RAW table). `tables` are the contract's."""
        limits = [
            {"table": t.raw_name, "value": t.retention.value, "unit": t.retention.unit} for t in tables if t.retention
        ]
        return (
            [(str(b), str(t)) for b, t in self._run("expired", self.source, retentions=limits).rows] if limits else []
        )

    def expire_objects(self, batch_id: str, table: str, reason: str) -> None:
        """Record that the objects of an expired load were deleted from S3."""
        self._run("expire_objects", self.source, batch_id, table, reason)

    def move(self, moved: Mapping[str, tuple[str, str]]) -> None:
        """Record where objects were moved to: old key → new key and the ETag of the copy."""
        for some in _slices([{"OLD": old, "NEW": new, "ETAG": etag} for old, (new, etag) in moved.items()]):
            self._run("move", self.source, json.dumps(some))


def batches(
    connection: SnowflakeConnection, database: str, source: str | None, batch_id: str | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Read the newest batches of a source, or of all sources, newest first. `sql/ledger/batches.sql` names the columns."""
    sql = template("ledger/batches.sql", database=database, limit=int(limit))
    return run(connection, sql, (source, batch_id)).dicts()


def batch_source(connection: SnowflakeConnection, database: str, batch_id: str, source: str | None) -> str:
    """Find the source that a batch belongs to.

    Raises:
        ConfigurationError: no source has that batch (the message lists the newest), or several have and none is named.
    """
    sources = [row["source"] for row in batches(connection, database, source, batch_id)]
    if len(sources) == 1:
        return str(sources[0])
    if sources:
        raise ConfigurationError(f"batch {batch_id}: {' and '.join(sources)} have one; say which with --source")
    newest = [f"{row['batch_id']} ({row['source']})" for row in batches(connection, database, source, limit=5)]
    raise ConfigurationError(
        f"batch {batch_id!r}: not in the ledger{f' of {source}' if source else ''}; the newest are "
        f"{', '.join(newest) or 'none: nothing has been loaded'}. `cxm batches` lists them"
    )


def _loaded_as(tables: Sequence[Table]) -> str:
    """Write SQL for the unit that a newer load replaces: the file, or if a table has several files, all of them or a day's."""
    whens = [
        f"WHEN {literal(table.raw_name)} THEN {day_in('FILE_NAME') if table.daily else literal('')}"
        for table in tables
        if table.has_parts
    ]
    return f"CASE TABLE_NAME {' '.join(whens)} ELSE FILE_NAME END" if whens else "FILE_NAME"


def _slices(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (rows[i : i + _ROWS_AT_ONCE] for i in range(0, len(rows), _ROWS_AT_ONCE))
