"""Converts values where a function takes another kind: texts among numbers, LAG's default, values that become a VARIANT.

https://docs.snowflake.com/en/sql-reference/data-type-conversion
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import (
    call_of,
    decimal,
    replaced,
    set_type,
    text_as_float,
    text_as_number,
    type_of,
)
from flows.embedded.warehouse.translate.types import Type


def shifted(node: Expr) -> Type | None:
    """Give the value and the default of LAG and LEAD one type
    (https://docs.snowflake.com/en/sql-reference/functions/lead#arguments)."""
    if not isinstance(node, (exp.Lag, exp.Lead)) or (default := node.args.get("default")) is None:
        return None
    made = types.common([type_of(node.this), type_of(default)])
    if made is not None and made.kind == "NUMBER":
        node.set("this", decimal(node.this.copy(), made))
        node.set("default", decimal(default.copy(), made))
    return set_type(node, made)


def from_last(node: Expr) -> None:
    """Rewrite NTH_VALUE(…) FROM LAST with the opposite order, which is the same since the frame is the whole partition
    (https://docs.snowflake.com/en/sql-reference/functions/nth_value#syntax)."""
    if not isinstance(node, exp.Window):
        return
    call = node.this.this if isinstance(node.this, (exp.IgnoreNulls, exp.RespectNulls)) else node.this
    if not isinstance(call, exp.NthValue) or call.args.get("from_first") is not False:
        return
    spec, order = node.args.get("spec"), node.args.get("order")
    whole = spec is None or (spec.args.get("start"), spec.args.get("end")) == ("UNBOUNDED", "UNBOUNDED")
    if not whole or not isinstance(order, exp.Order):
        raise errors.unsupported("NTH_VALUE FROM LAST with a window frame")
    call.set("from_first", None)
    for ordered in order.expressions:
        for key in ("desc", "nulls_first"):
            ordered.set(key, not ordered.args.get(key))


def refuse_times(node: Expr) -> None:
    """Refuse what no date or time function takes: the year of a TIME, three arguments with a zone in the third
    (https://docs.snowflake.com/en/sql-reference/functions/year#arguments, …/convert_timezone#arguments)."""
    if isinstance(node, _OF_DATES):
        for key in ("this", "expression"):  # a number is an instant only in a cast
            type_ = type_of(value) if isinstance(value := node.args.get(key), Expr) else None
            counted = key == "expression" and isinstance(node, _COUNTING)
            if type_ is not None and type_.kind in ("NUMBER", "FLOAT", "BOOLEAN") and not counted:
                raise errors.argument_types(type(node).__name__.upper(), str(type_))
            if counted and type_ is not None and type_.kind == "VARCHAR" and isinstance(value, Expr):
                value.replace(call_of("_cxm_int64", text_as_number(value, types.INTEGER)))
    if isinstance(node, exp.Rand) and node.this is not None:
        raise errors.unsupported("RANDOM with a seed (its numbers would be others)")
    if isinstance(node, _PARTS_OF_DATES) and type_of(node.this) == Type("TIME"):
        raise errors.argument_types(type(node).__name__.upper(), "TIME(9)")
    if isinstance(node, exp.ConvertTimezone) and node.args.get("source_tz") is not None:
        type_ = type_of(node.args["timestamp"])
        if type_ is not None and type_.kind in ("TIMESTAMP_TZ", "TIMESTAMP_LTZ"):
            raise errors.argument_types("CONVERT_TIMEZONE", f"VARCHAR, VARCHAR, {type_}(9)")
    if isinstance(node, exp.Sub) and (type_ := type_of(node.this)) and type_ == type_of(node.expression):
        if not type_.kind.startswith("TIME"):
            return
        raise errors.argument_types("-", f"{type_}(9), {type_}(9)")


_COUNTING = (exp.DateAdd, exp.TimestampAdd, exp.TimeAdd, exp.TsOrDsAdd, exp.AddMonths)
_OF_DATES = (
    *_COUNTING, exp.DateDiff, exp.TimestampDiff, exp.TimeDiff, exp.DateTrunc, exp.TimestampTrunc, exp.Extract, exp.MonthsBetween,
    exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear,
    exp.WeekOfYear, exp.YearOfWeek, exp.YearOfWeekIso, exp.Dayname, exp.Monthname, exp.LastDay, exp.Hour, exp.Minute, exp.Second,
    exp.NextDay, exp.PreviousDay,
)  # fmt: skip
_PARTS_OF_DATES = (
    exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear,
    exp.WeekOfYear, exp.YearOfWeek, exp.YearOfWeekIso, exp.Dayname, exp.Monthname, exp.LastDay,
)  # fmt: skip


def refuse_paths(node: Expr) -> None:
    """Refuse a path into a value that is not a VARIANT, OBJECT or ARRAY
    (https://docs.snowflake.com/en/user-guide/querying-semistructured)."""
    if isinstance(node, exp.JSONExtract) and node.args.get("variant_extract"):
        type_ = type_of(node.this)
        if type_ is not None and type_.kind in types.SCALAR:
            raise errors.argument_types("GET", f"{type_}, VARCHAR")


def read_texts(node: Expr) -> None:
    """Convert a text to a number where a function takes numbers: ABS('-3')
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    if isinstance(node, _OF_BITS):
        for value in (node.this, node.args.get("expression")):
            if (type_ := type_of(value)) is not None and type_.kind == "VARCHAR" and isinstance(value, Expr):
                value.replace(call_of("_cxm_int64", text_as_number(value, types.INTEGER)))
                set_type(node.this, types.INTEGER)
        return
    if not isinstance(node, _OF_NUMBERS):
        return
    exact = isinstance(node, (exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Round, exp.Trunc))
    for key in ("this", "expression"):
        value = node.args.get(key)
        if not isinstance(value, Expr) or (type_ := type_of(value)) is None or type_.kind != "VARCHAR":
            continue
        if exact:
            value.replace(text_as_number(value, types.TEXT_AS_NUMBER))
        else:
            value.replace(text_as_float(value))


_OF_BITS = (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot)
_OF_NUMBERS = (
    exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sqrt, exp.Pow, exp.Exp, exp.Ln, exp.Log, exp.Cbrt,
    exp.Sin, exp.Cos, exp.Tan, exp.Atan, exp.Degrees, exp.Radians,
)  # fmt: skip


_OF_VARIANTS = (*types.TIMES, "BINARY")
_VALUE = "cxm_value"  # of a cast to VARIANT: the value that was cast
FLOATS = "cxm_floats"  # of an object: the keys whose values are FLOATs


_VALUE_AT = {"ARRAY_APPEND": 1, "ARRAY_PREPEND": 1, "ARRAY_INSERT": 2, "OBJECT_INSERT": 2}  # the inserted argument


def _to_variant(node: Expr) -> bool:
    return isinstance(node, exp.ToVariant) or (isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.VARIANT)


def kind_in_variant(node: Expr) -> Type | None:
    """Answer TYPEOF of a date that has just become a VARIANT, which JSON holds only as a text
    (https://docs.snowflake.com/en/sql-reference/functions/typeof#examples)."""
    if not isinstance(node, exp.Typeof):
        return None
    value = node.this.unnest().meta.get(_VALUE)
    if not isinstance(value, Expr) or (type_ := type_of(value)) is None or type_.kind not in _OF_VARIANTS:
        return None
    null = exp.Is(this=value.copy(), expression=exp.null())
    made = exp.Case(ifs=[exp.If(this=exp.Not(this=null), true=exp.Literal.string(type_.kind))])
    return replaced(node, made, types.VARCHAR)


def put_in_variant(node: Expr) -> None:
    """Convert a value that becomes a VARIANT, an element or a field: FLOATs and timestamps to what Snowflake shows there; keep
    COUNT from counting JSON's null
    (https://docs.snowflake.com/en/sql-reference/data-types-semistructured, …/functions/count#usage-notes)."""
    if isinstance(node, exp.Count):
        counted = node.this.expressions if isinstance(node.this, exp.Distinct) else [node.this]
        for value in list(counted) if len(counted) == 1 and not node.expressions else []:
            if (type_ := type_of(value)) is not None and type_.kind == "VARIANT":
                value.replace(call_of("_cxm_no_null", value.copy()))
        return
    name = str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
    parts: list[Expr] = []
    if _to_variant(node):
        node.meta[_VALUE] = node.this.copy()
        parts = [node.this]
        type_ = type_of(node.this)
        if type_ is not None and type_.kind == "NUMBER" and not type_.scale and not isinstance(node.this, exp.Literal):
            node.this.replace(
                decimal(node.this.copy(), types.INTEGER)
            )  # one with fewer digits would be 42.0 in the engine's JSON
            return
    elif isinstance(node, (exp.Array, exp.ArrayConstructCompact)) or name == "ARRAY_CONSTRUCT_COMPACT":
        parts = list(node.expressions)
    elif name in _VALUE_AT and len(node.expressions) > _VALUE_AT[name]:
        parts = [node.expressions[_VALUE_AT[name]]]
    elif isinstance(node, (exp.Struct, exp.JSONObject)):
        pairs = [p for p in node.expressions if isinstance(p, (exp.PropertyEQ, exp.JSONKeyValue))]
        node.meta[FLOATS] = [p.this for p in pairs if type_of(p.expression) == types.FLOAT]
        parts = [p.expression for p in pairs if type_of(p.expression) != types.FLOAT]
    for part in parts:
        if (type_ := type_of(part)) is None:
            continue
        if type_ == types.FLOAT:
            part.replace(call_of("_cxm_float_in_json", part.copy()))
        elif type_.kind.startswith("TIMESTAMP"):
            part.replace(exp.Cast(this=part.copy(), to=exp.DataType.build("VARCHAR")))
