"""A temporary Snowflake account for one check, emulated in this process: no server, no port, deleted afterwards.

records of landing's reader ──the file format's reader──▶ RAW tables ──staging's casts──▶ assets ◀── the statements of a run

It uses the embedded warehouse's engine, so that a rule means the same here as in the checkpoint. Rows are kept on disk, so memory
does not grow with the files.
"""

from __future__ import annotations

import io
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from flows.clients.snowflake import run
from flows.contract.expectations import asset_columns, asset_query, current_parents
from flows.contract.fit import Layout, fit
from flows.contract.model import AUDIT_COLUMNS, BROKEN_RULE, Source, Table
from flows.contract.render_sql import create_table
from flows.contract.sql import ident, literal, template
from flows.embedded.warehouse.account.objects import ACCOUNTADMIN, AccountObject
from flows.embedded.warehouse.copy.csv_format import CsvFormat
from flows.embedded.warehouse.copy.csv_reader import read_csv
from flows.embedded.warehouse.execute.executor import Executor
from flows.embedded.warehouse.execute.warehouse import Warehouse
from flows.embedded.warehouse.session.stage_lookup import file_format_options
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.translate.corrections import trims
from flows.ledger import Ledger, RunInfo
from flows.steps.land import FileFacts
from flows.steps.land.csv_fast import Block

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

DATABASE = "CXM_CHECK"
RUN = RunInfo("00000000_000000", token=1)
MEMORY = "256MB"
_AT_ONCE = 8 << 20  # bytes of a file that are parsed into rows at a time
_ROWS = "_cxm_check_rows"
_ASSET, _SHAPE = "CHECKED_", "CHECKED"
_TYPES = {"_LOAD_TIMESTAMP": "TIMESTAMP", "_SOURCE_ROW_NUMBER": "DECIMAL(38, 0)"}
# Expression with its column replaced by X → the engine's SQL; shared by all accounts.
_translations: dict[str, str] = {}
_COLUMN = re.compile(r"\b[tr]\.([A-Z_][A-Z0-9_$]*)")


