"""The load history of tables: COPY INTO ─▶ <database>._fs_information_schema._cxm_load_history ─▶ LOAD_HISTORY, COPY_HISTORY().

The rows are in the target table's own database file and are written in COPY's transaction, so they commit, roll back and
survive a restart together with the data. A row belongs to a table by name; `after_statement` drops a table's rows when the table
is replaced, dropped or truncated, as Snowflake does
(https://docs.snowflake.com/en/user-guide/data-load-considerations-load#load-metadata,
https://docs.snowflake.com/en/sql-reference/sql/truncate-table).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text.errors import no_current, not_found
from flows.embedded.warehouse.text.grammar import quote, quote_name, split_name

if TYPE_CHECKING:
    import duckdb
    from sqlglot import Expr, exp

KEPT = timedelta(days=64)
SCHEMA, TABLE = "_fs_information_schema", "_cxm_load_history"
# The key keeps two sessions from loading one file twice at the same time: both take the same generation, one commit fails.
COLUMNS = (
    "schema_name VARCHAR, table_name VARCHAR, file_name VARCHAR, stage_location VARCHAR, etag VARCHAR, "
    "last_modified TIMESTAMPTZ, last_load_time TIMESTAMPTZ, status VARCHAR, row_count BIGINT, row_parsed BIGINT, "
    "file_size BIGINT, first_error_message VARCHAR, first_error_line_number BIGINT, "
    "first_error_character_position BIGINT, first_error_col_name VARCHAR, error_count BIGINT, error_limit BIGINT, "
    "query_id VARCHAR, generation BIGINT, PRIMARY KEY (schema_name, table_name, file_name, etag, generation)"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One file's load as the history keeps it; the fields are the columns of the table, in order, without the generation.

    `stage_location` is the stage's URL, `file_name` the file's; times are UTC.
    """

    schema_name: str
    table_name: str
    file_name: str
    stage_location: str
    etag: str
    last_modified: datetime
    last_load_time: datetime
    status: str
    row_count: int
    row_parsed: int
    file_size: int
    first_error_message: str | None
    first_error_line_number: int | None
    first_error_character_position: int | None
    first_error_col_name: str | None
    error_count: int
    error_limit: int | None
    query_id: str


def relation(database: str) -> str:
    """Return the history table's qualified name in `database`."""
    return f"{quote_name(database)}.{SCHEMA}.{TABLE}"


def install(duck: duckdb.DuckDBPyConnection, database: str) -> None:
    """Create the history table in `database` if it is missing. Call it when a database is created or attached."""
    duck.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_name(database)}.{SCHEMA}")
    duck.execute(f"CREATE TABLE IF NOT EXISTS {relation(database)} ({COLUMNS})")


def installed(duck: duckdb.DuckDBPyConnection, database: str) -> bool:
    """Whether `database` has its history table, seen from this connection's transaction."""
    row = duck.execute(
        "SELECT 1 FROM duckdb_tables() WHERE lower(database_name) = lower(?) AND schema_name = ? AND table_name = ?",
        [database, SCHEMA, TABLE],
    ).fetchone()
    return row is not None


def loaded_before(
    duck: duckdb.DuckDBPyConnection, database: str, schema: str, table: str, now: datetime
) -> set[tuple[str, str]]:
    """Return (file name, ETag) of what `table` loaded, in part or whole, within the 64 days that load metadata lives."""
    rows = duck.execute(
        f"SELECT DISTINCT file_name, etag FROM {relation(database)} WHERE schema_name = ? AND table_name = ? "
        "AND status <> 'LOAD_FAILED' AND last_load_time > ?",
        [schema, table, now - KEPT],
    ).fetchall()
    return {(name, etag) for name, etag in rows}


def first_load(duck: duckdb.DuckDBPyConnection, database: str, schema: str, table: str) -> datetime | None:
    """Return when `table` was first loaded, None if it never was."""
    row = duck.execute(
        f"SELECT min(last_load_time) FROM {relation(database)} WHERE schema_name = ? AND table_name = ?",
        [schema, table],
    ).fetchone()
    return row[0] if row else None


def record(duck: duckdb.DuckDBPyConnection, database: str, loads: Iterable[Loaded]) -> None:
    """Add `loads` in the connection's own transaction."""
    table = relation(database)
    for load in loads:
        row = list(astuple(load))
        marks = ", ".join("?" * len(row))
        duck.execute(
            f"INSERT INTO {table} SELECT {marks}, (SELECT count(*) FROM {table} WHERE schema_name = ? AND table_name = ? "
            "AND file_name = ? AND etag = ?)",
            [*row, load.schema_name, load.table_name, load.file_name, load.etag],
        )


