"""The names that a query can refer to: the columns of its sources, its own results, and the query around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type

Columns = dict[str, Type | None]


@dataclass
class Scope:
    """What a query's names may mean: its sources' columns, None where they are not known, then its own result's columns."""

    sources: list[tuple[str, Columns | None]] = field(default_factory=list)
    outer: Scope | None = None
    results: Columns = field(default_factory=dict)
    made: dict[str, Expr] = field(default_factory=dict)  # what the results of a SELECT list are computed by


@dataclass
class Item:
    """A column of a query's result; `node` is None for a column that a star means."""

    name: str
    type: Type | None
    node: Expr | None = None


def folded(identifier: Expr | str | None) -> str:
    """An identifier as Snowflake keeps it."""
    if isinstance(identifier, exp.Identifier):
        return str(identifier.this) if identifier.quoted else str(identifier.this).upper()
    return str(identifier.name if isinstance(identifier, Expr) else identifier or "").upper()


def resolved(column: exp.Column, scope: Scope) -> Type | None:
    """The type of the column that a name means. Raises 000904 where a column's name differs from it by case alone."""
    name, table = folded(column.this), folded(column.args["table"]) if column.args.get("table") else ""
    here: Scope | None = scope
    while here is not None:
        sources = [c for alias, c in here.sources if not table or alias == table]
        matching = [c[name] for c in sources if c is not None and name in c]
        if matching:
            return matching[0]
        if not table and name in here.results:
            return here.results[name]
        if name == "ROWID" and None not in sources:  # DuckDB has one
            raise errors.invalid_identifier(column.sql(dialect="snowflake", comments=False))
        if sources and None not in sources:
            others = [*(n for c in sources if c for n in c), *([] if table else here.results)]
            if any(n.upper() == name.upper() for n in others):
                raise errors.invalid_identifier(column.sql(dialect="snowflake", comments=False))
        if None in sources:
            return None
        here = here.outer
    return None


_SURE = ("_CXM_", "TO_", "TRY_TO_", "DATE", "TIME")  # functions that give the same value again


def computed_again(column: exp.Column, scope: Scope) -> Expr | None:
    """The expression of an alias in the same SELECT list: DuckDB refuses one whose expression may fail, such as a cast."""
    name = folded(column.this)
    made = scope.made.get(name)
    if made is None or column.args.get("table"):
        return None
    if not made.find(exp.Cast) and not (
        isinstance(column.parent, exp.Func) and column.find_ancestor(exp.Select, exp.Query)
    ):
        return None
    if any(columns is None or name in columns for _, columns in scope.sources):
        return None
    if (
        column.find_ancestor(exp.Select, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order)
        is not made.parent_select
    ):
        return None
    if made.find(exp.Query, exp.AggFunc, exp.Window, exp.Rand, exp.Uuid):
        return None
    if any(not str(call.this).upper().startswith(_SURE) for call in made.find_all(exp.Anonymous)):
        return None
    return exp.paren(made.copy())


def renamed(items: list[Item] | None, alias: Expr | None) -> Columns | None:
    """A source's columns, by the names that its alias gives them."""
    if items is None:
        return None
    names = [folded(c) for c in (alias.args.get("columns") or [] if alias else [])]
    return {names[i] if i < len(names) else item.name: item.type for i, item in enumerate(items)}


def star(projection: Expr, scope: Scope) -> list[Item] | None:
    """What `*` or `t.*` means; None when a source's columns are not known.

    Raises 000904 for a name in EXCLUDE, RENAME or REPLACE that is no column
    (https://docs.snowflake.com/en/sql-reference/sql/select#parameters).
    """
    all_ = projection if isinstance(projection, exp.Star) else projection.this
    if not isinstance(all_, exp.Star):
        return None
    table = (
        folded(projection.args["table"]) if isinstance(projection, exp.Column) and projection.args.get("table") else ""
    )
    matching = [c for alias, c in scope.sources if not table or alias == table]
    left_out = [folded(_identifier(e)) for e in all_.args.get("except_") or []]
    names = {folded(_identifier(a.this)): folded(a.args["alias"]) for a in all_.args.get("rename") or []}
    others = [folded(a.args["alias"]) for a in all_.args.get("replace") or []]
    if not matching or None in matching:
        if names:
            raise errors.unsupported("* RENAME of columns that are not known before the statement runs")
        return None
    columns = [(n, t) for c in matching if c for n, t in c.items()]
    for name in (*left_out, *names, *others):
        if not any(name == n for n, _ in columns):
            raise errors.invalid_identifier(name)
    if all_.args.get("ilike"):
        return None
    instead = {folded(made.args["alias"]): type_of(made.this) for made in replacements(projection)}
    return [Item(names.get(n, n), instead.get(n, t)) for n, t in columns if n not in left_out]


def replacements(projection: Expr) -> list[exp.Alias]:
    """What `* REPLACE (a AS b, …)` says."""
    all_ = projection if isinstance(projection, exp.Star) else projection.this
    replaced = all_.args.get("replace") or [] if isinstance(all_, exp.Star) else []
    return [made for made in replaced if isinstance(made, exp.Alias)]


def _identifier(node: Expr) -> Expr:
    return node.this if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) else node
