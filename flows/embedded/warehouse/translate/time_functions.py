"""Translates Snowflake's functions of dates and times: DATEADD, DATEDIFF, DATE_TRUNC, EXTRACT …

https://docs.snowflake.com/en/sql-reference/functions-date-time
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.time_calls import ALIASES, DAYS, PARTS, UNITS, ZONES, call, moment, part_name
from flows.embedded.warehouse.translate.time_texts import as_text, joined_texts

_OF_CLOCK = (
    exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear,
    exp.WeekOfYear, exp.YearOfWeek, exp.YearOfWeekIso, exp.Hour, exp.Minute, exp.Second, exp.Dayname, exp.Monthname, exp.LastDay,
)  # fmt: skip


def _added(node: Expr) -> Expr:
    unit = part_name(node, "DATEADD")
    to = UNITS[unit]
    count = call("int" if to in DAYS else "big", node.args["expression"])
    if unit == "quarter":
        count = call("int", exp.Mul(this=count, expression=exp.Literal.number(3)))
    interval = exp.Anonymous(this=to, expressions=[count])
    return call("add_days" if to in DAYS else "add_time", interval, moment(node.this))


def interval_added(node: Expr) -> Expr:
    """Rewrite D + INTERVAL '1 day' (https://docs.snowflake.com/en/sql-reference/data-types-datetime#interval-constants)."""
    interval = node.expression
    if isinstance(interval.this, exp.Literal) and interval.args.get("unit") is None:
        return interval_added(_in_steps(node, interval.this.name))
    count = interval.this.name if isinstance(interval.this, exp.Literal) else ""
    if not count.lstrip("-").isdigit() or interval.args.get("unit") is None:
        raise errors.unsupported(f"{interval.sql(dialect='snowflake')} (one whole number of one part is here)")
    unit = part_name(interval, "INTERVAL")
    sign = -1 if isinstance(node, exp.Sub) else 1
    number = exp.Literal.string(str(int(count) * sign * (3 if unit == "quarter" else 1)))
    made = exp.Anonymous(
        this=UNITS[unit], expressions=[call("int" if UNITS[unit] in DAYS else "big", exp.cast(number, "DOUBLE"))]
    )
    return call("add_days" if UNITS[unit] in DAYS else "add_time", made, moment(node.this))


def _in_steps(node: Expr, text: str) -> Expr:
    """Rewrite D + INTERVAL '1 day, 2 hours' as D + INTERVAL '1 day' + INTERVAL '2 hours'; a bare number means seconds."""
    parts = [re.fullmatch(r"\s*(-?\d+)\s*([A-Za-z]*)\s*", part) for part in text.split(",")]
    value: Expr = node.this
    for place, part in enumerate(parts):
        if part is None:
            raise errors.unsupported(f"INTERVAL '{text}' (whole numbers of parts are here)")
        one = exp.Interval(this=exp.Literal.string(part[1]), unit=exp.var(part[2] or "second"))
        step = type(node)(this=value, expression=one)
        value = step if place == len(parts) - 1 else interval_added(step)
    return value


def _difference(node: Expr) -> Expr:
    unit = part_name(node, "DATEDIFF", (*PARTS, "millisecond", "microsecond"))
    return exp.Anonymous(
        this="_cxm_difference",
        expressions=[
            exp.Literal.string(unit),
            call("clock", moment(node.args["expression"])),
            call("clock", moment(node.this)),
        ],
    )


def _truncated(node: Expr) -> Expr:
    unit = part_name(node, "DATE_TRUNC", (*PARTS, "millisecond", "microsecond"))
    return call("trunc", exp.Literal.string(unit), moment(node.this))


def _months_added(node: Expr) -> Expr:
    return call("add_months", call("int", node.args["expression"]), moment(node.this))


def _moved(node: Expr) -> Expr:
    source, target, value = node.args.get("source_tz"), node.args["target_tz"], node.args["timestamp"]
    for zone in (source, target):
        if isinstance(zone, exp.Literal) and zone.name.casefold() not in ZONES:
            raise errors.unknown_time_zone(zone.name)
    value = exp.cast(value, "TIMESTAMP") if isinstance(value.unnest(), exp.Null) else value
    if source is None:
        return call("moved", target, call("ltz", value))
    return exp.func("timezone", target, exp.func("timezone", source, call("ntz", value)))


def _part(node: Expr) -> Expr:
    unit, value = node.this.name.lower(), node.args["expression"]
    unit = {**ALIASES, "dow": "dayofweek", "weekday": "dayofweek"}.get(unit, unit)
    if unit.startswith("epoch"):
        per = {"epoch": 1, "epoch_second": 1, "epoch_seconds": 1, "epoch_millisecond": 1000, "epoch_milliseconds": 1000}
        micros = exp.Anonymous(this="epoch_us", expressions=[call("since", moment(value))])
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
    if unit in _NO_PARTS:
        raise errors.invalid_part(unit, "DATE_PART")
    if unit == "nanosecond":
        return exp.Anonymous(this="_cxm_nanoseconds", expressions=[call("clock", moment(value))])
    node.set("expression", call("clock", moment(value)))
    return node


# Parts that DuckDB has and Snowflake's EXTRACT does not.
_NO_PARTS = ("millisecond", "microsecond", "decade", "century", "millennium", "era", "julian", "isoyear")


def _of_clock(node: Expr) -> Expr:
    node.set("this", call("clock", moment(node.this)))
    return node


def _between(node: Expr) -> Expr:
    """Rewrite MONTHS_BETWEEN, with six digits after the point
    (https://docs.snowflake.com/en/sql-reference/functions/months_between)."""
    both = [call("clock", moment(node.args[key])) for key in ("this", "expression")]
    return exp.Anonymous(this="_cxm_months_between", expressions=both)


def _next_day(node: Expr) -> Expr:
    name = "next_day" if isinstance(node, exp.NextDay) else "previous_day"
    return call(name, call("date", node.this), node.args["expression"])


def _now(node: Expr) -> Expr:
    """Rewrite CURRENT_TIMESTAMP (https://docs.snowflake.com/en/sql-reference/functions/current_timestamp), CURRENT_DATE and
    CURRENT_TIME, and SYSDATE (…/sysdate), which is UTC without a zone."""
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
    unit, count = part_name(node, "TIME_SLICE"), node.expression.copy()
    if unit == "quarter":
        count = exp.Mul(this=exp.paren(count), expression=exp.Literal.number(3))
    to = UNITS[unit]
    interval = exp.Anonymous(this=to, expressions=[call("int" if to in DAYS else "big", count)])
    return call("add_days" if to in DAYS else "add_time", interval, node.copy())


def _zoned_parts(node: Expr) -> Expr:
    """Rewrite TIMESTAMP_TZ_FROM_PARTS: in the zone that it names, or in the session's
    (https://docs.snowflake.com/en/sql-reference/functions/timestamp_from_parts)."""
    zone = node.args.get("zone")
    wall = exp.TimestampFromParts(**{k: v for k, v in node.args.items() if k != "zone" and v is not None})
    if zone is None:
        return call("tz", wall)
    if isinstance(zone, exp.Literal) and zone.name.casefold() not in ZONES:
        raise errors.unknown_time_zone(zone.name)
    return call("moved", zone, exp.func("timezone", zone.copy(), wall))


def _from_parts(node: Expr) -> Expr:
    nano = node.args.get("nano")
    if nano is not None and not (isinstance(nano, exp.Anonymous) and nano.this == "_cxm_fine_parts"):
        node.set("nano", exp.Anonymous(this="_cxm_fine_parts", expressions=[nano]))
    of_time = isinstance(node, exp.TimeFromParts)
    parts = [node.args.get(key) for key in ("year", "month", "day", "hour", "min", "sec")[3 if of_time else 0 :]]
    if any(part is None for part in parts):
        return node
    # a part may be less or more than a clock shows: it is carried over to the others
    fine = node.args.get("nano")
    micros = exp.IntDiv(this=fine, expression=exp.Literal.number(1000)) if fine is not None else exp.Literal.number(0)
    if of_time:
        return exp.Anonymous(this="_cxm_time_from_parts", expressions=[*parts, micros])
    made = exp.Anonymous(this="_cxm_from_parts", expressions=[*parts, micros])
    return call("ltz", made) if isinstance(node, exp.TimestampLtzFromParts) else made


FUNCTIONS: tuple[tuple[tuple[type[Expr], ...], Callable[[Expr], Expr]], ...] = (
    ((exp.DateTrunc, exp.TimestampTrunc), _truncated),
    ((exp.DateAdd, exp.TimestampAdd, exp.TimeAdd, exp.TsOrDsAdd), _added),
    ((exp.DateDiff, exp.TimestampDiff, exp.TimeDiff), _difference),
    ((exp.ConvertTimezone,), _moved),
    ((exp.Extract,), _part),
    (_OF_CLOCK, _of_clock),
    ((exp.AddMonths,), _months_added),
    ((exp.MonthsBetween,), _between),
    ((exp.NextDay, exp.PreviousDay), _next_day),
    ((exp.ToChar,), as_text),
    ((exp.CurrentTimestamp, exp.CurrentDate, exp.Localtime, exp.CurrentTime), _now),
    ((exp.TimeSlice,), _slice),
    ((exp.TimestampTzFromParts,), _zoned_parts),
    ((exp.TimestampFromParts, exp.TimestampLtzFromParts, exp.TimeFromParts), _from_parts),
    ((exp.DPipe, exp.Concat, exp.ConcatWs), joined_texts),
)