_LOAD_HISTORY = """
SELECT schema_name AS SCHEMA_NAME, file_name AS FILE_NAME, table_name AS TABLE_NAME, last_load_time AS LAST_LOAD_TIME,
       status AS STATUS, row_count AS ROW_COUNT, row_parsed AS ROW_PARSED, first_error_message AS FIRST_ERROR_MESSAGE,
       first_error_line_number AS FIRST_ERROR_LINE_NUMBER,
       first_error_character_position AS FIRST_ERROR_CHARACTER_POSITION,
       first_error_col_name AS FIRST_ERROR_COL_NAME, error_count AS ERROR_COUNT, error_limit AS ERROR_LIMIT
FROM {relation}
WHERE last_load_time > CAST({since} AS TIMESTAMPTZ)
"""
_COPY_HISTORY = """
SELECT CASE WHEN starts_with(file_name, stage_location) THEN substr(file_name, length(stage_location) + 1) ELSE file_name END
           AS FILE_NAME,
       stage_location AS STAGE_LOCATION, last_load_time AS LAST_LOAD_TIME, row_count AS ROW_COUNT, row_parsed AS ROW_PARSED,
       file_size AS FILE_SIZE, first_error_message AS FIRST_ERROR_MESSAGE,
       first_error_line_number AS FIRST_ERROR_LINE_NUMBER, first_error_character_position AS FIRST_ERROR_CHARACTER_POS,
       first_error_col_name AS FIRST_ERROR_COLUMN_NAME, error_count AS ERROR_COUNT, error_limit AS ERROR_LIMIT,
       CASE status WHEN 'LOADED' THEN 'Loaded' WHEN 'PARTIALLY_LOADED' THEN 'Partially loaded' ELSE 'Load failed' END AS STATUS,
       {catalog} AS TABLE_CATALOG_NAME, schema_name AS TABLE_SCHEMA_NAME, table_name AS TABLE_NAME,
       CAST(NULL AS VARCHAR) AS PIPE_CATALOG_NAME, CAST(NULL AS VARCHAR) AS PIPE_SCHEMA_NAME, CAST(NULL AS VARCHAR) AS PIPE_NAME,
       CAST(NULL AS TIMESTAMPTZ) AS PIPE_RECEIVED_TIME
FROM {relation}
WHERE schema_name = {schema} AND table_name = {table} AND last_load_time > CAST({since} AS TIMESTAMPTZ)
"""
SHOWN = timedelta(days=14)


