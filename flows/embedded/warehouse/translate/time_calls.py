"""Makes calls of the macros of dates and times; the parts of a date by Snowflake's names.

https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts
"""

from __future__ import annotations

import zoneinfo

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors

_T = exp.DataType.Type


TEXTS = (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR)


UNITS = {
    "year": "to_years", "quarter": "to_months", "month": "to_months", "week": "to_weeks", "day": "to_days", "hour": "to_hours",
    "minute": "to_minutes", "second": "to_seconds", "millisecond": "to_milliseconds", "microsecond": "to_microseconds",
}  # fmt: skip


DAYS = ("to_years", "to_months", "to_weeks", "to_days")


# https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts
ALIASES = {
    alias: part
    for part, aliases in {
        "year": "y yy yyy yyyy yr years yrs", "month": "mm mon mons months", "day": "d dd days dayofmonth",
        "week": "w wk weekofyear woy wy weeks", "quarter": "q qtr qtrs quarters", "hour": "h hh hr hours hrs",
        "minute": "m mi min minutes mins", "second": "s sec seconds secs", "millisecond": "ms msec milliseconds",
        "microsecond": "us usec microseconds", "nanosecond": "ns nsec nanosec nanoseconds",
    }.items()
    for alias in aliases.split()
}  # fmt: skip


PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


_AGGREGATES = ("SUM", "AVG")  # as `corrections` writes them


_NOT_EACH = ("difference", "zone", "unzoned", "parsed", "parsed_or_fail")


ZONES = {name.casefold() for name in zoneinfo.available_timezones()}


def call(name: str, *arguments: Expr) -> exp.Anonymous:
    """Return a call of a macro. DuckDB copies the argument to each place where the body names it, so that nested calls would
    grow exponentially: from the second level on the argument is bound once, as an aggregate's value is."""
    each = "each_" if name not in _NOT_EACH and any(map(_is_bound_once, arguments)) else ""
    return exp.Anonymous(this=f"_cxm_{each}{name}", expressions=list(arguments))


def _is_bound_once(node: Expr) -> bool:
    """Whether an expression has a call of a macro, an aggregate or a window function; subqueries do not count."""
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, (exp.AggFunc, exp.Window)):
        return True
    name = str(node.this) if isinstance(node, exp.Anonymous) else ""
    if name.startswith("_cxm_") or name.upper() in _AGGREGATES:
        return True
    return any(_is_bound_once(child) for child in node.iter_expressions())


def part_name(node: Expr, function: str, known: tuple[str, ...] | None = None) -> str:
    unit = node.args.get("unit")
    name = (unit.name if isinstance(unit, Expr) else "day").lower()
    name = ALIASES.get(name, name)
    if name not in (known or UNITS):
        if name == "nanosecond":
            raise errors.unsupported(f"{function} of nanoseconds")
        raise errors.invalid_part(name, function)
    return name


def moment(value: Expr) -> Expr:
    """Convert a date function's argument, if it is a constant text, to a timestamp
    (https://docs.snowflake.com/en/sql-reference/functions/dateadd#arguments)."""
    if isinstance(value, exp.Literal):
        return call("ntz", value)
    return exp.cast(value, "TIMESTAMP") if isinstance(value.unnest(), (exp.Null, exp.Placeholder)) else value
