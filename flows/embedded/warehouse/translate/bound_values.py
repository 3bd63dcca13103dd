"""The types of the values bound to a statement's placeholders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type


def is_text(node: Expr, binds: Any) -> bool:
    """Whether an expression of known type, or the value bound to a placeholder, is text."""
    if isinstance(node, exp.Placeholder):
        return isinstance(_value(binds, node.name), str)
    return node.is_string or ((type_ := type_of(node)) is not None and type_.kind == "VARCHAR")


def _value(binds: Any, name: str) -> Any:
    """Return the value bound to a placeholder, None if none is bound."""
    if isinstance(binds, dict):
        return binds.get(name)
    if isinstance(binds, (list, tuple)) and name.isdigit() and 0 < int(name) <= len(binds):
        return binds[int(name) - 1]
    return None


def type_of_bound(binds: Any, name: str) -> Type | None:
    """Return the type of a bound number, which decides a quotient's digits; None for other values: the engine types them."""
    value = _value(binds, name)
    if isinstance(value, float):
        return types.FLOAT
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return types.of_literal(f"{abs(value):f}" if isinstance(value, Decimal) else str(abs(value)))
    return None
