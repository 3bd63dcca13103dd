"""Runs COPY INTO <table>, as Snowflake documents it.

    @stage[/path] ─list, PATTERN, history─▶ files ─csv_reader─▶ $1 … $n ─SELECT, casts─▶ spool ─INSERT─▶ table + load history

Files are read into spools on a second connection, and converted there unless no value can fail to convert; only then does the
session's transaction run an INSERT for each spool. So a COPY that fails leaves an open transaction as it was, as Snowflake
promises; DuckDB alone does not
(https://docs.snowflake.com/en/sql-reference/transactions#failed-statements-within-a-transaction).

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import duckdb
from sqlglot import exp

from flows.embedded.warehouse.copy.faults import Fault
from flows.embedded.warehouse.copy.options import fail
from flows.embedded.warehouse.copy.reading import Outcome, Reading
from flows.embedded.warehouse.copy.source import StagedFile
from flows.embedded.warehouse.copy.spool import Spool
from flows.embedded.warehouse.copy.statement import CopyStatement
from flows.embedded.warehouse.session.context import SessionContext
from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text.grammar import quote, quote_name

NOTHING = Result([("status", "VARCHAR")], [("Copy executed with 0 files processed.",)])
RESULT_COLUMNS = (
    ("file", "VARCHAR"), ("status", "VARCHAR"), ("rows_parsed", "BIGINT"), ("rows_loaded", "BIGINT"), ("error_limit", "BIGINT"),
    ("errors_seen", "BIGINT"), ("first_error", "VARCHAR"), ("first_error_line", "BIGINT"),
    ("first_error_character", "BIGINT"), ("first_error_column_name", "VARCHAR"),
)  # fmt: skip
VALIDATION_COLUMNS = (
    ("ERROR", "VARCHAR"), ("FILE", "VARCHAR"), ("LINE", "BIGINT"), ("CHARACTER", "BIGINT"), ("BYTE_OFFSET", "BIGINT"),
    ("CATEGORY", "VARCHAR"), ("CODE", "BIGINT"), ("SQL_STATE", "VARCHAR"), ("COLUMN_NAME", "VARCHAR"),
    ("ROW_NUMBER", "BIGINT"), ("ROW_START_LINE", "BIGINT"), ("REJECTED_RECORD", "VARCHAR"),
)  # fmt: skip


def copy_into(duck: duckdb.DuckDBPyConnection, session: SessionContext, tree: exp.Copy) -> Result:
    """Run one COPY INTO <table>; `tree` is sqlglot's syntax tree of it in the Snowflake dialect.

    It runs in the caller's transaction, which it neither commits nor rolls back; the caller opens one if none is open.
    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table

    Raises:
        ProgrammingError: with Snowflake's code, state and text; nothing was loaded and the transaction is still usable.
    """
    load = _Load(duck, session, CopyStatement(duck, session, tree))
    files, skipped = load.choose()
    if not files and not skipped and not load.statement.options.validation:
        return NOTHING
    with tempfile.TemporaryDirectory(prefix="cxm-copy-", dir=session.scratch) as folder, duck.cursor() as aux:
        return load.run(files, skipped, Path(folder), aux)


class _Load:
    """Runs one statement: chooses files, reads them, inserts the rows, records the load history and returns the result."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, session: SessionContext, statement: CopyStatement) -> None:
        self.duck, self.session, self.statement = duck, session, statement
        self.options, self.target = statement.options, statement.target

    def choose(self) -> tuple[list[StagedFile], list[StagedFile]]:
        """Choose the files; return those to load, and those named in FILES that were loaded before.

        Load metadata decides: the same name with the same ETag within 64 days is not loaded again, unless FORCE
        (https://docs.snowflake.com/en/user-guide/data-load-considerations-load#load-metadata).
        """
        options = self.options
        files = (
            self.statement.source.named(options.files) if options.files is not None else self.statement.source.listed()
        )
        if options.pattern is not None:
            whole = re.compile(options.pattern, re.DOTALL)
            files = [f for f in files if whole.fullmatch(f.path)]
        if not load_history.installed(self.duck, self.target.database):
            load_history.install(self.duck, self.target.database)
        before: set[tuple[str, str]] = set()
        if not options.force and options.validation != "RETURN_ALL_ERRORS":
            before = load_history.loaded_before(
                self.duck, self.target.database, self.target.schema, self.target.table, self.session.now
            )
            first = load_history.first_load(self.duck, self.target.database, self.target.schema, self.target.table)
            edge = self.session.now - load_history.KEPT
            if first is not None and first < edge and not options.load_uncertain_files:
                # Both the file and the table's first load are older than load metadata is kept: the status is unknown, and
                # the file is skipped (data-load-considerations-load#loading-older-files).
                files = [f for f in files if f.modified >= edge or (f.url, f.etag) in before]
        fresh = [f for f in files if (f.url, f.etag) not in before]
        skipped = [f for f in files if (f.url, f.etag) in before] if options.files is not None else []
        if options.size_limit is not None:
            # "When the threshold is exceeded, the COPY operation discontinues loading files"; at least one is loaded.
            total, within = 0, []
            for file in fresh:
                within.append(file)
                total += file.size
                if total > options.size_limit:
                    break
            fresh = within
        return fresh, skipped

    def run(
        self, files: list[StagedFile], skipped: list[StagedFile], folder: Path, aux: duckdb.DuckDBPyConnection
    ) -> Result:
        """Read the files into spools and load them, or with VALIDATION_MODE only report their rows or errors."""
        with suppress(duckdb.Error):
            aux.execute(f"SET schema = {quote(f'{quote_name(self.target.database)}.{quote_name(self.target.schema)}')}")
        reading = Reading(self.statement, self.session, aux, folder)
        outcomes = []
        for file in files:
            outcome = reading.read(file)
            if reading.stops and outcome.faults:
                self._abort(file, outcome.faults[0])
            outcomes.append(outcome)
        return self._validated(outcomes, aux) if self.options.validation else self._commit(outcomes, skipped)

    def _commit(self, outcomes: list[Outcome], skipped: list[StagedFile]) -> Result:
        rows: list[tuple[object, ...]] = []
        loads: list[load_history.Loaded] = []
        spools: list[Spool] = []
        purge: list[StagedFile] = []
        for outcome in outcomes:
            first = outcome.faults[0] if outcome.faults else None
            limit, refused = self._limit(outcome)
            if self.options.on_error == "ABORT_STATEMENT" and first:
                self._abort(outcome.file, first)
            loaded = 0 if refused else outcome.loaded
            if refused or (first and not loaded):
                status = "LOAD_FAILED"
            else:
                status = "PARTIALLY_LOADED" if first else "LOADED"
                spools += outcome.spools
                purge.append(outcome.file)
            error: tuple[str | None, int | None, int | None, str | None] = (None, None, None, None)
            if first:
                error = (first.row.message, first.row.line, first.row.character, first.column_name)
            if not (self.options.return_failed_only and status == "LOADED"):
                rows.append((outcome.file.url, status, outcome.parsed, loaded, limit, outcome.failed, *error))
            loads.append(
                load_history.Loaded(
                    self.target.schema, self.target.table, outcome.file.url, self.statement.source.base, outcome.file.etag,
                    outcome.file.modified,
                    self.session.now, status, loaded, outcome.parsed, outcome.file.size, *error, outcome.failed, limit,
                    self.session.query_id,
                )
            )  # fmt: skip
        for file in skipped:
            rows.append((file.url, "LOAD_SKIPPED", 0, 0, None, 1, "File was loaded before.", None, None, None))
        names = ", ".join(quote_name(c.name) for c in self.statement.filled)
        for spool in spools:
            with spool.query(self.duck) as query:
                self.duck.execute(f"INSERT INTO {self.target.relation} ({names}) {query}").fetchall()
        load_history.record(self.duck, self.target.database, loads)
        if self.options.purge:
            for file in purge:
                self.statement.source.remove(file)
        return Result(RESULT_COLUMNS, rows)

    def _limit(self, outcome: Outcome) -> tuple[int, bool]:
        """Return error_limit as reported, and whether the file is skipped.

        SKIP_FILE_<n> skips at n errors or more, SKIP_FILE_<n>% above n percent (copy-into-table#copy-options-copyoptions).
        """
        errors, at = outcome.failed, self.options.skip_at
        if self.options.on_error == "CONTINUE":
            return max(outcome.parsed, 1), False
        if at is None:
            return 1, False
        if at < 0:
            return int(-at * outcome.parsed), errors > -at * outcome.parsed
        return int(at), errors >= at

    def _abort(self, file: StagedFile, fault: Fault) -> NoReturn:
        raise fail(fault.row.code, fault.row.sqlstate, fault.text(file))

    def _validated(self, outcomes: list[Outcome], aux: duckdb.DuckDBPyConnection) -> Result:
        """Return the result of VALIDATION_MODE, which loads nothing: the rows, or the errors as VALIDATE() lists them
        (copy-into-table#optional-parameters, https://docs.snowflake.com/en/sql-reference/functions/validate#output)."""
        mode = str(self.options.validation)
        if mode.endswith("_ROWS"):
            limit = int(mode.split("_")[1])
            rows: list[tuple[object, ...]] = []
            for outcome in outcomes:
                early = [e for e in outcome.faults if e.row.record <= limit - len(rows)]
                if early:
                    self._abort(outcome.file, early[0])
                for spool in outcome.spools:
                    left = limit - len(rows)
                    if left > 0:
                        with spool.query(aux) as query:
                            rows += aux.execute(f"{query} LIMIT {left}").fetchall()
            return Result([(c.name, c.type) for c in self.statement.filled], rows)
        listed = [
            (
                e.row.message, o.file.path, e.row.line, e.row.character, None, e.category, e.row.code, e.row.sqlstate,
                e.column_name, e.row.record, e.start_line, None,
            )
            for o in outcomes
            for e in o.faults
        ]  # fmt: skip
        return Result(VALIDATION_COLUMNS, listed)
