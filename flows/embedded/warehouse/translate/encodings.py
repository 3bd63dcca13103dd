"""Rewrites hashes, hex, Base64 and BINARY, where DuckDB's or sqlglot's differ from Snowflake's, as calls of `text_values`."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.native_calls import (
    as_number,
    as_text,
    has_any,
    is_binary,
    native,
)
from flows.embedded.warehouse.translate.typed_nodes import type_of


def _half_of_md5(upper: bool) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        digits = native("half_of_md5", as_text(node.this), exp.Boolean(this=upper))
        return exp.Cast(this=digits, to=exp.DataType.build("NUMBER(20, 0)", dialect="snowflake"))

    return made


def _decoded_binary(kind: str, attempt: bool) -> Callable[[Expr], Expr]:
    """Return the rewriting of HEX_DECODE_BINARY, BASE64_DECODE_BINARY and their TRY_ forms
    (https://docs.snowflake.com/en/sql-reference/functions/hex_decode_binary)."""
    return lambda node: native(
        "decoded_binary", as_text(node.this), exp.Literal.string(kind), exp.Boolean(this=attempt)
    )


def _sha2(node: Expr) -> Expr:
    size = node.args.get("length")
    return node if size is None or size.name == "256" else native("sha2", as_text(node.this), as_number(size, 256))


def _decoded(kind: str, attempt: bool) -> Callable[[Expr], Expr]:
    def made(node: Expr) -> Expr:
        alphabet = node.args.get("alphabet") or exp.Literal.string("")
        return native("decoded", as_text(node.this), exp.Literal.string(kind), exp.Boolean(this=attempt), alphabet)

    return made


def _encoded(node: Expr) -> Expr:
    """Rewrite BASE64_ENCODE, which may have a line length and an alphabet
    (https://docs.snowflake.com/en/sql-reference/functions/base64_encode)."""
    if not has_any(node, "max_line_length", "alphabet"):
        return native("base64", node.this)
    alphabet = node.args.get("alphabet") or exp.Literal.string("")
    value = node.this if is_binary(node.this) else native("encoded", node.this)
    return native("base64_text", value, as_number(node.args.get("max_line_length"), 0), alphabet)


def _hex(node: Expr) -> Expr:
    if (type_ := type_of(node.this)) is not None and type_.kind not in ("VARCHAR", "BINARY", "NULL"):
        node.set("this", exp.cast(node.this, "VARCHAR"))
    case = node.args.get("case")
    if case is None or case.name == "1":
        return node
    node.set("case", None)
    return exp.Anonymous(this="lower", expressions=[node.copy()])


def _binary(node: Expr) -> Expr:
    """Rewrite TO_BINARY and TRY_TO_BINARY (https://docs.snowflake.com/en/sql-reference/functions/to_binary)."""
    how = node.args.get("format") or exp.Literal.string("HEX")
    name = {"HEX": "HEX", "BASE64": "BASE64", "UTF-8": "UTF-8", "UTF8": "UTF-8"}.get(how.name.upper())
    if not isinstance(how, exp.Literal) or name is None:
        raise errors.unsupported(f"TO_BINARY with the format {how.sql(dialect='snowflake')}")
    if node.args.get("safe"):
        return native("try_binary", as_text(node.this), exp.Literal.string(name))
    return native({"HEX": "binary", "BASE64": "from_base64", "UTF-8": "encoded"}[name], node.this)


REWRITTEN: dict[type[Expr], Callable[[Expr], Expr]] = {
    exp.SHA2: _sha2,
    exp.TryHexDecodeString: _decoded("HEX", True),
    exp.HexDecodeString: _decoded("HEX", False),
    exp.TryBase64DecodeString: _decoded("BASE64", True),
    exp.Base64DecodeString: _decoded("BASE64", False),
    exp.Hex: _hex,
    exp.TryHexDecodeBinary: _decoded_binary("HEX", True),
    exp.Unhex: _decoded_binary("HEX", False),
    exp.TryBase64DecodeBinary: _decoded_binary("BASE64", True),
    exp.Base64DecodeBinary: _decoded_binary("BASE64", False),
    exp.Base64Encode: _encoded,
    exp.MD5NumberUpper64: _half_of_md5(True),
    exp.MD5NumberLower64: _half_of_md5(False),
    exp.ToBinary: _binary,
}
