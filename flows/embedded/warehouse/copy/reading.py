"""Reads one file of a COPY: converts the records that may fail to convert, spools the good ones, and reports the others.

local file ──Reading.read──▶ Outcome: spools, counts, faults

The whole file is read at once. If a value does not convert, the file is read again, chunk by chunk, to find which.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from flows.embedded.warehouse.copy.csv_reader import read_csv
from flows.embedded.warehouse.copy.csv_records import ParsedChunk, RowError, schema
from flows.embedded.warehouse.copy.expressions import Expressions, Item, Selection
from flows.embedded.warehouse.copy.faults import Fault, conversion
from flows.embedded.warehouse.copy.options import fail
from flows.embedded.warehouse.copy.source import StagedFile
from flows.embedded.warehouse.copy.spool import ROWS, Spool, Spooler, registered
from flows.embedded.warehouse.copy.statement import CopyStatement
from flows.embedded.warehouse.session.context import SessionContext
from flows.embedded.warehouse.text.engine_errors import from_duckdb


@dataclass(slots=True)
class Outcome:
    """The result of reading one file: `spools` hold its good rows, `faults` the errors to report of its `failed` records."""

    file: StagedFile
    parsed: int = 0
    loaded: int = 0
    failed: int = 0
    converted_badly: bool = False
    faults: list[Fault] = field(default_factory=list)
    spools: list[Spool] = field(default_factory=list)


class Reading:
    """Reads the files of one statement, one after the other; `aux` is a connection outside the session's transaction."""

    def __init__(
        self, statement: CopyStatement, session: SessionContext, aux: duckdb.DuckDBPyConnection, folder: Path
    ) -> None:
        self.statement, self.session, self.aux, self.folder = statement, session, aux, folder
        self.stops = statement.options.on_error == "ABORT_STATEMENT" and not statement.options.validation
        self.expressions = Expressions(statement, session, aux)
        self.spooler = Spooler(folder, aux)

    def read(self, file: StagedFile) -> Outcome:
        """Read one file. Raises ProgrammingError for an error in the statement, and for a file that cannot be read."""
        self.session.check()
        local = self.statement.source.fetched(file, self.folder)
        try:
            selection = self.expressions.of(file, local)
            outcome = Outcome(file)
            try:
                self._fast(local, outcome, selection)
            except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as fault:
                raise from_duckdb(fault, "COPY") from None
            except duckdb.Error:
                outcome = Outcome(file)
                self._careful(local, outcome, selection)
        except (OSError, EOFError, zlib.error) as broken:
            raise fail(100086, "22000", f"Error parsing file '{file.path}': {broken}") from None
        finally:
            local.unlink(missing_ok=True)
        outcome.faults.sort(key=lambda e: e.row.record)
        return outcome

    def _batches(self, local: Path, outcome: Outcome, selection: Selection, stops: bool) -> Iterator[ParsedChunk]:
        with local.open("rb") as stream:
            for batch in read_csv(
                stream, outcome.file.path, self.statement.format, selection.width, expect=selection.expect
            ):
                self.session.check()
                outcome.parsed += batch.parsed
                outcome.failed += len(batch.errors)
                reported = batch.errors if self.statement.options.validation or not outcome.faults else []
                outcome.faults += [self._located(e) for e in reported]
                yield batch
                if stops and outcome.faults:
                    return

    def _fast(self, local: Path, outcome: Outcome, selection: Selection) -> None:
        """Read the whole file at once; raises duckdb.Error when a record does not convert."""
        batches = (b.rows for b in self._batches(local, outcome, selection, self.stops))
        items, columns = selection.items, schema(selection.width)
        if all(self.expressions.sure(c, i) for c, i in zip(self.statement.filled, items, strict=True)):
            spool = self.spooler.as_read(batches, columns, ", ".join(item.plain for item in items))
        else:
            spool = self.spooler.converted(pa.RecordBatchReader.from_batches(columns, batches), items)
        outcome.loaded = outcome.parsed - outcome.failed
        if outcome.loaded:
            outcome.spools.append(spool)

    def _careful(self, local: Path, outcome: Outcome, selection: Selection) -> None:
        """Read chunk by chunk: report and leave out the records that do not convert, spool the others."""
        items, validating = selection.items, bool(self.statement.options.validation)
        for batch in self._batches(local, outcome, selection, False):
            rows = pa.Table.from_batches([batch.rows])
            bad = self._bad_records(rows, items) if rows.num_rows else []
            if bad:
                at = pc.index_in(pa.array(bad, pa.int64()), rows["n"]).to_pylist()
                # Only the first is reported unless the statement asks for all (copy-into-table, ON_ERROR = CONTINUE).
                detailed = at if validating else at[: 0 if outcome.converted_badly else 1]
                outcome.faults += [self._bad_value(rows.slice(i, 1), items) for i in detailed]
                outcome.failed += len(bad)
                outcome.converted_badly = True
                if self.stops:
                    return
                rows = rows.filter(pc.invert(pc.is_in(rows["n"], pa.array(bad, pa.int64()))))
            if rows.num_rows:
                outcome.loaded += rows.num_rows
                outcome.spools.append(self.spooler.converted(rows, items))

    def _bad_records(self, rows: pa.Table, items: Sequence[Item]) -> list[int]:
        """Return the numbers of the records in `rows` that do not convert or break a column's rule, in order."""
        # A row value is NULL only where TRY caught an error in it.
        failing = [f"try(row({item.plain})) IS NULL" for item in items]
        failing += [f"coalesce(try({item.broken}), false)" for item in items if item.broken]
        with registered(self.aux, rows):
            try:
                numbers = self.aux.execute(f"SELECT n FROM {ROWS} WHERE {' OR '.join(failing)} ORDER BY n").fetchall()
                return [number for (number,) in numbers]
            except duckdb.BinderException:
                # TRY refuses volatile functions, such as RANDOM() or UUID_STRING().
                return [n for i, n in enumerate(rows["n"].to_pylist()) if self._fails(rows.slice(i, 1), items)]

    def _fails(self, row: pa.Table, items: Sequence[Item]) -> bool:
        with registered(self.aux, row):
            try:
                self.aux.execute(f"SELECT {', '.join(item.typed for item in items)} FROM {ROWS}").fetchall()
            except duckdb.Error:
                return True
        return False

    def _bad_value(self, row: pa.Table, items: Sequence[Item]) -> Fault:
        """Find the first column of a row that does not convert; return the error in Snowflake's words."""
        record, line, filled = row["n"][0].as_py(), row["line"][0].as_py(), self.statement.filled
        position, code, state, text = 0, 100132, "22000", "The record could not be converted"
        with registered(self.aux, row):
            for place, item in enumerate(items):
                value: object = None
                try:
                    value = (self.aux.execute(f"SELECT {item.raw} FROM {ROWS}").fetchone() or (None,))[0]
                    self.aux.execute(f"SELECT {item.typed} FROM {ROWS}").fetchall()
                except duckdb.Error as e:
                    position, (code, state, text) = place, conversion(filled[place], e, value)
                    break
        error = RowError(record, line, 1, position + 1, code, state, text)
        return Fault(error, f'"{self.statement.target.table}"["{filled[position].name}":{position + 1}]', line)

    def _located(self, error: RowError) -> Fault:
        """Add the column's name to a reading error; with a SELECT the columns are those of the stage."""
        target = self.statement.target
        if self.statement.select is not None:
            name = f'"TRANSIENT_STAGE_TABLE"[{error.column}]'
        elif error.column <= len(target.named):
            name = f'"{target.table}"["{target.named[error.column - 1].name}":{error.column}]'
        else:
            name = f'"{target.table}"[{error.column}]'
        return Fault(error, name, error.line)
