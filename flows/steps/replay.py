"""Restores the landing result of an old batch from its objects in S3, under `raw/` or `archive/`, so it can be loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from flows.clients import s3
from flows.contract.fit import MisfitError, fit_again, header_of
from flows.contract.model import Source, Table
from flows.errors import ConfigurationError
from flows.landing import LandedObject, LandedTable, LandResult, object_folder
from flows.lease import check, fenced
from flows.ledger import EXPIRED, Entry, Ledger, RunInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def restore_landed(
    ledger: Ledger, client: S3Client, bucket: str, source: Source, batch_id: str, info: RunInfo
) -> dict[str, LandedTable]:
    """Restore the landed files of each table of a batch, by contract name; all their objects are then under `raw/`.

    Archived objects are copied back under `raw/` first, where COPY reads.

    Raises:
        ConfigurationError: the batch has no files, a table is no longer in the contract, a file lacks a column that the contract
            now requires, an object is not in S3, or the batch's run ended before it recorded the number of a file's records.
            RAW was not changed.
        BusyError: another run took the lease.
        DataError: an archived object was overwritten; it is left as it is.
        InfrastructureError: S3 or the warehouse did not answer.
    """
    of_batch = ledger.entries(batch_id)
    entries = [e for e in of_batch if e.key]
    if not entries and (over := next((e.error for e in of_batch if (e.error or "").startswith(EXPIRED)), None)):
        raise ConfigurationError(
            f"batch {batch_id} of {source.name}: {over}, and its objects are deleted with its rows; nothing brings them back: "
            "send the files as a new batch, which is kept as long again"
        )
    if not entries:
        raise ConfigurationError(
            f"batch {batch_id} of {source.name}: its files were unchanged, so it brought nothing that could be loaded again; "
            "`cxm batches` shows which batch did"
        )
    landed: dict[str, LandedTable] = {}
    for raw_name, group in groupby(entries, key=lambda e: e.table):
        of_table = list(group)
        try:
            table = source.table(raw_name)
        except KeyError as error:
            raise ConfigurationError(f"batch {batch_id}: {error.args[0]}; it cannot be loaded any more") from None
        folder = object_folder(source, table, batch_id)
        for entry in of_table:
            if entry.records is None:
                raise ConfigurationError(
                    f"batch {batch_id}: {entry.key} was sent by a run that ended before the file was whole; send the file again "
                    f"(`cxm run --source {source.name}`)"
                )
        moved = _bring_back(ledger, client, bucket, folder, {str(e.key): e.etag for e in of_table}, info)
        by_file: dict[str, list[Entry]] = {}
        for entry in of_table:
            by_file.setdefault(entry.file, []).append(entry)
        files = (_land_result(client, bucket, table, folder, of_file, moved) for of_file in by_file.values())
        landed[table.name] = LandedTable(tuple(files))
    return landed


def _land_result(
    client: S3Client, bucket: str, table: Table, folder: str, entries: list[Entry], moved: Mapping[str, str]
) -> LandResult:
    """Restore the landing result of one file of a batch from its ledger rows. `moved`: old key → ETag of each restored object."""
    file = entries[0].file
    objects = [
        LandedObject(str(e.key).rsplit("/", 1)[1], e.bytes, int(e.records or 0), moved.get(str(e.key), e.etag))
        for e in entries
    ]
    broken = sum(o.records for o in objects if o.holds_broken_lines)
    if broken and not (table.bad_rows and table.bad_rows.broken_lines):
        raise ConfigurationError(
            f"{folder}: {broken:,} lines of {file} are no record, and the contract sets such lines of {table.name} aside no "
            "more; add `brokenLines: true` to its badRows, or send the file again, corrected"
        )
    header = header_of(next((e.columns for e in entries if e.columns), ""))
    first = next(o for o in objects if not o.holds_broken_lines)
    header = header or s3.header(client, bucket, folder + first.name)
    try:
        layout = fit_again(table, header)
    except MisfitError as error:
        raise ConfigurationError(
            f"{folder}: {file} cannot be what the contract asks for now: {error}; let {table.name} have that column empty, or "
            "send the file again with it"
        ) from None
    return LandResult(
        table=table.name,
        raw_name=table.raw_name,
        file=file,
        folder=folder,
        objects=tuple(objects),
        bytes=sum(o.bytes for o in objects),
        records=sum(o.records for o in objects),
        sha256=entries[0].sha256,
        status="landed",
        layout=layout,
        dialect=entries[0].dialect,
    )


def _bring_back(
    ledger: Ledger, client: S3Client, bucket: str, folder: str, keys: Mapping[str, str], info: RunInfo
) -> dict[str, str]:
    """Copy archived objects back under `raw/`; returns old key → new ETag of each. `keys`: key → ETag in the ledger."""
    archived = [key for key in keys if not key.startswith(folder)]
    moved = {}
    for old in archived:
        new = folder + old.rsplit("/", 1)[1]
        moved[old] = (new, s3.move(client, bucket, old, new, keys[old]))
    if moved:
        with fenced(ledger, info):
            ledger.move(moved)
        check(ledger, info)
        s3.delete(client, bucket, archived)
    existing = s3.keys(client, bucket, folder)
    lost = [name for key in keys if (name := folder + key.rsplit("/", 1)[1]) not in existing]
    if lost:
        raise ConfigurationError(
            f"s3://{bucket}/{lost[0]}: missing, and {len(lost) - 1} more of the batch; what is not in S3 cannot be loaded "
            "again; send the file as a new batch"
        )
    return {old: etag for old, (_, etag) in moved.items()}
