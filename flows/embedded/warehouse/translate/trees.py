"""Changes a syntax tree node by node, from the leaves to the root, so that a change sees the changed parts."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr


def change_from_leaves(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Change a tree in place; return it, or what replaces its root. `change` returns the node itself to leave it as it is."""
    for node in reversed(list(expression.dfs())):
        changed = change(node)
        if changed is not node:
            if node is expression:
                expression = changed
            else:
                node.replace(changed)
    return expression
