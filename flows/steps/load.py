"""`s3://<bucket>/raw/olist/…/olist_orders_dataset.csv.zst` → `RAW.OLIST_ORDERS`, its ledger rows in the same transaction.

One COPY per table loads all its objects (FILES takes 1,000 names). Before COMMIT its result is read, the rows in RAW are
compared with the records in the file, and the objects with those that landed. If anything differs, the transaction is rolled
back: RAW and the ledger are as before.

Long because all of this is one transaction, with its error messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flows.clients.s3 import overwritten
from flows.clients.snowflake import Rows, run
from flows.clients.unquoted import NOT_RECOGNIZED, without_values
from flows.contract.dialect import PLAIN, Dialect
from flows.contract.fit import Layout, fit
from flows.contract.model import BROKEN_COLUMNS, Source, Table
from flows.contract.render_sql import MOST_FILES, add_new_columns, copy_into
from flows.contract.sql import template
from flows.errors import ConfigurationError, DataError
from flows.landing import LandedObject, LandedTable, LandResult
from flows.lease import check, fenced
from flows.ledger import Ledger, RunInfo, Status

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Stored = Callable[[str], Mapping[str, str]]  # returns the current ETags of a folder's objects, by key

# The columns of an object of broken lines.
BROKEN_LINES = Layout(tuple((name, name) for name in BROKEN_COLUMNS))

# Statuses that become `quarantined` if the data is refused; a validated batch whose replay fails stays validated.
_REFUSED: tuple[Status, ...] = ("landed", "undone", "quarantined", "loaded")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load for one table: its rows in RAW (of the earlier batch, if unchanged), COPY's query id. `files` counts
    objects."""

    table: str
    raw_name: str
    files: int
    bytes: int
    records: int
    rows: int
    status: Literal["loaded", "already loaded", "unchanged", "not delivered"]
    query_id: str = ""
    since: str | None = None
    broken_lines: int = 0  # broken lines of its file, which were set aside

    @property
    def rows_in_file(self) -> int:
        """The number of records in the file: rows in RAW, and broken lines."""
        return self.rows + self.broken_lines

    @property
    def came(self) -> bool:
        """Whether this table was loaded: neither unchanged nor left out."""
        return self.status in ("loaded", "already loaded")


def not_sent(landed: LandedTable) -> LoadResult:
    """Return the result for files that were not sent: either they are published, and the ledger has their number of rows, or
    the table is optional and has no file."""
    status: Literal["unchanged", "not delivered"] = "unchanged" if landed.status == "unchanged" else "not delivered"
    return LoadResult(
        landed.table, landed.raw_name, 0, landed.bytes, landed.records, landed.records, status, "", landed.since
    )


def load(
    connection: SnowflakeConnection,
    source: Source,
    table: Table,
    landed: LandedTable | LandResult,
    info: RunInfo,
    database: str,
    stored: Stored,
    replay: bool = False,
) -> LoadResult:
    """COPY the landed objects of a table into RAW and mark their ledger rows `loaded`, in one transaction.

    If this batch has loaded the table before (a retry), it is not loaded again, except by a `replay`, which replaces the batch's
    rows with those in S3. `stored` is called after COPY, to get the ETags of the objects that it read.

    Raises:
        DataError: COPY refused a file, loaded part of it, skipped it, found nothing, the rows in RAW differ from the
            records, an object was overwritten, or an earlier try of the batch had other files; the table's ledger rows are
            quarantined with that message.
        BusyError: another run took over this source; nothing was written.
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`; the rows stay landed, for another try.
    """
    ledger = Ledger(connection, database, source.name)
    landed = LandedTable.of(landed)
    known = [e for e in ledger.entries(info.batch_id, table.raw_name) if e.key]
    keys = {e.key for e in known}
    rows = _rows(landed, table, keys)
    if not replay and known and not rows and all(e.status in ("loaded", "validated") for e in known):
        rows_there = sum(e.rows_loaded for e in known) - landed.broken_lines
        return _result(landed, "already loaded", rows_there, known[0].query_id or "")
    if rows:
        with fenced(ledger, info):
            ledger.insert(info, "landed", rows)
    for layout in landed.layouts:
        for target in (table, table.rejected) if table.bad_rows else (table,):
            if layout.new_columns:
                _add(ledger, source, target, layout, info)
    try:
        _refuse_other_files(landed, keys, info)
        aside = any(e.rows_set_aside for e in known)
        return _copy(ledger, source, table, landed, info, stored, again=bool(known), replay=replay, aside=aside)
    except DataError as error:
        expected = sum(e.status in _REFUSED for e in known) + len(rows)
        with fenced(ledger, info) as lock:
            lock()
            ledger.mark(info.batch_id, "quarantined", _REFUSED, expected, str(error), table.raw_name)
        raise


