"""Checks what ALTER TABLE does to columns and properties, and splits it into the engine's statements.

parsed ALTER TABLE ──check_added, check_type_change, unset──▶ errors, a TableSpec; ──one_by_one──▶ a statement for each change
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import folded
from flows.embedded.warehouse.statements.table_specs import DROPPED_PROPERTIES, TableSpec
from flows.embedded.warehouse.text import errors, write_errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.expressions import declared

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def unset(action: exp.Set, spec: TableSpec) -> None:
    """Reset the properties of ALTER TABLE … UNSET (https://docs.snowflake.com/en/sql-reference/sql/alter-table#parameters)."""
    for prop in action.expressions:
        name = prop.name.upper()
        if name == "COMMENT":
            spec.comment, spec.comments = "", True
        elif name not in DROPPED_PROPERTIES:
            raise errors.invalid_property(name, "TABLE")
        spec.retention = 1 if name == "DATA_RETENTION_TIME_IN_DAYS" else spec.retention
        spec.tracks = False if name == "CHANGE_TRACKING" else spec.tracks


def check_added(column: exp.ColumnDef) -> None:
    """Check that a default of ADD COLUMN is a constant of the column's own kind
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#table-column-actions-tablecolumnaction)."""
    made = column.find(exp.DefaultColumnConstraint, exp.AutoIncrementColumnConstraint, exp.PrimaryKeyColumnConstraint)
    if isinstance(made, exp.AutoIncrementColumnConstraint):
        raise errors.unsupported("ADD COLUMN … AUTOINCREMENT")
    if column.args.get("exists") and made is not None:
        raise errors.syntax(f"{made.sql(dialect='snowflake')} (not beside IF NOT EXISTS)")
    type_ = declared(column.args["kind"]) if column.args.get("kind") is not None else None
    for default in column.find_all(exp.DefaultColumnConstraint):
        value = default.this.this if isinstance(default.this, exp.Neg) else default.this
        if not isinstance(value, (exp.Literal, exp.Boolean, exp.Null)):
            raise write_errors.invalid_default(default.this.sql(dialect="snowflake").upper())
        if isinstance(value, exp.Literal):
            given = types.text(len(value.name) or 1) if value.is_string else types.of_literal(value.name)
        else:
            given = types.BOOLEAN if isinstance(value, exp.Boolean) else types.NULL
        kinds = {given.kind, type_.kind if type_ else given.kind}
        if given != types.NULL and len(kinds) > 1 and kinds != {"NUMBER", "FLOAT"}:
            raise write_errors.wrong_type(str(type_), str(given), folded(column.this))


def check_type_change(conn: WarehouseConnection, spec: TableSpec, action: exp.AlterColumn) -> None:
    """Refuse all but a longer text: https://docs.snowflake.com/en/sql-reference/sql/alter-table-column#usage-notes."""
    to = action.args["dtype"]
    length = next((int(p.name) for p in to.expressions if p.name.isdigit()), 16777216)
    with conn.engine.duck.cursor() as duck:
        row = duck.execute(
            "SELECT ext_character_maximum_length FROM _fs_global._fs_information_schema._fs_columns_ext "
            "WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ? AND ext_column_name = ?",
            [*spec.name, folded(action.this)],
        ).fetchone()
    text = to.this in (exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT)
    if row is None or not text or length < (row[0] or 16777216):
        raise errors.unsupported(
            f"ALTER COLUMN … SET DATA TYPE {to.sql(dialect='snowflake')} (only a longer VARCHAR is here)"
        )


def one_by_one(expression: Expr) -> list[Expr]:
    """Split ALTER TABLE … DROP COLUMN A, B and ALTER COLUMN A …, B …, of which the engine takes one at a time
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#syntax, …/alter-table-column#syntax)."""
    actions = expression.args.get("actions") or [] if isinstance(expression, exp.Alter) else []
    made: list[Expr] = []
    for place, action in enumerate(actions):
        names = action.args.get("tables") or [None] if isinstance(action, exp.Drop) else [None]
        for name in names:
            statement = expression.copy()
            one = statement.args["actions"][place]
            if name is not None:
                one.set("tables", [name.copy()])
            statement.set("actions", [one])
            made.append(statement)
    changes = all(isinstance(action, (exp.AlterColumn, exp.Drop)) for action in actions)
    return made if changes and len(made) > 1 else [expression]
