"""Dates, times and timestamps: Snowflake's casts and functions as calls of the macros in `macros`.

syntax tree ──rewrite──▶ the same tree: DATE_TRUNC('month', D) → _cxm_trunc('month', D), X::TIMESTAMP_TZ → _cxm_tz(X)

The macros decide by the type of a value, which DuckDB knows and a tree does not.
https://docs.snowflake.com/en/sql-reference/data-types-datetime, …/functions-date-time, …/date-time-input-output.
Long because the functions of Snowflake's reference stand in one list.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors, time_formats
from flows.embedded.warehouse.translate.expressions import type_of
from flows.embedded.warehouse.translate.macros import ZONED
from flows.embedded.warehouse.translate.trees import change_from_leaves

_T = exp.DataType.Type
KINDS = {
    _T.DATE: "date", _T.TIME: "time", _T.TIMESTAMP: "ntz", _T.TIMESTAMPNTZ: "ntz", _T.DATETIME: "ntz", _T.TIMESTAMPLTZ: "ltz",
    _T.TIMESTAMPTZ: "tz",
}  # fmt: skip
_TEXTS = (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR)
# Conversion functions, which `dialect` leaves as plain calls: their kind, and whether what cannot be converted is NULL.
CONVERSIONS = {
    f"{try_}{name}": (kind, bool(try_))
    for try_ in ("", "TRY_")
    for name, kind in (
        ("TO_DATE", "date"), ("TO_TIME", "time"), ("TO_TIMESTAMP", "ntz"), ("TO_TIMESTAMP_NTZ", "ntz"),
        ("TO_TIMESTAMP_LTZ", "ltz"), ("TO_TIMESTAMP_TZ", "tz"),
    )
}  # fmt: skip
CONVERSIONS |= {"DATE": ("date", False), "TIME": ("time", False)}
_UNITS = {
    "year": "to_years", "quarter": "to_months", "month": "to_months", "week": "to_weeks", "day": "to_days", "hour": "to_hours",
    "minute": "to_minutes", "second": "to_seconds", "millisecond": "to_milliseconds", "microsecond": "to_microseconds",
}  # fmt: skip
_DAYS = ("to_years", "to_months", "to_weeks", "to_days")
# https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts
_ALIASES = {
    alias: part
    for part, aliases in {
        "year": "y yy yyy yyyy yr years yrs", "month": "mm mon mons months", "day": "d dd days dayofmonth",
        "week": "w wk weekofyear woy wy weeks", "quarter": "q qtr qtrs quarters", "hour": "h hh hr hours hrs",
        "minute": "m mi min minutes mins", "second": "s sec seconds secs", "millisecond": "ms msec milliseconds",
        "microsecond": "us usec microseconds", "nanosecond": "ns nsec nanosec nanoseconds",
    }.items()
    for alias in aliases.split()
}  # fmt: skip
_PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
_OF_CLOCK = (
    exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear,
    exp.WeekOfYear, exp.YearOfWeek, exp.YearOfWeekIso, exp.Hour, exp.Minute, exp.Second, exp.Dayname, exp.Monthname, exp.LastDay,
)  # fmt: skip
_AGGREGATES = ("SUM", "AVG")  # as `corrections` writes them
_NOT_EACH = ("difference", "zone", "unzoned", "parsed", "parsed_or_fail")
_ZONES = {name.casefold() for name in zoneinfo.available_timezones()}


def rewrite(expression: Expr) -> Expr:
    """The statement, changed in place, with its dates and times as DuckDB computes them like Snowflake."""
    zoned = any(_makes_zoned(node) for node in expression.walk())
    expression = change_from_leaves(expression, _rewritten)
    return change_from_leaves(expression, _compared) if zoned else expression


_OF_ENGINE = {
    "DATE": _T.DATE,
    "BLOB": _T.BINARY,
    "TIME": _T.TIME,
    "TIMESTAMP": _T.TIMESTAMPNTZ,
    "TIMESTAMP WITH TIME ZONE": _T.TIMESTAMPLTZ,
}


def assign(expression: Expr, columns: Sequence[tuple[str, str]]) -> None:
    """INSERT, UPDATE or MERGE, changed in place: what goes into a column of dates, times or BINARY is converted as by a cast.
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
        elif isinstance(source, exp.Tuple) or (
            isinstance(source, exp.Select) and not any(p.is_star for p in source.expressions)
        ):
            rows = [source.expressions]
        for row in rows:
            for value, kind in zip(list(row), order, strict=False):
                _assign(value, kind)


