"""Combines values of different types: a VARIANT or text in a comparison, the common type of CASE, COALESCE, GREATEST.

https://docs.snowflake.com/en/sql-reference/data-type-conversion
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import call_of, decimal, replaced, set_type, text_as_number, type_of
from flows.embedded.warehouse.translate.types import Type

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


_KINDS_AS_TYPES = {
    "NUMBER": "DOUBLE",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_NTZ": "TIMESTAMPNTZ",
    "TIMESTAMP_LTZ": "TIMESTAMPLTZ",
    "TIMESTAMP_TZ": "TIMESTAMPTZ",
}


def compared(node: Expr) -> Type | None:
    """Cast a VARIANT or text that is compared with a value of another type to that type: V:name = 'x', A = '1.5'."""
    if (query := _queried(node)) is not None:
        _beside_query(node, query)
        return set_type(node, types.BOOLEAN)
    if isinstance(node, (exp.Between, exp.In)):
        others = [node.args["low"], node.args["high"]] if isinstance(node, exp.Between) else node.expressions
        _as_beside(node.this, type_of(node.this), type_of(next(iter(others), None)))
        _texts_beside([node.this, *others])
        return set_type(node, types.BOOLEAN)
    if isinstance(node, (exp.And, exp.Or, exp.Xor)):
        make_condition(node.this)
        make_condition(node.expression)
        return set_type(node, types.BOOLEAN)
    if isinstance(node, exp.Not):
        make_condition(node.this)
        return set_type(node, types.BOOLEAN)
    if isinstance(node, exp.Ordered) and (type_ := type_of(node.this)) and type_.kind == "VARIANT":
        node.this.replace(call_of("_cxm_order", node.this.copy()))
        return set_type(node, type_)
    if isinstance(node, (exp.Max, exp.Min)) and (type_ := type_of(node.this)) and type_.kind == "VARIANT":
        name = "arg_max" if isinstance(node, exp.Max) else "arg_min"
        return replaced(node, call_of(name, node.this.copy(), call_of("_cxm_order", node.this.copy())), type_)
    if not isinstance(node, _COMPARISONS):
        return None
    a, b = type_of(node.this), type_of(node.expression)
    if (
        isinstance(node, (exp.EQ, exp.NEQ))
        and a is not None
        and b is not None
        and {a.kind, b.kind} <= types.SEMI_STRUCTURED
    ):
        for side in (node.this, node.expression):  # 1 is 1.0, and an object's keys have no order
            side.replace(call_of("_cxm_same_json", call_of("_cxm_js", side.copy())))
        return set_type(node, types.BOOLEAN)
    _as_beside(node.this, a, b)
    _as_beside(node.expression, b, a)
    _texts_beside([node.this, node.expression])
    return set_type(node, types.BOOLEAN)


def _queried(node: Expr) -> Expr | None:
    """Return the query of V IN (SELECT …) or V = ANY (SELECT …)."""
    held = node.args.get("query") if isinstance(node, exp.In) else None
    if isinstance(node, _COMPARISONS) and isinstance(node.expression, (exp.Any, exp.All)):
        held = node.expression.this
    return held if isinstance(held, exp.Query) else None


def _beside_query(node: Expr, query: Expr) -> None:
    """Cast a VARIANT or text that is compared with a query's rows, as with a single value; refuse what is not supported."""
    a, b = type_of(node.this), type_of(query)
    if a is None or b is None:
        return
    if a.kind in types.SEMI_STRUCTURED and b.kind not in types.SEMI_STRUCTURED:
        _as_beside(node.this, a, b)
    elif b.kind in types.SEMI_STRUCTURED:
        raise errors.unsupported(f"a comparison with a query of {b.kind} (cast its column)")
    elif b.kind == "VARCHAR" and a.kind not in ("VARCHAR", "NULL"):
        raise errors.unsupported(f"a comparison of a {a.kind} with a query of texts (cast its column)")
    else:
        stand_in = exp.Cast(this=exp.null(), to=exp.DataType.build("VARCHAR"))
        set_type(stand_in, b)
        _texts_beside([node.this, stand_in])


