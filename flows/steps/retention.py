"""`raw/…` → `archive/…` for batches long done, and rows of old loads out of RAW; never the newest validated load of a file.

Where the contract limits how long a table's data is kept, everything of a load goes when its time is over, the newest too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import REJECTED, Source
from flows.contract.sql import template
from flows.errors import DataError
from flows.lease import check, fenced
from flows.ledger import EXPIRED, Ledger, RunInfo, Status

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


def expire(
    ledger: Ledger, client: S3Client, bucket: str, source: Source, info: RunInfo
) -> tuple[MaintenanceAction, ...]:
    """Delete the rows and the objects of loads whose retention by the contract is over: a batch's table as a whole.

    The rows go with the verdict, in one transaction; then the objects, then their keys in the ledger. Ended at any point, a
    second try finishes: a load is expired as long as the ledger has a key of it.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: S3 or the warehouse refused or did not answer; loads done so far stay done.
    """
    limits = {table.raw_name: table.retention for table in source.tables}
    done = []
    for batch_id, table in ledger.expired(source.tables):
        reason = f"{EXPIRED} its last delivery is more than {limits[table]} ago"
        entries = ledger.entries(batch_id, table)
        if any(e.status in _PRUNED for e in entries):
            done.append(
                MaintenanceAction("expired", batch_id, table, _delete_rows(ledger, info, batch_id, table, reason))
            )
        # An object is in two places if an earlier run did not live to delete it after it was copied to the archive.
        objects = {str(e.key).partition("/")[2]: e for e in entries if e.key}
        check(ledger, info)
        s3.delete(client, bucket, [f"{top}/{rest}" for rest in objects for top in ("raw", "archive")])
        with fenced(ledger, info):
            ledger.expire_objects(batch_id, table, reason)
        done += [MaintenanceAction("deleted", batch_id, str(e.key), e.bytes) for e in objects.values()]
    return tuple(done)


def archive(ledger: Ledger, client: S3Client, bucket: str, info: RunInfo, days: int) -> tuple[MaintenanceAction, ...]:
    """Move the objects of batches that had their verdict more than `days` days ago: copy, verify, write down, delete.

    Ended at any point, a second try finishes: it goes on with an object that is in both places.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: as `flows.clients.s3.move`; what was moved so far is written down.
    """
    _finish_deletes(ledger, client, bucket, info)
    done = []
    for row in ledger.archivable(days):
        old = row["s3_key"]
        new = "archive/" + old.removeprefix("raw/")
        try:
            etag = s3.move(client, bucket, old, new, row["etag"] or "")
        except DataError as error:  # lost or overwritten: `reconcile` names it; the others are moved all the same
            log.warning("%s", error)
            continue
        with fenced(ledger, info):
            ledger.move({old: (new, etag)})
        check(ledger, info)
        s3.delete(client, bucket, [old])
        done.append(MaintenanceAction("archived", row["batch_id"], new, int(row["bytes"])))
    return tuple(done)


def _finish_deletes(ledger: Ledger, client: S3Client, bucket: str, info: RunInfo) -> None:
    """Objects whose copy is written down as archived but which an earlier run did not live to delete."""
    archived = {"raw/" + str(o["s3_key"]).removeprefix("archive/"): o for o in ledger.objects()}
    existing = s3.keys(client, bucket, f"raw/{ledger.source}/")
    twins = [key for key in existing if key in archived and str(archived[key]["s3_key"]).startswith("archive/")]
    check(ledger, info)
    s3.delete(client, bucket, twins)


def prune(
    ledger: Ledger, source: Source, info: RunInfo, keep: int, quarantined_days: int
) -> tuple[MaintenanceAction, ...]:
    """Take from RAW the rows of validated loads beyond the newest `keep` of their file, and of old quarantined loads.

    Their ledger rows turn to undone, so `replay` brings them back as long as S3 has their objects.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; loads done so far stay done.
    """
    done = []
    for batch_id, table in ledger.prunable(keep, quarantined_days, source.tables):
        reason = f"retention: beyond the newest {keep} loads, or quarantined over {quarantined_days} days ago"
        done.append(MaintenanceAction("pruned", batch_id, table, _delete_rows(ledger, info, batch_id, table, reason)))
    return tuple(done)


def _delete_rows(ledger: Ledger, info: RunInfo, batch_id: str, table: str, reason: str) -> int:
    """Delete a load's rows from RAW, those set aside too, and mark it undone; returns how many rows."""
    entries = [e for e in ledger.entries(batch_id, table) if e.status in _PRUNED]
    with fenced(ledger, info) as lock:
        rows = 0
        for name in (table, f"{table}{REJECTED}") if any(e.rows_set_aside for e in entries) else (table,):
            sql = template("raw/delete_batch.sql", database=ledger.database, table=name)
            rows += int(run(ledger.connection, sql, (batch_id,)).rows[0][0])
        lock()
        ledger.mark(batch_id, "undone", _PRUNED, len(entries), reason, table)
    return rows