class CheckTables:
    """The account of one check: a source's RAW tables, filled by `rows_of`; `stage` materializes them as the rules read them.

    It runs the same statements as a run. Queries of a batch's asset read the table that `stage` made, as with Great Expectations;
    queries of the ledger have a fixed answer, because all rows belong to one batch.
    """

    def __init__(self, warehouse: Warehouse, source: Source) -> None:
        self.source = source
        self._executor = Executor(warehouse.connect())
        self._answers: dict[str, str] = {}  # part of a statement → its replacement here
        self.connection = cast("SnowflakeConnection", _Connection(self))
        self.execute(f"CREATE DATABASE {DATABASE}")
        if source.schema != "PUBLIC":
            self.execute(f"CREATE SCHEMA {DATABASE}.{ident(source.schema)}")
        self._make(_SHAPE, "X VARCHAR")
        for table in source.tables:
            audit = [f"{name} {_TYPES.get(name, 'VARCHAR')}" for name in AUDIT_COLUMNS]
            self._make(table.raw_name, ", ".join([*(f"{ident(c.name)} VARCHAR" for c in table.columns), *audit]))
        formats = template(
            "provision/05_stages.sql",
            database=DATABASE,
            file_formats=source.file_formats,
            sources=[],
            bucket="",
            integration="",
        )
        self._run_all(formats)

    def rows_of(self, table: Table, file: str) -> Rows:
        """A writer for the blocks of one file, within one transaction."""
        options = file_format_options(
            self._executor.conn, f"{DATABASE}.RAW.{table.dialect.file_format(self.source.file_format)}"
        )
        return Rows(self._executor, table, file, CsvFormat.from_options({**options, "SKIP_HEADER": 0}))

    def stage(self, source: Source, table: Table) -> None:
        """Materialize the asset of a table of `source`, as its rules read it.

        Each expression is translated once for all columns: translating the whole query takes a second.
        """
        texts, added = asset_columns(table)
        name = _ASSET + table.raw_name
        replaced = ", ".join(f'{self.engine_sql(sql)} AS "{column}"' for column, sql in texts.items())
        beside = "".join(f', {self.engine_sql(sql)} AS "{column}"' for column, sql in added.items())
        self._make(
            name,
            f"SELECT t.*{f' REPLACE ({replaced})' if texts else ''}{beside} FROM {self.relation(table.raw_name)} AS t",
        )
        self.answer(source, table)

    def answer(self, source: Source, table: Table) -> None:
        """From now on, let statements about this table of `source` read the table that `stage` made."""
        self._answers[asset_query(source, table, RUN.batch_id)] = f"SELECT * FROM {self.asset(table)}"
        for link in table.relationships:
            self._answers[current_parents(source, link)] = f"SELECT {literal(RUN.batch_id)} AS BATCH_ID"

    def asset(self, table: Table) -> str:
        """The name of the table that `stage` made."""
        return self.relation(_ASSET + table.raw_name)

    def relation(self, name: str) -> str:
        """A table's fully qualified name."""
        return f"{DATABASE}.{ident(self.source.schema)}.{ident(name)}"

    def ledger(self, loaded: Mapping[str, Sequence[FileFacts]]) -> Ledger:
        """The ledger as publishing expects it: these files are loaded, and the check holds the lease."""
        self._run_all(template("provision/06_ledger.sql", database=DATABASE, sources=[self.source]))
        for table in self.source.tables:
            if table.bad_rows:
                self.execute(create_table(table.rejected, DATABASE, self.source.schema))
            for facts in loaded.get(table.name, ()):
                if facts.broken_lines:
                    of_line = ", ".join(map(literal, (BROKEN_RULE, RUN.batch_id, facts.file)))
                    self.execute(
                        f"INSERT INTO {DATABASE}.RAW.{ident(table.rejected.raw_name)} (_RULES, _BATCH_ID, _SOURCE_FILENAME)"
                        f" SELECT {of_line} FROM TABLE(GENERATOR(ROWCOUNT => {facts.broken_lines}))"
                    )
                values = (
                    RUN.batch_id,
                    self.source.name,
                    table.raw_name,
                    facts.file,
                    facts.file,
                    facts.sha256,
                    "loaded",
                )
                self.execute(
                    f"INSERT INTO {DATABASE}.RAW.LOAD_LEDGER (BATCH_ID, SOURCE, TABLE_NAME, FILE_NAME, S3_KEY, CONTENT_SHA256,"
                    " STATUS, BYTES, FILE_RECORDS, ROWS_LOADED, STARTED_AT, BATCH_SEQUENCE)"
                    f" SELECT {', '.join(map(literal, values))}, {facts.bytes}, {facts.records}, {facts.records}, SYSDATE(), 1"
                )
        self.execute(
            f"UPDATE {DATABASE}.RAW.LOAD_LEASE SET HOLDER = {literal(RUN.holder)}, FLOW_RUN_ID = '', TOKEN = {RUN.token}"
            f" WHERE SOURCE = {literal(self.source.name)}"
        )
        return Ledger(self.connection, DATABASE, self.source.name)

    def asked(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""
        return run(self.connection, sql).rows

    def counted(self, engine_sql: str) -> tuple[int, ...]:
        """The single row of a query in the engine's own SQL."""
        return tuple(map(int, self._executor.duck.execute(engine_sql).fetchone() or ()))

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> Executor:
        """Run one of a run's statements."""
        for part, answer in self._answers.items():
            sql = sql.replace(part, answer)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of an extra copy of the rows
            return self._executor.execute(sql, tuple(values) if values else None)

    def engine_sql(self, expression: str) -> str:
        """Translate a Snowflake expression over columns of `t` or `r` into the engine's SQL. One that calls a function must use a
        single column."""
        if not re.search(r"\w\(", expression):  # plain comparisons are the same in both
            return parse(expression).sql(dialect="duckdb")
        (column,) = set(_COLUMN.findall(expression))
        alias, shape = expression[_COLUMN.search(expression).start()], _COLUMN.sub("t.X", expression)  # type: ignore[union-attr]
        if shape not in _translations:
            tree = parse(f"SELECT {shape} AS V FROM {self.relation(_SHAPE)} AS t")
            translated = self._executor.translated(trims(self._executor.typed(tree)))
            _translations[shape] = translated.expressions[0].unalias().sql(dialect="duckdb")
        return _translations[shape].replace('"T"."X"', f'"{alias}"."{column}"')

    def _make(self, name: str, columns_or_query: str) -> None:
        """Create a table directly in the engine, which is faster."""
        body = f"AS {columns_or_query}" if columns_or_query.startswith("SELECT") else f"({columns_or_query})"
        self._executor.duck.execute(f"CREATE TABLE {self.relation(name)} {body}")
        self._executor.conn.account.create(AccountObject("TABLE", self.relation(name), ACCOUNTADMIN))

    def _run_all(self, text: str) -> None:
        from snowflake.connector.util_text import split_statements

        for sql, _ in split_statements(io.StringIO(text), remove_comments=True):
            bare = (sql or "").strip().removesuffix(";").strip()
            if bare and not bare.startswith("USE ROLE"):
                self.execute(bare)


@contextmanager
def opened(source: Source) -> Iterator[CheckTables]:
    """An account that is deleted after the block."""
    with tempfile.TemporaryDirectory(prefix="cxm-check-") as folder:
        warehouse = Warehouse(Path(folder), memory_limit=MEMORY)
        try:
            yield CheckTables(warehouse, source)
        finally:
            warehouse.close()


class Rows:
    """Writes the rows of one file into its RAW table. A context manager: all of them are committed, or none."""

    def __init__(self, executor: Executor, table: Table, file: str, options: CsvFormat) -> None:
        self._duck, self._table, self._file, self._options = executor.duck, table, file, options
        self._layout: Layout | None = None
        self._pending = bytearray()
        self._rows = 0

    def __enter__(self) -> Rows:
        self._duck.execute("BEGIN")
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._duck.execute("ROLLBACK" if kind else "COMMIT")

    def restart(self) -> None:
        """Discard what was written, because the file is read again from its start."""
        self._duck.execute("ROLLBACK")
        self._duck.execute("BEGIN")
        self._layout, self._rows = None, 0
        self._pending.clear()

    def write(self, block: Block) -> None:
        """Write the next block of the file; the first is its header."""
        if self._layout is None:
            self._layout = fit(self._table, block.header)
            return
        if block.broken:  # `ledger` adds broken lines to the rejected table, where publishing counts them
            return
        self._pending += block.data
        if len(self._pending) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if not self._pending or self._layout is None:
            return
        known = {c.name for c in self._table.columns}  # a new column has no rule yet
        fields = {name: n for name, n in self._layout.positions.items() if name in known}
        names = ", ".join((*map(ident, fields), "_BATCH_ID", "_SOURCE_FILENAME", "_SOURCE_ROW_NUMBER"))
        values = ", ".join(f"c{n}" for n in fields.values())
        file = self._file.replace("'", "''")
        for batch in read_csv(io.BytesIO(self._pending), self._file, self._options, len(self._layout.fields)):
            self._duck.register(_ROWS, pa.Table.from_batches([batch.rows]))
            self._duck.execute(
                f"INSERT INTO {DATABASE}.RAW.{ident(self._table.raw_name)} ({names})"
                f" SELECT {values}, '{RUN.batch_id}', '{file}', n + {self._rows} FROM {_ROWS}"
            )
            self._duck.unregister(_ROWS)
            self._rows += batch.parsed
        self._pending.clear()


class _Connection:
    """The part of the connector's connection that `flows.clients.snowflake.run` uses."""

    def __init__(self, account: CheckTables) -> None:
        self._account = account

    def cursor(self) -> _Cursor:
        return _Cursor(self._account)


class _Cursor:
    def __init__(self, account: CheckTables) -> None:
        self._account = account

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> None:
        """Run one statement."""
        self._done = self._account.execute(sql, values)

    @property
    def description(self) -> list[SimpleNamespace]:
        """The names of the result's columns."""
        return [SimpleNamespace(name=str(column[0])) for column in self._done.described]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The result's rows."""
        table = self._done.rows
        return [] if table is None else list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    @property
    def sfqid(self) -> str:
        """The statement's id."""
        return self._done.query_id