def _assign(value: Expr, kind: object) -> None:
    bare = value.unalias()
    words = isinstance(bare, (exp.Column, exp.Var)) and bare.name.upper() == "DEFAULT"
    if kind is None or words or isinstance(bare, (exp.Null, exp.Placeholder)):
        return
    bare.replace(exp.Cast(this=bare.copy(), to=exp.DataType(this=kind, nested=False)))


def engine_type(node: exp.DataType) -> exp.DataType:
    """A column's type in the engine: TIMESTAMP_LTZ is DuckDB's zoned timestamp, TIMESTAMP_TZ a struct that keeps the offset."""
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


def call(name: str, *arguments: Expr) -> exp.Anonymous:
    """A call of a macro. DuckDB writes the argument into the body wherever the body names it, so that calls within calls would
    grow by a power at each level: from the second level on the argument is bound once, as an aggregate's value is."""
    each = "each_" if name not in _NOT_EACH and any(map(_is_bound_once, arguments)) else ""
    return exp.Anonymous(this=f"_cxm_{each}{name}", expressions=list(arguments))


def _is_bound_once(node: Expr) -> bool:
    """Whether a macro is called in it, or an aggregate or a window function is in it, one of the query around it."""
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, (exp.AggFunc, exp.Window)):
        return True
    name = str(node.this) if isinstance(node, exp.Anonymous) else ""
    if name.startswith("_cxm_") or name.upper() in _AGGREGATES:
        return True
    return any(_is_bound_once(child) for child in node.iter_expressions())


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
    """TIMESTAMP_TZ compares by its instant: "all operations are performed with a time zone offset specific to each record"
    (https://docs.snowflake.com/en/sql-reference/data-types-datetime#timestamp-ltz-timestamp-ntz-timestamp-tz)."""
    if isinstance(node, (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
        for key in ("this", "expression"):
            node.set(key, _wrapped("instant", node.args[key]))
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
        return _conversion(node, name) if name in CONVERSIONS else node
    if isinstance(node, (exp.Add, exp.Sub)) and isinstance(node.expression, exp.Interval):
        return _interval(node)
    for kinds, made in _FUNCTIONS:
        if isinstance(node, kinds):
            return made(node)
    return node


def _cast(node: exp.Cast) -> Expr:
    value, kind = node.this, node.to.this
    tried = isinstance(node, exp.TryCast)
    if isinstance(value.unnest(), (exp.Null, exp.Placeholder)):
        if kind == _T.TIMESTAMPTZ and isinstance(value.unnest(), exp.Placeholder):
            return call("tz", exp.cast(value, "TIMESTAMPLTZ"))
        return node
    if kind in _TEXTS:
        if not isinstance(value, exp.Literal) and not _is_text(value):
            node.set("this", call("text", value))
        return node
    if kind not in KINDS:
        return node
    made: Expr = call(f"{'try_' if tried else ''}{KINDS[kind]}", value)
    scale = next((int(p.name) for p in node.to.expressions if p.name.isdigit()), 9)
    return made if scale >= 6 else call("scaled", made, exp.Literal.number(10 ** (6 - scale)))


def _is_text(node: Expr) -> bool:
    """Whether it is a column of texts, or a cast to text: the macro would leave it as it is, and DuckDB binds
    all of its bodies, three milliseconds a call."""
    node = node.unnest()
    if isinstance(node, exp.Cast):
        return node.to.this in _TEXTS
    found = type_of(node) if isinstance(node, exp.Column) else None
    return found is not None and found.kind == "VARCHAR"


def _conversion(node: exp.Anonymous, name: str) -> Expr:
    kind, tried = CONVERSIONS[name]
    arguments = node.expressions
    if not 1 <= len(arguments) <= 2:
        raise errors.argument_count(name, 1 if not arguments else 2, len(arguments))
    value = arguments[0]
    if isinstance(value.unnest(), exp.Null):
        return exp.cast(value, {"date": "DATE", "time": "TIME"}.get(kind, "TIMESTAMP"))
    try_ = "try_" if tried else ""
    if len(arguments) == 1 or (isinstance(arguments[1], exp.Literal) and arguments[1].name.upper() == "AUTO"):
        return call(f"{try_}{kind}", value)
    how = constant_text(arguments[1])
    if isinstance(how, exp.Literal) and not how.is_string and kind in ("ntz", "ltz", "tz"):
        made: Expr = exp.Anonymous(
            this="_cxm_since_epoch", expressions=[value, exp.Literal.number(10 ** int(how.name))]
        )
        return made if kind == "ntz" else call(kind, exp.func("timezone", exp.Literal.string("UTC"), made))
    if not isinstance(how, exp.Literal) or not how.is_string:
        raise errors.unsupported(f"{name} with a format that is not a constant")
    format_, zoned = time_formats.read(how.name)
    text = call("text", value)
    wall = call("unzoned", text.copy()) if zoned else text
    number, word = {"date": ("100040", "date"), "time": ("100108", "time")}.get(kind, ("100035", "timestamp"))
    parsed = (
        call("parsed", wall, exp.Literal.string(format_))
        if tried
        else call(
            "parsed_or_fail", wall, exp.Literal.string(format_), exp.Literal.string(number), exp.Literal.string(word)
        )
    )
    if kind in ("date", "time"):
        return call(f"try_{kind}", parsed)
    if kind == "ntz" or not zoned:
        return parsed if kind == "ntz" else call(kind, parsed)
    zone = exp.func("coalesce", call("zone", text.copy()), exp.Literal.number(0))
    instant = exp.Sub(this=parsed, expression=exp.Anonymous(this="to_minutes", expressions=[zone]))
    if kind == "ltz":
        return exp.func("timezone", exp.Literal.string("UTC"), instant)
    return call("zoned", instant, zone.copy())


def _unit(node: Expr, function: str, known: tuple[str, ...] | None = None) -> str:
    unit = node.args.get("unit")
    name = (unit.name if isinstance(unit, Expr) else "day").lower()
    name = _ALIASES.get(name, name)
    if name not in (known or _UNITS):
        if name == "nanosecond":
            raise errors.unsupported(f"{function} of nanoseconds")
        raise errors.invalid_part(name, function)
    return name


def _added(node: Expr) -> Expr:
    unit = _unit(node, "DATEADD")
    to = _UNITS[unit]
    count = call("int" if to in _DAYS else "big", node.args["expression"])
    if unit == "quarter":
        count = call("int", exp.Mul(this=count, expression=exp.Literal.number(3)))
    interval = exp.Anonymous(this=to, expressions=[count])
    return call("add_days" if to in _DAYS else "add_time", interval, _moment(node.this))


def _interval(node: Expr) -> Expr:
    """D + INTERVAL '1 day' (https://docs.snowflake.com/en/sql-reference/data-types-datetime#interval-constants)."""
    interval = node.expression
    if isinstance(interval.this, exp.Literal) and interval.args.get("unit") is None:
        return _interval(_in_steps(node, interval.this.name))
    count = interval.this.name if isinstance(interval.this, exp.Literal) else ""
    if not count.lstrip("-").isdigit() or interval.args.get("unit") is None:
        raise errors.unsupported(f"{interval.sql(dialect='snowflake')} (one whole number of one part is here)")
    unit = _unit(interval, "INTERVAL")
    sign = -1 if isinstance(node, exp.Sub) else 1
    number = exp.Literal.string(str(int(count) * sign * (3 if unit == "quarter" else 1)))
    made = exp.Anonymous(
        this=_UNITS[unit], expressions=[call("int" if _UNITS[unit] in _DAYS else "big", exp.cast(number, "DOUBLE"))]
    )
    return call("add_days" if _UNITS[unit] in _DAYS else "add_time", made, _moment(node.this))


def _in_steps(node: Expr, text: str) -> Expr:
    """D + INTERVAL '1 day, 2 hours' as D + INTERVAL '1 day' + INTERVAL '2 hours'; a number without a part is of seconds."""
    parts = [re.fullmatch(r"\s*(-?\d+)\s*([A-Za-z]*)\s*", part) for part in text.split(",")]
    value: Expr = node.this
    for place, part in enumerate(parts):
        if part is None:
            raise errors.unsupported(f"INTERVAL '{text}' (whole numbers of parts are here)")
        one = exp.Interval(this=exp.Literal.string(part[1]), unit=exp.var(part[2] or "second"))
        step = type(node)(this=value, expression=one)
        value = step if place == len(parts) - 1 else _interval(step)
    return value


def _moment(value: Expr) -> Expr:
    """A text beside a date function is a timestamp (https://docs.snowflake.com/en/sql-reference/functions/dateadd#arguments)."""
    if isinstance(value, exp.Literal):
        return call("ntz", value)
    return exp.cast(value, "TIMESTAMP") if isinstance(value.unnest(), (exp.Null, exp.Placeholder)) else value


def _difference(node: Expr) -> Expr:
    unit = _unit(node, "DATEDIFF", (*_PARTS, "millisecond", "microsecond"))
    return exp.Anonymous(
        this="_cxm_difference",
        expressions=[
            exp.Literal.string(unit),
            call("clock", _moment(node.args["expression"])),
            call("clock", _moment(node.this)),
        ],
    )


def _truncated(node: Expr) -> Expr:
    unit = _unit(node, "DATE_TRUNC", (*_PARTS, "millisecond", "microsecond"))
    return call("trunc", exp.Literal.string(unit), _moment(node.this))


def _months_added(node: Expr) -> Expr:
    return call("add_months", call("int", node.args["expression"]), _moment(node.this))


def _moved(node: Expr) -> Expr:
    source, target, value = node.args.get("source_tz"), node.args["target_tz"], node.args["timestamp"]
    for zone in (source, target):
        if isinstance(zone, exp.Literal) and zone.name.casefold() not in _ZONES:
            raise errors.unknown_time_zone(zone.name)
    value = exp.cast(value, "TIMESTAMP") if isinstance(value.unnest(), exp.Null) else value
    if source is None:
        return call("moved", target, call("ltz", value))
    return exp.func("timezone", target, exp.func("timezone", source, call("ntz", value)))


def _part(node: Expr) -> Expr:
    unit, value = node.this.name.lower(), node.args["expression"]
    unit = {**_ALIASES, "dow": "dayofweek", "weekday": "dayofweek"}.get(unit, unit)
    if unit.startswith("epoch"):
        per = {"epoch": 1, "epoch_second": 1, "epoch_seconds": 1, "epoch_millisecond": 1000, "epoch_milliseconds": 1000}
        micros = exp.Anonymous(this="epoch_us", expressions=[call("since", _moment(value))])
        if unit in ("epoch_nanosecond", "epoch_nanoseconds"):
            return exp.Anonymous(this="_cxm_thousandfold", expressions=[micros])
        return call(
            "big",
            exp.func("floor", exp.Div(this=micros, expression=exp.Literal.number(1000000 // per.get(unit, 1000000)))),
        )
    if unit in ("timezone_hour", "tzh", "timezone_minute", "tzm"):
        minutes = call("minutes", value)
        if unit in ("timezone_hour", "tzh"):
            return call(
                "big",
                exp.Anonymous(this="trunc", expressions=[exp.Div(this=minutes, expression=exp.Literal.number(60))]),
            )
        return exp.Anonymous(this="mod", expressions=[exp.func("abs", minutes), exp.Literal.number(60)])
    if unit == "nanosecond":
        return exp.Anonymous(this="_cxm_nanoseconds", expressions=[call("clock", _moment(value))])
    node.set("expression", call("clock", _moment(value)))
    return node


def _of_clock(node: Expr) -> Expr:
    node.set("this", call("clock", _moment(node.this)))
    return node


def _between(node: Expr) -> Expr:
    """MONTHS_BETWEEN has six digits behind the point (https://docs.snowflake.com/en/sql-reference/functions/months_between)."""
    both = [call("clock", _moment(node.args[key])) for key in ("this", "expression")]
    return exp.Anonymous(this="_cxm_months_between", expressions=both)


def _next_day(node: Expr) -> Expr:
    name = "next_day" if isinstance(node, exp.NextDay) else "previous_day"
    return call(name, call("date", node.this), node.args["expression"])


def constant_text(how: Expr | None) -> Expr | None:
    """A format, in one piece where it is joined of constants, as dbt writes it: 'yyyy-mm-dd HH24:MI'||'UTC'."""
    if not isinstance(how, (exp.DPipe, exp.Concat)):
        return how
    parts = [how.this, how.expression] if isinstance(how, exp.DPipe) else how.expressions
    found = [constant_text(part) for part in parts]
    if all(isinstance(part, exp.Literal) and part.is_string for part in found):
        return exp.Literal.string("".join(part.name for part in found if part))
    return how


def _text(node: Expr) -> Expr:
    """TO_CHAR and TO_VARCHAR; https://docs.snowflake.com/en/sql-reference/functions/to_char."""
    how, value = constant_text(node.args.get("format")), node.this
    if isinstance(value.unnest(), (exp.Null, exp.Placeholder)):
        return node
    if how is None:
        return call("text", value)
    if not isinstance(how, exp.Literal) or not how.is_string:
        raise errors.unsupported("TO_CHAR with a format that is not a constant")
    if how.name.upper() in ("HEX", "UTF-8", "UTF8", "BASE64"):
        name = {"HEX": "hex", "BASE64": "base64"}.get(how.name.upper(), "decode")
        return exp.Anonymous(this=name, expressions=[value])
    format_ = time_formats.written(how.name)
    if "%" not in format_:
        raise errors.unsupported(f"TO_CHAR with the format '{how.name}'")
    made: Expr = call("format", exp.Literal.string(format_), value)
    for digits in sorted(set(re.findall("\x03(\\d)", format_))):
        cut = [exp.Literal.string(t) for t in (f"\x03{digits}(\\d{{{digits}}})\\d{{{6 - int(digits)}}}", "\\1", "g")]
        made = exp.Anonymous(this="regexp_replace", expressions=[made, *cut])
    return made


def _joined(node: Expr) -> Expr:
    """A piece of a text that is none itself is written as TO_VARCHAR writes it."""
    if isinstance(node, exp.DPipe):
        for key in ("this", "expression"):
            node.set(key, _piece(node.args[key]))
    else:
        node.set("expressions", [_piece(piece) for piece in node.expressions])
    return node


def _piece(value: Expr) -> Expr:
    bare = value.unnest()
    if isinstance(bare, (exp.Literal, exp.Null, exp.Placeholder, exp.DPipe, exp.Concat)) or (
        isinstance(bare, exp.Cast) and bare.to.this in _TEXTS
    ):
        return value
    return call("text", value)


def _now(node: Expr) -> Expr:
    """https://docs.snowflake.com/en/sql-reference/functions/current_timestamp, …/sysdate: the latter is UTC without a zone."""
    now = exp.Anonymous(this="now", expressions=[])
    if node.args.get("sysdate"):
        return exp.func("timezone", exp.Literal.string("UTC"), now)
    if isinstance(node, (exp.CurrentDate, exp.Localtime, exp.CurrentTime)):
        return call("date" if isinstance(node, exp.CurrentDate) else "time", now)
    digits = node.this
    if isinstance(digits, exp.Literal) and int(digits.name) < 6:
        return call("scaled", now, exp.Literal.number(10 ** (6 - int(digits.name))))
    return now


def _slice(node: Expr) -> Expr:
    kind = node.args.get("kind")
    if kind is None or kind.name.upper() == "START":
        return node
    if kind.name.upper() != "END":
        raise errors.invalid_value(kind.name, "TIME_SLICE start_or_end")
    node.set("kind", None)
    unit, count = _unit(node, "TIME_SLICE"), node.expression.copy()
    if unit == "quarter":
        count = exp.Mul(this=exp.paren(count), expression=exp.Literal.number(3))
    to = _UNITS[unit]
    interval = exp.Anonymous(this=to, expressions=[call("int" if to in _DAYS else "big", count)])
    return call("add_days" if to in _DAYS else "add_time", interval, node.copy())


def _zoned_parts(node: Expr) -> Expr:
    """TIMESTAMP_TZ_FROM_PARTS: in a zone by name, the session's without one
    (https://docs.snowflake.com/en/sql-reference/functions/timestamp_from_parts)."""
    zone = node.args.get("zone")
    wall = exp.TimestampFromParts(**{k: v for k, v in node.args.items() if k != "zone" and v is not None})
    if zone is None:
        return call("tz", wall)
    if isinstance(zone, exp.Literal) and zone.name.casefold() not in _ZONES:
        raise errors.unknown_time_zone(zone.name)
    return call("moved", zone, exp.func("timezone", zone.copy(), wall))


_FUNCTIONS: tuple[tuple[tuple[type[Expr], ...], Callable[[Expr], Expr]], ...] = (
    ((exp.DateTrunc, exp.TimestampTrunc), _truncated),
    ((exp.DateAdd, exp.TimestampAdd, exp.TimeAdd, exp.TsOrDsAdd), _added),
    ((exp.DateDiff, exp.TimestampDiff, exp.TimeDiff), _difference),
    ((exp.ConvertTimezone,), _moved),
    ((exp.Extract,), _part),
    (_OF_CLOCK, _of_clock),
    ((exp.AddMonths,), _months_added),
    ((exp.MonthsBetween,), _between),
    ((exp.NextDay, exp.PreviousDay), _next_day),
    ((exp.ToChar,), _text),
    ((exp.CurrentTimestamp, exp.CurrentDate, exp.Localtime, exp.CurrentTime), _now),
    ((exp.TimeSlice,), _slice),
    ((exp.TimestampTzFromParts,), _zoned_parts),
    ((exp.DPipe, exp.Concat, exp.ConcatWs), _joined),
)
