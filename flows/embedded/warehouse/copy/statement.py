"""COPY INTO <table>, as Snowflake documents it.

    @stage[/path] ─list, PATTERN, history─▶ files ─csv_reader─▶ $1 … $n ─SELECT, casts─▶ spool ─INSERT─▶ table + load history

Every file is read on a connection of its own into a spool, converted unless its values cannot fail to convert; only then does
the session's transaction see an INSERT. So a COPY that fails leaves an open transaction as it was, which Snowflake promises and
DuckDB alone does not give
(https://docs.snowflake.com/en/sql-reference/transactions#failed-statements-within-a-transaction).

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table

Around it the cursor calls `load_history.install` for each database, `load_history.rewrite` on every query and
`load_history.after_statement` after DDL.

Long because the steps of one statement share its files, outcomes and spools; options, files and reading have files of their own.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from flows.embedded.warehouse.copy.csv_format import CsvFormat, OptionError
from flows.embedded.warehouse.copy.csv_reader import Batch, RowError, read_csv, read_header, schema
from flows.embedded.warehouse.copy.options import (
    bound,
    compilation,
    fail,
    folded,
    invalid,
    read_options,
    url_storage,
)
from flows.embedded.warehouse.copy.source import File, Source
from flows.embedded.warehouse.session.context import SessionContext
from flows.embedded.warehouse.session.result import Result
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text.errors import from_duckdb
from flows.embedded.warehouse.text.grammar import ident, quote

if TYPE_CHECKING:
    from sqlglot import Expr

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
HINT = (
    "  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or 'CONTINUE' "
    "for the ON_ERROR option. For more information on loading options, please run 'info loading_data' in a SQL client."
)
DEFAULT_TEXT_BYTES = 16 << 20  # VARCHAR without a length
_RAISED = "cxm-row-error:"


def copy_into(duck: duckdb.DuckDBPyConnection, session: SessionContext, statement: exp.Copy) -> Result:
    """Run one COPY INTO <table>; `statement` is sqlglot's tree of it in the Snowflake dialect.

    The caller's transaction, if one is open, is neither committed nor ended; without one the caller opens it around.
    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table

    Raises:
        ProgrammingError: with Snowflake's code, state and text; nothing was loaded and the transaction is still usable.
    """
    for place in statement.args.get("files") or []:
        if isinstance(place.this, exp.Literal) and not place.this.name.startswith("s3://"):
            raise compilation(1011, "42601", f"invalid URL prefix found in: '{place.this.name}'")
    copy = _Copy(duck, session, statement)
    with tempfile.TemporaryDirectory(prefix="cxm-copy-", dir=session.scratch) as spool:
        return copy.run(Path(spool))


@dataclass(frozen=True, slots=True)
class _Column:
    """A target column: DuckDB's name and type, whether NULL fits, and the VARCHAR length in characters where declared."""

    name: str
    type: str
    nullable: bool
    length: int | None


@dataclass(frozen=True, slots=True)
class _Item:
    """What a target column gets: DuckDB's expression over c1 … cN as written, cast, cast and checked, and when it is refused."""

    raw: str
    plain: str
    typed: str
    broken: str


