"""VARIANT, aggregates over NULL and rows of values as Snowflake has them, before fakesnow's transforms see them.

syntax tree ──rewrite──▶ the same tree: TYPEOF by what a VARIANT holds, ARRAY_AGG without NULLs, (A, B) = (C, D) by columns

https://docs.snowflake.com/en/sql-reference/functions-semistructured, …/functions/listagg, …/functions/array_agg
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.trees import change_from_leaves

_BINARY = (exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY)
_WITHOUT_EFFECT = {"PATH": "", "OUTER": "FALSE", "RECURSIVE": "FALSE", "MODE": "BOTH"}


def rewrite(expression: Expr) -> Expr:
    """The statement, changed in place, or what takes its place."""
    return change_from_leaves(expression, _rewritten)


def _rewritten(node: Expr) -> Expr:
    if isinstance(node, exp.Typeof):
        return exp.Anonymous(this="_cxm_typeof", expressions=[node.this])
    if isinstance(node, exp.Explode):
        _check_flatten(node)
    elif isinstance(node, exp.GroupConcat) and node.args.get("separator") is None:
        node.set("separator", exp.Literal.string(""))
    elif (
        isinstance(node, (exp.EQ, exp.NEQ))
        and isinstance(node.this, exp.Tuple)
        and isinstance(node.expression, exp.Tuple)
    ):
        same = _same(node.this.expressions, node.expression.expressions)
        return exp.paren(same if isinstance(node, exp.EQ) else exp.Not(this=exp.paren(same)))
    elif isinstance(node, exp.In) and isinstance(node.this, exp.Tuple) and node.expressions:
        rows = [row for row in node.expressions if isinstance(row, exp.Tuple)]
        if len(rows) == len(node.expressions):
            return exp.paren(exp.or_(*[_same(node.this.expressions, row.expressions) for row in rows]))
    elif isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast) and node.to.this in _BINARY:
        return (
            node
            if isinstance(node.this, (exp.Null, exp.Placeholder))
            else exp.Anonymous(this="_cxm_binary", expressions=[node.this])
        )
    return _whole(node)


def _whole(node: Expr) -> Expr:
    """LISTAGG and ARRAY_AGG with what belongs to the call: an empty text, an empty array where there is nothing but NULL."""
    call = node
    while isinstance(call, (exp.WithinGroup, exp.Window, exp.Filter)):
        call = call.this
    if isinstance(node.parent, (exp.WithinGroup, exp.Window, exp.Filter)) and node.arg_key == "this":
        return node
    if isinstance(call, exp.GroupConcat):
        return exp.func("coalesce", node.copy(), exp.Literal.string(""))
    if isinstance(call, exp.ArrayAgg):
        return exp.Anonymous(this="_cxm_array", expressions=[node.copy()])
    return node


def _same(left: Sequence[Expr], right: Sequence[Expr]) -> Expr:
    if len(left) != len(right):
        raise errors.unsupported("a comparison of rows of different lengths")
    pairs: list[Expr] = [exp.EQ(this=a.copy(), expression=b.copy()) for a, b in zip(left, right, strict=True)]
    return reduce(lambda a, b: exp.And(this=a, expression=b), pairs)


def _check_flatten(call: exp.Explode) -> None:
    """Only what is expanded: https://docs.snowflake.com/en/sql-reference/functions/flatten#arguments."""
    for argument in [call.this, *call.expressions]:
        if not isinstance(argument, exp.Kwarg):
            continue
        name, value = argument.this.name.upper(), argument.expression
        shown = str(value.this if isinstance(value, exp.Boolean) else value.name).upper()
        if name != "INPUT" and _WITHOUT_EFFECT.get(name) != shown:
            raise errors.unsupported(f"FLATTEN with {name}")