def write_down(ledger: Ledger, table: Table, landed: LandedTable, info: RunInfo) -> None:
    """Record files in the ledger that landed although another file of the same table was refused; they are not loaded.

    Raises:
        BusyError: another run took over this source.
    """
    keys = {e.key for e in ledger.entries(info.batch_id, table.raw_name)}
    if rows := _rows(landed, table, keys):
        with fenced(ledger, info):
            ledger.insert(info, "landed", rows)


def _rows(landed: LandedTable, table: Table, known: Set[str | None]) -> list[dict[str, Any]]:
    """Return the ledger rows to insert for objects that are not in the ledger."""
    return [
        {
            "table_name": table.raw_name,
            "file_name": file.file,
            "s3_key": file.folder + o.name,
            "bytes": o.bytes,
            "content_sha256": file.sha256,
            "file_records": o.records,
            "etag": o.etag or None,
            "file_dialect": file.dialect or None,
            **_columns(file.layout or fit(table, table.header)),
        }
        for file in landed.files
        for o in file.objects
        if file.folder + o.name not in known
    ]


def _copy(
    ledger: Ledger,
    source: Source,
    table: Table,
    landed: LandedTable,
    info: RunInfo,
    stored: Stored,
    again: bool,
    replay: bool,
    aside: bool,
) -> LoadResult:
    """Load the objects in one transaction. `again`: an earlier try or an undone load left rows, or entries in COPY's load
    history; then all rows of the batch are deleted first, with `aside` also those that were set aside, and COPY loads with FORCE.
    The count before COMMIT rules out duplicates.

    The lease and the ledger are locked only at the end, because the tables of all sources wait for those locks.
    """
    connection = ledger.connection
    with fenced(ledger, info) as lock:
        if again:
            for name in (table.raw_name, table.rejected.raw_name) if aside else (table.raw_name,):
                delete = template("raw/delete_batch.sql", database=ledger.database, table=name)
                run(connection, delete, (info.batch_id,))
        outcomes: list[tuple[str, list[Mapping[str, Any]]]] = []
        columns = {o.name: _columns(f.layout or fit(table, table.header)) for f in landed.files for o in f.objects}
        for target, layout, dialect, of_form in _by_form(landed, table):
            for objects in copies(of_form):
                names = [o.name for o in objects]
                copy = copy_into(source, target, ledger.database, info.batch_id, names, again, layout, dialect)
                copied = run(connection, copy, shows_values=not table.is_personal)
                outcomes.append((copied.query_id, _outcomes(copied, landed, objects, columns, not table.is_personal)))
        rows = 0
        for target, expected in ((table.rejected, landed.broken_lines), (table, landed.records - landed.broken_lines)):
            if target is not table and not expected:
                continue
            rows = _count(connection, target, info.batch_id, ledger.database)
            if rows != expected:
                raise DataError(
                    f"{landed.named} ({landed.folder}): {expected:,} records in the file{'s' * (len(landed.files) > 1)}, "
                    f"{rows:,} rows in "
                    f"RAW.{target.raw_name} for batch {info.batch_id}; rolled back. COPY query {copied.query_id}"
                )
        _refuse_overwritten(landed, stored(landed.folder))
        lock()
        for query_id, of_objects in outcomes:
            ledger.loaded(info, query_id, of_objects, keeps_place=replay)
    return _result(landed, "loaded", rows, outcomes[0][0])


def _by_form(landed: LandedTable, table: Table) -> list[tuple[Table, Layout, Dialect, list[LandedObject]]]:
    """Group the objects by target, and by the header and dialect of their file: COPY reads columns by position, so only files
    of one form can be loaded together; broken lines have their own form."""
    by_form: dict[tuple[Layout, str], list[LandedObject]] = {}
    for file in landed.files:
        by_form.setdefault((file.layout or fit(table, table.header), file.dialect), []).extend(file.of_records)
    forms = [(table, layout, table.dialect.read_by(text), objects) for (layout, text), objects in by_form.items()]
    broken = [o for file in landed.files for o in file.of_broken_lines]
    return [*forms, *([(table.rejected, BROKEN_LINES, PLAIN, broken)] if broken else [])]


def _refuse_other_files(landed: LandedTable, known: Set[str | None], info: RunInfo) -> None:
    """Refuse the load if an earlier try of this batch had a file that is missing now: its rows would stay in RAW."""
    gone = known - {landed.folder + o.name for o in landed.objects}
    if gone:
        raise DataError(
            f"batch {info.batch_id}: an earlier try of it had {min(map(str, gone)).rsplit('/', 1)[-1]}, which is missing now; "
            "nothing is loaded. A batch has the same files each time; run again: that makes a new batch"
        )