@dataclass(frozen=True, slots=True)
class _Spool:
    """Good rows in a file: those of the target (Parquet), or as they were read (Arrow), with the select list over them."""

    path: Path
    select: str = "*"

    @contextmanager
    def query(self, duck: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """The SELECT that gives the target's rows."""
        if self.path.suffix == ".parquet":
            yield f"SELECT {self.select} FROM read_parquet({quote(str(self.path))})"
        else:
            # Not mapped into memory: its pages would count as this process's.
            with pa.OSFile(str(self.path)) as file, _registered(duck, pa.ipc.open_stream(file)):
                yield f"SELECT {self.select} FROM cxm_copy_source"


@dataclass(slots=True)
class _Outcome:
    """What reading one file gave. `spools` hold its good rows; `errors` are those of the `failed` records to be reported."""

    file: File
    parsed: int = 0
    loaded: int = 0
    failed: int = 0
    converted_badly: bool = False
    errors: list[_Error] = field(default_factory=list)
    spools: list[_Spool] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Error:
    """A row error as COPY and VALIDATE report it."""

    row: RowError
    column_name: str
    start_line: int

    def text(self, file: File) -> str:
        """The error with its place, as Snowflake words it; "starts at line" when the record spans lines."""
        row = self.row
        where = f"Row {row.record}" + (f" starts at line {self.start_line}" if self.start_line != row.line else "")
        return (
            f"{row.message}\n  File '{file.path}', line {row.line}, character {row.character}\n  {where}, "
            f"column {self.column_name}\n{HINT}"
        )


class _Copy:
    """One statement's run; the steps in `run` are the order in which Snowflake looks at things."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, session: SessionContext, statement: exp.Copy) -> None:
        self.duck, self.session, self.statement = duck, session, statement
        if not isinstance(statement.this, (exp.Table, exp.Schema)) or isinstance(statement.this.this, exp.Var):
            raise fail(2, "0A000", "Unsupported feature 'COPY INTO <location>'.")
        self.options = read_options(statement, session)
        self.select, location = self._from()
        self.database, self.schema, self.table = self._target()
        self.columns = self._columns()
        self.source = Source(location, session, url_storage(statement, session))
        self.format = self._format()
        self._check()

    # What the statement says ---------------------------------------------------------------------------------------

    def _from(self) -> tuple[exp.Select | None, str]:
        """FROM's stage or URL, and the SELECT around it if there is one.

        "COPY statement only supports simple SELECT": no WHERE, JOIN, GROUP BY, ORDER BY, LIMIT, DISTINCT
        (https://docs.snowflake.com/en/user-guide/data-load-transform#unsupported-filters-and-limits).
        """
        files = self.statement.args.get("files") or []
        if len(files) != 1:
            # Without FROM the table's own stage is read (copy-into-table, "the FROM clause is not required").
            target = self.statement.this.find(exp.Table)
            return None, "@" + ".".join([*(p.sql(dialect="snowflake") for p in target.parts[:-1]), f"%{target.name}"])
        source = files[0]
        select: exp.Select | None = None
        if isinstance(source, exp.Subquery):
            select = source.this
            table = select.args.get("from_") if isinstance(select, exp.Select) else None
            extra = [k for k, v in select.args.items() if v and k not in ("expressions", "from_", "kind", "hint")]
            if not isinstance(select, exp.Select) or table is None or extra:
                raise fail(2098, "0A000", "SQL compilation error:\n"
                      "COPY statement only supports simple SELECT from stage statements for import.")  # fmt: skip
            source = table.this
        node = source.this
        if isinstance(node, exp.Var) and str(node.this).startswith("@"):
            if select is not None and (source.args.get("format") or source.args.get("pattern")):
                raise compilation(
                    1003, "42000", "FILE_FORMAT and PATTERN belong behind the FROM clause of a COPY statement."
                )
            return select, str(node.this)
        if isinstance(node, exp.Literal) and node.is_string:
            credentials = self.statement.args.get("credentials")
            if credentials is not None and credentials.args.get("encryption"):
                raise fail(2, "0A000", "Unsupported feature 'ENCRYPTION': the embedded object store does not encrypt.")
            if select is not None:
                raise compilation(1011, "42601", f"invalid URL prefix found in: '{node.this}'")
            return None, str(node.this)
        raise compilation(1011, "42601", f"invalid URL prefix found in: {source.sql(dialect='snowflake')}")

    def _target(self) -> tuple[str, str, str]:
        target = self.statement.this.find(exp.Table)
        catalog, db = target.args.get("catalog"), target.args.get("db")
        database = folded(catalog) if catalog else self.session.database
        name = folded(target.this)
        if database is None:
            raise fail(90105, "22000", "Cannot perform COPY. This session does not have a current database. Call 'USE DATABASE', "
                  "or use a qualified name.")  # fmt: skip
        inside = folded(db) if db else self.session.schema
        if inside is None:
            raise fail(90106, "22000", "Cannot perform COPY. This session does not have a current schema. Call 'USE SCHEMA', "
                  "or use a qualified name.")  # fmt: skip
        return database, inside, name

    def _columns(self) -> list[_Column]:
        """The table's columns that COPY fills, in the order of the column list or of the table."""
        found = self.duck.execute(
            "SELECT column_name, data_type, is_nullable, database_name = 'temp' FROM duckdb_columns() WHERE table_name = ? "
            "AND (database_name = 'temp' OR (upper(database_name) = upper(?) AND upper(schema_name) = upper(?))) "
            "ORDER BY database_name <> 'temp', column_index",
            [self.table, self.database, self.schema],
        ).fetchall()
        # A temporary table hides a permanent one of its name.
        known = {row[0]: row for row in found if row[3] == found[0][3]}
        if not known:
            shown = f"{self.database}.{self.schema}.{self.table}"
            raise compilation(2003, "42S02", f"Table '{shown}' does not exist or not authorized.")
        self.relation = ".".join(ident(p) for p in (self.database, self.schema, self.table))
        if found[0][3]:
            self.relation = f"temp.{ident(self.table)}"
        lengths: dict[str, int] = {}
        with suppress(duckdb.CatalogException):
            lengths = dict(
                self.duck.execute(
                    "SELECT ext_column_name, ext_character_maximum_length "
                    "FROM _fs_global._fs_information_schema._fs_columns_ext WHERE ext_table_catalog = ? "
                    "AND ext_table_schema = ? AND ext_table_name = ?",
                    [self.database, self.schema, self.table],
                ).fetchall()
            )
        self.table_columns = [_Column(name, row[1], bool(row[2]), lengths.get(name)) for name, row in known.items()]
        if not isinstance(self.statement.this, exp.Schema):
            return self.table_columns
        by_name = {c.name.upper(): c for c in self.table_columns}
        chosen = []
        for item in self.statement.this.expressions:
            name = folded(item if isinstance(item, exp.Identifier) else item.this)
            column = by_name.get(name.upper())
            if column is None:
                raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{name}'")
            chosen.append(column)
        return chosen

    def _format(self) -> CsvFormat:
        """The file format: the statement's options, else the stage's, else the defaults
        (https://docs.snowflake.com/en/user-guide/data-load-prepare#overriding-default-file-format-options)."""
        chosen = self.options.file_format
        if chosen is None:
            chosen = self.source.stage.file_format if self.source.stage else {}
        try:
            return CsvFormat.from_options(chosen)
        except OptionError as found:
            if found.why:
                raise fail(2, "0A000", f"Unsupported feature '{found.name} = {found.value}': {found.why}.") from None
            if found.value is None:
                raise compilation(1006, "42601", f"invalid parameter '{found.name}'") from None
            raise invalid(found.name, found.value) from None

    def _check(self) -> None:
        options = self.options
        if self.select is not None:
            if options.validation:
                # "VALIDATION_MODE does not support COPY statements that transform data during a load" (copy-into-table).
                raise compilation(1006, "42601", "invalid parameter 'VALIDATION_MODE'")
            if options.match_by != "NONE":
                raise compilation(1006, "42601", "invalid parameter 'MATCH_BY_COLUMN_NAME'")
            if len(self.select.expressions) != len(self.columns):
                raise compilation(2020, "21S01", "Insert value list does not match column list expecting "
                             f"{len(self.columns)} but got {len(self.select.expressions)}")  # fmt: skip
        if options.include_metadata and options.match_by == "NONE":
            raise compilation(1006, "42601", "invalid parameter 'INCLUDE_METADATA'")
        if options.match_by != "NONE" and not self.format.parse_header:
            raise compilation(
                2019, "0A000", "Insufficient data for MATCH_BY_COLUMN_NAME: CSV needs PARSE_HEADER = TRUE."
            )
        if options.pattern is not None:
            try:
                re.compile(options.pattern)
            except re.error:
                raise compilation(100048, "2201B", f"Invalid regular expression: '{options.pattern}'") from None
        if self.select is not None:
            values = [(p, exp.convert(bound(p, self.session))) for p in self.select.find_all(exp.Placeholder)]
            for place, value in values:
                place.replace(value)

    # Running -------------------------------------------------------------------------------------------------------

    def run(self, spool: Path) -> Result:
        files, skipped = self._choose()
        if not files and not skipped:
            return NOTHING if not self.options.validation else self._validated([])
        self.spool, self.counter = spool, itertools.count()
        self.aux = self.duck.cursor()
        try:
            with suppress(duckdb.Error):
                self.aux.execute(f"SET schema = {quote(f'{ident(self.database)}.{ident(self.schema)}')}")
            outcomes = [self._read(file) for file in files]
            if self.options.validation:
                return self._validated(outcomes)
            return self._commit(outcomes, skipped)
        finally:
            self.aux.close()

    def _choose(self) -> tuple[list[File], list[File]]:
        """The files to load, and those named in FILES that were loaded before.

        Load metadata decides: the same name with the same ETag within 64 days is not loaded again, unless FORCE
        (https://docs.snowflake.com/en/user-guide/data-load-considerations-load#load-metadata).
        """
        options = self.options
        files = self.source.named(options.files) if options.files is not None else self.source.listed()
        if options.pattern is not None:
            whole = re.compile(options.pattern, re.DOTALL)
            files = [f for f in files if whole.fullmatch(f.path)]
        if not load_history.installed(self.duck, self.database):
            load_history.install(self.duck, self.database)
        before: set[tuple[str, str]] = set()
        if not options.force and options.validation != "RETURN_ALL_ERRORS":
            before = load_history.loaded_before(self.duck, self.database, self.schema, self.table, self.session.now)
            first = load_history.first_load(self.duck, self.database, self.schema, self.table)
            edge = self.session.now - load_history.KEPT
            if first is not None and first < edge and not options.load_uncertain_files:
                # Both the file and the table's first load are older than load metadata lives: the status is unknown and the
                # file is skipped (data-load-considerations-load#loading-older-files).
                files = [f for f in files if f.modified >= edge or (f.url, f.etag) in before]
        fresh = [f for f in files if (f.url, f.etag) not in before]
        skipped = [f for f in files if (f.url, f.etag) in before] if options.files is not None else []
        if options.size_limit is not None:
            # "When the threshold is exceeded, the COPY operation discontinues loading files", at least one is loaded.
            total, within = 0, []
            for file in fresh:
                within.append(file)
                total += file.size
                if total > options.size_limit:
                    break
            fresh = within
        return fresh, skipped

    def _commit(self, outcomes: list[_Outcome], skipped: list[File]) -> Result:
        rows: list[tuple[object, ...]] = []
        loads: list[load_history.Loaded] = []
        spools: list[_Spool] = []
        purge: list[File] = []
        for outcome in outcomes:
            first = outcome.errors[0] if outcome.errors else None
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
                    self.schema, self.table, outcome.file.url, self.source.base, outcome.file.etag, outcome.file.modified,
                    self.session.now, status, loaded, outcome.parsed, outcome.file.size, *error, outcome.failed, limit,
                    self.session.query_id,
                )
            )  # fmt: skip
        for file in skipped:
            rows.append((file.url, "LOAD_SKIPPED", 0, 0, None, 1, "File was loaded before.", None, None, None))
        names = ", ".join(ident(c.name) for c in self._filled())
        for spool in spools:
            with spool.query(self.duck) as query:
                self.duck.execute(f"INSERT INTO {self.relation} ({names}) {query}").fetchall()
        load_history.record(self.duck, self.database, loads)
        if self.options.purge:
            for file in purge:
                self.source.remove(file)
        return Result(RESULT_COLUMNS, rows)

    def _limit(self, outcome: _Outcome) -> tuple[int, bool]:
        """error_limit as reported, and whether the file is skipped.

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

    def _abort(self, file: File, error: _Error) -> NoReturn:
        raise fail(error.row.code, error.row.sqlstate, error.text(file))

    # One file ------------------------------------------------------------------------------------------------------

    def _filled(self) -> list[_Column]:
        """The target columns that the spool holds, in its order."""
        return self.columns if self.options.match_by == "NONE" else self.table_columns

    def _read(self, file: File) -> _Outcome:
        stop = self.options.on_error == "ABORT_STATEMENT" and not self.options.validation
        self.session.check()
        local = self.source.fetched(file, self.spool)
        items, width, expect = self._items(file, local)
        outcome = _Outcome(file)
        try:
            try:
                self._fast(local, outcome, items, width, expect, stop)
            except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as fault:
                raise from_duckdb(fault, self.statement.sql(dialect="snowflake")) from None
            except duckdb.Error:
                # Some value did not convert. The second reading goes batch by batch and finds which.
                outcome = _Outcome(file)
                self._careful(local, outcome, items, width, expect, stop)
        except (OSError, EOFError, zlib.error) as broken:
            raise fail(100086, "22000", f"Error parsing file '{file.path}': {broken}") from None
        finally:
            local.unlink(missing_ok=True)
        outcome.errors.sort(key=lambda e: e.row.record)
        if stop and outcome.errors:
            self._abort(file, outcome.errors[0])
        return outcome

    def _batches(self, local: Path, outcome: _Outcome, width: int, expect: int | None, stop: bool) -> Iterator[Batch]:
        with local.open("rb") as stream:
            for batch in read_csv(stream, outcome.file.path, self.format, width, expect=expect):
                self.session.check()
                outcome.parsed += batch.parsed
                outcome.failed += len(batch.errors)
                reported = batch.errors if self.options.validation or not outcome.errors else []
                outcome.errors += [self._located(e) for e in reported]
                yield batch
                if stop and outcome.errors:
                    return

    def _fast(
        self, local: Path, outcome: _Outcome, items: list[_Item], width: int, expect: int | None, stop: bool
    ) -> None:
        """The whole file in one go; raises duckdb.Error when a record does not convert."""
        batches = (b.rows for b in self._batches(local, outcome, width, expect, stop))
        if all(self._sure(c, i) for c, i in zip(self._filled(), items, strict=True)):
            spool = self._kept(_small(batches), schema(width), ", ".join(item.plain for item in items))
        else:
            spool = self._converted(pa.RecordBatchReader.from_batches(schema(width), batches), items)
        outcome.loaded = outcome.parsed - outcome.failed
        if outcome.loaded:
            outcome.spools.append(spool)

    def _sure(self, column: _Column, item: _Item) -> bool:
        """Whether every record converts that has no field of more than DEFAULT_TEXT_BYTES: a field or a constant as text, or
        the record's number."""
        if not column.nullable:
            return False
        if column.type == "VARCHAR" and (column.length or DEFAULT_TEXT_BYTES) < DEFAULT_TEXT_BYTES:
            return False
        if re.fullmatch(r"c\d+", item.raw):
            return column.type == "VARCHAR"
        if item.raw == "n":
            return column.type in ("DECIMAL(38,0)", "BIGINT", "VARCHAR")
        try:
            self.aux.execute(f"SELECT {item.typed}").fetchall()
        except duckdb.Error:
            return False
        return True

    def _careful(
        self, local: Path, outcome: _Outcome, items: list[_Item], width: int, expect: int | None, stop: bool
    ) -> None:
        """Batch by batch: the records that do not convert are named and left out, the others go to the spool."""
        told = bool(self.options.validation)
        for batch in self._batches(local, outcome, width, expect, False):
            rows = pa.Table.from_batches([batch.rows])
            bad = self._bad_records(rows, items) if rows.num_rows else []
            if bad:
                at = pc.index_in(pa.array(bad, pa.int64()), rows["n"]).to_pylist()
                # Only the first is reported unless the statement asks for all (copy-into-table, ON_ERROR = CONTINUE).
                detailed = at if told else at[: 0 if outcome.converted_badly else 1]
                outcome.errors += [self._bad_value(rows.slice(i, 1), items) for i in detailed]
                outcome.failed += len(bad)
                outcome.converted_badly = True
                if stop:
                    return
                rows = rows.filter(pc.invert(pc.is_in(rows["n"], pa.array(bad, pa.int64()))))
            if rows.num_rows:
                outcome.loaded += rows.num_rows
                outcome.spools.append(self._converted(rows, items))

    def _converted(self, rows: pa.Table | pa.RecordBatchReader, items: Sequence[_Item]) -> _Spool:
        """The converted rows in a new file; raises duckdb.Error when one does not convert."""
        target = self.spool / f"{next(self.counter)}.parquet"
        selected = ", ".join(f"{item.typed} AS p{i}" for i, item in enumerate(items))
        with _registered(self.aux, rows):
            self.aux.execute(
                f"COPY (SELECT {selected} FROM cxm_copy_source) TO {quote(str(target))} (FORMAT parquet, COMPRESSION lz4)"
            )
        return _Spool(target)

    def _kept(self, batches: Iterable[pa.RecordBatch], columns: pa.Schema, select: str) -> _Spool:
        """The rows as they are in a new file."""
        target = self.spool / f"{next(self.counter)}.arrows"
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, columns) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return _Spool(target, select)

    def _bad_records(self, rows: pa.Table, items: Sequence[_Item]) -> list[int]:
        """The numbers of the records in `rows` that do not convert or break a column's rule, in order."""
        # A row value is NULL only where TRY caught an error in it.
        failing = [f"try(row({item.plain})) IS NULL" for item in items]
        failing += [f"coalesce(try({item.broken}), false)" for item in items if item.broken]
        with _registered(self.aux, rows):
            try:
                found = self.aux.execute(
                    f"SELECT n FROM cxm_copy_source WHERE {' OR '.join(failing)} ORDER BY n"
                ).fetchall()
                return [number for (number,) in found]
            except duckdb.BinderException:
                # TRY refuses what is volatile, such as RANDOM() or UUID_STRING().
                return [n for i, n in enumerate(rows["n"].to_pylist()) if self._fails(rows.slice(i, 1), items)]

    def _fails(self, row: pa.Table, items: Sequence[_Item]) -> bool:
        with _registered(self.aux, row):
            try:
                self.aux.execute(f"SELECT {', '.join(item.typed for item in items)} FROM cxm_copy_source").fetchall()
            except duckdb.Error:
                return True
        return False

    def _bad_value(self, row: pa.Table, items: Sequence[_Item]) -> _Error:
        """Which column of a row did not convert, in Snowflake's words."""
        record, line = row["n"][0].as_py(), row["line"][0].as_py()
        position, code, state, text = 0, 100132, "22000", "The record could not be converted"
        with _registered(self.aux, row):
            for place, item in enumerate(items):
                value: object = None
                try:
                    value = (self.aux.execute(f"SELECT {item.raw} FROM cxm_copy_source").fetchone() or (None,))[0]
                    self.aux.execute(f"SELECT {item.typed} FROM cxm_copy_source").fetchall()
                except duckdb.Error as found:
                    position, (code, state, text) = place, _conversion(self._filled()[place], found, value)
                    break
        error = RowError(record, line, 1, position + 1, code, state, text)
        return _Error(error, f'"{self.table}"["{self._filled()[position].name}":{position + 1}]', line)

    def _located(self, error: RowError) -> _Error:
        """A reading error with its column's name; in a SELECT the columns are those of the stage."""
        if self.select is not None:
            name = f'"TRANSIENT_STAGE_TABLE"[{error.column}]'
        elif error.column <= len(self.columns):
            name = f'"{self.table}"["{self.columns[error.column - 1].name}":{error.column}]'
        else:
            name = f'"{self.table}"[{error.column}]'
        return _Error(error, name, error.line)

    # What is selected ----------------------------------------------------------------------------------------------

    def _items(self, file: File, local: Path) -> tuple[list[_Item], int, int | None]:
        """The DuckDB expressions of each filled column over c1 … cN, how many fields they need, and how many are wanted."""
        if self.select is not None:
            nodes = [self._bare(item) for item in self.select.expressions]
            width = max([_position(p) for n in nodes for p in n.find_all(exp.Parameter)], default=0)
            # ERROR_ON_COLUMN_COUNT_MISMATCH is ignored in a transformation (data-load-transform#supported-file-formats).
            return (
                [self._typed(c, self._translated(n, file)) for c, n in zip(self.columns, nodes, strict=True)],
                width,
                None,
            )
        if self.options.match_by != "NONE":
            return self._matched(file, local)
        width = len(self.columns)
        expect = width if self.format.error_on_column_count_mismatch else None
        return [self._typed(c, f"c{i}") for i, c in enumerate(self.columns, start=1)], width, expect

    def _matched(self, file: File, local: Path) -> tuple[list[_Item], int, int | None]:
        """MATCH_BY_COLUMN_NAME: columns by the header's names; what the file does not have is NULL, what the table does not
        have is passed over (copy-into-table, MATCH_BY_COLUMN_NAME)."""
        try:
            with local.open("rb") as stream:
                header = read_header(stream, file.path, self.format)
        except (OSError, EOFError, zlib.error) as broken:
            raise fail(100086, "22000", f"Error parsing file '{file.path}': {broken}") from None
        fold = str.upper if self.options.match_by == "CASE_INSENSITIVE" else str
        places: dict[str, int] = {}
        for i, name in enumerate(header, start=1):
            if fold(name) in places:
                raise fail(100185, "22000", f"Duplicate column name '{name}' in the header of file '{file.path}'.")
            places[fold(name)] = i
        extra = {name: self._translated(exp.column(kind), file) for name, kind in self.options.include_metadata}
        unknown = [name for name in extra if name not in {c.name for c in self.table_columns}]
        if unknown:
            raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{unknown[0]}'")
        items = []
        for column in self.table_columns:
            place = places.get(fold(column.name))
            items.append(self._typed(column, extra.get(column.name) or (f"c{place}" if place else "NULL")))
        expect = len(header) if self.format.error_on_column_count_mismatch else None
        return items, len(header), expect

    def _bare(self, item: Expr) -> Expr:
        return item.this if isinstance(item, exp.Alias) else item

    def _typed(self, column: _Column, expression: str) -> _Item:
        """`expression` cast to the column's type, with the checks that Snowflake makes on a value."""
        value = f"CAST({expression} AS {column.type})"
        broken, typed = [], value
        if column.type == "VARCHAR":
            too_long = f"strlen({value}) > {DEFAULT_TEXT_BYTES}"
            if column.length:
                too_long = f"length({value}) > {column.length}"
            if self.options.enforce_length:
                broken.append(too_long)
                typed = f"CASE WHEN {too_long} THEN {_raise(100078, value)} ELSE {value} END"
            elif column.length:
                typed = value = f"left({value}, {column.length})"
        if not column.nullable:
            broken.append(f"{value} IS NULL")
            typed = f"coalesce({typed}, {_raise(100072, chr(39) * 2)})"
        return _Item(expression, value, typed, " OR ".join(broken))

    def _translated(self, node: Expr, file: File) -> str:
        """A select item in DuckDB's SQL: $n → cn, METADATA$… → the file's facts, the rest as the warehouse translates it.

        https://docs.snowflake.com/en/user-guide/querying-metadata#metadata-columns
        """

        def replace(part: Expr) -> Expr:
            if isinstance(part, exp.Column) and isinstance(part.this, exp.Parameter):
                return exp.column(f"c{_position(part.this)}")
            if isinstance(part, exp.Parameter):
                return exp.column(f"c{_position(part)}")
            if isinstance(part, exp.Column):
                return self._metadata(part.name.upper(), file)
            if isinstance(part, (exp.Select, exp.Window, exp.AggFunc, exp.Star)):
                raise fail(2098, "0A000", "SQL compilation error:\n"
                      "COPY statement only supports simple SELECT from stage statements for import.")  # fmt: skip
            return part

        return self.session.expression_sql(node.transform(replace), self.database, self.schema, self.aux)

    def _metadata(self, name: str, file: File) -> Expr:
        match name:
            case "METADATA$FILENAME":
                return exp.Literal.string(file.path)
            case "METADATA$FILE_ROW_NUMBER":
                return exp.column("n")
            case "METADATA$FILE_CONTENT_KEY":
                return exp.Literal.string(file.etag)
            case "METADATA$FILE_LAST_MODIFIED":
                return exp.cast(
                    exp.Literal.string(f"{file.modified:%Y-%m-%d %H:%M:%S}"), exp.DataType.build("TIMESTAMPNTZ")
                )
            case "METADATA$START_SCAN_TIME":
                now = self.session.now.astimezone(UTC)
                text = f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}+00:00"
                return exp.cast(exp.Literal.string(text), exp.DataType.build("TIMESTAMPTZ"))
        raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '{name}'")

    # VALIDATION_MODE -----------------------------------------------------------------------------------------------

    def _validated(self, outcomes: list[_Outcome]) -> Result:
        """VALIDATION_MODE: nothing is loaded; the rows, or the errors as VALIDATE() lists them
        (copy-into-table#optional-parameters, https://docs.snowflake.com/en/sql-reference/functions/validate#output)."""
        mode = str(self.options.validation)
        if mode.endswith("_ROWS"):
            wanted = int(mode.split("_")[1])
            rows: list[tuple[object, ...]] = []
            for outcome in outcomes:
                early = [e for e in outcome.errors if e.row.record <= wanted - len(rows)]
                if early:
                    self._abort(outcome.file, early[0])
                for spool in outcome.spools:
                    left = wanted - len(rows)
                    if left > 0:
                        with spool.query(self.aux) as query:
                            rows += self.aux.execute(f"{query} LIMIT {left}").fetchall()
            return Result([(c.name, c.type) for c in self._filled()], rows)
        listed = [
            (
                e.row.message, o.file.path, e.row.line, e.row.character, None, _category(e.row.code), e.row.code, e.row.sqlstate,
                e.column_name, e.row.record, e.start_line, None,
            )
            for o in outcomes
            for e in o.errors
        ]  # fmt: skip
        return Result(VALIDATION_COLUMNS, listed)


