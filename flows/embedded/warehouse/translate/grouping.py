"""Groups VARIANTs, and makes them distinct, by value: equal ones are one, whatever their text in the engine.

GROUP BY V:a ──take_by_value──▶ GROUP BY _cxm_one_json(V:a), in the SELECT list and HAVING too: 1 is 1.0, keys have no order

https://docs.snowflake.com/en/sql-reference/constructs/group-by, …/sql-reference/data-types-semistructured
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.column_names import column_name, named
from flows.embedded.warehouse.translate.scopes import Item, folded
from flows.embedded.warehouse.translate.typed_nodes import call_of, set_type, type_of
from flows.embedded.warehouse.translate.types import SEMI_STRUCTURED, Type

_SETS = ("cube", "rollup", "grouping_sets")


def is_variant(type_: Type | None) -> bool:
    return type_ is not None and type_.kind in SEMI_STRUCTURED


def as_one(value: Expr) -> Expr:
    """Return a VARIANT in the form that equal ones share."""
    made = call_of("_cxm_one_json", value.copy())
    set_type(made, type_of(value))
    return made


def take_by_value(select: exp.Select, items: Sequence[Item] | None) -> None:
    """Take the VARIANTs of a query's GROUP BY, DISTINCT and ORDER BY by value; `select` is changed in place."""
    _group_by_value(select, items)
    _order_by_value(select, items)


def _group_by_value(select: exp.Select, items: Sequence[Item] | None) -> None:
    """Take the VARIANTs of GROUP BY and SELECT DISTINCT by value; `select` is changed in place."""
    group = select.args.get("group")
    if select.args.get("distinct"):
        _refuse_stars(items, "SELECT DISTINCT *")
        for place in range(len(select.expressions)):
            _show_one(select, place)
    if not isinstance(group, exp.Group):
        return
    keys = [key for key in group.expressions if isinstance(key, Expr)]
    keys += [key for name in _SETS for part in group.args.get(name) or [] for key in part.find_all(exp.Column)]
    if group.args.get("all"):
        for place, column in enumerate(select.expressions):
            if not column.find(exp.AggFunc):
                _show_one(select, place)
    for key in keys:
        if isinstance(key, exp.Literal) and key.name.isdigit():
            if 0 < int(key.name) <= len(select.expressions):
                _show_one(select, int(key.name) - 1)
        elif is_variant(type_of(key)):
            _replace_equal(select, key)


def _replace_equal(select: exp.Select, key: Expr) -> None:
    """Replace a key of GROUP BY wherever the query has it; a key that is the alias of a result means that result."""
    for place, column in enumerate(select.expressions):
        alias = isinstance(column, exp.Alias) and isinstance(key, exp.Column) and not key.args.get("table")
        if alias and folded(column.args["alias"]) == folded(key.this) and column.this != key:
            _show_one(select, place)
            return
    sought = key.copy()
    for name in ("expressions", "group", "having", "qualify", "order"):
        part = select.args.get(name)
        for root in list(part) if isinstance(part, list) else [part]:
            for node in list(root.find_all(type(sought))) if isinstance(root, Expr) else []:
                if node == sought and not (
                    isinstance(node.parent, exp.Anonymous) and node.parent.this == "_cxm_one_json"
                ):
                    _replace(node, select)


def _show_one(select: exp.Select, place: int) -> None:
    inner = select.expressions[place].unalias()
    if is_variant(type_of(inner)) and not isinstance(inner, (exp.AggFunc, exp.Window)):
        _replace(inner, select)


def _replace(node: Expr, select: exp.Select) -> None:
    made = as_one(node)
    shown = node.parent is select and node.arg_key == "expressions"
    node.replace(named(made, column_name(node) or folded(node.this)) if shown else made)


def _refuse_stars(items: Sequence[Item] | None, what: str) -> None:
    if any(item.node is None and is_variant(item.type) for item in items or []):
        raise errors.unsupported(f"{what} with a VARIANT (name the columns)")


def _order_by_value(select: exp.Select, items: Sequence[Item] | None) -> None:
    """Order by value, not by text, where ORDER BY 1 means a VARIANT."""
    order = select.args.get("order")
    for ordered in order.expressions if isinstance(order, exp.Order) else []:
        place = int(key.name) - 1 if isinstance(key := ordered.this, exp.Literal) and key.name.isdigit() else -1
        if not 0 <= place < len(items or []) or not is_variant((items or [])[place].type):
            continue
        if select.args.get("distinct") or len(select.expressions) != len(items or []):
            raise errors.unsupported("ORDER BY the place of a VARIANT beside DISTINCT or * (cast it)")
        key.replace(call_of("_cxm_order", select.expressions[place].unalias().copy()))


def combine_by_value(query: exp.SetOperation, items: Sequence[Item]) -> None:
    """Compare VARIANTs by value in UNION, INTERSECT and EXCEPT, which keep one of equal rows."""
    if not any(is_variant(item.type) for item in items) or query.args.get("distinct") is False:
        return
    for half in (query.this, query.expression):
        half = half.unnest() if isinstance(half, exp.Subquery) else half
        if not isinstance(half, exp.Select) or any(column.is_star for column in half.expressions):
            raise errors.unsupported("a set operation of VARIANTs that are not named one by one")
        for place in range(len(half.expressions)):
            _show_one(half, place)


def distinct_by_value(node: Expr) -> None:
    """Compare VARIANTs by value in COUNT(DISTINCT V), APPROX_COUNT_DISTINCT(V), MODE(V) and PARTITION BY V."""
    if isinstance(node, exp.Distinct) and isinstance(node.parent, exp.AggFunc):
        values = list(node.expressions)
    elif isinstance(node, (exp.ApproxDistinct, exp.Mode)) and isinstance(node.this, Expr):
        values = [node.this]
    elif isinstance(node, exp.Window):
        values = list(node.args.get("partition_by") or [])
    else:
        return
    for value in values:
        if is_variant(type_of(value)):
            value.replace(as_one(value))
