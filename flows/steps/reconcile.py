"""Compares S3, the ledger and RAW and lists every difference. Read-only; costs one S3 listing and one query that counts rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import REJECTED, Source
from flows.contract.sql import template
from flows.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Statuses of batches whose rows are in RAW.
_IN_RAW = ("loaded", "validated", "quarantined")


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between S3, ledger and RAW, and how to fix it. `found` is the actual state, `wanted` the expected one."""

    kind: str
    where: str
    found: str
    wanted: str
    fix: str


def reconcile(ledger: Ledger, client: S3Client, bucket: str, source: Source) -> tuple[Difference, ...]:
    """Find orphaned, half-moved, overwritten and lost objects, rows and ledger entries that do not match, and batches without a
    verdict. An empty result means that all agree.

    Raises:
        ConfigurationError, InfrastructureError: S3 or the warehouse refused or did not answer.
    """
    known = ledger.objects()
    objects = {
        key: stored
        for top in ("raw", "archive")
        for key, stored in s3.stored(client, bucket, f"{top}/{source.name}/").items()
    }
    return (*_objects(known, objects, bucket), *_rows(ledger, source, known), *_open(ledger))


def _objects(known: list[dict[str, object]], objects: dict[str, tuple[int, str]], bucket: str) -> list[Difference]:
    entries = {str(row["s3_key"]): row for row in known}
    differences = []
    for key, (size, _) in objects.items():
        top, _, rest = key.partition("/")
        twin = f"{'archive' if top == 'raw' else 'raw'}/{rest}"
        if key in entries:
            continue
        if twin in entries and twin in objects:
            differences.append(
                Difference(
                    "object in two places",
                    f"s3://{bucket}/{key}",
                    f"{size:,} bytes here, and as {twin}",
                    f"{twin} alone, as the ledger says",
                    "a run ended while it moved it, and nothing is lost: `cxm maintenance` finishes the move",
                )
            )
            continue
        differences.append(
            Difference(
                "object without ledger row",
                f"s3://{bucket}/{key}",
                f"{size:,} bytes",
                "a ledger row",
                "it came in by hand or from a run that was killed: the next run of the source clears up after a killed one, "
                "delete what came by hand",
            )
        )
    for key, row in entries.items():
        if key not in objects:
            differences.append(
                Difference(
                    "ledger row without object",
                    f"s3://{bucket}/{key}",
                    f"batch {row['batch_id']} is {row['status']}, no object",
                    f"{row['bytes']:,} bytes",
                    "its rows stay valid, but cannot be replayed; restore the object (bucket versioning) or send the file again",
                )
            )
            continue
        size, etag = objects[key]
        if size != row["bytes"]:
            differences.append(
                Difference(
                    "object of another size",
                    f"s3://{bucket}/{key}",
                    f"{size:,} bytes",
                    f"{row['bytes']:,} bytes",
                    "somebody wrote over it: restore it (bucket versioning) or send the file again",
                )
            )
        elif row["etag"] and etag != row["etag"]:
            differences.append(
                Difference(
                    "object of other bytes",
                    f"s3://{bucket}/{key}",
                    f"ETag {etag}",
                    f"ETag {row['etag']}",
                    "somebody wrote over it: restore it (bucket versioning) or send the file again",
                )
            )
    return differences


def _rows(ledger: Ledger, source: Source, known: list[dict[str, object]]) -> list[Difference]:
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for row in known:
        if row["status"] in _IN_RAW:
            table, aside = str(row["table_name"]), int(str(row["rows_set_aside"] or 0))
            expected[table, str(row["batch_id"])] += int(str(row["rows_loaded"] or 0)) - aside
            expected[f"{table}{REJECTED}", str(row["batch_id"])] += aside
    tables = [t.raw_name for t in source.tables] + [t.rejected.raw_name for t in source.tables if t.bad_rows]
    tables += sorted(
        {table for (table, _), rows in expected.items() if rows and table.endswith(REJECTED)} - set(tables)
    )
    sql = template("raw/batches.sql", database=ledger.database, tables=tables)
    actual = {(str(t), str(b)): int(n) for t, b, n in run(ledger.connection, sql).rows}
    differences = []
    for table, batch_id in sorted({*expected, *actual}):
        rows, meant = actual.get((table, batch_id), 0), expected.get((table, batch_id), 0)
        if rows != meant:
            differences.append(
                Difference(
                    "rows without ledger"
                    if not meant
                    else "ledger without rows"
                    if not rows
                    else "rows differ from ledger",
                    f"RAW.{table}, batch {batch_id}",
                    f"{rows:,} rows",
                    f"{meant:,} rows",
                    f"`cxm replay {batch_id}` loads it again from S3, `cxm undo {batch_id}` takes it out; rows that came in "
                    "by hand: delete them",
                )
            )
    return differences


def _open(ledger: Ledger) -> list[Difference]:
    return [
        Difference(
            "batch without a verdict",
            f"ledger of {ledger.source}, batch {batch_id}",
            "landed or loaded",
            "validated or quarantined",
            "a run is at work on it, or was killed: the next run of the source undoes it",
        )
        for batch_id in ledger.unfinished()
    ]
