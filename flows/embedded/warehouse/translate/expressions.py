"""An expression whose parts have their types: its own type, and what DuckDB computes instead where its value would differ.

node ──typed──▶ its type; a / b, AVG, ROUND, CAST … are replaced in the tree

https://docs.snowflake.com/en/sql-reference/operators-arithmetic, …/data-type-conversion.
Long because each kind of expression has its rule, and they use the same few helpers.
"""

from __future__ import annotations

from decimal import Decimal

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.types import Type

_TYPE = "cxm_type"
_T = exp.DataType.Type
_INTEGERS = (_T.INT, _T.BIGINT, _T.SMALLINT, _T.TINYINT)
_TEXTS = (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR)
_TIMES = {
    _T.DATE: "DATE", _T.TIME: "TIME", _T.TIMESTAMP: "TIMESTAMP_NTZ", _T.TIMESTAMPNTZ: "TIMESTAMP_NTZ",
    _T.DATETIME: "TIMESTAMP_NTZ",
    _T.TIMESTAMPLTZ: "TIMESTAMP_LTZ", _T.TIMESTAMPTZ: "TIMESTAMP_TZ", _T.BOOLEAN: "BOOLEAN", _T.VARIANT: "VARIANT",
    _T.OBJECT: "OBJECT", _T.ARRAY: "ARRAY", _T.BINARY: "BINARY", _T.VARBINARY: "BINARY",
}  # fmt: skip
# Arguments that DuckDB wants as a whole number, where a NUMBER(38,0) is a decimal: (function, its arguments).
_WHOLE: dict[type[Expr], tuple[str, ...]] = {
    exp.Substring: ("start", "length"), exp.Left: ("expression",), exp.Right: ("expression",), exp.Pad: ("expression",),
    exp.Repeat: ("times",), exp.Space: ("this",), exp.SplitPart: ("part_index",), exp.DateAdd: ("expression",),
    exp.TimestampAdd: ("expression",), exp.TsOrDsAdd: ("expression",), exp.AddMonths: ("expression",), exp.Chr: ("expressions",),
    exp.StrPosition: ("position", "occurrence"), exp.RegexpExtract: ("position", "occurrence", "group"),
    exp.DateFromParts: ("year", "month", "day"), exp.TimestampFromParts: ("year", "month", "day", "hour", "min", "sec", "nano"),
    exp.BitwiseAnd: ("this", "expression"), exp.BitwiseOr: ("this", "expression"), exp.BitwiseXor: ("this", "expression"),
    exp.BitwiseNot: ("this",), exp.BitwiseLeftShift: ("this", "expression"), exp.BitwiseRightShift: ("this", "expression"),
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
    """The type of an expression, after those in it; where DuckDB would compute otherwise another node takes its place."""
    if isinstance(node, exp.Literal):
        return is_of(node, _literal(node))
    for name in _WHOLE.get(type(node), ()):
        _make_whole(node.args.get(name), "_cxm_int32" if isinstance(node, (exp.Pad, exp.Chr)) else "_cxm_int64")
    if isinstance(node, _OF_TEXT):
        _make_text(node.this)
        if type_of(node.args.get("expression")) == types.NULL:
            node.set("expression", exp.cast(exp.null(), "VARCHAR"))
    for make in (_compared, _arithmetic, _average, _share, _median, _cast, _round, _branches, _text_summed, _typeof):
        if (made := make(node)) is not None:
            return made
    return is_of(node, _simple(node))


def is_of(node: Expr, type_: Type | None) -> Type | None:
    node.meta[_TYPE] = type_
    return type_


def type_of(node: object) -> Type | None:
    """The type that the walk found for an expression."""
    return node.meta.get(_TYPE) if isinstance(node, Expr) else None


def _replaced(node: Expr, by: Expr, type_: Type | None) -> Type | None:
    node.replace(by)
    return is_of(by, type_)


def decimal(node: Expr, type_: Type) -> Expr:
    # not exp.cast, which takes a cast to one NUMBER for a cast to every other
    to = exp.DataType.build(f"DECIMAL({type_.precision}, {type_.scale})", dialect="snowflake")
    made = exp.Cast(this=node, to=to)
    is_of(made, type_)
    return made


def call_of(name: str, *arguments: Expr) -> Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _numeric(*found: Type | None) -> bool:
    return all(t is not None and t.kind == "NUMBER" for t in found)


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


def _make_whole(argument: object, function: str) -> None:
    """A NUMBER where DuckDB takes whole numbers of 64 bits alone."""
    for node in argument if isinstance(argument, list) else [argument]:
        bare = node.unnest() if isinstance(node, Expr) else None
        bare = bare.this if isinstance(bare, exp.Neg) else bare
        if isinstance(node, Expr) and _numeric(type_of(node)) and not isinstance(bare, exp.Literal):
            node.replace(call_of(function, node.copy()))


_OF_TEXT = (
    exp.Upper, exp.Lower, exp.Initcap, exp.Trim, exp.Reverse, exp.Length, exp.Substring, exp.Left, exp.Right, exp.Replace,
    exp.Contains, exp.StartsWith, exp.EndsWith, exp.SplitPart, exp.Pad, exp.Repeat, exp.Like, exp.ILike, exp.RegexpLike,
    exp.RegexpReplace, exp.RegexpCount, exp.RegexpInstr, exp.Translate, exp.Split,
)  # fmt: skip
_WRITTEN = ("NUMBER", "FLOAT", "BOOLEAN", "DATE", "TIME", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ", "VARIANT")


def _make_text(value: object) -> None:
    """What is no text where a function takes texts is written as one: UPPER(1), LEFT(CURRENT_DATE, 4)
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    type_ = type_of(value)
    if isinstance(value, Expr) and type_ is not None and type_.kind in _WRITTEN:
        value.replace(exp.Cast(this=value.copy(), to=exp.DataType.build("VARCHAR")))


def make_exact(node: Expr) -> None:
    """A constant as a decimal, so that arithmetic with it does not overflow at 32 bits."""
    type_ = type_of(node)
    if isinstance(node, exp.Literal) and not node.is_string and type_ is not None and _numeric(type_):
        node.replace(decimal(node.copy(), type_))


def _arithmetic(node: Expr) -> Type | None:
    if not isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
        return None
    a, b = type_of(node.this), type_of(node.expression)
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ is not None and type_.kind == "VARCHAR" and _numeric(other):
            operand.replace(decimal(operand.copy(), types.TEXT_AS_NUMBER))
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if (
            type_ is not None
            and type_.kind == "VARIANT"
            and other is not None
            and other.kind in ("NUMBER", "FLOAT", "VARIANT")
        ):
            cast = exp.cast(operand.copy(), exp.DataType.build("DOUBLE"))
            operand.replace(cast)
            is_of(cast, types.FLOAT)
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ == types.NULL and _numeric(other):
            operand.replace(decimal(operand.copy(), types.number(1)))
    a, b = type_of(node.this), type_of(node.expression)
    if a is None or b is None or not _numeric(a, b):
        if a is not None and a.kind == "DATE" and _numeric(b):
            _make_whole(node.expression, "_cxm_int32")
            return is_of(node, a)
        if isinstance(node, exp.Sub) and a == b == types.DATE:
            return is_of(node, types.COUNTED)
        return is_of(node, types.FLOAT) if a and b and {a.kind, b.kind} <= {"NUMBER", "FLOAT"} else is_of(node, None)
    if isinstance(node, exp.Div):
        return _divide(node, node.this, a, node.expression, b)
    make_exact(node.this)
    make_exact(node.expression)
    if isinstance(node, exp.Mod):
        return is_of(node, types.common([a, b]))
    if not isinstance(node, exp.Mul):
        return is_of(node, types.added(a, b))
    made = types.multiplied(a, b)
    if made.scale < a.scale + b.scale:
        return _replaced(node, decimal(node.copy(), made), made)
    return is_of(node, made)


_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_KINDS_AS_TYPES = {
    "NUMBER": "DOUBLE",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_NTZ": "TIMESTAMPNTZ",
    "TIMESTAMP_LTZ": "TIMESTAMPLTZ",
}


def _compared(node: Expr) -> Type | None:
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
        return _replaced(node, call_of(name, node.this.copy(), call_of("_cxm_order", node.this.copy())), type_)
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


def _divide(node: Expr, above: Expr, a: Type, below: Expr, b: Type, made: Type | None = None) -> Type | None:
    """`above` / `below` in the place of `node`: whole numbers of 128 bits are divided and rounded, the point is set afterwards.

    2/7: 2 * 10**6 // 7, rounded half away from zero, times 0.000001.
    """
    made = made or types.divided(a, b)
    shift = made.scale - a.scale + b.scale
    narrow = a.precision + shift <= 18 and b.precision <= 18
    function = "_cxm_divide" if narrow else "_cxm_divide_wide"
    call = call_of(
        function, _unscaled(above, a, shift), _unscaled(below, b, 0), exp.Literal.number(f"0.{'0' * (made.scale - 1)}1")
    )
    return _replaced(node, decimal(call, made), made)


def _unscaled(node: Expr, type_: Type, shift: int) -> Expr:
    """A decimal times 10 ** (its scale + `shift`): a whole number."""
    inner = node.copy()
    if isinstance(inner, exp.Literal):
        inner = decimal(inner, type_)
    if not type_.scale + shift:
        return inner
    return exp.Mul(
        this=exp.Paren(this=inner),
        expression=decimal(exp.Literal.number(10 ** (type_.scale + shift)), types.number(type_.scale + shift + 1)),
    )


def _average(node: Expr) -> Type | None:
    """AVG of a NUMBER is SUM / COUNT, with the digits of such a division; over a window both are, and have three digits more
    (https://docs.snowflake.com/en/sql-reference/functions/avg#examples)."""
    window = node if isinstance(node, exp.Window) and isinstance(node.this, exp.Avg) else None
    if window is None and (not isinstance(node, exp.Avg) or isinstance(node.parent, exp.Window)):
        return None
    call = window.this if window is not None else node
    argument = call.this.expressions[0] if isinstance(call.this, exp.Distinct) else call.this
    type_ = type_of(argument)
    if type_ is None or not _numeric(type_):
        return None
    halves: list[Expr] = [call_of("SUM", call.this.copy()), exp.Count(this=call.this.copy(), big_int=True)]
    if window is None:
        return _divide(node, halves[0], types.summed(type_), halves[1], types.COUNTED)
    halves = [_with_call(window, half) for half in halves]
    made = types.number(type_.precision + 3, min(type_.scale + 3, 37))
    return _divide(node, halves[0], types.summed(type_), halves[1], types.COUNTED, made)


def _share(node: Expr) -> Type | None:
    """RATIO_TO_REPORT(x) OVER (…) is x / SUM(x) OVER (…)."""
    if not isinstance(node, exp.Window):
        return None
    share = node.this
    if (
        not isinstance(share, exp.Anonymous)
        or str(share.this).upper() != "RATIO_TO_REPORT"
        or len(share.expressions) != 1
    ):
        return None
    part = share.expressions[0]
    type_ = type_of(part)
    if type_ is None or not _numeric(type_):
        return None
    return _divide(node, part, type_, _with_call(node, call_of("SUM", part.copy())), types.summed(type_))


def _with_call(window: exp.Window, call: Expr) -> Expr:
    made = window.copy()
    made.set("this", call)
    return made


def _median(node: Expr) -> Type | None:
    """MEDIAN and PERCENTILE_CONT of a NUMBER have three more digits (https://docs.snowflake.com/en/sql-reference/functions/median)."""
    if isinstance(node, exp.Median):
        argument = node.this
    elif isinstance(node, exp.WithinGroup) and isinstance(node.this, exp.PercentileCont):
        ordered = node.find(exp.Ordered)
        argument = ordered.this if ordered is not None else None
    else:
        return None
    type_ = type_of(argument)
    if type_ is None or not _numeric(type_):
        return None
    made = types.number(type_.precision + 3, min(type_.scale + 3, 37))
    argument.replace(decimal(argument.copy(), made))
    return is_of(node, made)


def _text_summed(node: Expr) -> Type | None:
    """SUM and AVG of a text take it for a number, and fail where it is none."""
    bits = isinstance(node, (exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg))
    if bits and (type_ := type_of(node.this)) and type_.kind in ("VARCHAR", "FLOAT"):
        number = exp.cast(node.this.copy(), exp.DataType.build("DOUBLE"))
        node.set("this", exp.cast(call_of("ROUND", number), exp.DataType.build("BIGINT")))
        return is_of(node, types.INTEGER)
    numeric = (exp.Sum, exp.Avg, exp.Median)
    if isinstance(node, numeric) and (type_ := type_of(node.this)) and type_.kind in ("VARCHAR", "VARIANT"):
        node.set("this", exp.cast(node.this, exp.DataType.build("DOUBLE"), copy=False))
        return is_of(node, types.FLOAT)
    return None


def _typeof(node: Expr) -> Type | None:
    """SYSTEM$TYPEOF of what has a known type (https://docs.snowflake.com/en/sql-reference/functions/system_typeof)."""
    if not isinstance(node, exp.Anonymous) or str(node.this).upper() != "SYSTEM$TYPEOF" or len(node.expressions) != 1:
        return None
    argument = node.expressions[0]
    type_ = type_of(argument)
    if (
        type_ is None
        or (type_.kind == "VARCHAR" and not type_.length)
        or type_.kind not in ("NUMBER", "VARCHAR", "NULL", "FLOAT", "BOOLEAN")
    ):
        raise errors.unsupported(f"SYSTEM$TYPEOF({argument.sql(dialect='snowflake')})")
    size = {"FLOAT": "DOUBLE", "BOOLEAN": "SB1"}.get(type_.kind, "LOB")
    if type_.kind == "NUMBER":
        most = int(argument.name.replace(".", "")) if isinstance(argument, exp.Literal) else 10**type_.precision - 1
        size = next((f"SB{n}" for n in (1, 2, 4, 8) if most < 1 << (8 * n - 1)), "SB16")
    text = exp.Literal.string(f"{type_}[{size}]")
    return _replaced(node, text, Type("VARCHAR", length=len(text.name)))


def declared(to: exp.DataType) -> Type | None:
    """The type that CAST or a column's definition names."""
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
        return _replaced(node, call_of(function, inner, exp.Literal.number(to.length)), to)
    if to == types.BOOLEAN and source is not None and source.kind == "VARCHAR":
        node.set("this", call_of("_cxm_truth", node.this.copy()))
    if to is not None and to.kind == "NUMBER" and source is not None and source.kind == "VARCHAR":
        # 1_000 is a number for DuckDB alone
        node.set("this", call_of("_cxm_try_digits" if attempt else "_cxm_digits", node.this.copy()))
    return is_of(node, to)


def _round(node: Expr) -> Type | None:
    """ROUND, TRUNC, CEIL, FLOOR of a NUMBER to a constant number of digits."""
    if not isinstance(node, (exp.Round, exp.Trunc, exp.Ceil, exp.Floor)):
        return None
    mode = node.args.get("truncate")
    if mode is not None and mode.name.upper() != "HALF_AWAY_FROM_ZERO":
        raise errors.unsupported(f"ROUND with the rounding mode {mode.name}")
    type_, written = type_of(node.this), node.args.get("decimals")
    if type_ is None or not _numeric(type_):
        return is_of(node, types.FLOAT if type_ in (types.FLOAT, types.VARCHAR) else None)
    digits = written.this if isinstance(written, exp.Neg) else written
    if digits is not None and not (isinstance(digits, exp.Literal) and digits.name.isdigit()):
        return _rounded_by(node, type_)
    scale = (int(digits.name) if digits is not None else 0) * (-1 if isinstance(written, exp.Neg) else 1)
    made = types.rounded(type_, scale)
    if scale >= type_.scale and scale >= 0:
        return _replaced(node, node.this.copy(), type_)
    if isinstance(node, exp.Round) and scale >= 0:
        return _replaced(node, decimal(node.this.copy(), made), made)
    shifted = _moved(
        decimal(node.this.copy(), type_) if isinstance(node.this, exp.Literal) else node.this.copy(), scale
    )
    name = {exp.Trunc: "TRUNC", exp.Ceil: "CEIL", exp.Floor: "FLOOR"}.get(type(node), "ROUND")
    return _replaced(node, decimal(_moved(call_of(name, shifted), -scale), made), made)


def _rounded_by(node: Expr, type_: Type) -> Type | None:
    """ROUND and TRUNC to a number of digits that is no constant: as many digits as before."""
    if not isinstance(node, (exp.Round, exp.Trunc)):
        raise errors.unsupported(f"{type(node).__name__.upper()} to a number of digits that is no constant")
    made = types.number(type_.precision + 1, type_.scale)
    text = call_of("_cxm_digits_of", node.this.copy())
    name = exp.Literal.string("ROUND" if isinstance(node, exp.Round) else "TRUNC")
    digits = node.args["decimals"]
    return _replaced(node, decimal(call_of("_cxm_rounded", name, text, digits.copy()), made), made)


def _moved(node: Expr, digits: int) -> Expr:
    """node * 10 ** digits."""
    if not digits:
        return node
    power = str(10**digits) if digits > 0 else f"0.{'0' * (-digits - 1)}1"
    return exp.Mul(this=exp.Paren(this=node), expression=decimal(exp.Literal.number(power), types.of_literal(power)))


def _branches(node: Expr) -> Type | None:
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


def _simple(node: Expr) -> Type | None:
    """The type of an expression that DuckDB computes as Snowflake does."""
    if isinstance(node, exp.Sum):
        type_ = type_of(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this)
        return types.summed(type_) if type_ and type_.kind == "NUMBER" else None
    if isinstance(node, exp.ByteLength):
        return _replaced(node, call_of("_cxm_bytes", node.this.copy()), types.COUNTED)
    if isinstance(node, exp.TimeSlice) and type_of(node.this) == types.DATE:
        unit = node.args["unit"].name.upper()
        if unit.startswith(("HOUR", "MINUTE", "SECOND")):
            raise errors.invalid_part(unit, "TIME_SLICE of a DATE")
    if isinstance(node, exp.Nullif):
        return type_of(node.this)
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
    if isinstance(node, (exp.Alias, exp.IgnoreNulls, exp.RespectNulls, exp.Lag, exp.Lead, *_SAME)):
        return type_of(node.this)
    if isinstance(node, exp.Extract) and "nano" in node.name.lower():
        return types.INTEGER
    if isinstance(node, _COUNTS):
        return types.COUNTED
    if isinstance(node, _FLOATS):
        return types.FLOAT
    if isinstance(node, _DATES):
        return types.DATE
    if isinstance(node, exp.ArgMax):
        return type_of(node.this)
    if isinstance(node, exp.DecodeCase):
        results = node.expressions[2::2] + (node.expressions[-1:] if len(node.expressions) % 2 == 0 else [])
        return types.common(type_of(r) for r in results)
    if isinstance(node, _YES_OR_NO):
        return types.BOOLEAN
    if isinstance(node, _TO_TEXT):
        return types.VARCHAR
    return types.NULL if isinstance(node, exp.Null) else None
