"""Types an expression whose parts are typed, and replaces it where DuckDB's value would differ.

node ──typed──▶ its type; a / b, AVG, ROUND, CAST … are replaced in the tree

https://docs.snowflake.com/en/sql-reference/operators-arithmetic, …/data-type-conversion.
"""

from __future__ import annotations

from decimal import Decimal

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.arithmetic import (
    arithmetic,
    average,
    events_counted,
    median,
    rounded,
    share_of_total,
    spread,
    text_summed,
)
from flows.embedded.warehouse.translate.coercions import (
    from_last,
    kind_in_variant,
    put_in_variant,
    read_texts,
    refuse_paths,
    refuse_times,
    shifted,
)
from flows.embedded.warehouse.translate.comparisons import branches, compared
from flows.embedded.warehouse.translate.grouping import distinct_by_value
from flows.embedded.warehouse.translate.made_types import made_type
from flows.embedded.warehouse.translate.typed_nodes import call_of, decimal, make_whole, replaced, set_type, type_of
from flows.embedded.warehouse.translate.types import Type

_T = exp.DataType.Type


_INTEGERS = (_T.INT, _T.BIGINT, _T.SMALLINT, _T.TINYINT)


_TEXTS = (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR)


_TIMES = {
    _T.DATE: "DATE", _T.TIME: "TIME", _T.TIMESTAMP: "TIMESTAMP_NTZ", _T.TIMESTAMPNTZ: "TIMESTAMP_NTZ",
    _T.DATETIME: "TIMESTAMP_NTZ",
    _T.TIMESTAMPLTZ: "TIMESTAMP_LTZ", _T.TIMESTAMPTZ: "TIMESTAMP_TZ", _T.BOOLEAN: "BOOLEAN", _T.VARIANT: "VARIANT",
    _T.OBJECT: "OBJECT", _T.ARRAY: "ARRAY", _T.BINARY: "BINARY", _T.VARBINARY: "BINARY",
}  # fmt: skip


# The digits that a decimal of 64 bits holds.
_NARROW = 18

# Nodes that the operand of a cast may have for the cast to be written twice.
_PLAIN = (exp.Column, exp.Identifier, exp.Literal, exp.Nullif, exp.Trim, exp.Replace, exp.Paren)

# Arguments that DuckDB expects as a whole number, where a NUMBER(38,0) is a decimal: (function, its arguments).
_WHOLE: dict[type[Expr], tuple[str, ...]] = {
    exp.Substring: ("start", "length"), exp.Left: ("expression",), exp.Right: ("expression",), exp.Pad: ("expression",),
    exp.Repeat: ("times",), exp.Space: ("this",), exp.SplitPart: ("part_index",), exp.DateAdd: ("expression",),
    exp.TimestampAdd: ("expression",), exp.TsOrDsAdd: ("expression",), exp.AddMonths: ("expression",), exp.Chr: ("expressions",),
    exp.StrPosition: ("position", "occurrence"), exp.RegexpExtract: ("position", "occurrence", "group"),
    exp.DateFromParts: ("year", "month", "day"), exp.TimestampFromParts: ("year", "month", "day", "hour", "min", "sec", "nano"),
    exp.BitwiseAnd: ("this", "expression"), exp.BitwiseOr: ("this", "expression"), exp.BitwiseXor: ("this", "expression"),
    exp.BitwiseNot: ("this",),
    exp.Lag: ("offset",), exp.Lead: ("offset",), exp.NthValue: ("offset",), exp.Ntile: ("this",), exp.Factorial: ("this",),
    exp.BitwiseAndAgg: ("this",), exp.BitwiseOrAgg: ("this",), exp.BitwiseXorAgg: ("this",),
    exp.Bracket: ("expressions",), exp.Round: ("decimals",), exp.Trunc: ("decimals",), exp.Ceil: ("decimals",),
    exp.Floor: ("decimals",), exp.TimeFromParts: ("hour", "min", "sec", "nano"), exp.Interval: ("this",),
}  # fmt: skip


_SAME = (
    exp.Min,
    exp.Max,
    exp.AnyValue,
    exp.Abs,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
    exp.Mode,
    exp.Neg,
    exp.Paren,
)


_COUNTS = (
    exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Length, exp.ApproxDistinct, exp.CountIf, exp.Ntile, exp.StrPosition,
    exp.RegexpCount, exp.RegexpInstr, exp.ArraySize, exp.Ascii, exp.Unicode, exp.Levenshtein, exp.WidthBucket, exp.Grouping,
    exp.DateDiff, exp.Extract, exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfWeek, exp.DayOfYear, exp.Hour,
    exp.Minute, exp.Second, exp.Sign,
)  # fmt: skip


