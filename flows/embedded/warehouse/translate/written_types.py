"""Checks which types a column takes: INSERT, UPDATE, MERGE and CREATE TABLE with columns … AS SELECT.

value of a known type ──check_written──▶ nothing; or 002023 before a row is read

A text converts to a number, date or time, every type to text and most to VARIANT; a number does not convert to a date, a BOOLEAN
to a number, a text to a VARIANT: https://docs.snowflake.com/en/sql-reference/data-type-conversion#data-types-that-can-be-cast
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors, write_errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.expressions import typed
from flows.embedded.warehouse.translate.scopes import Columns, Item, folded
from flows.embedded.warehouse.translate.typed_nodes import call_of, decimal, type_of
from flows.embedded.warehouse.translate.types import Type

ASSIGNED = "cxm_assigned"  # of a cast that `assignments` puts around a value

_PLAIN_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*")
# The kinds of values that a column of each kind takes besides its own, NULL and VARIANT.
_TAKEN: dict[str, tuple[str, ...]] = {
    "NUMBER": ("FLOAT", "VARCHAR"),
    "FLOAT": ("NUMBER", "VARCHAR"),
    "BOOLEAN": ("NUMBER", "FLOAT", "VARCHAR"),
    "VARCHAR": ("NUMBER", "FLOAT", "BOOLEAN", *types.TIMES),
    "DATE": ("VARCHAR", *types.TIMESTAMPS),
    "TIME": ("VARCHAR", *types.TIMESTAMPS),
    # of the timestamps, only TIMESTAMP_TZ takes a TIMESTAMP_TZ
    "TIMESTAMP_NTZ": ("VARCHAR", "DATE", "TIMESTAMP_LTZ"),
    "TIMESTAMP_LTZ": ("VARCHAR", "DATE", "TIMESTAMP_NTZ"),
    "TIMESTAMP_TZ": ("VARCHAR", "DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ"),
    "BINARY": ("VARCHAR",),
    "VARIANT": ("NUMBER", "FLOAT", "BOOLEAN", "BINARY", "OBJECT", "ARRAY", *types.TIMES),
    "ARRAY": (),
    "OBJECT": (),
}


def check_written(value: Type | None, to: Type | None, column: str) -> None:
    """Raise 002023 for a value of a type that its column does not take; an unknown type is left to the engine."""
    if value is None or to is None or value.kind in (to.kind, "NULL", "VARIANT") or to.kind not in _TAKEN:
        return
    if value.kind not in _TAKEN[to.kind]:
        raise write_errors.wrong_type(_shown(to), _shown(value), column)


def _shown(type_: Type) -> str:
    """Write a type as Snowflake's messages do."""
    if type_.kind == "TIME" or type_.kind in types.TIMESTAMPS:
        return f"{type_}(9)"
    return f"{type_}(8388608)" if type_.kind == "BINARY" else str(type_)


def written(value: Expr) -> Type | None:
    """Return the type of a value before `assignments` cast it to its column's."""
    bare = value.unalias()
    return type_of(bare.this if isinstance(bare, exp.Cast) and bare.meta.get(ASSIGNED) else bare)


def check_items(items: Sequence[Item] | None, to: Sequence[tuple[str, Type | None]]) -> list[Type | None]:
    """Check the columns of INSERT … SELECT against those of the table, in order; return their types."""
    found = []
    for item, (column, type_) in zip(items or [], to, strict=False):
        own = item.node is not None and not isinstance(item.node, exp.SetOperation)
        found.append(written(item.node) if own and item.node is not None else item.type)
        check_written(found[-1], type_, column)
    return found


# The kinds of values that the engine would write to a column of a kind as something else, or not at all.
_CONVERTED: dict[str, tuple[str, ...]] = {
    "VARCHAR": ("FLOAT", "TIME", "VARIANT", *types.TIMESTAMPS),
    "VARIANT": ("NUMBER", "FLOAT", "BOOLEAN", *types.TIMES),
    "BOOLEAN": ("VARCHAR", "VARIANT"),
    "NUMBER": ("VARCHAR", "VARIANT"),
    "FLOAT": ("VARIANT",),
    "ARRAY": ("VARIANT",),
    "OBJECT": ("VARIANT",),
}


def converts(value: Type | None, to: Type | None) -> bool:
    """Whether a value has to be cast before the engine writes it."""
    return value is not None and to is not None and value.kind in _CONVERTED.get(to.kind, ())


def convert(cell: Expr, to: Type | None) -> None:
    """Cast a value on its way into a column, as `cell::type` does, where the engine would not."""
    if not converts(type_of(cell), to) or to is None or cell.find(exp.Placeholder):
        return
    if to.kind in ("ARRAY", "OBJECT"):  # a VARIANT that holds one
        cell.replace(call_of(f"_CXM_ONLY_{to.kind}", cell.copy()))
        return
    name = {"NUMBER": str(to), "FLOAT": "DOUBLE"}.get(to.kind, to.kind)
    made = exp.Cast(this=cell.copy(), to=exp.DataType.build(name, dialect="snowflake"))
    cell.replace(made)
    typed(made)


