"""Changes a syntax tree node by node, from the leaves to the root, so that a change sees the changed parts."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import Expr


def change_from_leaves(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The tree, changed in place, or what takes the place of its root; `change` gives the node itself where it leaves it."""
    for node in reversed(list(expression.dfs())):
        changed = change(node)
        if changed is not node:
            if node is expression:
                expression = changed
            else:
                node.replace(changed)
    return expression
