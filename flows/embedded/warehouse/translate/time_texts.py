"""Converts texts to dates and times and back: TO_DATE, TO_TIMESTAMP … with a format, TO_CHAR, concatenation with a text.

https://docs.snowflake.com/en/sql-reference/functions/to_timestamp, …/to_char, …/date-time-input-output
"""

from __future__ import annotations

import re

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors, time_formats
from flows.embedded.warehouse.translate.native_calls import is_binary
from flows.embedded.warehouse.translate.time_calls import TEXTS, call

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


def conversion(node: exp.Anonymous, name: str) -> Expr:
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


def constant_text(how: Expr | None) -> Expr | None:
    """Return a format, in one piece if it is joined from constants, as dbt writes it: 'yyyy-mm-dd HH24:MI'||'UTC'."""
    if not isinstance(how, (exp.DPipe, exp.Concat)):
        return how
    parts = [how.this, how.expression] if isinstance(how, exp.DPipe) else how.expressions
    texts = [constant_text(part) for part in parts]
    if all(isinstance(part, exp.Literal) and part.is_string for part in texts):
        return exp.Literal.string("".join(part.name for part in texts if part))
    return how


def as_text(node: Expr) -> Expr:
    """Rewrite TO_CHAR and TO_VARCHAR: https://docs.snowflake.com/en/sql-reference/functions/to_char."""
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


def joined_texts(node: Expr) -> Expr:
    """Convert each operand of || or CONCAT that is not a text as TO_VARCHAR does."""
    if isinstance(node, exp.DPipe) and (is_binary(node.this) or is_binary(node.expression)):
        if not (is_binary(node.this) and is_binary(node.expression)):
            raise errors.unsupported("|| of a BINARY and another type")
        return node
    if isinstance(node, exp.Concat) and any(map(is_binary, node.expressions)):
        if not all(map(is_binary, node.expressions)):
            raise errors.unsupported("CONCAT of a BINARY and another type")
        return node
    if isinstance(node, exp.DPipe):
        for key in ("this", "expression"):
            node.set(key, _piece(node.args[key]))
    else:
        node.set("expressions", [_piece(piece) for piece in node.expressions])
    return node


def _piece(value: Expr) -> Expr:
    bare = value.unnest()
    if isinstance(bare, (exp.Literal, exp.Null, exp.Placeholder, exp.DPipe, exp.Concat)) or (
        isinstance(bare, exp.Cast) and bare.to.this in TEXTS
    ):
        return value
    return call("text", value)
