"""Converts the values that an INSERT, UPDATE or MERGE puts into columns of dates, times or BINARY."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate.written_types import ASSIGNED

_T = exp.DataType.Type
_OF_ENGINE = {
    "DATE": _T.DATE,
    "BLOB": _T.BINARY,
    "TIME": _T.TIME,
    "TIMESTAMP": _T.TIMESTAMPNTZ,
    "TIMESTAMP WITH TIME ZONE": _T.TIMESTAMPLTZ,
}


def assign(expression: Expr, columns: Sequence[tuple[str, str]]) -> None:
    """Cast what an INSERT, UPDATE or MERGE puts into a column of dates, times or BINARY; `expression` is changed in place.
    `columns`: name, engine's type. https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion"""
    kinds = {name.upper(): _T.TIMESTAMPTZ if "CXM_UTC" in type_ else _OF_ENGINE.get(type_) for name, type_ in columns}
    for change in expression.find_all(exp.Insert, exp.Update):
        if isinstance(change, exp.Update):
            for pair in change.expressions:
                if isinstance(pair, exp.EQ):
                    _assign(pair.expression, kinds.get(pair.this.name.upper()))
            continue
        into = change.this
        named = into.expressions if isinstance(into, (exp.Schema, exp.Tuple)) else []
        order = [kinds.get(column.name.upper()) for column in named] or list(kinds.values())
        source = change.expression
        rows: list[list[Expr]] = []
        if isinstance(source, exp.Values):
            rows = [row.expressions for row in source.expressions if isinstance(row, exp.Tuple)]
        elif isinstance(source, exp.Tuple):
            rows = [source.expressions]
        else:
            rows = [part.expressions for part in _selects(source) if not any(p.is_star for p in part.expressions)]
        for row in rows:
            for value, kind in zip(list(row), order, strict=False):
                _assign(value, kind)


def _assign(value: Expr, kind: object) -> None:
    bare = value.unalias()
    words = isinstance(bare, (exp.Column, exp.Var)) and bare.name.upper() == "DEFAULT"
    if kind is None or words or isinstance(bare, (exp.Null, exp.Placeholder)):
        return
    made = exp.Cast(this=bare.copy(), to=exp.DataType(this=kind, nested=False))
    made.meta[ASSIGNED] = True
    bare.replace(made)


def _selects(query: object) -> list[exp.Select]:
    """Return the SELECTs of a query: itself, or those that a UNION is made of."""
    if isinstance(query, exp.Subquery):
        return _selects(query.this)
    if isinstance(query, exp.SetOperation):
        return _selects(query.this) + _selects(query.expression)
    return [query] if isinstance(query, exp.Select) else []
