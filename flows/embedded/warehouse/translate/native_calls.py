"""Makes calls of this package's functions and macros in the engine (see `native` and `macros`), and their arguments."""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate.typed_nodes import type_of


def native(name: str, *arguments: Expr) -> exp.Anonymous:
    """Return the call of the function or macro `_cxm_<name>`."""
    return exp.Anonymous(this=f"_cxm_{name}", expressions=list(arguments))


def as_text(value: Expr) -> Expr:
    """Return an expression as a text argument of a Python function; a constant text is left alone."""
    return (
        value
        if isinstance(value, exp.Literal) and value.is_string
        else exp.Anonymous(this="_cxm_digits_of", expressions=[value])
    )


def as_number(value: Expr | None, default: int) -> Expr:
    """Return an expression as a whole number; a constant is left alone, a missing expression is the default."""
    if value is None:
        return exp.Literal.number(default)
    return value if isinstance(value, exp.Literal) else exp.Anonymous(this="_cxm_int64", expressions=[value])


def has_any(node: Expr, *names: str) -> bool:
    """Whether a call has one of these arguments."""
    return any(node.args.get(name) is not None for name in names)


def is_binary(value: object) -> bool:
    """Whether an expression is known to be BINARY."""
    return (type_ := type_of(value)) is not None and type_.kind == "BINARY"
