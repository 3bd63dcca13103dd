"""`s3://<bucket>/raw/olist/…/olist_orders_dataset.csv` → `RAW.OLIST_ORDERS`, its ledger row in the same transaction.

One COPY per table, its result rows read, the rows in RAW counted against the records in the file before COMMIT: what does not
add up is rolled back, so RAW and the ledger are as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from flows.clients.snowflake import Rows, run, transaction
from flows.contract.model import Source, Table
from flows.contract.render_sql import copy_into
from flows.contract.sql import template
from flows.errors import DataError
from flows.facts import LandResult, Published

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Which run loads: batch id, and the Prefect flow run where there is one."""

    batch_id: str
    flow_run_id: str = ""
    flow_run_url: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of one table: rows in RAW of this batch (of the earlier batch, if unchanged), COPY's query id."""

    table: str
    raw_name: str
    files: int
    bytes: int
    records: int
    rows: int
    status: Literal["loaded", "already loaded", "unchanged"]
    query_id: str = ""
    since: str | None = None


def load(
    connection: SnowflakeConnection, source: Source, table: Table, landed: LandResult, info: RunInfo, database: str
) -> LoadResult:
    """COPY the landed file into its RAW table and write its ledger row; both commit, or neither.

    A table that this batch has loaded before (a retry) is not loaded again; an unchanged file is not loaded at all.

    Raises:
        DataError: COPY refused the file, loaded part of it, found nothing, or the rows in RAW differ from the records.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """

    def result(status: Literal["loaded", "already loaded", "unchanged"], rows: int, query_id: str = "") -> LoadResult:
        files = 1 if status == "loaded" else 0
        return LoadResult(
            table.name, table.raw_name, files, landed.bytes, landed.records, rows, status, query_id, landed.since
        )

    if landed.status == "unchanged":
        return result("unchanged", _count(connection, table, landed.since or "", database))
    started = datetime.now(UTC).replace(tzinfo=None)
    with transaction(connection):
        entry = run(
            connection,
            template("raw/ledger_entry.sql", database=database),
            (source.name, info.batch_id, table.raw_name),
        ).dicts()
        if entry:
            return result("already loaded", int(entry[0]["rows_loaded"]), entry[0]["copy_query_id"])
        copied = run(connection, copy_into(source, table, database, info.batch_id, [o.name for o in landed.objects]))
        outcome = _outcome(copied, landed)
        rows = _count(connection, table, info.batch_id, database)
        if rows != landed.records:
            raise DataError(
                f"{landed.file} ({landed.folder}): {landed.records:,} records in the file, {rows:,} rows in "
                f"RAW.{table.raw_name} for batch {info.batch_id}; rolled back. COPY query {copied.query_id}"
            )
        run(
            connection,
            template("raw/ledger_insert.sql", database=database),
            (
                info.batch_id,
                source.name,
                table.raw_name,
                landed.file,
                landed.keys[0],
                landed.bytes,
                landed.sha256,
                landed.records,
                outcome.parsed,
                outcome.loaded,
                "loaded",
                None,
                copied.query_id,
                info.flow_run_id,
                info.flow_run_url,
                started,
            ),
        )
    return result("loaded", rows, copied.query_id)


@dataclass(frozen=True, slots=True)
class _Outcome:
    parsed: int
    loaded: int


def _outcome(copied: Rows, landed: LandResult) -> _Outcome:
    """COPY's own word on the one file. A COPY that found nothing answers one row with the one column `status`."""
    where = f"{landed.file} ({landed.folder})"
    answer = copied.dicts()
    if len(answer) != 1 or "rows_loaded" not in answer[0]:
        said = answer[0].get("status", "nothing") if answer else "nothing"
        raise DataError(
            f"{where}: COPY loaded no file ({said}); wanted this one. Check that the stage's URL is where uploads go "
            f"(`cxm doctor`). COPY query {copied.query_id}"
        )
    file = answer[0]
    if file["status"] != "LOADED":
        raise DataError(
            f"{where}: COPY says {file['status']}, {file['rows_loaded']} of {landed.records:,} rows, first error: "
            f"{file['first_error']} (line {file['first_error_line']}); rolled back. COPY query {copied.query_id}"
        )
    return _Outcome(int(file["rows_parsed"]), int(file["rows_loaded"]))


def _count(connection: SnowflakeConnection, table: Table, batch_id: str, database: str) -> int:
    counted = run(connection, template("raw/count_batch.sql", database=database, table=table.raw_name), (batch_id,))
    return int(counted.rows[0][0])


def published(connection: SnowflakeConnection, source: Source, database: str) -> dict[tuple[str, str], Published]:
    """(RAW table name, file name) → its newest validated load, for the files of `source` that have one."""
    found = run(connection, template("raw/ledger_published.sql", database=database), (source.name,)).dicts()
    return {
        (row["table_name"], row["file_name"]): Published(
            row["batch_id"], row["content_sha256"], int(row["file_records"])
        )
        for row in found
    }


def mark(
    connection: SnowflakeConnection,
    source: Source,
    batch_id: str,
    status: Literal["validated", "quarantined"],
    database: str,
    reason: str | None = None,
) -> None:
    """Publish the loaded tables of a batch, or quarantine them with the reason: one statement, so all or none."""
    run(
        connection,
        template("raw/ledger_mark.sql", database=database),
        (status, reason[:4000] if reason else None, source.name, batch_id),
    )
