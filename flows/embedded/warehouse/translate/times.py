"""Rewrites Snowflake's casts and functions of dates, times and timestamps as calls of the macros in `macros`.

syntax tree ──rewrite──▶ the same tree: DATE_TRUNC('month', D) → _cxm_trunc('month', D), X::TIMESTAMP_TZ → _cxm_tz(X)

The macros decide by the type of a value, which DuckDB knows and a tree does not.
https://docs.snowflake.com/en/sql-reference/data-types-datetime, …/functions-date-time, …/date-time-input-output.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.macros import ZONED
from flows.embedded.warehouse.translate.time_calls import TEXTS, call
from flows.embedded.warehouse.translate.time_functions import FUNCTIONS, interval_added
from flows.embedded.warehouse.translate.time_texts import CONVERSIONS, conversion
from flows.embedded.warehouse.translate.trees import change_from_leaves
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type

_T = exp.DataType.Type
KINDS = {
    _T.DATE: "date", _T.TIME: "time", _T.TIMESTAMP: "ntz", _T.TIMESTAMPNTZ: "ntz", _T.DATETIME: "ntz", _T.TIMESTAMPLTZ: "ltz",
    _T.TIMESTAMPTZ: "tz",
}  # fmt: skip


_ZONED_TYPE = Type("TIMESTAMP_TZ")


def rewrite(expression: Expr) -> Expr:
    """Rewrite a statement in place so that DuckDB computes its dates and times as Snowflake does."""
    zoned = any(_makes_zoned(node) or type_of(node) == _ZONED_TYPE for node in expression.walk())
    expression = change_from_leaves(expression, _rewritten)
    return change_from_leaves(expression, _compared) if zoned else expression


def engine_type(node: exp.DataType) -> exp.DataType:
    """Return a column's type in the engine: a zoned timestamp for TIMESTAMP_LTZ, a struct with the offset for TIMESTAMP_TZ."""
    if (
        node.this in KINDS
        and node.expressions
        and isinstance(node.parent, exp.ColumnDef)
        and node.expressions[0].name != "9"
    ):
        raise errors.unsupported(
            f"{node.sql(dialect='snowflake')} as a column's type (without a scale it holds the same)"
        )
    if node.this in KINDS:
        node.set("expressions", None)
    if node.this == _T.TIMESTAMPTZ:
        return exp.DataType.build(ZONED, dialect="duckdb")
    if node.this == _T.TIMESTAMPLTZ:
        return exp.DataType.build("TIMESTAMPTZ", dialect="duckdb")
    return node


def _makes_zoned(node: Expr) -> bool:
    return (
        (isinstance(node, exp.DataType) and node.this == _T.TIMESTAMPTZ)
        or isinstance(node, exp.ConvertTimezone)
        or (
            isinstance(node, exp.Anonymous)
            and str(node.this).upper().endswith(("TO_TIMESTAMP_TZ", "TZ_FROM_PARTS", "TZFROMPARTS"))
        )
    )


def _compared(node: Expr) -> Expr:
    """Compare TIMESTAMP_TZ by its instant: "all operations are performed with a time zone offset specific to each record"
    (https://docs.snowflake.com/en/sql-reference/data-types-datetime#timestamp-ltz-timestamp-ntz-timestamp-tz)."""
    if isinstance(node, (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
        for key in ("this", "expression"):
            node.set(key, _wrapped("instant", node.args[key]))
    elif isinstance(node, (exp.Between, exp.In)):
        for key in ("this", "low", "high"):
            if isinstance(node.args.get(key), Expr):
                node.set(key, _wrapped("instant", node.args[key]))
        node.set("expressions", [_wrapped("instant", value) for value in node.expressions] or None)
    elif isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct):
        node.this.set("expressions", [_wrapped("instant", value) for value in node.this.expressions])
    return node


def _wrapped(name: str, value: Expr) -> Expr:
    bare = value.unnest()
    if isinstance(bare, (exp.Null, exp.Placeholder, exp.Literal, exp.Tuple, exp.Query, exp.Boolean)):
        return value
    return call(name, value)


def _rewritten(node: Expr) -> Expr:
    if isinstance(node, exp.Cast):
        return _cast(node)
    if isinstance(node, exp.DataType):
        return node if isinstance(node.parent, exp.Cast) else engine_type(node)
    if isinstance(node, exp.Anonymous):
        name = str(node.this).upper() if not isinstance(node.this, Expr) else ""
        return conversion(node, name) if name in CONVERSIONS else node
    if isinstance(node, (exp.Add, exp.Sub)) and isinstance(node.expression, exp.Interval):
        return interval_added(node)
    for kinds, made in FUNCTIONS:
        if isinstance(node, kinds):
            return made(node)
    return node


def _cast(node: exp.Cast) -> Expr:
    value, kind = node.this, node.to.this
    tried = isinstance(node, exp.TryCast)
    if isinstance(value.unnest(), (exp.Null, exp.Placeholder)):
        if kind == _T.TIMESTAMPTZ and isinstance(value.unnest(), exp.Placeholder):
            return call("tz", exp.cast(value, "TIMESTAMPLTZ"))
        if kind == _T.TIMESTAMPTZ:
            node.set("to", exp.DataType.build(ZONED, dialect="duckdb"))
        return node
    if kind in TEXTS:
        if not isinstance(value, exp.Literal) and not _is_text(value):
            node.set("this", call("text", value))
        return node
    if kind not in KINDS:
        return node
    made: Expr = call(f"{'try_' if tried else ''}{KINDS[kind]}", value)
    scale = next((int(p.name) for p in node.to.expressions if p.name.isdigit()), 9)
    return made if scale >= 6 else call("scaled", made, exp.Literal.number(10 ** (6 - scale)))


def _is_text(node: Expr) -> bool:
    """Whether an expression is a text column or a cast to text: the macro would leave it as it is, but DuckDB would bind
    all of the macro's bodies, three milliseconds a call."""
    node = node.unnest()
    if isinstance(node, exp.Cast):
        return node.to.this in TEXTS
    type_ = type_of(node) if isinstance(node, exp.Column) else None
    return type_ is not None and type_.kind == "VARCHAR"
