"""Applies fakesnow's transforms to one syntax tree, at a fraction of what sqlglot's `transform` costs.

fakesnow's list of transforms ──noted──▶ passes ──those whose nodes the tree has, one after the other──▶ the tree

fakesnow 0.12.1 walks the tree some eighty times for each statement, mostly for nothing. Here a pass is skipped if the tree has
none of the nodes that it looks at, and a pass that looks at a kind of statement sees only the root. A transform that is not
named here sees every node.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

from sqlglot import Expr, exp

Pass = Callable[[Expr], Expr]
Kinds = tuple[type[Expr], ...]

# The transforms of fakesnow that look for a kind of statement: SHOW, CREATE … are only at the root.
_OF_STATEMENTS = """
    alter_session set_schema create_database extract_comment_on_table extract_comment_on_columns drop_schema_cascade tag
    show_databases show_functions show_procedures show_parameters show_warehouses show_schemas show_tables_etc show_columns
    show_stages show_sequences show_keys show_users create_user create_clone alter_table_strip_cluster_by create_stage
    create_file_format list_stage put_stage create_table_as update_variables extract_text_length
"""
OF_STATEMENTS = frozenset(_OF_STATEMENTS.split())
# The nodes that each of the others looks at.
OF_NODES: dict[str, Kinds] = {
    "identifier": (exp.Table,), "upper_case_unquoted_identifiers": (exp.Identifier,), "current_version": (exp.CurrentVersion,),
    "information_schema_fs": (exp.Table,), "information_schema_databases": (exp.Table,),
    "semi_structured_types": (exp.DataType,), "try_parse_json": (exp.Anonymous,), "split": (exp.Split,),
    "trim_cast_varchar": (exp.Trim,), "indices_to_json_extract": (exp.Bracket,), "json_extract_cast_as_varchar": (exp.Cast,),
    "json_extract_cased_as_varchar": (exp.Upper, exp.Lower),
    "json_extract_precedence": (exp.JSONExtract, exp.JSONExtractScalar), "flatten_value_cast_as_varchar": (exp.Cast,),
    "flatten": (exp.Lateral, exp.TableFromRows), "regex_replace": (exp.RegexpReplace,), "regex_substr": (exp.RegexpExtract,),
    "result_scan": (exp.Select,), "sequence_nextval": (exp.Column,), "values_columns": (exp.Values,), "to_date": (exp.Anonymous,),
    "timestamp_offsets": (exp.Cast,), "to_decimal": (exp.ToNumber,),
    "to_timestamp": (exp.UnixToTime, exp.Anonymous, exp.Cast), "to_variant": (exp.ToVariant,),
    "object_construct": (exp.StarMap, exp.Struct, exp.JSONObject), "timestamp_ntz": (exp.DataType,),
    "float_to_double": (exp.DataType,), "integer_precision": (exp.DataType,), "sample": (exp.TableSample,),
    "array_size": (exp.ArraySize,), "random": (exp.Select,), "array_agg_within_group": (exp.WithinGroup,),
    "array_agg": (exp.ArrayAgg, exp.Window), "object_agg": (exp.ObjectAgg,),
    "array_construct_etc": (exp.ArrayConstructCompact, exp.Array, exp.ArrayConcat), "dateadd_date_cast": (exp.DateAdd,),
    "dateadd_string_literal_timestamp_cast": (exp.DateAdd,), "datediff_string_literal_timestamp_cast": (exp.DateDiff,),
    "haversine": (exp.Anonymous,), "hex_string": (exp.HexString,), "sha256": (exp.SHA2, exp.SHA2Digest, exp.Anonymous),
    "alias_in_join": (exp.Select,), "alias_in_where": (exp.Select,),
}  # fmt: skip
# Node kinds that the tree must hold as well for the pass to apply.
_ONLY_WITH: dict[str, Kinds] = {
    "random": (exp.Rand,),
    "result_scan": (exp.TableFromRows,),
    "alias_in_join": (exp.Join,),
}


class Passes:
    """Stands in for a tree whose `transform` is called again and again, and notes each call."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, Pass]] = []

    def transform(self, function: Callable[..., Expr], *args: object, copy: bool = True, **kwargs: object) -> Passes:
        """Note one pass; the tree is changed in place, whatever `copy` says."""
        self.noted.append((name_of(function), partial(function, *args, **kwargs) if args or kwargs else function))
        return self

    def applied(self, tree: Expr) -> Expr:
        """Apply the noted passes; return the tree, changed in place, or what replaces its root."""
        present = {type(node) for node in tree.walk()}
        for name, function in self.noted:
            if name in OF_STATEMENTS:
                made = function(tree)
                if made is not tree:
                    tree, present = made, {type(node) for node in made.walk()}
                continue
            kinds = OF_NODES.get(name, (Expr,))
            if any(issubclass(kind, kinds) for kind in present) and _goes_along(name, present):
                tree = changed(tree, function, kinds, present)
        return tree


def name_of(function: Callable[..., Any]) -> str:
    """Return a transform's name, also if a lambda calls it."""
    code: CodeType | None = getattr(function, "__code__", None)
    if code is not None and code.co_name == "<lambda>":
        return next((name for name in code.co_names if name in OF_STATEMENTS or name in OF_NODES), "")
    return str(getattr(function, "__name__", ""))


def _goes_along(name: str, present: set[type[Expr]]) -> bool:
    needed = _ONLY_WITH.get(name)
    return needed is None or any(issubclass(kind, needed) for kind in present)


def changed(tree: Expr, function: Pass, kinds: Kinds = (Expr,), present: set[type[Expr]] | None = None) -> Expr:
    """Transform a tree as sqlglot does, without its copy: the function sees each node of these kinds before the nodes in it, and
    none that it puts in. The kinds of nodes that the tree has afterwards are added to `present`."""
    stack, root = [tree], tree
    while stack:
        node = stack.pop()
        if present is not None:
            present.add(type(node))
        if isinstance(node, kinds):
            parent, key, index = node.parent, node.arg_key, node.index
            made = function(node)
            if made is not node:
                if node is tree:
                    root = made
                elif parent is not None and key:
                    parent.set(key, made, index)
                if present is not None:
                    present.update(type(part) for part in made.walk())
                continue
        for value in reversed(node.args.values()):
            if isinstance(value, Expr):
                stack.append(value)
            elif type(value) is list:
                stack += [part for part in reversed(value) if isinstance(part, Expr)]
    return root
