"""Changes that keep a table's rows: SWAP WITH, CREATE OR ALTER TABLE.

CREATE OR ALTER TABLE t (wanted columns) ──difference to what is there──▶ ADD COLUMN, DROP COLUMN, comments

https://docs.snowflake.com/en/sql-reference/sql/create-table#create-or-alter-table: a column that the text leaves out is
dropped with its data, exactly as on Snowflake.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlglot import exp

from flows.embedded.warehouse.session.privileges import authorize, exists, folded
from flows.embedded.warehouse.session.result import status
from flows.embedded.warehouse.statements import tables
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.text.grammar import ident
from flows.embedded.warehouse.translate import legal

if TYPE_CHECKING:
    from flows.embedded.warehouse.execute.cursor import WarehouseCursor
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def swap_tables(conn: WarehouseConnection, one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Exchange two tables of one schema, grants included, in one transaction."""
    if one[:2] != other[:2]:
        raise errors.unsupported("ALTER TABLE … SWAP WITH a table of another schema")
    for name in (one, other):
        if exists(conn, name) != "TABLE":
            raise errors.not_found("TABLE", ".".join(name))
        conn.require("OWNERSHIP", "TABLE", ".".join(name))
    aside = (*one[:2], f"_SWAP_{secrets.token_hex(4)}")
    steps = ((one, aside), (other, one), (aside, other))
    conn.transaction.begin()
    try:
        for old, new in steps:
            conn._duck_conn.execute(f"ALTER TABLE {'.'.join(map(ident, old))} RENAME TO {ident(new[2])}")
    except BaseException:
        conn.transaction.end("ROLLBACK")
        raise
    conn.transaction.end("COMMIT")
    for old, new in steps:
        tables.moved(conn, old, new, "TABLE")


def create_or_alter_table(cursor: WarehouseCursor, command: str) -> None:
    """Create the table, or bring the one that is there to the columns, comments and comment of the text.

    A change of a column's type or nullability is refused (000002), so that nothing is converted by surprise.
    """
    conn = cursor._conn
    expression = legal.check(parse(cursor._inline_variables(command)))
    assert isinstance(expression, exp.Create)
    expression.set("replace", False)
    cursor.check_db_and_schema(expression)
    wanted = expression.copy()
    spec = tables.take_apart(conn, wanted)
    if not isinstance(wanted.this, exp.Schema) or wanted.expression is not None:
        raise errors.unsupported("CREATE OR ALTER TABLE without a column list")
    if not exists(conn, spec.name):
        cursor._run_parsed(expression, command, None)
        return
    conn.require_use_of(*spec.name[:2])
    conn.require("OWNERSHIP", "TABLE", spec.full)
    authorize(conn, expression)
    conn.transaction.end("COMMIT")
    with conn.engine.ddl_lock:
        _bring(cursor, wanted, spec)
    cursor.answer(status(f"Table {spec.name[2]} successfully altered."))


def _bring(cursor: WarehouseCursor, wanted: exp.Create, spec: tables.TableSpec) -> None:
    conn = cursor._conn
    columns = {folded(c.this): c for c in wanted.this.expressions if isinstance(c, exp.ColumnDef)}
    scratch = f"_cxm_shape_{secrets.token_hex(4)}"
    shape = wanted.copy()
    shape.this.set("this", exp.to_table(scratch))
    shape.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]))
    shape.set("exists", False)
    conn._duck_conn.execute(cursor._transform(shape, None).sql(dialect="duckdb"))
    columns_of = "SELECT column_name, data_type FROM duckdb_columns() WHERE {} ORDER BY column_index"
    here = "database_name = ? AND schema_name = ? AND table_name = ?"
    there = _described(conn, columns_of.format(here), [*spec.name])
    new = _described(conn, columns_of.format("database_name = 'temp' AND upper(table_name) = ?"), [scratch.upper()])
    conn._duck_conn.execute(f"DROP TABLE temp.{scratch.upper()}")
    changed = [c for c in new if c in there and there[c] != new[c]]
    if changed:
        raise errors.unsupported(f"CREATE OR ALTER TABLE that changes the type of {', '.join(changed)}")
    target = ".".join(map(ident, spec.name))
    for name in [c for c in there if c not in new]:
        conn._duck_conn.execute(f"ALTER TABLE {target} DROP COLUMN {ident(name)}")
    for name in [c for c in new if c not in there]:
        add = exp.Alter(this=exp.to_table(target, dialect="duckdb"), kind="TABLE", actions=[columns[name].copy()])
        conn._duck_conn.execute(cursor._transform(add, None).sql(dialect="duckdb"))
    for name in new:
        tables.comment_column(conn, spec.name, name, spec.columns.get(name, ""))
    tables.set_comment(conn, "TABLE", spec.name, spec.comment)


def _described(conn: WarehouseConnection, sql: str, parameters: list[str]) -> dict[str, str]:
    return dict(conn._duck_conn.execute(sql, parameters).fetchall())