@contextmanager
def _registered(duck: duckdb.DuckDBPyConnection, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
    """The rows as `cxm_copy_source`; what is left of an earlier result is dropped, which DuckDB asks for."""
    duck.complete()
    duck.register("cxm_copy_source", rows)
    try:
        yield
    finally:
        duck.unregister("cxm_copy_source")


def _small(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, as long as no field has more than DEFAULT_TEXT_BYTES; raises duckdb.Error when one has."""
    for batch in batches:
        if batch.nbytes > DEFAULT_TEXT_BYTES:
            longest = [pc.max(pc.binary_length(c)).as_py() for c in batch.columns if pa.types.is_string(c.type)]
            if max((size or 0 for size in longest), default=0) > DEFAULT_TEXT_BYTES:
                raise duckdb.ConversionException("a field is longer than a VARCHAR holds")
        yield batch


def _position(parameter: Expr) -> int:
    number = str(parameter.this.name)
    if not number.isdigit() or int(number) < 1:
        raise compilation(904, "42000", f"error line 1 at position 0\ninvalid identifier '${number}'")
    return int(number)


def _category(code: int) -> str:
    return "parsing" if code in (100016, 100063, 100068, 100080, 100082, 100144) else "conversion"


def _raise(code: int, value: str) -> str:
    return f"error('{_RAISED}{code}:' || {value})"


def _conversion(column: _Column, fault: duckdb.Error, value: object) -> tuple[int, str, str]:
    """DuckDB's complaint about one value on its way into `column` → Snowflake's code, state and words.

    `value` is what was to be converted; None when already the SELECT's own expression failed.
    """
    message = str(fault)
    if _RAISED in message:
        code, _, text = message.split(_RAISED, 1)[1].partition(":")
        if code == "100072":
            return 100072, "22000", "NULL result in a non-nullable column"
        return 100078, "22000", f"String '{text[:100]}' is too long and would be truncated"
    if value is None:
        translated = from_duckdb(fault, "COPY")
        text = str(translated.raw_msg or translated.msg)
        return translated.errno or 100132, translated.sqlstate or "22000", text
    kind = column.type.upper()
    if kind.startswith("TIMESTAMP"):
        return 100035, "22007", f"Timestamp '{value}' is not recognized"
    if kind == "DATE":
        return 100040, "22007", f"Date '{value}' is not recognized"
    if kind == "TIME":
        return 100108, "22007", f"Time '{value}' is not recognized"
    if kind == "BOOLEAN":
        return 100037, "22018", f"Boolean value '{value}' is not recognized"
    if kind == "JSON":
        return 100069, "22P02", f"Error parsing JSON: {value}"
    return 100038, "22018", f"Numeric value '{value}' is not recognized"
