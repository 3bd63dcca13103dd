"""CREATE, ALTER, DROP, TRUNCATE, COMMENT of tables, views and sequences: runs them on DuckDB and updates the registry.

parsed DDL ──refused, answered, or taken apart (`table_specs`)──▶ fakesnow, DuckDB ──▶ owners, comments, keys in the account
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import exists, folded, is_named, parts_of, spelled_otherwise, target_of
from flows.embedded.warehouse.session.result import status
from flows.embedded.warehouse.statements import table_masks, tables
from flows.embedded.warehouse.statements.columns import columns_of
from flows.embedded.warehouse.statements.query_columns import check_different, check_named, keep_columns
from flows.embedded.warehouse.statements.row_changes import engine_columns
from flows.embedded.warehouse.statements.table_changes import one_by_one
from flows.embedded.warehouse.statements.table_keys import check_references
from flows.embedded.warehouse.statements.table_like import with_columns_of
from flows.embedded.warehouse.statements.table_specs import TableSpec, take_apart
from flows.embedded.warehouse.storage import described, load_history
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import quote_name
from flows.embedded.warehouse.translate.assignments import assign

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection
    from flows.embedded.warehouse.statements.runner import Runner


def run_ddl(runner: Runner, expression: Expr, bindings: Any) -> None:
    """Run DDL of a table, view or sequence on DuckDB, then record it in the account."""
    conn, known = runner.conn, runner.conn.registry.columns
    target = table.copy() if (table := target_of(expression)) is not None else None
    name = conn.qualify(parts_of(target)) if target is not None and is_named(target) else None
    makes, drops = isinstance(expression, exp.Create), isinstance(expression, exp.Drop)
    existing = exists(conn, name) if name and (makes or drops) else ""
    if (makes and expression.find(exp.TemporaryProperty)) or (drops and name and not existing):
        _run(runner, expression, bindings)  # nothing that another table depends on
        return
    cached, generation = known.all()
    before = columns_of(conn, runner.duck, target) if makes and existing and cached and target is not None else None
    try:
        _run(runner, expression, bindings)
    finally:
        known.changed(".".join(map(quote_name, name)) if makes and name and not existing else "")
    if before is not None and target is not None and columns_of(conn, runner.duck, target) == before:
        known.restore(cached, generation)


def _run(runner: Runner, expression: Expr, bindings: Any) -> None:
    conn = runner.conn
    kind = str(expression.args.get("kind") or "").upper()
    original = expression.copy()
    target = target_of(expression)
    name = conn.qualify(parts_of(target)) if target is not None and is_named(target) and kind != "SCHEMA" else None
    gone = [conn.qualify(parts_of(t)) for t in expression.args.get("tables") or [] if isinstance(t, exp.Table)]
    before = exists(conn, name) if name and kind in ("TABLE", "VIEW") else ""
    for new in _made(conn, expression, name):
        if name and new[:2] != name[:2]:
            if not conn.has_schema(*new[:2]):
                raise errors.not_found("SCHEMA", ".".join(new[:2]))
            raise errors.unsupported(f"RENAME TO another schema ({'.'.join(new)})")
        if new == name and isinstance(expression, exp.Alter):
            raise errors.already_exists(".".join(new))
        if other := spelled_otherwise(conn, new):
            raise errors.unsupported(f"{new[2]} beside {other}: names that differ by case alone")
    spec = None
    if name and isinstance(expression, exp.Create):
        if conn.account.find("DATABASE", name[0]) is None:
            raise errors.not_found("DATABASE", name[0])
        if name[1] == "INFORMATION_SCHEMA" or not conn.has_schema(*name[:2]):
            raise errors.not_found("SCHEMA", f"{name[0]}.{name[1]}")
    if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
        expression = with_columns_of(conn, expression)
        if (clone := expression.find(exp.Clone)) is not None:
            _check_clone(
                runner, clone, *(expression.find(p) is not None for p in (exp.TemporaryProperty, exp.TransientProperty))
            )
        spec = take_apart(conn, expression)
        table_masks.complete(conn, spec, original)
        if before and expression.args.get("exists"):
            runner.answer(status(f"{spec.name[2]} already exists, statement succeeded."))
            return
        if not spec.replaces and _taken(conn, spec, before):
            raise errors.already_exists(spec.full)
        check_references(conn, runner.duck, spec.name, spec.keys)
        _refuse_stage_sources(expression)
    elif isinstance(expression, exp.Create) and kind != "SEQUENCE":
        raise errors.unsupported(f"CREATE {kind}")
    elif kind == "SEQUENCE" and name and expression.args.get("exists"):
        known = conn.account.find("SEQUENCE", ".".join(name)) is not None
        if known == isinstance(expression, exp.Create):
            dropped = f"Drop statement executed successfully ({name[2]} already dropped)."
            runner.answer(status(f"{name[2]} already exists, statement succeeded." if known else dropped))
            return
    elif isinstance(expression, exp.Drop):
        if kind not in ("TABLE", "VIEW", "SEQUENCE"):
            raise errors.unsupported(f"DROP {kind}")
        if name and kind in ("TABLE", "VIEW") and not before:
            if expression.args.get("exists"):
                runner.answer(status(f"Drop statement executed successfully ({name[2]} already dropped)."))
                return
            raise errors.not_found(kind, ".".join(name))
        if expression.args.get("restrict") and kind == "TABLE":
            _check_referenced(conn, gone)
    elif isinstance(expression, exp.Alter) and kind in ("TABLE", "VIEW"):
        if name and not before:
            if expression.args.get("exists"):
                runner.answer(status())
                return
            raise errors.not_found(kind, ".".join(name))
        if expression.find(exp.SwapTable):
            raise errors.unsupported("ALTER TABLE … SWAP WITH")
        spec = tables.alter(conn, expression)
    elif isinstance(expression, exp.Comment):
        _comment(conn, expression)
        runner.answer(status())
        return
    if isinstance(expression, exp.Alter) and not expression.args.get("actions"):
        runner.answer(status())  # comments only
    else:
        made = target if isinstance(expression, exp.Create) else None
        rows = _taken_rows(runner, expression, name, spec)
        if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
            check_named(expression)
        expression = runner.typed(tables.resolve_temporary(conn, expression, made))
        if isinstance(expression, exp.Create) and kind == "VIEW":
            keep_columns(runner, expression)
        elif isinstance(expression, exp.Create) and kind == "TABLE":
            check_different(runner, expression.args.get("expression"))
        parts = one_by_one(expression)
        with runner.atomic() if len(parts) > 1 or rows is not None else contextlib.nullcontext():
            for part in parts:
                runner.retried(partial(_run_part, runner, part, None if rows is not None else bindings))
            if rows is not None and name:
                _fill(runner, rows, name, bindings)
    load_history.after_statement(runner.duck, original, conn.database, conn.schema)
    if isinstance(expression, exp.Create) and spec is not None:
        tables.register(conn, spec)
    elif isinstance(expression, exp.Create) and name:
        comment = original.find(exp.SchemaCommentProperty)
        tables.ownership(
            conn, kind, ".".join(name), comment.this.name if comment else "", bool(original.args.get("replace"))
        )
    elif isinstance(expression, exp.Drop):
        for one in gone:
            tables.dropped(conn, one, kind)
    elif isinstance(expression, exp.Alter) and spec is not None:
        tables.altered(conn, spec, expression)
    elif isinstance(expression, exp.TruncateTable):
        conn.account.changed(".".join(conn.qualify(parts_of(t))) for t in original.expressions)


def _taken(conn: WarehouseConnection, spec: TableSpec, before: str) -> bool:
    """Whether a name is taken: a temporary table and a permanent one may share theirs
    (https://docs.snowflake.com/en/user-guide/tables-temp-transient#potential-naming-conflicts-with-other-table-types)."""
    if spec.name not in conn.temporary_tables:
        return bool(before) and not spec.temporary
    return spec.temporary or any(conn.account.find(kind, spec.full) for kind in ("TABLE", "VIEW"))


def _run_part(runner: Runner, part: Expr, bindings: Any) -> None:
    runner.run(part.copy(), bindings)


def _taken_rows(
    runner: Runner, table: Expr, name: tuple[str, str, str] | None, spec: TableSpec | None
) -> exp.Insert | None:
    """Move the query out of CREATE TABLE with columns … AS SELECT into an INSERT, so the columns keep their lengths, NOT NULL
    and defaults (https://docs.snowflake.com/en/sql-reference/sql/create-table#create-table-as-select-also-referred-to-as-ctas).
    `table` is changed in place; None for other statements."""
    schema, query = table.this, table.args.get("expression")
    if not (isinstance(table, exp.Create) and isinstance(schema, exp.Schema) and isinstance(query, exp.Query)):
        return None
    if spec is None or spec.kind != "TABLE":
        return None
    columns = [column for column in schema.expressions if isinstance(column, exp.ColumnDef)]
    typed = [column.args.get("kind") is not None for column in columns]
    if not any(typed):
        _name_taken(runner, table, query)
        return None
    if not all(typed):
        raise errors.unsupported("CREATE TABLE … AS SELECT with types for some of its columns")
    if spec.temporary:
        raise errors.unsupported("CREATE TEMPORARY TABLE with columns … AS SELECT (CREATE it, then INSERT)")
    if any(runner.conn.qualify(parts_of(source)) == name for source in query.find_all(exp.Table) if is_named(source)):
        raise errors.unsupported(
            "CREATE OR REPLACE TABLE with columns … AS SELECT from itself (cast the columns in the query)"
        )
    table.set("expression", None)
    names = [column.this.copy() for column in columns]
    return exp.Insert(this=exp.Schema(this=schema.this.copy(), expressions=names), expression=query)


def _name_taken(runner: Runner, table: exp.Create, query: exp.Query) -> None:
    """Give the query's columns the names of CREATE TABLE C (A, B) AS SELECT …; `table` is changed in place."""
    names = [part.this if isinstance(part, exp.ColumnDef) else part for part in table.this.expressions]
    sql = runner.translated(query.copy()).sql(dialect="duckdb")
    if len(described.columns(runner.duck, f"({sql})")) != len(names):
        raise errors.column_list_mismatch()
    alias = exp.TableAlias(this=exp.to_identifier("CXM_TAKEN"), columns=[name.copy() for name in names])
    table.set("expression", exp.select("*").from_(exp.Subquery(this=query.copy(), alias=alias)))
    table.set("this", table.this.this)


def _fill(runner: Runner, rows: exp.Insert, name: tuple[str, str, str], bindings: Any) -> None:
    runner.conn.registry.columns.forget(".".join(map(quote_name, name)))
    assign(rows, engine_columns(runner, name))
    try:
        runner.run(runner.typed(tables.resolve_temporary(runner.conn, rows, rows.this.this)), bindings)
    except duckdb.BinderException as e:
        if "values were supplied" in str(e):
            raise errors.column_list_mismatch() from e
        raise
    runner.answer(status(f"Table {name[2]} successfully created."))


def _check_referenced(conn: WarehouseConnection, gone: list[tuple[str, str, str]]) -> None:
    """Refuse DROP … RESTRICT of a referenced table (https://docs.snowflake.com/en/sql-reference/sql/drop-table#parameters)."""
    for item in conn.account.all("TABLE"):
        keys = item.properties.get("keys") or []
        assert isinstance(keys, list)
        for name in gone:
            if item.name != ".".join(name) and any(tables.refers_to(item.name, key, name) for key in keys):
                raise errors.compilation(
                    f"Cannot drop the table {name[2]}: a foreign key of {item.name} refers to it (CASCADE drops the key)",
                    2043,
                    "2BP01",
                )


def _check_clone(runner: Runner, clone: exp.Clone, temporary: bool, transient: bool) -> None:
    """Refuse to clone a view, a table with defaults or NOT NULL, which the query that makes a clone here would lose, and to
    make a permanent one of a temporary or transient table
    (https://docs.snowflake.com/en/sql-reference/sql/create-clone#general-usage-notes)."""
    if not isinstance(clone.this, exp.Table):
        return
    name = runner.conn.qualify(parts_of(clone.this))
    if exists(runner.conn, name) == "VIEW":
        raise errors.wrong_kind("VIEW", "TABLE")
    if name in runner.conn.temporary_tables and not temporary:
        raise errors.unsupported(f"a permanent CLONE of the temporary table {name[2]}")
    source = runner.conn.account.find("TABLE", ".".join(name))
    if source and source.properties.get("transient") and not (temporary or transient):
        raise errors.unsupported(f"a permanent CLONE of the transient table {name[2]} (CREATE TRANSIENT TABLE … CLONE)")
    lost = runner.duck.execute(
        "SELECT 1 FROM duckdb_columns() WHERE (database_name, schema_name, table_name) = (?, ?, ?) "
        "AND (column_default IS NOT NULL OR NOT is_nullable) LIMIT 1",
        [*name],
    ).fetchone()
    if lost:
        raise errors.unsupported(f"CLONE of {name[2]}, which has defaults or NOT NULL")


def _made(conn: WarehouseConnection, expression: Expr, name: tuple[str, str, str] | None) -> list[tuple[str, str, str]]:
    """Return the names that a CREATE or a RENAME adds to a schema."""
    if isinstance(expression, exp.Create):
        return [name] if name else []
    renames = [a.this for a in expression.args.get("actions") or [] if isinstance(a, exp.AlterRename)]
    return [conn.qualify(parts_of(to)) for to in renames if isinstance(to, exp.Table)]


def _refuse_stage_sources(expression: Expr) -> None:
    for table in expression.find_all(exp.Table):
        if table.name.startswith("@"):
            raise errors.unsupported("a query over a staged file (COPY INTO a table first)")


def _comment(conn: WarehouseConnection, expression: exp.Comment) -> None:
    """COMMENT ON TABLE | VIEW | COLUMN … IS '…' (https://docs.snowflake.com/en/sql-reference/sql/comment)."""
    text = expression.expression.name
    if str(expression.args["kind"]).upper() == "COLUMN":
        column = expression.this
        *table, short = [folded(p) for p in column.parts]
        name = conn.qualify(table)
        tables.comment_column(conn, name, short, text)
    else:
        name = conn.qualify(parts_of(expression.this))
        kind = exists(conn, name)
        if not kind and expression.args.get("exists"):
            return
        if not kind:
            raise errors.not_found("TABLE", ".".join(name))
        tables.set_comment(conn, kind, name, text)
