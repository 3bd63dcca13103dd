"""Casts the columns of a query's result to the types that were inferred for them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.column_names import column_name, named
from flows.embedded.warehouse.translate.expressions import declared
from flows.embedded.warehouse.translate.scopes import Item, folded
from flows.embedded.warehouse.translate.typed_nodes import decimal, type_of
from flows.embedded.warehouse.translate.types import Type

KINDS = "cxm_kinds"  # of a query: the kind of each column of its result, "" where it is not known


def shown_kind(name: str, kind: str) -> str:
    """Return a column's type, ARRAY or OBJECT if it is one on Snowflake, where the engine has JSON, a struct or a list."""
    return kind if kind in ("ARRAY", "OBJECT") else name


def give_types(query: Expr, types_: Sequence[Type | None]) -> None:
    """Cast each column of a query's result, and of the halves of a UNION, to its NUMBER; `query` is changed in place."""
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.SetOperation):
        give_types(query.this, types_)
        give_types(query.expression, types_)
    if (
        not isinstance(query, exp.Select)
        or any(p.is_star for p in query.expressions)
        or len(query.expressions) != len(types_)
    ):
        return
    for projection, type_ in zip(list(query.expressions), types_, strict=True):
        inner = projection.unalias()
        if type_ is None or type_.kind != "NUMBER" or isinstance(inner, exp.Placeholder):
            continue
        if isinstance(inner, exp.Column) and type_of(inner) in (type_, None):
            continue
        if isinstance(inner, exp.Cast) and not isinstance(inner, exp.TryCast) and declared(inner.to) == type_:
            continue
        name = folded(inner.this) if isinstance(inner, exp.Column) else column_name(projection)
        cast = decimal(inner.copy(), type_)
        if isinstance(projection, exp.Alias):
            projection.set("this", cast)
        elif name is None:
            projection.replace(cast)
        else:
            projection.replace(named(cast, name))


def name_nulls(items: Sequence[Item]) -> None:
    """Make a column that is only NULL a VARCHAR, as CREATE … AS SELECT does."""
    for item in items:
        if item.type == types.NULL and item.node is not None and not isinstance(item.node, exp.SetOperation):
            inner = item.node.unalias()
            inner.replace(exp.cast(inner.copy(), exp.DataType.build("VARCHAR")))
