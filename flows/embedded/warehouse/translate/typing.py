"""Infers the type of each expression of a statement, and replaces expressions that DuckDB would compute differently.

syntax tree ──typed──▶ the same tree: a / b, AVG, ROUND … in decimal arithmetic, texts of a checked length, results in their types

DuckDB divides and averages in binary, and adds 32-bit constants in 32 bits. The digits of a result depend on the operands' types,
so types are inferred by Snowflake's rules (`expressions`), starting with those of the tables' columns, which DuckDB knows.
sqlglot's annotate_types has no precision and scale for most functions, and DuckDB's own typeof gives DuckDB's type of a result.
An expression whose type is not known here is left to DuckDB.

https://docs.snowflake.com/en/sql-reference/operators-arithmetic, …/data-type-conversion, …/identifiers-syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.bound_values import type_of_bound
from flows.embedded.warehouse.translate.column_names import column_name, named
from flows.embedded.warehouse.translate.comparisons import make_condition, refuse_zoned
from flows.embedded.warehouse.translate.expressions import typed
from flows.embedded.warehouse.translate.grouping import combine_by_value, take_by_value
from flows.embedded.warehouse.translate.result_types import KINDS, give_types, name_nulls
from flows.embedded.warehouse.translate.scopes import (
    Columns,
    Item,
    Scope,
    check_order,
    check_star,
    computed_again,
    folded,
    merged,
    renamed,
    replacements,
    resolved,
    several,
    star,
)
from flows.embedded.warehouse.translate.stored_values import (
    check_case,
    kept_lengths,
    limit,
    limit_changes,
    name_columns,
)
from flows.embedded.warehouse.translate.typed_nodes import make_exact, set_type, type_of
from flows.embedded.warehouse.translate.types import Type
from flows.embedded.warehouse.translate.written_types import check_changes, check_items, check_rows, convert, converts

_FLATTENED: Columns = {
    "SEQ": types.INTEGER, "KEY": types.VARCHAR, "PATH": types.VARCHAR, "INDEX": types.INTEGER, "VALUE": Type("VARIANT"),
    "THIS": Type("VARIANT"),
}  # fmt: skip


class Typing:
    """Walks over one statement. `columns` returns the columns of a table, or None when they are not known."""

    def __init__(self, columns: Callable[[exp.Table], Columns | None], binds: Any = None) -> None:
        self._columns_of = columns
        self._binds = binds
        self._tables: dict[str, Columns | None] = {}

    # ---- statements

    def statement(self, tree: Expr) -> Expr:
        """Type a statement; the tree is changed in place and returned."""
        if isinstance(tree, exp.Query):
            self._result(tree)
        elif isinstance(tree, exp.Describe) and isinstance(tree.this, exp.Query):
            self._result(tree.this)
        elif isinstance(tree, (exp.Create, exp.Alter)):
            name_columns(tree.this)
            items = self._result(tree.expression) if isinstance(tree.expression, exp.Query) else []
            name_nulls(items)
            tree.meta[types.LENGTHS] = kept_lengths(tree, items)
        elif isinstance(tree, exp.Insert) and isinstance(tree.expression, (exp.Query, exp.Values)):
            self._insert(tree)
        elif isinstance(tree, (exp.Update, exp.Delete, exp.Merge)):
            self._change(tree)
        return tree

    def _insert(self, tree: exp.Insert) -> None:
        """Type an INSERT; check what goes into its columns: name, type, and the length of a VARCHAR(n)."""
        items = self.query(tree.expression, None, {})
        columns = self._table(tree.this.this if isinstance(tree.this, exp.Schema) else tree.this) or {}
        names = [folded(c) for c in tree.this.expressions] if isinstance(tree.this, exp.Schema) else list(columns)
        to = [(name, columns.get(name)) for name in names]
        if isinstance(tree.expression, exp.Values):
            check_rows(tree.expression, to)
        if not columns:
            return
        for name in names:
            check_case(name, columns)
        lengths = [type_.length if (type_ := columns.get(n)) else 0 for n in names]
        found = [] if isinstance(tree.expression, exp.Values) else check_items(items, to)
        different = any(converts(type_, columns.get(n)) for type_, n in zip(found, names, strict=False))
        if not any(lengths) and not different:
            return
        if isinstance(tree.expression, exp.Values):
            for row in tree.expression.expressions:
                for cell, length in zip(list(row.expressions), lengths, strict=False):
                    limit(cell, length)
            return
        inner = tree.expression
        for part in (clause := inner.args.get("with_"), inner):
            if part is clause and part is not None:
                inner.set("with_", None)
        source = exp.alias_(exp.Subquery(this=inner.copy()), "_s", table=[f"c{i}" for i in range(len(names))])
        outer = exp.select(*(exp.column(f"c{i}", table="_s") for i in range(len(names)))).from_(source)
        for place, (cell, length) in enumerate(zip(list(outer.expressions), lengths, strict=True)):
            if place < len(found):
                set_type(cell, found[place])
                convert(cell, columns.get(names[place]))
            limit(outer.expressions[place], length)
        if clause is not None:
            outer.set("with_", clause)
        tree.set("expression", outer)

    def _result(self, query: Expr) -> list[Item]:
        """Type a query whose result goes to the client or into a new table: its columns get Snowflake's types."""
        items = self.query(query, None, {})
        give_types(query, [i.type for i in items] if items else [])
        query.meta[KINDS] = [i.type.kind if i.type else "" for i in items or []]
        return items or []

    def _change(self, tree: Expr) -> None:
        scope = Scope()
        ctes = self._with(tree, None, {})
        self._source(tree.this, scope, ctes)
        for key in ("from_", "using"):
            part = tree.args.get(key)
            for source in part if isinstance(part, list) else [part]:
                if isinstance(source, exp.From):
                    self._source(source.this, scope, ctes)
                    self._joins(source.this, scope, ctes)
                elif isinstance(source, Expr):
                    self._source(source, scope, ctes)
        self._joins(tree, scope, ctes)
        named = isinstance(tree.this, exp.Table) and isinstance(tree.this.this, exp.Identifier)
        target = (self._table(tree.this) if named else None) or {}
        check_changes(tree, target, lambda node: self._walk(node, scope, ctes))
        if target:
            limit_changes(tree, target)

    # ---- queries

    def query(self, query: Expr, outer: Scope | None, ctes: Mapping[str, Columns | None]) -> list[Item] | None:
        """Type a query's expressions; return the columns of its result, None when they are not known."""
        ctes = self._with(query, outer, ctes)
        if isinstance(query, exp.Subquery):
            return self.query(query.this, outer, ctes)
        if isinstance(query, exp.SetOperation):
            return self._union(query, outer, ctes)
        if isinstance(query, exp.Select):
            return self._select(query, outer, ctes)
        if isinstance(query, exp.Values):
            return self._values(query, outer, ctes)
        return None

    def _with(
        self, query: Expr, outer: Scope | None, ctes: Mapping[str, Columns | None]
    ) -> Mapping[str, Columns | None]:
        clause = query.args.get("with_")
        if not isinstance(clause, exp.With):
            return ctes
        known = dict(ctes)
        for cte in clause.expressions:
            name, recursive = (
                folded(cte.args["alias"].this),
                clause.recursive and isinstance(cte.this, exp.SetOperation),
            )
            if recursive:
                items = self.query(cte.this.this, outer, known)
                if items:  # a row may need more digits than the first: NUMBER(1,0), then 10
                    wide = [
                        types.number(38, i.type.scale) if i.type and i.type.kind == "NUMBER" else i.type for i in items
                    ]
                    give_types(cte.this.this, wide)
                    items = [Item(i.name, t) for i, t in zip(items, wide, strict=True)]
                known[name] = renamed(items, cte.args["alias"])
                self.query(cte.this.expression, outer, known)
            else:
                known[name] = renamed(self.query(cte.this, outer, known), cte.args["alias"])
        return known

    def _union(
        self, query: exp.SetOperation, outer: Scope | None, ctes: Mapping[str, Columns | None]
    ) -> list[Item] | None:
        left = self.query(query.this, outer, ctes)
        right = self.query(query.expression, outer, ctes)
        if left is None or right is None or len(left) != len(right):
            return left
        made = [Item(a.name, types.common([a.type, b.type]), query) for a, b in zip(left, right, strict=True)]
        for half, items in ((query.this, left), (query.expression, right)):
            check_star(half, items, made)
            give_types(half, [item.type for item in made])
        combine_by_value(query, made)
        check_order(query.args.get("order"), made, union=True)
        return made

    def _values(self, query: exp.Values, outer: Scope | None, ctes: Mapping[str, Columns | None]) -> list[Item] | None:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in query.expressions]
        typed = [[self._walk(cell, Scope(outer=outer), ctes) for cell in row] for row in rows]
        columns = list(zip(*typed, strict=False))
        return [Item(f"COLUMN{i}", types.common(column)) for i, column in enumerate(columns, 1)]

    def _select(self, select: exp.Select, outer: Scope | None, ctes: Mapping[str, Columns | None]) -> list[Item] | None:
        scope = Scope(outer=outer)
        from_ = select.args.get("from_")
        if isinstance(from_, exp.From):
            self._source(from_.this, scope, ctes)
            self._joins(from_.this, scope, ctes)
        for lateral in select.args.get("laterals") or []:
            scope.sources.append((folded(lateral.alias), None))
        self._joins(select, scope, ctes)
        items: list[Item] | None = []
        for place, projection in enumerate(list(select.expressions)):
            if projection.is_star:
                if isinstance(from_, exp.From) and isinstance(from_.this.this, exp.Generator):
                    raise errors.unsupported("* of a GENERATOR, whose rows have no columns")
                for instead in replacements(projection):
                    self._walk(instead, scope, ctes)
                    make_exact(instead.this)
                stars = star(projection, scope)
                items = None if items is None or stars is None else items + merged(stars, select)
                continue
            name = column_name(projection)
            before = "" if name is None else projection.sql(dialect="snowflake")
            shown = folded(projection.args["alias"]) if isinstance(projection, exp.Alias) else folded(projection)
            type_ = self._walk(projection, scope, ctes)
            made = select.expressions[place]
            if isinstance(projection, exp.Column) and not isinstance(made, exp.Column):
                made.replace(named(made.copy(), shown))
                made = select.expressions[place]
            if name is not None and made.sql(dialect="snowflake") != before:  # the name is the text before
                made.replace(named(made.copy(), name))
                shown, made = name, select.expressions[place]
            if name is not None and isinstance(made, exp.Literal):
                made.replace(named(made.copy(), name))
                made = select.expressions[place]
                set_type(made.this, type_)
            make_exact(made.unalias())
            made = select.expressions[place]
            if isinstance(made, exp.Alias):
                if shown in scope.results:
                    scope.doubled.add(shown)
                scope.results.setdefault(shown, type_)
                scope.made.setdefault(shown, made.this)
            if items is not None:
                items.append(Item(shown, type_, made))
        check_order(select.args.get("order"), items)
        for key in ("where", "group", "having", "qualify", "order", "windows"):
            clause = select.args.get(key)
            for node in clause if isinstance(clause, list) else [clause]:
                if isinstance(node, Expr):
                    for child in list(node.iter_expressions()):
                        self._walk(child, scope, ctes)
                    if isinstance(node, (exp.Where, exp.Having, exp.Qualify)):
                        make_condition(node.this)
                    if isinstance(node, exp.Group):
                        refuse_zoned("GROUP BY", [_key_type(key, items) for key in node.expressions])
        if select.args.get("distinct"):
            refuse_zoned("SELECT DISTINCT", [item.type for item in items or []])
        take_by_value(select, items)
        return items

    def _joins(self, holder: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> None:
        for join in holder.args.get("joins") or []:
            self._source(join.this, scope, ctes)
            self._joins(join.this, scope, ctes)
        for join in holder.args.get("joins") or []:
            if isinstance(on := join.args.get("on"), Expr):
                self._walk(on, scope, ctes)
                make_condition(join.args["on"])

    def _source(self, source: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> None:
        alias = source.args.get("alias")
        columns: Columns | None
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            name = folded(source.this)
            columns = ctes[name] if not source.args.get("db") and name in ctes else self._table(source)
            if alias and alias.args.get("columns") and columns is not None:
                columns = renamed([Item(n, t) for n, t in columns.items()], alias)
            if source.args.get("pivots"):
                columns = None
            scope.sources.append((folded(alias.this) if alias and alias.this else name, columns))
            return
        if isinstance(source, (exp.Subquery, exp.Values)):
            items = self.query(source, scope.outer, ctes)
            columns = renamed(items, alias) if not source.args.get("pivots") else None
            if items and columns is not None and len(columns) < len(items):
                scope.twice |= {(folded(alias.this) if alias and alias.this else "", name) for name in several(items)}
        elif isinstance(source, (exp.Lateral, exp.TableFromRows)):
            columns = self._rows_of(source, scope, ctes)
        else:
            columns = None
        scope.sources.append((folded(alias.this) if isinstance(alias, exp.TableAlias) and alias.this else "", columns))

    def _rows_of(self, source: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> Columns | None:
        """Return the columns of LATERAL (SELECT …) or FLATTEN(…), None for other table functions."""
        call = source.this
        if isinstance(call, exp.Query):
            return renamed(self.query(call, scope, ctes), source.args.get("alias"))
        for child in list(call.iter_expressions()) if isinstance(call, Expr) else []:
            self._walk(child, scope, ctes)
        return dict(_FLATTENED) if isinstance(call, exp.Explode) else None

    def _table(self, table: exp.Table) -> Columns | None:
        key = table.sql(dialect="snowflake", comments=False)
        if key not in self._tables:
            self._tables[key] = self._columns_of(table)
        return self._tables[key]

    # ---- expressions

    def _walk(self, node: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> Type | None:
        """Infer the type of an expression after those in it; replace the expression where DuckDB would compute otherwise."""
        if isinstance(node, exp.Query):
            items = self.query(node, scope, ctes)
            return set_type(node, items[0].type if items and len(items) == 1 else None)
        if isinstance(node, exp.Column):
            if (again := computed_again(node, scope)) is not None:
                node.replace(again)
                return set_type(again, scope.results[folded(node.this)])
            return set_type(node, resolved(node, scope))
        if isinstance(node, (exp.DataType, exp.Var)):
            return None
        if isinstance(node, exp.Placeholder):
            return set_type(node, type_of_bound(self._binds, node.name))
        for child in list(node.iter_expressions()):
            self._walk(child, scope, ctes)
        return typed(node)


def _key_type(key: Expr, items: list[Item] | None) -> Type | None:
    """Return the type of a key of GROUP BY, which may be the position of a column of the result."""
    if isinstance(key, exp.Literal) and key.name.isdigit() and items and 0 < int(key.name) <= len(items):
        return items[int(key.name) - 1].type
    return type_of(key)