def rewrite(
    statement: Expr, database: str | None, schema: str | None, now: datetime, sees: Callable[[str], bool]
) -> Expr:
    """Replace INFORMATION_SCHEMA.LOAD_HISTORY and TABLE(INFORMATION_SCHEMA.COPY_HISTORY(…)) by queries over the history table.

    `statement` is a tree in the Snowflake dialect before any translation; it is changed in place and returned. Both show 14 days.
    https://docs.snowflake.com/en/sql-reference/info-schema/load_history
    https://docs.snowflake.com/en/sql-reference/functions/copy_history

    `sees` returns whether the role may know of a table by its full name.

    Raises:
        ProgrammingError: COPY_HISTORY of a table that the role does not see,
            without TABLE_NAME or START_TIME, or no current database for it.
    """
    from sqlglot import exp, parse_one

    since = quote((now - SHOWN).isoformat(" "))
    for node in list(statement.find_all(exp.TableFromRows)):
        path, call = [], node.this
        while isinstance(call, exp.Dot):
            path.append(call.this)
            call = call.expression
        if not isinstance(call, exp.Anonymous) or str(call.this).upper() != "COPY_HISTORY":
            continue
        prefix = [part for step in path for part in (step.parts if isinstance(step, exp.Dot) else [step])]
        catalog = _folded(prefix[-2]) if len(prefix) > 1 else database
        arguments = {str(a.this.name).upper(): a.expression for a in call.expressions if isinstance(a, exp.Kwarg)}
        for needed in ("TABLE_NAME", "START_TIME"):
            if needed not in arguments:
                raise ProgrammingError(
                    msg=f"SQL compilation error:\nmissing required argument [{needed}] for function [COPY_HISTORY]",
                    errno=1044,
                    sqlstate="42P13",
                )
        names = split_name(arguments["TABLE_NAME"].name)
        where = [catalog if len(names) < 3 else names[0], names[-2] if len(names) > 1 else schema, names[-1]]
        if where[0] is None or where[1] is None:
            raise no_current("database" if where[0] is None else "schema", "SELECT")
        if not sees(".".join(map(str, where))):
            raise not_found("TABLE", ".".join(map(str, where)))
        query = parse_one(
            _COPY_HISTORY.format(
                relation=relation(where[0]),
                catalog=quote(where[0]),
                schema=quote(where[1]),
                table=quote(where[2] or ""),
                since=since,
            ),
            read="snowflake",
        )
        assert isinstance(query, exp.Select)
        query.where(exp.GTE(this=exp.column("last_load_time"), expression=arguments["START_TIME"].copy()), copy=False)
        if "END_TIME" in arguments:
            query.where(exp.LTE(this=exp.column("last_load_time"), expression=arguments["END_TIME"].copy()), copy=False)
        node.replace(query.subquery(node.alias or "copy_history"))
    for table in list(statement.find_all(exp.Table)):
        if table.name.upper() == "LOAD_HISTORY" and table.db.upper() == "INFORMATION_SCHEMA":
            catalog = _folded(table.args["catalog"]) if table.args.get("catalog") else database
            if catalog is None:
                raise no_current("database", "SELECT")
            query = parse_one(_LOAD_HISTORY.format(relation=relation(catalog), since=since), read="snowflake")
            assert isinstance(query, exp.Select)
            table.replace(query.subquery(table.alias or "load_history"))
    return statement


def _folded(part: Any) -> str:
    """Return an identifier as Snowflake stores it."""
    return str(part.name) if part.args.get("quoted") else str(part.name).upper()


def after_statement(
    duck: duckdb.DuckDBPyConnection, statement: Expr, database: str | None, schema: str | None, *, existed: bool = False
) -> None:
    """Update the history after DDL: call it after `statement` (Snowflake syntax tree) succeeded.

    CREATE [OR REPLACE] TABLE, DROP TABLE and TRUNCATE delete the table's loads, ALTER TABLE … RENAME TO moves them,
    DROP SCHEMA deletes those of its tables. `existed` means that the table existed before, so CREATE … IF NOT EXISTS did nothing.
    """
    from sqlglot import exp

    def named(table: exp.Table) -> tuple[str | None, str | None, str]:
        catalog, db = table.args.get("catalog"), table.args.get("db")
        return _folded(catalog) if catalog else database, _folded(db) if db else schema, _folded(table.this)

    renamed: tuple[str, str] | None = None
    targets: list[exp.Table] = []
    kind = str(statement.args.get("kind") or "").upper()
    whole_schema = False
    if isinstance(statement, exp.Create) and kind == "TABLE":
        if not (existed and statement.args.get("exists")):
            targets = [t for t in [statement.this.find(exp.Table)] if t]
    elif isinstance(statement, exp.Drop) and kind in ("TABLE", "SCHEMA"):
        targets, whole_schema = [t for t in [statement.find(exp.Table)] if t], kind == "SCHEMA"
    elif isinstance(statement, exp.TruncateTable):
        targets = [t for t in statement.expressions if isinstance(t, exp.Table)]
    elif isinstance(statement, exp.Alter) and isinstance(statement.this, exp.Table):
        for action in statement.args.get("actions") or []:
            if isinstance(action, exp.AlterRename):
                _, to_schema, to_table = named(action.this)
                renamed, targets = (to_schema or "", to_table), [statement.this]
    in_schema: str | None
    for target in targets:
        if whole_schema:
            _, db, name = named(target)
            in_database, in_schema, in_table = (db if target.args.get("db") else database), name, ""
        else:
            in_database, in_schema, in_table = named(target)
        if not in_database or not installed(duck, in_database):
            continue
        where, values = "schema_name = ?", [in_schema or ""]
        if in_table:
            where, values = where + " AND table_name = ?", [in_schema or "", in_table]
        if renamed is not None:
            duck.execute(
                f"UPDATE {relation(in_database)} SET schema_name = ?, table_name = ? WHERE {where}", [*renamed, *values]
            )
        else:
            duck.execute(f"DELETE FROM {relation(in_database)} WHERE {where}", values)
