"""What is known of a value that a statement has a placeholder for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlglot import Expr, exp

from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type


def is_text(node: Expr, binds: Any) -> bool:
    """Whether an expression whose type is known, or what is bound to a placeholder, is text."""
    if isinstance(node, exp.Placeholder):
        return isinstance(_value(binds, node.name), str)
    return node.is_string or ((type_ := type_of(node)) is not None and type_.kind == "VARCHAR")


def _value(binds: Any, name: str) -> Any:
    """The value that is bound to a placeholder; None where there is none."""
    if isinstance(binds, dict):
        return binds.get(name)
    if isinstance(binds, (list, tuple)) and name.isdigit() and 0 < int(name) <= len(binds):
        return binds[int(name) - 1]
    return None


def type_of_bound(binds: Any, name: str) -> Type | None:
    """The type of a number that is bound, by which a quotient has its digits; others are for the engine to tell."""
    value = _value(binds, name)
    if isinstance(value, float):
        return types.FLOAT
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return types.of_literal(f"{abs(value):f}" if isinstance(value, Decimal) else str(abs(value)))
    return None