_FLOATS = (
    exp.Sqrt, exp.Pow, exp.Ln, exp.Log, exp.Exp, exp.Sin, exp.Cos, exp.Tan, exp.Corr, exp.Cbrt, exp.Pi, exp.ToDouble,
    exp.CumeDist, exp.PercentRank, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
)  # fmt: skip


_OF_BITS = (
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip


_DATES = (exp.TsOrDsToDate, exp.CurrentDate, exp.DateFromParts, exp.LastDay)


_YES_OR_NO = (exp.Predicate, exp.Not, exp.And, exp.Or, exp.Xor, exp.Boolean)


_TO_TEXT = (
    exp.Concat,
    exp.DPipe,
    exp.Upper,
    exp.Lower,
    exp.Trim,
    exp.Substring,
    exp.Left,
    exp.Right,
    exp.Replace,
    exp.ToChar,
)


def typed(node: Expr) -> Type | None:
    """Infer the type of an expression after those in it; replace the expression where DuckDB would compute otherwise."""
    if isinstance(node, exp.Literal):
        return set_type(node, _literal(node))
    for name in _WHOLE.get(type(node), ()):
        make_whole(node.args.get(name), "_cxm_int32" if isinstance(node, exp.Pad) else "_cxm_int64")
    if isinstance(node, _OF_TEXT):
        _make_text(node.this)
        if isinstance(node, (exp.Contains, exp.StartsWith, exp.EndsWith, exp.StrPosition, exp.Levenshtein)):
            _make_text(node.args.get("substr") or node.expression)
        if type_of(node.args.get("expression")) == types.NULL:
            counted = isinstance(node, (exp.Left, exp.Right, exp.Pad))
            whole = "_cxm_int32" if isinstance(node, exp.Pad) else "_cxm_int64"
            node.set("expression", call_of(whole, exp.null()) if counted else exp.cast(exp.null(), "VARCHAR"))
    if isinstance(node, exp.Anonymous) and str(node.this).upper() == "TRUNC" and len(node.expressions) == 2:
        value, digits = node.expressions
        if (type_ := type_of(value)) is not None and type_.kind in ("NUMBER", "FLOAT"):  # sqlglot knows no types
            number = exp.Trunc(this=value.copy(), decimals=digits.copy())
            node.replace(number)
            node = number
    distinct_by_value(node)
    from_last(node)
    refuse_times(node)
    refuse_paths(node)
    read_texts(node)
    put_in_variant(node)
    for make in (
        compared, arithmetic, average, spread, events_counted, share_of_total, median, _cast, rounded, branches, text_summed,
        _typeof, shifted, kind_in_variant,
    ):  # fmt: skip
        if (made := make(node)) is not None:
            return made
    return set_type(node, _simple(node))


def _literal(node: exp.Literal) -> Type | None:
    if node.is_string:
        return Type("VARCHAR", length=len(node.name) or 1)
    text = node.name
    if (
        "e" in text.lower()
    ):  # 1e10 is NUMBER(11,0): https://docs.snowflake.com/en/sql-reference/functions/system_typeof#examples
        text = f"{Decimal(text):f}"
        if len(text.replace(".", "")) > types.DIGITS:
            return types.FLOAT
        node.set("this", text)
    return types.of_literal(text)


_OF_TEXT = (
    exp.Upper, exp.Lower, exp.Initcap, exp.Trim, exp.Reverse, exp.Length, exp.Substring, exp.Left, exp.Right, exp.Replace,
    exp.Contains, exp.StartsWith, exp.EndsWith, exp.SplitPart, exp.Pad, exp.Repeat, exp.Like, exp.ILike, exp.RegexpLike,
    exp.RegexpReplace, exp.RegexpCount, exp.RegexpInstr, exp.Translate, exp.Split, exp.Ascii, exp.Unicode, exp.StrPosition,
    exp.Levenshtein, exp.RegexpExtract, exp.RegexpExtractAll, exp.Strtok, exp.Soundex, exp.MD5, exp.SHA, exp.SHA2,
)  # fmt: skip


_WRITTEN = ("NUMBER", "FLOAT", "BOOLEAN", *types.TIMES, "VARIANT")


def _make_text(value: object) -> None:
    """Convert a value to text where a function takes texts: UPPER(1), LEFT(CURRENT_DATE, 4)
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    type_ = type_of(value)
    if isinstance(value, Expr) and type_ is not None and type_.kind in _WRITTEN:
        value.replace(exp.Cast(this=value.copy(), to=exp.DataType.build("VARCHAR")))


def _typeof(node: Expr) -> Type | None:
    """Answer SYSTEM$TYPEOF of a value of a known type (https://docs.snowflake.com/en/sql-reference/functions/system_typeof)."""
    if not isinstance(node, exp.Anonymous) or str(node.this).upper() != "SYSTEM$TYPEOF" or len(node.expressions) != 1:
        return None
    argument = node.expressions[0]
    type_ = type_of(argument)
    # a NUMBER's size depends on its values: known for a constant, and for a converted text the largest of the type
    most = int(argument.name.replace(".", "")) if isinstance(argument, exp.Literal) and not argument.is_string else -1
    if isinstance(argument, (exp.Cast, exp.Coalesce)) and type_ and "_CXM_DIGITS(" in argument.sql(dialect="snowflake"):
        most = 10**type_.precision - 1
    if type_ is None or (type_.kind == "VARCHAR" and not type_.length) or (type_.kind == "NUMBER" and most < 0):
        raise errors.unsupported(f"SYSTEM$TYPEOF({argument.sql(dialect='snowflake')})")
    size = _SIZES.get(type_.kind, "LOB")
    if type_.kind == "NUMBER":
        size = next((f"SB{n}" for n in (1, 2, 4, 8) if most < 1 << (8 * n - 1)), "SB16")
    scale = "(9)" if type_.kind.startswith("TIME") else ""
    text = exp.Literal.string(f"{type_}{scale}[{size}]")
    return replaced(node, text, Type("VARCHAR", length=len(text.name)))


_SIZES = {
    "FLOAT": "DOUBLE", "BOOLEAN": "SB1", "DATE": "SB4", "TIME": "SB8", "TIMESTAMP_NTZ": "SB16", "TIMESTAMP_LTZ": "SB16",
    "TIMESTAMP_TZ": "SB16",
}  # fmt: skip


def declared(to: exp.DataType) -> Type | None:
    """Return the type that CAST or a column's definition names."""
    sizes = [int(p.name) for p in to.expressions if isinstance(p, exp.DataTypeParam) and p.name.isdigit()]
    if to.this in _INTEGERS:
        return types.INTEGER
    if to.this == _T.DECIMAL:
        return types.number(sizes[0], sizes[1] if len(sizes) > 1 else 0) if sizes else types.INTEGER
    if to.this in (_T.FLOAT, _T.DOUBLE):
        return types.FLOAT
    if to.this in _TEXTS:
        return Type("VARCHAR", length=sizes[0] if sizes else 1 if to.this in (_T.CHAR, _T.NCHAR) else 0)
    return Type(_TIMES[to.this]) if to.this in _TIMES else None


def _cast(node: Expr) -> Type | None:
    if not isinstance(node, exp.Cast):
        return None
    to, source = declared(node.to), type_of(node.this)
    attempt = isinstance(node, exp.TryCast)
    if attempt and source is not None and source.kind not in ("VARCHAR", "NULL"):
        raise errors.try_cast_of(str(source), str(to or node.to.sql(dialect="snowflake")))
    if to is not None and to.kind == "VARCHAR" and to.length and not (source and 0 < source.length <= to.length):
        function = "_cxm_try_varchar" if attempt else "_cxm_varchar"
        inner = exp.cast(node.this, exp.DataType.build(f"VARCHAR({to.length})", dialect="snowflake"))
        return replaced(node, call_of(function, inner, exp.Literal.number(to.length)), to)
    if to is not None and to.kind == "NUMBER" and to.scale > _SAFE_SCALE and source == types.FLOAT:
        text = call_of("_cxm_float_text", node.this.copy(), exp.Literal.number(to.scale))
        return replaced(node, decimal(text, to), to)
    if to == types.BOOLEAN and source is not None and source.kind == "VARCHAR":
        node.set("this", call_of("_cxm_truth", node.this.copy()))
    if to is not None and to.kind == "NUMBER" and source is not None and source.kind == "VARCHAR":
        # only DuckDB reads 1_000 as a number
        node.set("this", call_of("_cxm_try_digits" if attempt else "_cxm_digits", node.this.copy()))
        if to.precision > _NARROW >= to.scale and _may_stand_twice(node.this):
            return replaced(node, _narrow_first(node.copy(), to), to)
    return set_type(node, to)


_SAFE_SCALE = 12  # up to this scale the engine's cast of a FLOAT has the digits of the FLOAT


def _may_stand_twice(operand: Expr) -> bool:
    """Whether an expression has only columns, and is cheap and safe enough to be written a second time."""
    return operand.find(exp.Column) is not None and all(
        str(part.this).lower().startswith("_cxm_") if isinstance(part, exp.Anonymous) else isinstance(part, _PLAIN)
        for part in operand.walk()
    )


def _narrow_first(cast: Expr, to: Type) -> Expr:
    """Cast text to NUMBER by way of a 64-bit decimal where that fits: DuckDB reads a 128-bit one forty times slower.

    A text with an exponent is cast directly: the 64-bit decimal would lose digits that the exponent moves before the point.
    """
    text = call_of("_cxm_no_exponent", cast.this.copy())
    narrow = exp.TryCast(this=text, to=exp.DataType.build(f"DECIMAL({_NARROW}, {to.scale})", dialect="snowflake"))
    return exp.Coalesce(this=decimal(narrow, to), expressions=[cast])


def _simple(node: Expr) -> Type | None:
    """Return the type of an expression that DuckDB computes as Snowflake does."""
    if isinstance(node, exp.Sum):
        type_ = type_of(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this)
        return types.summed(type_) if type_ and type_.kind == "NUMBER" else None
    if isinstance(node, exp.ByteLength):
        return replaced(node, call_of("_cxm_bytes", node.this.copy()), types.COUNTED)
    if isinstance(node, exp.TimeSlice) and type_of(node.this) == types.DATE:
        unit = node.args["unit"].name.upper()
        if unit.startswith(("HOUR", "MINUTE", "SECOND")):
            raise errors.invalid_part(unit, "TIME_SLICE of a DATE")
    if isinstance(node, exp.Nullif):
        return type_of(node.this)
    if (by_name := made_type(node)) is not None:
        return by_name
    if isinstance(node, (exp.JSONExtract, exp.ParseJSON, exp.ToVariant, exp.GetExtract, exp.Bracket)):
        return Type("VARIANT")
    if isinstance(node, exp.ToNumber):
        if (type_ := type_of(node.this)) and type_.kind == "VARCHAR" and node.args.get("format") is None:
            node.set("this", call_of("_cxm_try_digits" if node.args.get("safe") else "_cxm_digits", node.this.copy()))
        sizes = [node.args.get(k) for k in ("precision", "scale")]
        if all(isinstance(s, exp.Literal) for s in sizes if s is not None):
            return (
                types.number(*(int(s.name) for s in sizes if s is not None)) if sizes[0] is not None else types.INTEGER
            )
        return None
    if isinstance(node, exp.Window):
        return type_of(node.this)
    if isinstance(node, (exp.HexString, exp.ToBinary, exp.Unhex, exp.MD5Digest)):
        return Type("BINARY")
    if isinstance(node, (exp.Alias, exp.IgnoreNulls, exp.RespectNulls, exp.Lag, exp.Lead, *_SAME)):
        return type_of(node.this)
    if isinstance(node, exp.Extract) and "nano" in node.name.lower():
        return types.INTEGER
    if isinstance(node, _OF_BITS):
        kind = type_.kind if (type_ := type_of(node.this)) else ""
        return Type("BINARY") if kind == "BINARY" else types.INTEGER if kind in ("NUMBER", "VARCHAR", "FLOAT") else None
    if isinstance(node, _COUNTS):
        return types.COUNTED
    if isinstance(node, _FLOATS):
        return types.FLOAT
    if isinstance(node, _DATES):
        return types.DATE
    if isinstance(node, (exp.ArgMax, exp.ArgMin)):
        return Type("ARRAY") if node.args.get("count") is not None else type_of(node.this)
    if isinstance(node, exp.DecodeCase):
        results = node.expressions[2::2] + (node.expressions[-1:] if len(node.expressions) % 2 == 0 else [])
        return types.common(type_of(r) for r in results)
    if isinstance(node, (exp.Any, exp.All)):  # the other half of a comparison: a NOT IN (SELECT …)
        return None
    if isinstance(node, _YES_OR_NO):
        return types.BOOLEAN
    if isinstance(node, (exp.DPipe, exp.Concat)):
        parts = [node.this, node.expression] if isinstance(node, exp.DPipe) else node.expressions
        if all((type_ := type_of(part)) is not None and type_.kind == "BINARY" for part in parts):
            return Type("BINARY")
    if isinstance(node, _TO_TEXT):
        return types.VARCHAR
    return types.NULL if isinstance(node, exp.Null) else None
