"""Values beside each other: a VARIANT compared with a value of another type, and the one type of CASE, COALESCE, GREATEST.

https://docs.snowflake.com/en/sql-reference/data-type-conversion
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import call_of, decimal, is_of, replaced, type_of
from flows.embedded.warehouse.translate.types import Type

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


_KINDS_AS_TYPES = {
    "NUMBER": "DOUBLE",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_NTZ": "TIMESTAMPNTZ",
    "TIMESTAMP_LTZ": "TIMESTAMPLTZ",
}


def compared(node: Expr) -> Type | None:
    """A VARIANT beside a value of another type is cast to it: V:name = 'x'."""
    if isinstance(node, (exp.Between, exp.In)):
        beside = node.args["low"] if isinstance(node, exp.Between) else next(iter(node.expressions), None)
        _as_beside(node.this, type_of(node.this), type_of(beside))
        return is_of(node, types.BOOLEAN)
    if isinstance(node, exp.Ordered) and (type_ := type_of(node.this)) and type_.kind == "VARIANT":
        node.this.replace(call_of("_cxm_order", node.this.copy()))
        return is_of(node, type_)
    if isinstance(node, (exp.Max, exp.Min)) and (type_ := type_of(node.this)) and type_.kind == "VARIANT":
        name = "arg_max" if isinstance(node, exp.Max) else "arg_min"
        return replaced(node, call_of(name, node.this.copy(), call_of("_cxm_order", node.this.copy())), type_)
    if not isinstance(node, _COMPARISONS):
        return None
    a, b = type_of(node.this), type_of(node.expression)
    _as_beside(node.this, a, b)
    _as_beside(node.expression, b, a)
    return is_of(node, types.BOOLEAN)


def _as_beside(operand: Expr, type_: Type | None, other: Type | None) -> None:
    if type_ is not None and type_.kind == "VARIANT" and other is not None and other.kind in _COMPARED:
        to = exp.DataType.build(_KINDS_AS_TYPES.get(other.kind, other.kind))
        operand.replace(exp.Cast(this=operand.copy(), to=to))


_COMPARED = ("NUMBER", "FLOAT", "VARCHAR", "DATE", "TIME", "BOOLEAN", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ")


def branches(node: Expr) -> Type | None:
    """CASE, IFF, COALESCE, GREATEST: one type for all; a text beside numbers is a number."""
    found: list[object] = []
    if isinstance(node, exp.Case):
        found = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If) and not isinstance(node.parent, exp.Case):
        found = [node.args["true"], node.args.get("false")]
    elif isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
        found = [node.this, *node.expressions]
    values = [v for v in found if isinstance(v, Expr)]
    if not values:
        return None
    if any((t := type_of(v)) is not None and t.kind == "VARIANT" for v in values):
        return _variants(node, values)
    made = types.common(type_of(v) for v in values)
    if made is not None and made.kind == "NUMBER":
        for value in values:
            if (type_ := type_of(value)) and type_.kind == "VARCHAR":
                value.replace(decimal(value.copy(), made))
    return is_of(node, made)


def _variants(node: Expr, values: list[Expr]) -> Type | None:
    """A VARIANT beside values of other types: all are VARIANT."""
    if isinstance(node, (exp.Greatest, exp.Least)):
        raise errors.unsupported("GREATEST and LEAST of a VARIANT (cast it)")
    for value in values:
        if (type_ := type_of(value)) is not None and type_.kind not in ("VARIANT", "NULL"):
            value.replace(call_of("to_json", value.copy()))
    return is_of(node, Type("VARIANT"))