def check_changes(tree: Expr, target: Columns, walk: Callable[[Expr], object]) -> None:
    """Check that UPDATE and MERGE set values of types that the columns take; `walk` types the expressions, also of DELETE."""
    for key in ("on", "where"):
        if isinstance(node := tree.args.get(key), Expr):
            walk(node)
    whens = tree.args.get("whens")
    for when in whens.expressions if isinstance(whens, Expr) else []:
        if isinstance(condition := when.args.get("condition"), Expr):
            walk(condition)
    for change in [tree, *(when.args.get("then") for when in (whens.expressions if isinstance(whens, Expr) else []))]:
        if isinstance(change, exp.Update):
            _check_targets(change, tree.this)
        for name, value in list(_set(change, target, walk)):
            check_written(written(value), target.get(name), name)
            convert(value, target.get(name))


def _check_targets(change: exp.Update, target: Expr) -> None:
    """Check that SET names only columns of the table that is changed."""
    own = folded(target.args["alias"].this if target.args.get("alias") else target.this)
    for pair in change.expressions:
        column, value = (pair.this, pair.expression) if isinstance(pair, exp.EQ) else (None, None)
        if isinstance(column, exp.Column) and column.args.get("table") and folded(column.args["table"]) != own:
            raise errors.invalid_identifier(column.sql(dialect="snowflake", comments=False))
        if isinstance(value, (exp.Column, exp.Var)) and value.sql(dialect="snowflake").upper() == "DEFAULT":
            raise errors.unsupported("SET of a column to DEFAULT")


def _set(change: object, target: Columns, walk: Callable[[Expr], object]) -> Iterator[tuple[str, Expr]]:
    """Yield the columns and values of SET a = …, … or of a MERGE's INSERT."""
    if isinstance(change, exp.Update):
        for pair in list(change.expressions):
            for child in list(pair.iter_expressions()):
                walk(child)
            yield _name(pair.this), pair.expression
    elif isinstance(change, exp.Insert):
        for child in list(change.iter_expressions()):
            walk(child)
        listed = isinstance(change.this, (exp.Tuple, exp.Schema))
        names = [_name(column) for column in change.this.expressions] if listed else list(target)
        cells = change.expression.expressions if isinstance(change.expression, exp.Tuple) else []
        yield from zip(names, cells, strict=False)


def _name(column: Expr) -> str:
    return folded(column.this if isinstance(column, exp.Column) else column)


def check_rows(values: exp.Values, to: Sequence[tuple[str, Type | None]]) -> None:
    """Check the rows of INSERT … VALUES: the cells of a column have one type, so a text beside a number has to be a number, and
    the table's column has to take this type
    (https://docs.snowflake.com/en/sql-reference/sql/insert, …/sql-reference/constructs/values)."""
    rows = [row.expressions for row in values.expressions if isinstance(row, exp.Tuple)]
    width = len(rows[0]) if rows else 0
    targets = [*to, *[("", None)] * (width - len(to))]
    for place in range(width if rows else 0):
        cells = [row[place] for row in rows if place < len(row)]
        kinds = {type_.kind for cell in cells if (type_ := written(cell)) is not None and type_.kind != "NULL"}
        column, type_ = targets[place]
        if len(kinds) > 1:
            _one_type(cells, kinds, type_)
            cells = [row[place] for row in rows if place < len(row)]
        if "NUMBER" in kinds and len(cells) > 1 and type_ is not None and type_.kind in ("VARCHAR", "VARIANT"):
            _one_scale(cells)
        for cell in cells:
            check_written(written(cell), type_, column)
            convert(cell, type_)


def _one_type(cells: Sequence[Expr], kinds: set[str], to: Type | None) -> None:
    """Convert cells of several kinds. Raises 002014 without a common type; refuses what would become another value here."""
    first = next(type_.kind for cell in cells if (type_ := written(cell)) is not None and type_.kind != "NULL")
    if "NUMBER" in kinds and "VARCHAR" in kinds and not kinds - {"NUMBER", "VARCHAR", "FLOAT"}:
        for cell in cells:
            if (type_ := written(cell)) is not None and type_.kind == "VARCHAR":
                _as_number(cell)
        return
    odd = kinds & {"BOOLEAN", *types.TIMES}
    if not odd or not kinds - odd or to is None:
        return
    if kinds & {"NUMBER", "FLOAT"}:
        if first != "BOOLEAN" or odd != {"BOOLEAN"}:
            other = next(t for cell in cells if (t := written(cell)) is not None and t.kind not in ("NULL", first))
            raise write_errors.wrong_in_values(_shown(other))
        if to.kind != "BOOLEAN":
            raise errors.unsupported("VALUES with a BOOLEAN above a number (cast the cells)")
    elif to.kind in ("VARCHAR", "VARIANT"):
        raise errors.unsupported("VALUES with texts and other types in one column (cast the cells)")


def _as_number(cell: Expr) -> None:
    """Convert a text beside numbers to the number that it spells."""
    if isinstance(cell, exp.Literal) and _PLAIN_NUMBER.fullmatch(cell.name):
        text = cell.name.strip()
        cell.replace(decimal(exp.Literal.string(text), types.of_literal(text.lstrip("+-"))))
    else:
        cell.replace(call_of("_cxm_numeric_text", cell.copy()))


def _one_scale(cells: Sequence[Expr]) -> None:
    """Give numbers that are stored as text the digits of their common type: (1), (2.5) are 1.0 and 2.5."""
    made = types.common(type_ if (type_ := type_of(cell)) else types.NULL for cell in cells)
    if made is None or made.kind != "NUMBER" or not made.scale:
        return
    for cell in cells:
        if (type_ := type_of(cell)) is not None and type_.kind == "NUMBER" and type_.scale != made.scale:
            cell.replace(decimal(cell.copy(), made))
