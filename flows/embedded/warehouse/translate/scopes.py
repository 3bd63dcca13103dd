"""The names that a query can refer to: the columns of its sources, its own results, and the query around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors, write_errors
from flows.embedded.warehouse.translate.typed_nodes import type_of
from flows.embedded.warehouse.translate.types import Type

Columns = dict[str, Type | None]


@dataclass
class Scope:
    """What a query's names may mean: its sources' columns, None where they are not known, then its own result's columns."""

    sources: list[tuple[str, Columns | None]] = field(default_factory=list)
    outer: Scope | None = None
    results: Columns = field(default_factory=dict)
    made: dict[str, Expr] = field(default_factory=dict)  # the expressions of the results of a SELECT list
    doubled: set[str] = field(default_factory=set)  # the names that two of its results have
    twice: set[tuple[str, str]] = field(default_factory=set)  # (source, column) that a subquery has several times


@dataclass
class Item:
    """A column of a query's result; `node` is None for a column of a star."""

    name: str
    type: Type | None
    node: Expr | None = None


def folded(identifier: Expr | str | None) -> str:
    """Return an identifier's name as Snowflake stores it."""
    if isinstance(identifier, exp.Identifier):
        return str(identifier.this) if identifier.quoted else str(identifier.this).upper()
    return str(identifier.name if isinstance(identifier, Expr) else identifier or "").upper()


def resolved(column: exp.Column, scope: Scope) -> Type | None:
    """Return the type of the column that a name means. Raises 000904 if a column differs only by case, 002028 if two match."""
    name, table = folded(column.this), folded(column.args["table"]) if column.args.get("table") else ""
    here: Scope | None = scope
    while here is not None:
        sources = [c for alias, c in here.sources if not table or alias == table]
        if here.twice and any(name == n and table in ("", alias) for alias, n in here.twice):
            raise write_errors.ambiguous(name)
        matching = [c[name] for c in sources if c is not None and name in c]
        if matching:
            return matching[0]
        if not table and name in here.doubled:
            raise write_errors.ambiguous(name)
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
    """Return the expression of an alias in the same SELECT list, if it has to be written again, otherwise None.

    DuckDB refuses an alias whose expression may fail, such as a cast.
    """
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
    """Return a source's columns, by the names that its alias gives them."""
    if items is None:
        return None
    names = [folded(c) for c in (alias.args.get("columns") or [] if alias else [])]
    return {names[i] if i < len(names) else item.name: item.type for i, item in enumerate(items)}


def several(items: list[Item]) -> set[str]:
    """Return the names that more than one column of a result has; an expression without an alias has its text as its name."""
    named = (type(None), exp.Alias, exp.Column, exp.SetOperation)
    names = [item.name for item in items if isinstance(item.node, named)]
    return {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()


def merged(stars: list[Item], select: exp.Select) -> list[Item]:
    """Return the columns of a star, with those of JOIN … USING or NATURAL JOIN only once."""
    joins = select.args.get("joins") or []
    once = {folded(column) for join in joins for column in join.args.get("using") or []}
    if any(str(join.args.get("method") or "").upper() == "NATURAL" for join in joins):
        once |= several(stars)
    if not once:
        return stars
    names = [item.name for item in stars]
    return [item for i, item in enumerate(stars) if item.name not in once or item.name not in names[:i]]


def check_order(order: Expr | None, items: list[Item] | None, union: bool = False) -> None:
    """Refuse ORDER BY a name that two columns of the result have, or that a set operation does not have
    (https://docs.snowflake.com/en/sql-reference/constructs/order-by)."""
    if order is None or not items:
        return
    twice = several([item for item in items if item.node is not None])
    if not twice and not union:
        return
    names = {item.name for item in items}
    for ordered in order.expressions:
        key = ordered.this if isinstance(ordered, exp.Ordered) else ordered
        if isinstance(key, exp.Column) and not key.args.get("table"):
            if folded(key.this) in twice:
                raise write_errors.ambiguous(folded(key.this))
            if union and folded(key.this) not in names:
                raise errors.invalid_identifier(key.sql(dialect="snowflake", comments=False))


def check_star(half: Expr, items: list[Item], made: list[Item]) -> None:
    """Refuse columns of a * of another kind than the set operation's, since they cannot be cast one by one
    (https://docs.snowflake.com/en/sql-reference/operators-query#general-usage-notes)."""
    if isinstance(half, exp.Select) and any(column.is_star for column in half.expressions):
        for item, to in zip(items, made, strict=True):
            if item.type and to.type and {item.type.kind, to.type.kind} == {"NUMBER", "VARCHAR"}:
                raise errors.unsupported(
                    f"{item.name} of a * in a set operation of numbers and texts (name the columns)"
                )


def star(projection: Expr, scope: Scope) -> list[Item] | None:
    """Return the columns that `*` or `t.*` means; None when a source's columns are not known.

    Raises 000904 for a name in EXCLUDE, RENAME or REPLACE that is not a column
    (https://docs.snowflake.com/en/sql-reference/sql/select#parameters).
    """
    all_ = projection if isinstance(projection, exp.Star) else projection.this
    if not isinstance(all_, exp.Star):
        return None
    table = (
        folded(projection.args["table"]) if isinstance(projection, exp.Column) and projection.args.get("table") else ""
    )
    if any(table in ("", alias) for alias, _ in scope.twice):
        raise errors.unsupported("* of a subquery with two columns of one name (name its columns)")
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
    """Return the expressions of `* REPLACE (a AS b, …)`."""
    all_ = projection if isinstance(projection, exp.Star) else projection.this
    replaced = all_.args.get("replace") or [] if isinstance(all_, exp.Star) else []
    return [made for made in replaced if isinstance(made, exp.Alias)]


def _identifier(node: Expr) -> Expr:
    return node.this if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) else node
