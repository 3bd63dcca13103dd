"""Deletes a batch's rows from RAW and marks it `undone`: on request, after an interrupted run, or at the end of a trial.

The batch's objects stay in S3, so that `replay` can load it again; only a trial's objects are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import REJECTED, Source
from flows.contract.sql import template
from flows.landing import object_folder
from flows.lease import check, fenced, recovered
from flows.ledger import UNDOABLE, Ledger, RunInfo, Status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class UndoneTable:
    """How many rows of one batch were deleted from one RAW table."""

    batch_id: str
    table: str  # RAW name
    rows: int


def undo(ledger: Ledger, batch_id: str, info: RunInfo, reason: str) -> tuple[UndoneTable, ...]:
    """Delete a batch's rows from RAW and mark its ledger rows, in one transaction. If nothing is left to undo, do nothing.

    The caller holds the source's lease. If dbt read this batch, it reads the one validated before it from now on.

    Raises:
        BusyError: another run took the lease.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; RAW and ledger are as before.
    """
    return _delete_batch(ledger, batch_id, info, reason, "undone")


def close_trial(
    ledger: Ledger, client: S3Client, bucket: str, batch_id: str, info: RunInfo, reason: str
) -> tuple[UndoneTable, ...]:
    """Delete a trial's rows from RAW and its objects from S3. Its ledger rows stay as `trial`, with the reason. May be repeated
    after an interruption.

    Raises:
        BusyError: another run took the lease.
    """
    gone = _delete_batch(ledger, batch_id, info, reason, "trial")
    if keys := [e.key for e in ledger.entries(batch_id) if e.status == "trial" and e.key]:
        check(ledger, info)
        s3.delete(client, bucket, keys)
        with fenced(ledger, info):
            ledger.forget_objects(batch_id)
    return gone


def _delete_batch(ledger: Ledger, batch_id: str, info: RunInfo, reason: str, status: Status) -> tuple[UndoneTable, ...]:
    entries = ledger.entries(batch_id)
    undoable = [e for e in entries if e.status in UNDOABLE]
    if not undoable:
        return ()
    with fenced(ledger, info) as lock:
        gone = []
        aside = {f"{e.table}{REJECTED}" for e in undoable if e.rows_set_aside}
        for table in sorted({e.table for e in undoable} | aside):
            sql = template("raw/delete_batch.sql", database=ledger.database, table=table)
            deleted = run(ledger.connection, sql, (batch_id,))
            gone.append(UndoneTable(batch_id, table, int(deleted.rows[0][0])))
        lock()
        ledger.mark(batch_id, status, UNDOABLE, len(undoable), reason)
    return tuple(gone)


def recover(
    ledger: Ledger, client: S3Client, bucket: str, source: Source, info: RunInfo, left: Sequence[str]
) -> tuple[UndoneTable, ...]:
    """Undo the batches of runs that ended without a verdict: `left`, recorded in the lease, and those still open in the ledger.

    Their rows are deleted from RAW. Objects of `left` that the run uploaded but did not record are added to the ledger as undone.
    A batch stays recorded in the lease until that is done, so that a retry recovers it again.
    """
    gone: list[UndoneTable] = []
    reason = f"its run ended before a verdict; cleared by the run of batch {info.batch_id}"
    for batch_id in left:
        known = {e.key for e in ledger.entries(batch_id)}
        rows = []
        for table in source.tables:
            for key in s3.keys(client, bucket, object_folder(source, table, batch_id)):
                if key not in known:
                    rows.append({"table_name": table.raw_name, **_describe(client, bucket, key)})
        if rows:
            with fenced(ledger, info):
                ledger.insert(
                    RunInfo(batch_id), "undone", rows, "its run ended before it was whole in S3; send the file again"
                )
        if any(e.is_trial for e in ledger.entries(batch_id)):
            gone += close_trial(ledger, client, bucket, batch_id, info, reason)
        elif batch_id in ledger.unfinished():
            gone += undo(ledger, batch_id, info, reason)
        recovered(ledger, info, batch_id)
    for batch_id in ledger.unfinished():
        if batch_id != info.batch_id:
            gone += undo(ledger, batch_id, info, reason)
    return tuple(gone)


def _describe(client: S3Client, bucket: str, key: str) -> dict[str, object]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        head = client.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise s3.translate_error(error, f"s3://{bucket}/{key}") from error
    return {
        "file_name": unquote(head["Metadata"].get("file-name") or key.rsplit("/", 1)[1]),
        "s3_key": key,
        "bytes": head["ContentLength"],
        "etag": s3.plain_etag(head["ETag"]),
        "content_sha256": head["Metadata"].get("content-sha256", ""),
    }
