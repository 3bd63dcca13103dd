"""Checks values on their way into columns, and the columns of CREATE TABLE: lengths, case, duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.expressions import declared
from flows.embedded.warehouse.translate.scopes import Columns, Item, folded
from flows.embedded.warehouse.translate.typed_nodes import call_of, type_of

# Expressions whose text has a known length (https://docs.snowflake.com/en/sql-reference/data-types-text#varchar).
_OF_LENGTH = (exp.Column, exp.Literal, exp.Case, exp.If, exp.Coalesce, exp.SetOperation)


def kept_lengths(tree: Expr, items: Sequence[Item]) -> dict[str, int]:
    """Return what is stored of the columns that a CREATE or ALTER makes: lengths of a query's texts, `types.MARKS` of others."""
    parts = tree.this.expressions if isinstance(tree.this, exp.Schema) else []
    names = [folded(part.this if isinstance(part, exp.ColumnDef) else part) for part in parts]
    kept: dict[str, int] = {}
    for name, item in zip(names if len(names) == len(items) else [item.name for item in items], items, strict=True):
        taken = item.node is None or isinstance(item.node.unalias(), _OF_LENGTH)
        length = item.type.length if item.type is not None and taken else 0
        mark = types.MARKS.get(item.type.kind) if item.type is not None else None
        kept[name] = (
            (length or types.LONGEST_TEXT) if mark is None else mark
        )  # OR REPLACE leaves nothing of the table before
    for column in [*parts, *(tree.args.get("actions") or [])]:
        type_ = declared(column.kind) if isinstance(column, exp.ColumnDef) and column.kind is not None else None
        if type_ is not None and type_.kind in types.MARKS:
            kept[folded(column.this)] = types.MARKS[type_.kind]
    return kept


def name_columns(schema: Expr) -> None:
    """Make CHAR columns of CREATE TABLE VARCHAR(1), and refuse two columns of one name."""
    names: set[str] = set()
    for column in schema.expressions if isinstance(schema, exp.Schema) else []:
        if isinstance(column, exp.ColumnDef):
            name, type_ = folded(column.this), column.kind
            if name in names:
                raise errors.duplicate_column(name)
            if any(n.upper() == name.upper() for n in names):
                raise errors.unsupported(f"two columns, {name} and another, whose names differ by case alone")
            names.add(name)
            kind = declared(type_) if type_ is not None else None
            if (
                type_ is not None
                and type_.this in (exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR, exp.DataType.Type.NVARCHAR)
                and kind is not None
                and kind.length
            ):
                column.set("kind", exp.DataType.build(f"VARCHAR({kind.length})", dialect="snowflake"))


def check_case(name: str, columns: Columns) -> None:
    """Raise 000904 for the name of a column that is spelled in another case."""
    if name not in columns and any(n.upper() == name.upper() for n in columns):
        raise errors.invalid_identifier(name if name.isupper() else f'"{name}"')


def limit(cell: Expr, length: int) -> None:
    """Check the length of a value on its way into VARCHAR(length); DEFAULT and what is short enough are left alone."""
    type_ = type_of(cell)
    keyword = isinstance(cell, exp.Null) or (isinstance(cell, (exp.Column, exp.Var)) and cell.name.upper() == "DEFAULT")
    if not length or keyword or (type_ and 0 < type_.length <= length):
        return
    text = exp.cast(cell.copy(), exp.DataType.build("VARCHAR"))
    cell.replace(call_of("_cxm_varchar", text, exp.Literal.number(length)))


def limit_changes(tree: Expr, target: Columns) -> None:
    """Check the length of what UPDATE … SET and MERGE put into a VARCHAR(n)."""
    for then in tree.find_all(exp.Update, exp.Insert):
        pairs: list[tuple[Expr, Expr]] = []
        if isinstance(then, exp.Update):
            pairs = [(e.this, e.expression) for e in then.expressions if isinstance(e, exp.EQ)]
        elif isinstance(then.this, exp.Tuple) and isinstance(then.expression, exp.Tuple):
            pairs = list(zip(then.this.expressions, then.expression.expressions, strict=False))
        elif isinstance(then.expression, exp.Tuple):
            pairs = [(exp.column(n), v) for n, v in zip(target, then.expression.expressions, strict=False)]
        for column, value in pairs:
            name = folded(column.this) if isinstance(column, exp.Column) else folded(column)
            check_case(name, target)
            if type_ := target.get(name):
                limit(value, type_.length)