def _texts_beside(values: list[Expr]) -> None:
    """Cast a text that is compared with a value of another type to that type
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    known = [type_ for value in values if (type_ := type_of(value)) is not None]
    numbers = [type_ for type_ in known if type_.kind == "NUMBER"]
    kind = next((type_.kind for type_ in known if type_.kind in _OF_TEXTS), "")
    for value in values:
        if (type_ := type_of(value)) is None or type_.kind != "VARCHAR":
            continue
        if any(type_.kind == "FLOAT" for type_ in known):
            value.replace(exp.Cast(this=call_of("_cxm_numeric_text", value.copy()), to=exp.DataType.build("DOUBLE")))
        elif numbers:
            if isinstance(value, exp.Literal) and not _NUMBER.fullmatch(value.name):
                raise errors.not_numeric(value.name)
            to = types.number(types.DIGITS, max(_DIGITS_OF_TEXT, *(type_.scale for type_ in numbers)))
            value.replace(text_as_number(value, to))
        elif kind == "BOOLEAN":
            make_condition(value)
        elif kind and not (
            isinstance(value, exp.Literal) and _PLAIN_TIME.fullmatch(value.name) and kind != "TIMESTAMP_TZ"
        ):
            to_time = exp.DataType.build(_KINDS_AS_TYPES.get(kind, kind), dialect="snowflake")
            value.replace(exp.Cast(this=value.copy(), to=to_time))


_OF_TEXTS = ("BOOLEAN", *types.TIMES)
_DIGITS_OF_TEXT = 12  # after the point of a text that is compared with a number
# Texts that the engine reads as Snowflake does: they stay constants, by which the engine skips whole blocks of rows.
_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?|\d\d:\d\d:\d\d")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.I)
_NO_CONDITIONS = (*types.TIMES, "BINARY", "ARRAY", "OBJECT")


def refuse_zoned(where: str, types_: Iterable[Type | None]) -> None:
    """Refuse to group by a TIMESTAMP_TZ: equal instants of two zones are one group, but differ in the engine's structs
    (https://docs.snowflake.com/en/sql-reference/data-types-datetime#timestamp-ltz-timestamp-ntz-timestamp-tz)."""
    if any(type_ is not None and type_.kind == "TIMESTAMP_TZ" for type_ in types_):
        raise errors.unsupported(f"{where} of a TIMESTAMP_TZ (cast it to TIMESTAMP_LTZ or TIMESTAMP_NTZ)")


def make_condition(value: Expr) -> None:
    """Cast a text that is an operand of AND, or of WHERE, to BOOLEAN, and refuse a date
    (https://docs.snowflake.com/en/sql-reference/data-types-logical#boolean-conversion)."""
    type_ = type_of(value)
    if type_ is None:
        return
    if type_.kind in _NO_CONDITIONS:
        raise errors.no_condition(str(type_), value.sql(dialect="snowflake", comments=False))
    if type_.kind in ("VARCHAR", "VARIANT"):
        text = value.copy() if type_.kind == "VARIANT" else call_of("_cxm_truth", value.copy())
        made = exp.cast(text, "BOOLEAN")
        value.replace(made)
        set_type(made, types.BOOLEAN)


def _as_beside(operand: Expr, type_: Type | None, other: Type | None) -> None:
    if type_ is not None and type_.kind == "VARIANT" and other is not None and other.kind in _COMPARED:
        to = exp.DataType.build(_KINDS_AS_TYPES.get(other.kind, other.kind))
        operand.replace(exp.Cast(this=operand.copy(), to=to))


_COMPARED = ("NUMBER", "FLOAT", "VARCHAR", "DATE", "TIME", "BOOLEAN", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ")


def branches(node: Expr) -> Type | None:
    """Give the values of CASE, IFF, COALESCE and GREATEST one type; a text beside numbers becomes a number."""
    parts: list[object] = []
    if isinstance(node, exp.Case):
        if node.args.get("this") is None:
            for branch in node.args["ifs"]:
                make_condition(branch.this)
        parts = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If) and not isinstance(node.parent, exp.Case):
        make_condition(node.this)
        parts = [node.args["true"], node.args.get("false")]
    elif isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
        parts = [node.this, *node.expressions]
    elif isinstance(node, exp.Nvl2):
        parts = [node.args["true"], node.args.get("false")]
    values = [v for v in parts if isinstance(v, Expr)]
    if not values:
        return None
    if any((t := type_of(v)) is not None and t.kind == "VARIANT" for v in values):
        return _variants(node, values)
    made = types.common(type_of(v) for v in values)
    if made is not None and made.kind == "NUMBER":
        for value in values:
            if (type_ := type_of(value)) and type_.kind == "VARCHAR":
                value.replace(decimal(value.copy(), made))
    return set_type(node, made)


def _variants(node: Expr, values: list[Expr]) -> Type | None:
    """Make all values VARIANT, since one of them is."""
    if isinstance(node, (exp.Greatest, exp.Least)):
        raise errors.unsupported("GREATEST and LEAST of a VARIANT (cast it)")
    for value in values:
        if (type_ := type_of(value)) is not None and type_.kind not in ("VARIANT", "NULL"):
            value.replace(call_of("to_json", value.copy()))
    return set_type(node, Type("VARIANT"))
