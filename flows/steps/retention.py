"""Archives objects of old batches (`raw/…` → `archive/…`) and prunes rows of old loads, never a file's newest published one.

If the contract sets a retention period for a table, a load is deleted after that time, even the newest one. `plan` lists all
that, and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import REJECTED, Source
from flows.contract.sql import template
from flows.errors import DataError
from flows.lease import check, fenced
from flows.ledger import EXPIRED, Entry, Ledger, RunInfo, Status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_PRUNED: tuple[Status, ...] = ("validated", "quarantined")


@dataclass(frozen=True, slots=True)
class MaintenanceAction:
    """One thing that maintenance did: an object archived or deleted (key, bytes), or a load pruned or expired (table, rows)."""

    action: Literal["archived", "pruned", "expired", "deleted"]
    batch_id: str
    name: str
    amount: int


def plan(
    ledger: Ledger, source: Source, archive_after_days: int, keep: int, quarantined_days: int
) -> tuple[MaintenanceAction, ...]:
    """List what `expire`, `archive` and `prune` would do now, called in this order. It only reads, and takes no lease.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    expired = ledger.expired(source.tables)
    planned = []
    deleted: set[str | None] = set()
    for batch_id, table in expired:
        entries = ledger.entries(batch_id, table)
        if in_raw := [e for e in entries if e.status in _PRUNED]:
            planned.append(MaintenanceAction("expired", batch_id, table, _count_rows(ledger, in_raw, batch_id, table)))
        planned += _deletions(batch_id, _objects(entries))
        deleted.update(e.key for e in entries)
    planned += [
        MaintenanceAction("archived", row["batch_id"], _archived(row["s3_key"]), int(row["bytes"]))
        for row in ledger.archivable(archive_after_days)
        if row["s3_key"] not in deleted
    ]
    for batch_id, table in ledger.prunable(keep, quarantined_days, source.tables, without=expired):
        entries = [e for e in ledger.entries(batch_id, table) if e.status in _PRUNED]
        planned.append(MaintenanceAction("pruned", batch_id, table, _count_rows(ledger, entries, batch_id, table)))
    return tuple(planned)


def expire(
    ledger: Ledger, client: S3Client, bucket: str, source: Source, info: RunInfo
) -> tuple[MaintenanceAction, ...]:
    """Delete the rows and objects of loads whose retention period has ended.

    First the rows are deleted and the ledger is updated, in one transaction; then the objects, then their keys in
    the ledger. If interrupted, a second call finishes, because a load stays due until its keys are removed from the ledger.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: S3 or the warehouse refused or did not answer; loads done so far stay done.
    """
    limits = {table.raw_name: table.retention for table in source.tables}
    done = []
    for batch_id, table in ledger.expired(source.tables):
        reason = f"{EXPIRED} its last delivery is more than {limits[table]} ago"
        entries = ledger.entries(batch_id, table)
        if in_raw := [e for e in entries if e.status in _PRUNED]:
            rows = _delete_rows(ledger, info, in_raw, batch_id, table, reason)
            done.append(MaintenanceAction("expired", batch_id, table, rows))
        objects = _objects(entries)
        check(ledger, info)
        s3.delete(client, bucket, [f"{top}/{rest}" for rest in objects for top in ("raw", "archive")])
        with fenced(ledger, info):
            ledger.expire_objects(batch_id, table, reason)
        done += _deletions(batch_id, objects)
    return tuple(done)


def _objects(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the entries that have an object, by its key without `raw/` or `archive/`: an object is in both places if an earlier
    run died after copying it to the archive."""
    return {str(e.key).partition("/")[2]: e for e in entries if e.key}


def _deletions(batch_id: str, objects: Mapping[str, Entry]) -> list[MaintenanceAction]:
    return [MaintenanceAction("deleted", batch_id, str(e.key), e.bytes) for e in objects.values()]


def _archived(key: str) -> str:
    """Return the key that an object under `raw/` has in the archive."""
    return "archive/" + key.removeprefix("raw/")


def archive(ledger: Ledger, client: S3Client, bucket: str, info: RunInfo, days: int) -> tuple[MaintenanceAction, ...]:
    """Archive the objects of batches that were published, quarantined or undone more than `days` days ago: copy, verify, record,
    delete.

    If interrupted, a second call finishes with objects that are in both places.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: as `flows.clients.s3.move`; moves so far are recorded.
    """
    _finish_deletes(ledger, client, bucket, info)
    done = []
    for row in ledger.archivable(days):
        old = row["s3_key"]
        new = _archived(old)
        try:
            etag = s3.move(client, bucket, old, new, row["etag"] or "")
        except DataError as error:  # lost or overwritten: `reconcile` reports it; the other objects are still moved
            log.warning("%s", error)
            continue
        with fenced(ledger, info):
            ledger.move({old: (new, etag)})
        check(ledger, info)
        s3.delete(client, bucket, [old])
        done.append(MaintenanceAction("archived", row["batch_id"], new, int(row["bytes"])))
    return tuple(done)


def _finish_deletes(ledger: Ledger, client: S3Client, bucket: str, info: RunInfo) -> None:
    """Delete objects that an earlier run copied and recorded as archived, but died before deleting."""
    archived = {"raw/" + str(o["s3_key"]).removeprefix("archive/"): o for o in ledger.objects()}
    existing = s3.keys(client, bucket, f"raw/{ledger.source}/")
    twins = [key for key in existing if key in archived and str(archived[key]["s3_key"]).startswith("archive/")]
    check(ledger, info)
    s3.delete(client, bucket, twins)


def prune(
    ledger: Ledger, source: Source, info: RunInfo, keep: int, quarantined_days: int
) -> tuple[MaintenanceAction, ...]:
    """Delete from RAW the rows of validated loads beyond the newest `keep` of their file, and of old quarantined loads.

    Their ledger rows become `undone`, so `replay` can load them again while S3 has their objects.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; loads done so far stay done.
    """
    done = []
    for batch_id, table in ledger.prunable(keep, quarantined_days, source.tables):
        reason = f"retention: beyond the newest {keep} loads, or quarantined over {quarantined_days} days ago"
        entries = [e for e in ledger.entries(batch_id, table) if e.status in _PRUNED]
        rows = _delete_rows(ledger, info, entries, batch_id, table, reason)
        done.append(MaintenanceAction("pruned", batch_id, table, rows))
    return tuple(done)


def _delete_rows(
    ledger: Ledger, info: RunInfo, entries: Sequence[Entry], batch_id: str, table: str, reason: str
) -> int:
    """Delete a load's rows from RAW, those set aside too, and mark its `entries` undone; returns how many rows."""
    with fenced(ledger, info) as lock:
        rows = _sum_over_tables(ledger, entries, batch_id, table, "raw/delete_batch.sql")
        lock()
        ledger.mark(batch_id, "undone", _PRUNED, len(entries), reason, table)
    return rows


def _count_rows(ledger: Ledger, entries: Sequence[Entry], batch_id: str, table: str) -> int:
    """Count a load's rows in RAW, those set aside too."""
    return _sum_over_tables(ledger, entries, batch_id, table, "raw/count_batch.sql")


def _sum_over_tables(ledger: Ledger, entries: Sequence[Entry], batch_id: str, table: str, statement: str) -> int:
    """Run a statement about a load on its RAW table, and on the table of rows set aside if it has any; add up the answers."""
    names = (table, f"{table}{REJECTED}") if any(e.rows_set_aside for e in entries) else (table,)
    texts = (template(statement, database=ledger.database, table=name) for name in names)
    return sum(int(run(ledger.connection, text, (batch_id,)).rows[0][0]) for text in texts)
