"""Bit functions that differ from DuckDB's: those of BINARY, and shifts, which have 128 bits on Snowflake.

BITAND(X'1010', X'0101') ──rewritten──▶ _cxm_bits('AND', …); BITSHIFTLEFT(-1, 2) ──▶ CAST(_cxm_shifted(…) AS NUMBER(38, 0))

https://docs.snowflake.com/en/sql-reference/expressions-byte-bit
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from operator import and_, or_, xor
from typing import Any

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.json_values import fail
from flows.embedded.warehouse.translate.native_calls import as_text, is_binary, native

_WIDTH = 128
_OPERATIONS: dict[str, Callable[[int, int], int]] = {"AND": and_, "OR": or_, "XOR": xor}


def bits(name: str, a: bytes | None, b: bytes | None, side: str | None) -> bytes | None:
    """Compute BITAND, BITOR or BITXOR of bytes; a shorter value is padded with zeros on `side`, refused without a side
    (https://docs.snowflake.com/en/sql-reference/functions/bitand#arguments)."""
    if a is None or b is None or side is None:
        return None
    if len(a) != len(b) and not side:
        text = "The lengths of two variable-sized fields do not match: first length"
        raise fail(f"{text} {len(a)}, second length {len(b)}", 100544, "22026")
    size = max(len(a), len(b))
    a, b = ((v.rjust if side == "LEFT" else v.ljust)(size, b"\0") for v in (a, b))
    return _OPERATIONS[name](int.from_bytes(a), int.from_bytes(b)).to_bytes(size)


def turned(value: bytes | None) -> bytes | None:
    """Compute BITNOT of bytes."""
    return None if value is None else bytes(~byte & 0xFF for byte in value)


def shifted_bytes(value: bytes | None, places: str | None, left: bool) -> bytes | None:
    """Compute BITSHIFTLEFT or BITSHIFTRIGHT of bytes; their number stays the same."""
    if value is None or (count := _whole(places)) is None:
        return None
    if count < 0:
        raise fail("a shift by a negative number of bits (undefined)")
    number, size = int.from_bytes(value), len(value)
    moved = number << count & (1 << 8 * size) - 1 if left and count < 8 * size else number >> count if not left else 0
    return moved.to_bytes(size)


def shifted(value: str | None, places: str | None, left: bool) -> str | None:
    """Compute BITSHIFTLEFT or BITSHIFTRIGHT of a signed whole number of 128 bits
    (https://docs.snowflake.com/en/sql-reference/functions/bitshiftleft#usage-notes)."""
    number, count = _whole(value), _whole(places)
    if number is None or count is None:
        return None
    if not 0 <= count < _WIDTH:
        raise fail(f"a shift by {count} bits (undefined)")
    if not left:
        return str(number >> count)
    number = (number << count) & ((1 << _WIDTH) - 1)
    number -= (number >> (_WIDTH - 1)) << _WIDTH
    if abs(number) >= 10**38:
        raise fail(f"a whole number of more than 38 digits: {number}")
    return str(number)


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(Decimal(text).to_integral_value(ROUND_HALF_UP))
    except (InvalidOperation, OverflowError, ValueError):
        return None  # what is not a number is NULL here


_T = "VARCHAR"
FUNCTIONS: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("_cxm_bits", bits, (_T, "BLOB", "BLOB", _T), "BLOB"),
    ("_cxm_turned", turned, ("BLOB",), "BLOB"),
    ("_cxm_shifted_bytes", shifted_bytes, ("BLOB", _T, "BOOLEAN"), "BLOB"),
    ("_cxm_shifted", shifted, (_T, _T, "BOOLEAN"), _T),
)


def _together(name: str) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        side = node.args.get("padside")
        if not is_binary(node.this) or not is_binary(node.expression):
            if side is not None or is_binary(node.this) or is_binary(node.expression):
                raise errors.unsupported(f"BIT{name} of BINARY beside another type, or with a side for numbers")
            return node
        if side is not None and not (isinstance(side, exp.Literal) and side.name.upper() in ("LEFT", "RIGHT")):
            raise errors.unsupported(f"BIT{name} with a side other than 'LEFT' and 'RIGHT'")
        filled = exp.Literal.string(side.name.upper() if side is not None else "")
        return native("bits", exp.Literal.string(name), node.this, node.expression, filled)

    return made


def _not(node: Expr) -> Expr:
    return native("turned", node.this) if is_binary(node.this) else node


def _shift(left: bool) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        way = exp.Boolean(this=left)
        if is_binary(node.this):
            return native("shifted_bytes", node.this, as_text(node.expression), way)
        call = native("shifted", as_text(node.this), as_text(node.expression), way)
        return exp.Cast(this=call, to=exp.DataType.build("NUMBER(38, 0)", dialect="snowflake"))

    return made


REWRITTEN: dict[type[Expr], Callable[[Expr], Expr]] = {
    exp.BitwiseAnd: _together("AND"),
    exp.BitwiseOr: _together("OR"),
    exp.BitwiseXor: _together("XOR"),
    exp.BitwiseNot: _not,
    exp.BitwiseLeftShift: _shift(True),
    exp.BitwiseRightShift: _shift(False),
}
