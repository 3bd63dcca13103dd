"""Writes and reads numbers in SQL's format models: TO_CHAR(N, '$99.0'), TO_NUMBER('3,741.72', '9,999.99', 6, 2).

call ──rewritten──▶ _cxm_number_text('$99.0', N, false), CAST(_cxm_number_read('9,999.99', '3,741.72', false) AS NUMBER(6, 2))

https://docs.snowflake.com/en/sql-reference/sql-format-models, …/functions/to_char, …/functions/to_decimal
"""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors, number_formats, time_formats
from flows.embedded.warehouse.translate.time_texts import constant_text
from flows.embedded.warehouse.translate.typed_nodes import type_of

_OF_BINARY = ("HEX", "BASE64", "UTF-8", "UTF8")


def written(node: exp.ToChar) -> Expr:
    """Rewrite TO_CHAR of a number with a format; return `node` itself if the value is not a number, or may not be one."""
    how, value = constant_text(node.args.get("format")), node.this
    if how is None or isinstance(value.unnest(), (exp.Null, exp.Placeholder)):
        return node
    type_ = type_of(value)
    if type_ is None:
        # the value's type is known only when it runs; the format says which types it may have
        if not isinstance(how, exp.Literal) or how.name.upper() in _OF_BINARY or _is_of_time(how.name):
            return node
    elif type_.kind not in ("NUMBER", "FLOAT"):
        return node
    if isinstance(how, exp.Literal):
        number_formats.models(how.name)
    floating: Expr = exp.Boolean(this=type_ is not None and type_.kind == "FLOAT")
    if type_ is None:
        floating = exp.Anonymous(this="_cxm_is_float", expressions=[value.copy()])
    text = exp.Anonymous(this="_cxm_digits_of", expressions=[value])
    return exp.Anonymous(this="_cxm_number_text", expressions=[how, text, floating])


def _is_of_time(format_: str) -> bool:
    try:
        return "%" in time_formats.written(format_)
    except ProgrammingError:
        return False


def read(node: exp.ToNumber | exp.ToDouble) -> Expr:
    """Rewrite TO_NUMBER, TO_DECIMAL, TO_DOUBLE and their TRY_ forms with a format; return `node` itself without one."""
    how = node.args.get("format")
    if how is None:
        return node
    how = constant_text(how)
    if not isinstance(how, exp.Literal) or not how.is_string:
        raise errors.unsupported("a number read in a format that is not a constant")
    number_formats.models(how.name)
    type_ = type_of(node.this)
    if type_ is not None and type_.kind not in ("VARCHAR", "NULL"):
        raise errors.unsupported(f"a format beside a value that is no text ({type_})")
    attempt = bool(node.args.get("safe"))
    text = exp.Anonymous(
        this="_cxm_number_read",
        expressions=[how, exp.Anonymous(this="_cxm_digits_of", expressions=[node.this]), exp.Boolean(this=attempt)],
    )
    if isinstance(node, exp.ToDouble):
        to = "DOUBLE"
    else:
        sizes = [node.args.get(key) for key in ("precision", "scale")]
        if any(size is not None and not isinstance(size, exp.Literal) for size in sizes):
            raise errors.unsupported("a number's precision or scale that is not a constant")
        to = f"NUMBER({sizes[0].name if sizes[0] else 38}, {sizes[1].name if sizes[1] else 0})"
    made = exp.DataType.build(to, dialect="snowflake")
    return (exp.TryCast if attempt else exp.Cast)(this=text, to=made)
