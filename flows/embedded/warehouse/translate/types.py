"""Snowflake's data types in arithmetic, and the type of a result: (NUMBER(1,0) / NUMBER(1,0)) → NUMBER(7,6).

https://docs.snowflake.com/en/sql-reference/operators-arithmetic#scale-and-precision-in-arithmetic-operations
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

DIGITS = 38
TIMESTAMPS = ("TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ")
TIMES = ("DATE", "TIME", *TIMESTAMPS)  # Snowflake's date and time types
SCALAR = ("NUMBER", "FLOAT", "VARCHAR", "BOOLEAN", *TIMES, "BINARY")
SEMI_STRUCTURED = frozenset({"VARIANT", "ARRAY", "OBJECT"})
LONGEST_TEXT = 16_777_216  # VARCHAR without a length
LENGTHS = "cxm_lengths"  # of a CREATE or ALTER: the lengths of its VARCHAR(n) columns, and the marks
# Stored in place of a length for a column that the engine has as JSON.
MARKS = {"VARIANT": 0, "ARRAY": -1, "OBJECT": -2}
_MOST_DIGITS_AFTER_POINT = 12
_MORE_DIGITS_OF_A_QUOTIENT = 6


@dataclass(frozen=True)
class Type:
    """A data type; `precision` and `scale` are a NUMBER's, `length` a VARCHAR's."""

    kind: str
    precision: int = 0
    scale: int = 0
    length: int = 0

    @property
    def leading(self) -> int:
        """Digits before the point."""
        return self.precision - self.scale

    def __str__(self) -> str:
        if self.kind == "NUMBER":
            return f"NUMBER({self.precision},{self.scale})"
        return f"VARCHAR({self.length or LONGEST_TEXT})" if self.kind == "VARCHAR" else self.kind


def number(precision: int, scale: int = 0) -> Type:
    """Return NUMBER(precision, scale), with no more than 38 digits."""
    return Type("NUMBER", max(min(precision, DIGITS), scale, 1), scale)


def text(length: int = 0) -> Type:
    """Return VARCHAR(length); 0 means no length."""
    return Type("VARCHAR", length=length)


def as_declared(type_: Type | None, kept: int) -> Type | None:
    """Return the type of a column that the engine has as `type_`, and for which this length or mark is stored."""
    if type_ == Type("VARIANT"):
        return Type(next((kind for kind, mark in MARKS.items() if mark == kept), "VARIANT"))
    return text(kept) if type_ == Type("VARCHAR") and kept > 0 else type_


INTEGER = number(DIGITS)
COUNTED = number(18)
FLOAT, BOOLEAN, DATE, VARCHAR, NULL = Type("FLOAT"), Type("BOOLEAN"), Type("DATE"), Type("VARCHAR"), Type("NULL")
# What a text becomes beside a number.
TEXT_AS_NUMBER = number(18, 5)

_ENGINE = {
    "HUGEINT": INTEGER, "BIGINT": INTEGER, "UBIGINT": number(20), "INTEGER": number(10), "UINTEGER": number(10),
    "SMALLINT": number(5), "USMALLINT": number(5), "TINYINT": number(3), "UTINYINT": number(3), "DOUBLE": FLOAT, "FLOAT": FLOAT,
    "VARCHAR": VARCHAR, "BOOLEAN": BOOLEAN, "DATE": DATE, "JSON": Type("VARIANT"), "TIME": Type("TIME"), "BLOB": Type("BINARY"),
    "TIMESTAMP": Type("TIMESTAMP_NTZ"), "TIMESTAMP_NS": Type("TIMESTAMP_NTZ"), "TIMESTAMP WITH TIME ZONE": Type("TIMESTAMP_LTZ"),
}  # fmt: skip


def of_engine(name: str) -> Type | None:
    """Return the type of a column that DuckDB describes as `name`, None if unknown."""
    if match := re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", name):
        return number(int(match[1]), int(match[2]))
    return Type("TIMESTAMP_TZ") if "CXM_UTC" in name else _ENGINE.get(name)


def of_literal(text: str) -> Type:
    """Return the type of a numeric constant without an exponent."""
    whole, _, fraction = text.partition(".")
    return number(len(whole.lstrip("0") or ("0" if whole or not fraction else "")) + len(fraction), len(fraction))


def added(a: Type, b: Type) -> Type:
    """Return the type of a + b and a - b."""
    scale = max(a.scale, b.scale)
    return number(max(a.leading, b.leading) + 1 + scale, scale)


def multiplied(a: Type, b: Type) -> Type:
    """Return the type of a * b."""
    scale = min(a.scale + b.scale, max(a.scale, b.scale, _MOST_DIGITS_AFTER_POINT))
    return number(a.leading + b.leading + scale, scale)


def divided(a: Type, b: Type) -> Type:
    """Return the type of a / b."""
    scale = max(a.scale, min(a.scale + _MORE_DIGITS_OF_A_QUOTIENT, _MOST_DIGITS_AFTER_POINT))
    return number(a.leading + b.scale + scale, scale)


def summed(a: Type) -> Type:
    """Return the type of SUM(a)."""
    return number(a.precision + 12, a.scale)


def rounded(a: Type, scale: int) -> Type:
    """Return the type of ROUND, TRUNC, CEIL, FLOOR of a to `scale` digits."""
    return number(a.precision + 1, min(max(scale, 0), a.scale)) if scale < a.scale or scale < 0 else a


def common(types: Iterable[Type | None]) -> Type | None:
    """Return the common type of values, as in CASE, COALESCE, UNION; None if a value's type is unknown, or there is none."""
    result: Type | None = NULL
    for type_ in types:
        result = None if result is None or type_ is None else _either(result, type_)
    return result


def _either(a: Type, b: Type) -> Type | None:
    kinds = {a.kind, b.kind}
    if len(kinds) == 1 and "NUMBER" not in kinds:
        return (
            a
            if "VARCHAR" not in kinds
            else Type("VARCHAR", length=max(a.length, b.length) if a.length and b.length else 0)
        )
    if "NULL" in kinds:
        return b if a.kind == "NULL" else a
    if kinds == {"NUMBER", "VARCHAR"}:
        a, b = (TEXT_AS_NUMBER if t.kind == "VARCHAR" else t for t in (a, b))
    elif kinds == {"NUMBER", "FLOAT"}:
        return FLOAT
    elif kinds != {"NUMBER"}:
        return None
    scale = max(a.scale, b.scale)
    return number(max(a.leading, b.leading) + scale, scale)