def _columns(layout: Layout) -> dict[str, Any]:
    """Return the ledger's columns that describe a layout."""
    return {
        "file_columns": layout.text,
        "columns_ignored": len(layout.ignored),
        "columns_missing": len(layout.missing),
    }


def _add(ledger: Ledger, source: Source, table: Table, layout: Layout, info: RunInfo) -> None:
    """Add to the RAW table the new columns of the files, if the contract allows it (onNewColumn: add).

    DDL commits implicitly, so this runs before the load's transaction; repeating it changes nothing.
    """
    existing = run(
        ledger.connection, template("raw/columns.sql", database=ledger.database), (source.schema, table.raw_name)
    )
    known = {str(row[0]) for row in existing.rows}
    new = {name: header for name, header in layout.new_columns.items() if name not in known}
    if not new:
        return
    check(ledger, info)
    try:
        run(ledger.connection, add_new_columns(table, new, ledger.database, source.schema))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"RAW.{table.raw_name} was not given the new columns {', '.join(new)} (onNewColumn: add): the loader's role has to "
            f"own that table, which `cxm provision --apply` sees to. Snowflake said: {str(error).splitlines()[0]}"
        ) from error


def _refuse_overwritten(landed: LandedTable, stored: Mapping[str, str]) -> None:
    """Refuse the load if an object was overwritten: an ETag changes with the bytes, so the same one after COPY proves what it
    read (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html)."""
    for landed_object in landed.objects:
        key = landed.folder + landed_object.name
        if landed_object.etag and stored.get(key, "") != landed_object.etag:
            raise DataError(f"{overwritten(key, landed_object.etag, stored.get(key, ''))}; rolled back")


def _result(landed: LandedTable, status: Literal["loaded", "already loaded"], rows: int, query_id: str) -> LoadResult:
    files = len(landed.objects) if status == "loaded" else 0
    return LoadResult(
        landed.table,
        landed.raw_name,
        files,
        landed.bytes,
        landed.records,
        rows,
        status,
        query_id,
        landed.since,
        landed.broken_lines,
    )


def copies(objects: Sequence[LandedObject]) -> Iterator[Sequence[LandedObject]]:
    """Split the objects among COPY statements: one, unless there are more than FILES takes."""
    return (objects[i : i + MOST_FILES] for i in range(0, len(objects), MOST_FILES))


def _outcomes(
    copied: Rows,
    landed: LandedTable,
    objects: Sequence[LandedObject],
    columns: Mapping[str, Mapping[str, Any]],
    shows_values: bool,
) -> list[Mapping[str, Any]]:
    """Return COPY's result for each object: s3_key, rows_parsed, rows_loaded, and its `columns`. A COPY without files returns one
    row with the one column `status`."""
    where = f"{landed.named} ({landed.folder})"
    answer = copied.dicts()
    if any("rows_loaded" not in row for row in answer) or not answer:
        said = answer[0].get("status", "nothing") if answer else "nothing"
        raise DataError(
            f"{where}: COPY loaded no file ({said}); expected {len(objects)}. Check that the stage's URL is where uploads "
            f"go (`cxm doctor`). COPY query {copied.query_id}"
        )
    said_of = {str(row["file"]).rsplit("/", 1)[-1]: row for row in answer}
    outcomes: list[Mapping[str, Any]] = []
    for landed_object in objects:
        key = landed.folder + landed_object.name
        row = said_of.get(landed_object.name)
        if row is None:
            raise DataError(
                f"{where}: COPY reports nothing of {landed_object.name}; it reported "
                f"{', '.join(list(said_of)[:10])}; rolled back. COPY query {copied.query_id}"
            )
        if row["status"] == "LOAD_SKIPPED":
            raise DataError(
                f"{key}: COPY skipped it, since Snowflake's load history has it as loaded, but the ledger has not: rows came in "
                f"by hand? Rolled back; `cxm replay` loads the batch whatever the history says. COPY query {copied.query_id}"
            )
        if row["status"] != "LOADED":
            first = str(row["first_error"])
            first = first if shows_values else without_values(NOT_RECOGNIZED, first)
            raise DataError(
                f"{key}: COPY says {row['status']}, {row['rows_loaded']} of {landed_object.records:,} rows, first error: "
                f"{first} (line {row['first_error_line']}); rolled back. COPY query {copied.query_id}"
            )
        loaded = int(row["rows_loaded"])
        counts = {"rows_parsed": int(row["rows_parsed"]), "rows_loaded": loaded}
        counts |= {"rows_set_aside": loaded} if landed_object.holds_broken_lines else {}
        outcomes.append({"s3_key": key, **counts, **columns[landed_object.name]})
    return outcomes


def _count(connection: SnowflakeConnection, table: Table, batch_id: str, database: str) -> int:
    counted = run(connection, template("raw/count_batch.sql", database=database, table=table.raw_name), (batch_id,))
    return int(counted.rows[0][0])
