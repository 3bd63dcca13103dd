"""Gives nodes of a syntax tree their Snowflake types, reads these types, and makes nodes with a type.

node ──set_type──▶ node with its type ──type_of──▶ the type
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.types import Type

_TYPE = "cxm_type"


def set_type(node: Expr, type_: Type | None) -> Type | None:
    node.meta[_TYPE] = type_
    return type_


def type_of(node: object) -> Type | None:
    """Return the type that `set_type` gave an expression, None if unknown."""
    return node.meta.get(_TYPE) if isinstance(node, Expr) else None


def replaced(node: Expr, by: Expr, type_: Type | None) -> Type | None:
    node.replace(by)
    return set_type(by, type_)


def decimal(node: Expr, type_: Type) -> Expr:
    # not exp.cast, which leaves out a cast to a NUMBER if the node is a cast to another NUMBER
    to = exp.DataType.build(f"DECIMAL({type_.precision}, {type_.scale})", dialect="snowflake")
    made = exp.Cast(this=node, to=to)
    set_type(made, type_)
    return made


def floating(node: Expr) -> Expr:
    """Return a cast to FLOAT, with its type set."""
    made = exp.cast(node, exp.DataType.build("DOUBLE"))
    set_type(made, types.FLOAT)
    return made


def text_as_float(text: Expr) -> Expr:
    """Convert a text where a FLOAT is expected; a text that is not a number is an error when the statement runs."""
    return floating(call_of("_cxm_numeric_text", text.copy()))


def text_as_number(text: Expr, to: Type) -> Expr:
    """Convert a text where a NUMBER is expected; a text that is not a number is an error when the statement runs."""
    return decimal(call_of("_cxm_digits", text.copy()), to)


def call_of(name: str, *arguments: Expr) -> Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def numeric(*types_: Type | None) -> bool:
    return all(t is not None and t.kind == "NUMBER" for t in types_)


def make_whole(argument: object, function: str) -> None:
    """Convert a NUMBER by `function` where DuckDB takes only whole numbers of 32 or 64 bits."""
    for node in argument if isinstance(argument, list) else [argument]:
        bare = node.unnest() if isinstance(node, Expr) else None
        bare = bare.this if isinstance(bare, exp.Neg) else bare
        if (
            isinstance(node, Expr)
            and numeric(type_of(node))
            and not (isinstance(bare, exp.Literal) and bare.name.isdigit())
        ):
            made = call_of(function, node.copy())
            node.replace(made)
            set_type(made, types.INTEGER)


def make_exact(node: Expr) -> None:
    """Make a constant a decimal, so that arithmetic with it does not overflow at 32 bits."""
    type_ = type_of(node)
    constant = (isinstance(node, exp.Literal) and not node.is_string) or isinstance(node, exp.Placeholder)
    if constant and type_ is not None and numeric(type_):
        node.replace(decimal(node.copy(), type_))
