"""Arithmetic of NUMBERs as in Snowflake: the type of a result, and decimal arithmetic where DuckDB would compute in binary.

a / b, AVG, ROUND, MEDIAN … ──▶ the type of the result; the call in the tree is replaced where its value would differ

https://docs.snowflake.com/en/sql-reference/operators-arithmetic
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import (
    call_of,
    decimal,
    floating,
    make_exact,
    make_whole,
    numeric,
    replaced,
    set_type,
    text_as_float,
    text_as_number,
    type_of,
)
from flows.embedded.warehouse.translate.types import Type


def arithmetic(node: Expr) -> Type | None:
    """Infer the type of +, -, *, /, % and the sign; a text operand becomes a number
    (https://docs.snowflake.com/en/sql-reference/data-type-conversion#implicit-casting-coercion)."""
    if isinstance(node, exp.Neg) and (type_ := type_of(node.this)) and type_.kind in ("VARIANT", "VARCHAR"):
        to = types.TEXT_AS_NUMBER if type_.kind == "VARCHAR" else types.FLOAT
        operand = node.this.copy()
        node.this.replace(text_as_number(operand, to) if to.kind == "NUMBER" else exp.cast(operand, "DOUBLE"))
        return set_type(node, to)
    if not isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
        return None
    a, b = type_of(node.this), type_of(node.expression)
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ is None or other is None or type_.kind != "VARCHAR":
            continue
        if other.kind in ("NUMBER", "VARCHAR"):  # '3' * '4' is 12
            operand.replace(text_as_number(operand, types.TEXT_AS_NUMBER))
        elif other.kind in ("FLOAT", "VARIANT"):
            operand.replace(text_as_float(operand))
    a, b = type_of(node.this), type_of(node.expression)
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if (
            type_ is not None
            and type_.kind == "VARIANT"
            and other is not None
            and other.kind in ("NUMBER", "FLOAT", "VARIANT")
        ):
            operand.replace(floating(operand.copy()))
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ == types.NULL and numeric(other):
            operand.replace(decimal(operand.copy(), types.number(1)))
    a, b = type_of(node.this), type_of(node.expression)
    if a is None or b is None or not numeric(a, b):
        if a is not None and a.kind == "DATE" and numeric(b):
            make_whole(node.expression, "_cxm_int32")
            return set_type(node, a)
        if isinstance(node, exp.Sub) and a == b == types.DATE:
            return set_type(node, types.COUNTED)
        return set_type(node, types.FLOAT if a and b and {a.kind, b.kind} <= {"NUMBER", "FLOAT"} else None)
    if isinstance(node, exp.Div):
        return _divide(node, node.this, a, node.expression, b)
    make_exact(node.this)
    make_exact(node.expression)
    if isinstance(node, exp.Mod):
        return set_type(node, types.common([a, b]))
    made = types.multiplied(a, b) if isinstance(node, exp.Mul) else types.added(a, b)
    if made.precision > _NARROW >= max(a.precision, b.precision):  # the engine would keep the result within 64 bits
        node.this.replace(decimal(node.this.copy(), types.number(_NARROW + 1, a.scale)))
    if not isinstance(node, exp.Mul):
        return set_type(node, made)
    if (
        made.scale < a.scale + b.scale and a.precision + b.precision > types.DIGITS
    ):  # the engine lacks the digits of the exact product
        texts = (exp.cast(part.copy(), "VARCHAR") for part in (node.this, node.expression))
        return replaced(node, decimal(call_of("_cxm_product", *texts, exp.Literal.number(made.scale)), made), made)
    if made.scale < a.scale + b.scale:
        return replaced(node, decimal(node.copy(), made), made)
    return set_type(node, made)


def _divide(node: Expr, above: Expr, a: Type, below: Expr, b: Type, made: Type | None = None) -> Type | None:
    """Replace `node` with `above` / `below`: whole numbers, of 64 or 128 bits, are divided and rounded, then scaled.

    2/7: 2 * 10**6 // 7, rounded half away from zero, times 0.000001.
    """
    made = made or types.divided(a, b)
    shift = made.scale - a.scale + b.scale
    narrow = a.precision + shift <= 18 and b.precision <= 18
    function = "_cxm_divide" if narrow else "_cxm_divide_wide"
    call = call_of(
        function, _unscaled(above, a, shift), _unscaled(below, b, 0), exp.Literal.number(f"0.{'0' * (made.scale - 1)}1")
    )
    return replaced(node, decimal(call, made), made)


_NARROW = 18  # the digits of a decimal of 64 bits


def _unscaled(node: Expr, type_: Type, shift: int) -> Expr:
    """Multiply a decimal by 10 ** (its scale + `shift`), so that it is a whole number."""
    inner = node.copy()
    if isinstance(inner, (exp.Literal, exp.Placeholder)):
        inner = decimal(inner, type_)
    if not type_.scale + shift:
        return inner
    digits = type_.scale + shift + 1
    if type_.precision + digits > _NARROW >= digits:  # DuckDB keeps a product of two narrow ones narrow
        digits = _NARROW + 1
    return exp.Mul(
        this=exp.Paren(this=inner),
        expression=decimal(exp.Literal.number(10 ** (type_.scale + shift)), types.number(digits)),
    )


def average(node: Expr) -> Type | None:
    """Replace AVG of a NUMBER with SUM / COUNT, with the digits of such a division; over a window, three digits more than
    the argument (https://docs.snowflake.com/en/sql-reference/functions/avg#examples)."""
    window = node if isinstance(node, exp.Window) and isinstance(node.this, exp.Avg) else None
    if window is None and (not isinstance(node, exp.Avg) or isinstance(node.parent, exp.Window)):
        return None
    call = window.this if window is not None else node
    argument = call.this.expressions[0] if isinstance(call.this, exp.Distinct) else call.this
    type_ = type_of(argument)
    if type_ is None or not numeric(type_):
        return None
    halves: list[Expr] = [call_of("SUM", call.this.copy()), exp.Count(this=call.this.copy(), big_int=True)]
    if window is None:
        return _divide(node, halves[0], types.summed(type_), halves[1], types.COUNTED)
    halves = [_with_call(window, half) for half in halves]
    made = types.number(type_.precision + 3, min(type_.scale + 3, 37))
    return _divide(node, halves[0], types.summed(type_), halves[1], types.COUNTED, made)


def share_of_total(node: Expr) -> Type | None:
    """Replace RATIO_TO_REPORT(x) OVER (…) with x / SUM(x) OVER (…)."""
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
    if type_ is None or not numeric(type_):
        return None
    return _divide(node, part, type_, _with_call(node, call_of("SUM", part.copy())), types.summed(type_))


def events_counted(node: Expr) -> Type | None:
    """Replace CONDITIONAL_TRUE_EVENT(c) OVER (…) with a count of the rows so far in which c is true
    (https://docs.snowflake.com/en/sql-reference/functions/conditional_true_event)."""
    call = node.this if isinstance(node, exp.Window) else None
    if not isinstance(call, exp.Anonymous) or str(call.this).upper() != "CONDITIONAL_TRUE_EVENT":
        return None
    if len(call.expressions) != 1:
        raise errors.argument_count("CONDITIONAL_TRUE_EVENT", 1, len(call.expressions))
    if not node.args.get("order"):
        raise errors.no_order("CONDITIONAL_TRUE_EVENT")
    if node.args.get("spec"):
        raise errors.unsupported("CONDITIONAL_TRUE_EVENT with a window frame")
    if call.find(exp.Window):
        raise errors.unsupported("a window function in CONDITIONAL_TRUE_EVENT (name its result in a subquery)")
    one = exp.If(this=call.expressions[0].copy(), true=exp.Literal.number(1))
    events = call_of("SUM", exp.Case(ifs=[one], default=exp.Literal.number(0)))
    counted = _with_call(node, events)
    so_far = {"kind": "ROWS", "start": "UNBOUNDED", "start_side": "PRECEDING", "end": "CURRENT ROW"}
    counted.set("spec", exp.WindowSpec(**so_far))
    return replaced(node, decimal(counted, types.COUNTED), types.COUNTED)


def _with_call(window: Expr, call: Expr) -> Expr:
    made = window.copy()
    made.set("this", call)
    return made


def median(node: Expr) -> Type | None:
    """Give MEDIAN and PERCENTILE_CONT of a NUMBER three more digits
    (https://docs.snowflake.com/en/sql-reference/functions/median)."""
    if isinstance(node, exp.Median):
        argument = node.this
    elif isinstance(node, exp.WithinGroup) and isinstance(node.this, exp.PercentileCont):
        ordered = node.find(exp.Ordered)
        argument = ordered.this if ordered is not None else None
    else:
        return None
    type_ = type_of(argument)
    if type_ is not None and type_.kind in _NO_NUMBERS:
        raise errors.argument_types("PERCENTILE_CONT" if isinstance(node, exp.WithinGroup) else "MEDIAN", str(type_))
    if type_ is None or not numeric(type_):
        return None
    made = types.number(type_.precision + 3, min(type_.scale + 3, 37))
    argument.replace(decimal(argument.copy(), made))
    return set_type(node, made)


def spread(node: Expr) -> Type | None:
    """Cast VARIANCE, VAR_POP and KURTOSIS of a NUMBER to a NUMBER
    (https://docs.snowflake.com/en/sql-reference/functions/variance)."""
    call = node.this if isinstance(node, exp.Window) else node
    if not isinstance(call, (exp.Variance, exp.VariancePop, exp.Kurtosis)) or isinstance(node.parent, exp.Window):
        return None
    argument = call.this.expressions[0] if isinstance(call.this, exp.Distinct) else call.this
    type_ = type_of(argument)
    if type_ is None or not numeric(type_):
        return None
    squared = types.divided(types.number(types.DIGITS, min(2 * type_.scale, 37)), types.COUNTED).scale
    made = types.number(types.DIGITS, 12 if isinstance(call, exp.Kurtosis) else squared)
    return replaced(node, decimal(node.copy(), made), made)


_SPREADS = (exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
_NO_NUMBERS = ("BOOLEAN", *types.TIMES, "BINARY", "ARRAY", "OBJECT")


def text_summed(node: Expr) -> Type | None:
    """Convert the text that SUM, AVG, MEDIAN or a bit aggregate takes to a number, and refuse types that are not numbers;
    compute APPROX_PERCENTILE as a FLOAT (https://docs.snowflake.com/en/sql-reference/functions/approx_percentile)."""
    if isinstance(node, exp.ApproxQuantile):
        # the engine's own estimate is far off with few values
        number = exp.cast(node.this.copy(), exp.DataType.build("DOUBLE"))
        return replaced(node, call_of("quantile_cont", number, node.args["quantile"].copy()), types.FLOAT)
    bits = isinstance(node, (exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg))
    if bits and (type_ := type_of(node.this)) and type_.kind == "NUMBER":
        return set_type(node, types.INTEGER)
    if bits and (type_ := type_of(node.this)) and type_.kind in ("VARCHAR", "FLOAT"):
        number = exp.cast(node.this.copy(), exp.DataType.build("DOUBLE"))
        node.set("this", exp.cast(call_of("ROUND", number), exp.DataType.build("BIGINT")))
        return set_type(node, types.INTEGER)
    numeric = (exp.Sum, exp.Avg, exp.Median)
    if isinstance(node, (*numeric, *_SPREADS)) and (type_ := type_of(node.this)) and type_.kind in _NO_NUMBERS:
        raise errors.argument_types(type(node).__name__.upper(), str(type_))
    if isinstance(node, numeric) and (type_ := type_of(node.this)) and type_.kind in ("VARCHAR", "VARIANT"):
        node.set("this", exp.cast(node.this, exp.DataType.build("DOUBLE"), copy=False))
        return set_type(node, types.FLOAT)
    return None


def rounded(node: Expr) -> Type | None:
    """Infer the type of ROUND, TRUNC, CEIL and FLOOR, and compute them in decimal for a NUMBER."""
    if not isinstance(node, (exp.Round, exp.Trunc, exp.Ceil, exp.Floor)):
        return None
    mode = node.args.get("truncate")
    even = mode is not None and mode.name.upper() == "HALF_TO_EVEN"
    if mode is not None and not even and mode.name.upper() != "HALF_AWAY_FROM_ZERO":
        raise errors.unsupported(f"ROUND with the rounding mode {mode.name}")
    type_, written = type_of(node.this), node.args.get("decimals")
    if type_ is None or not numeric(type_):
        if even:
            raise errors.unsupported("ROUND of anything but a NUMBER with the rounding mode HALF_TO_EVEN")
        if type_ == types.FLOAT and isinstance(node, exp.Trunc) and written is not None:
            digits_of_it = call_of("_cxm_int64", written.copy())
            cut = call_of("_cxm_rounded_float", exp.Literal.string("TRUNC"), node.this.copy(), digits_of_it)
            return replaced(node, cut, types.FLOAT)
        return set_type(node, types.FLOAT if type_ in (types.FLOAT, types.VARCHAR) else None)
    digits = written.this if isinstance(written, exp.Neg) else written
    if digits is not None and not (isinstance(digits, exp.Literal) and digits.name.isdigit()):
        return _rounded_by(node, type_)
    scale = (int(digits.name) if digits is not None else 0) * (-1 if isinstance(written, exp.Neg) else 1)
    made = types.rounded(type_, scale)
    if scale >= type_.scale and scale >= 0:
        return replaced(node, node.this.copy(), type_)
    if even:
        how, text = exp.Literal.string("HALF_TO_EVEN"), call_of("_cxm_digits_of", node.this.copy())
        return replaced(node, decimal(call_of("_cxm_rounded", how, text, exp.Literal.number(scale)), made), made)
    if isinstance(node, exp.Round) and scale >= 0:
        return replaced(node, decimal(node.this.copy(), made), made)
    shifted = _moved(
        decimal(node.this.copy(), type_) if isinstance(node.this, exp.Literal) else node.this.copy(), scale
    )
    name = {exp.Trunc: "TRUNC", exp.Ceil: "CEIL", exp.Floor: "FLOOR"}.get(type(node), "ROUND")
    return replaced(node, decimal(_moved(call_of(name, shifted), -scale), made), made)


def _rounded_by(node: Expr, type_: Type) -> Type | None:
    """Round or truncate to a number of digits that is not a constant: the result keeps the scale of the argument."""
    if not isinstance(node, (exp.Round, exp.Trunc)):
        raise errors.unsupported(f"{type(node).__name__.upper()} to a number of digits that is no constant")
    made = types.number(type_.precision + 1, type_.scale)
    text = call_of("_cxm_digits_of", node.this.copy())
    name = exp.Literal.string("ROUND" if isinstance(node, exp.Round) else "TRUNC")
    digits = node.args["decimals"]
    return replaced(node, decimal(call_of("_cxm_rounded", name, text, digits.copy()), made), made)


def _moved(node: Expr, digits: int) -> Expr:
    """Return node * 10 ** digits."""
    if not digits:
        return node
    power = str(10**digits) if digits > 0 else f"0.{'0' * (-digits - 1)}1"
    return exp.Mul(this=exp.Paren(this=node), expression=decimal(exp.Literal.number(power), types.of_literal(power)))
