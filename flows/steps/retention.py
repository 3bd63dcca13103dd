"""`raw/…` → `archive/…` for batches long done, and rows of old loads out of RAW; never the newest validated load of a file."""

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
from flows.ledger import Ledger, RunInfo, Status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_PRUNED: tuple[Status, ...] = ("validated", "quarantined")


@dataclass(frozen=True, slots=True)
class MaintenanceAction:
    """One thing that maintenance did: an object archived (its new key, bytes), or a load pruned (table and batch, rows)."""

    action: Literal["archived", "pruned"]
    batch_id: str
    name: str
    amount: int


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
        entries = [e for e in ledger.entries(batch_id, table) if e.status in _PRUNED]
        with fenced(ledger, info) as lock:
            rows = 0
            for name in (table, f"{table}{REJECTED}") if any(e.rows_set_aside for e in entries) else (table,):
                sql = template("raw/delete_batch.sql", database=ledger.database, table=name)
                rows += int(run(ledger.connection, sql, (batch_id,)).rows[0][0])
            reason = f"retention: beyond the newest {keep} loads, or quarantined over {quarantined_days} days ago"
            lock()
            ledger.mark(batch_id, "undone", _PRUNED, len(entries), reason, table)
        done.append(MaintenanceAction("pruned", batch_id, table, rows))
    return tuple(done)
