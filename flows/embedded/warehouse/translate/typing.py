"""The type of each expression of a statement, and what DuckDB has to compute otherwise so that values and types are Snowflake's.

syntax tree ──typed──▶ the same tree: a / b, AVG, ROUND … in decimal arithmetic, texts of a checked length, results in their types

DuckDB divides and averages in binary, and adds 32-bit constants in 32 bits. The types of its operands decide over the digits of a
result, so types are worked out, by Snowflake's rules (`expressions`), from those of the tables' columns, which DuckDB tells.
sqlglot's annotate_types has no precision and scale for most functions, and DuckDB's own typeof gives DuckDB's type of a result.
An expression whose type is not known here is left to DuckDB.

https://docs.snowflake.com/en/sql-reference/operators-arithmetic, …/data-type-conversion, …/identifiers-syntax.
Long because a query is walked once, clause by clause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.column_names import column_name, named
from flows.embedded.warehouse.translate.expressions import call_of, decimal, declared, is_of, make_exact, type_of, typed
from flows.embedded.warehouse.translate.types import Type

Columns = dict[str, Type | None]
LENGTHS = "cxm_lengths"  # of the VARCHAR(n) columns that CREATE TABLE … AS takes over


_FLATTENED: Columns = {
    "SEQ": types.INTEGER, "KEY": types.VARCHAR, "PATH": types.VARCHAR, "INDEX": types.INTEGER, "VALUE": Type("VARIANT"),
    "THIS": Type("VARIANT"),
}  # fmt: skip


@dataclass
class Scope:
    """What a query's names may mean: its sources' columns, None where they are not known, then its own result's columns."""

    sources: list[tuple[str, Columns | None]] = field(default_factory=list)
    outer: Scope | None = None
    results: Columns = field(default_factory=dict)
    made: dict[str, Expr] = field(default_factory=dict)  # what the results of a SELECT list are computed by


@dataclass
class Item:
    """A column of a query's result; `node` is None for what a star stands for."""

    name: str
    type: Type | None
    node: Expr | None = None


def folded(identifier: Expr | str | None) -> str:
    """An identifier as Snowflake keeps it."""
    if isinstance(identifier, exp.Identifier):
        return str(identifier.this) if identifier.quoted else str(identifier.this).upper()
    return str(identifier.name if isinstance(identifier, Expr) else identifier or "").upper()


class Typing:
    """The walk over one statement. `columns` gives the columns of a table, or None when they are not known."""

    def __init__(self, columns: Callable[[exp.Table], Columns | None]) -> None:
        self._columns_of = columns
        self._tables: dict[str, Columns | None] = {}

    # ---- statements

    def statement(self, tree: Expr) -> Expr:
        """The tree, changed in place."""
        if isinstance(tree, exp.Query):
            self._result(tree)
        elif isinstance(tree, exp.Describe) and isinstance(tree.this, exp.Query):
            self._result(tree.this)
        elif isinstance(tree, exp.Create):
            _name_columns(tree.this)
            if isinstance(tree.expression, exp.Query):
                items = self._result(tree.expression)
                # a column that is taken over keeps its length
                taken = [i for i in items if i.type and (i.node is None or isinstance(i.node.unalias(), exp.Column))]
                tree.meta[LENGTHS] = {i.name: i.type.length for i in taken if i.type and i.type.length}
        elif isinstance(tree, exp.Insert) and isinstance(tree.expression, (exp.Query, exp.Values)):
            self._insert(tree)
        elif isinstance(tree, (exp.Update, exp.Delete, exp.Merge)):
            self._change(tree)
        return tree

    def _insert(self, tree: exp.Insert) -> None:
        """INSERT: what goes into a VARCHAR(n) is not longer."""
        self.query(tree.expression, None, {})
        if isinstance(tree.expression, exp.Values):
            _check_rows(tree.expression)
        columns = self._table(tree.this.this if isinstance(tree.this, exp.Schema) else tree.this)
        if columns is None:
            return
        names = [folded(c) for c in tree.this.expressions] if isinstance(tree.this, exp.Schema) else list(columns)
        for name in names:
            _check_case(name, columns)
        lengths = [type_.length if (type_ := columns.get(n)) else 0 for n in names]
        if not any(lengths):
            return
        if isinstance(tree.expression, exp.Values):
            for row in tree.expression.expressions:
                for cell, length in zip(list(row.expressions), lengths, strict=False):
                    _limit(cell, length)
            return
        inner = tree.expression
        for part in (clause := inner.args.get("with_"), inner):
            if part is clause and part is not None:
                inner.set("with_", None)
        source = exp.alias_(exp.Subquery(this=inner.copy()), "_s", table=[f"c{i}" for i in range(len(names))])
        outer = exp.select(*(exp.column(f"c{i}", table="_s") for i in range(len(names)))).from_(source)
        for cell, length in zip(list(outer.expressions), lengths, strict=True):
            _limit(cell, length)
        if clause is not None:
            outer.set("with_", clause)
        tree.set("expression", outer)

    def _result(self, query: Expr) -> list[Item]:
        """A query whose columns' types are seen by whoever asked: as Snowflake's."""
        items = self.query(query, None, {})
        self._give_types(query, [i.type for i in items] if items else [])
        return items or []

    def _give_types(self, query: Expr, wanted: Sequence[Type | None]) -> None:
        while isinstance(query, exp.Subquery):
            query = query.this
        if isinstance(query, exp.SetOperation):
            self._give_types(query.this, wanted)
            self._give_types(query.expression, wanted)
        if (
            not isinstance(query, exp.Select)
            or any(p.is_star for p in query.expressions)
            or len(query.expressions) != len(wanted)
        ):
            return
        for projection, type_ in zip(list(query.expressions), wanted, strict=True):
            inner = projection.unalias()
            if type_ is None or type_.kind != "NUMBER" or isinstance(inner, exp.Placeholder):
                continue
            if isinstance(inner, exp.Column) and type_of(inner) in (type_, None):
                continue
            if isinstance(inner, exp.Cast) and not isinstance(inner, exp.TryCast) and declared(inner.to) == type_:
                continue
            name = folded(inner.this) if isinstance(inner, exp.Column) else column_name(projection)
            cast = decimal(inner.copy(), type_)
            if isinstance(projection, exp.Alias):
                projection.set("this", cast)
            elif name is None:
                projection.replace(cast)
            else:
                projection.replace(named(cast, name))

    def _change(self, tree: Expr) -> None:
        scope = Scope()
        ctes = self._with(tree, None, {})
        self._source(tree.this, scope, ctes)
        for key in ("from_", "using"):
            found = tree.args.get(key)
            for source in found if isinstance(found, list) else [found]:
                if isinstance(source, exp.From):
                    self._source(source.this, scope, ctes)
                    self._joins(source.this, scope, ctes)
                elif isinstance(source, Expr):
                    self._source(source, scope, ctes)
        self._joins(tree, scope, ctes)
        for key in ("expressions", "on", "where", "whens"):
            found = tree.args.get(key)
            for node in found if isinstance(found, list) else [found]:
                if isinstance(node, Expr):
                    self._walk(node, scope, ctes)
        target = (
            self._table(tree.this)
            if isinstance(tree.this, exp.Table) and isinstance(tree.this.this, exp.Identifier)
            else None
        )
        if target:
            _limit_changes(tree, target)

    # ---- queries

    def query(self, query: Expr, outer: Scope | None, ctes: Mapping[str, Columns | None]) -> list[Item] | None:
        """The columns of a query's result, None when they are not known; its expressions are made right."""
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
                    self._give_types(cte.this.this, wide)
                    items = [Item(i.name, t) for i, t in zip(items, wide, strict=True)]
                known[name] = _renamed(items, cte.args["alias"])
                self.query(cte.this.expression, outer, known)
            else:
                known[name] = _renamed(self.query(cte.this, outer, known), cte.args["alias"])
        return known

    def _union(
        self, query: exp.SetOperation, outer: Scope | None, ctes: Mapping[str, Columns | None]
    ) -> list[Item] | None:
        left = self.query(query.this, outer, ctes)
        right = self.query(query.expression, outer, ctes)
        if left is None or right is None or len(left) != len(right):
            return left
        made = [Item(a.name, types.common([a.type, b.type]), query) for a, b in zip(left, right, strict=True)]
        for half in (query.this, query.expression):
            self._give_types(half, [item.type for item in made])
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
                stars = _star(projection, scope)
                items = None if items is None or stars is None else items + stars
                continue
            name = column_name(projection)
            before = "" if name is None else projection.sql(dialect="snowflake")
            shown = folded(projection.args["alias"]) if isinstance(projection, exp.Alias) else folded(projection)
            type_ = self._walk(projection, scope, ctes)
            made = select.expressions[place]
            if isinstance(projection, exp.Column) and not isinstance(made, exp.Column):
                made.replace(named(made.copy(), shown))
                made = select.expressions[place]
            if name is not None and made.sql(dialect="snowflake") != before:  # its own text is its name
                made.replace(named(made.copy(), name))
                shown, made = name, select.expressions[place]
            make_exact(made.unalias())
            made = select.expressions[place]
            if isinstance(made, exp.Alias):
                scope.results.setdefault(shown, type_)
                scope.made.setdefault(shown, made.this)
            if items is not None:
                items.append(Item(shown, type_, made))
        for key in ("where", "group", "having", "qualify", "order", "windows"):
            clause = select.args.get(key)
            for node in clause if isinstance(clause, list) else [clause]:
                if isinstance(node, Expr):
                    for child in list(node.iter_expressions()):
                        self._walk(child, scope, ctes)
        return items

    def _joins(self, holder: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> None:
        for join in holder.args.get("joins") or []:
            self._source(join.this, scope, ctes)
            self._joins(join.this, scope, ctes)
        for join in holder.args.get("joins") or []:
            if isinstance(on := join.args.get("on"), Expr):
                self._walk(on, scope, ctes)

    def _source(self, source: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> None:
        alias = source.args.get("alias")
        columns: Columns | None
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            name = folded(source.this)
            columns = ctes[name] if not source.args.get("db") and name in ctes else self._table(source)
            if alias and alias.args.get("columns") and columns is not None:
                columns = _renamed([Item(n, t) for n, t in columns.items()], alias)
            if source.args.get("pivots"):
                columns = None
            scope.sources.append((folded(alias.this) if alias and alias.this else name, columns))
            return
        if isinstance(source, (exp.Subquery, exp.Values)):
            items = self.query(source, scope.outer, ctes)
            columns = _renamed(items, alias) if not source.args.get("pivots") else None
        elif isinstance(source, (exp.Lateral, exp.TableFromRows)):
            columns = self._rows_of(source, scope, ctes)
        else:
            columns = None
        scope.sources.append((folded(alias.this) if isinstance(alias, exp.TableAlias) and alias.this else "", columns))

    def _rows_of(self, source: Expr, scope: Scope, ctes: Mapping[str, Columns | None]) -> Columns | None:
        """The columns of LATERAL (SELECT …), FLATTEN(…) and the like."""
        call = source.this
        if isinstance(call, exp.Query):
            return _renamed(self.query(call, scope, ctes), source.args.get("alias"))
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
        """The type of an expression, after those in it; where DuckDB would compute otherwise another node takes its place."""
        if isinstance(node, exp.Query):
            items = self.query(node, scope, ctes)
            return is_of(node, items[0].type if items and len(items) == 1 else None)
        if isinstance(node, exp.Column):
            if (again := _computed_again(node, scope)) is not None:
                node.replace(again)
                return is_of(again, scope.results[folded(node.this)])
            return is_of(node, _resolved(node, scope))
        if isinstance(node, (exp.DataType, exp.Var)):
            return None
        for child in list(node.iter_expressions()):
            self._walk(child, scope, ctes)
        return typed(node)


def _resolved(column: exp.Column, scope: Scope) -> Type | None:
    """The type of the column that a name means. Raises 000904 where a column's name differs from it by case alone."""
    name, table = folded(column.this), folded(column.args["table"]) if column.args.get("table") else ""
    here: Scope | None = scope
    while here is not None:
        sources = [c for alias, c in here.sources if not table or alias == table]
        found = [c[name] for c in sources if c is not None and name in c]
        if found:
            return found[0]
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


def _computed_again(column: exp.Column, scope: Scope) -> Expr | None:
    """What an alias beside it in a SELECT list stands for: DuckDB takes none of an expression that may fail, as a cast may."""
    name = folded(column.this)
    found = scope.made.get(name)
    if found is None or column.args.get("table") or not found.find(exp.Cast):
        return None
    if any(columns is None or name in columns for _, columns in scope.sources):
        return None
    if (
        column.find_ancestor(exp.Select, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order)
        is not found.parent_select
    ):
        return None
    if found.find(exp.Query, exp.AggFunc, exp.Window, exp.Rand, exp.Uuid, exp.Anonymous):
        return None
    return exp.paren(found.copy())


def _name_columns(schema: Expr) -> None:
    """The columns of CREATE TABLE: CHAR is VARCHAR(1), and no two have one name."""
    names: set[str] = set()
    for column in schema.expressions if isinstance(schema, exp.Schema) else []:
        if isinstance(column, exp.ColumnDef):
            name, type_ = folded(column.this), column.kind
            if name in names:
                raise errors.duplicate_column(name)
            if any(n.upper() == name.upper() for n in names):
                raise errors.unsupported(f"two columns, {name} and another, whose names differ by case alone")
            names.add(name)
            kind = declared(type_) if type_ is not None else None
            if (
                type_ is not None
                and type_.this in (exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR)
                and kind is not None
            ):
                column.set("kind", exp.DataType.build(f"VARCHAR({kind.length})", dialect="snowflake"))


def _check_case(name: str, columns: Columns) -> None:
    """Raises 000904 for the name of a column that is spelled in another case."""
    if name not in columns and any(n.upper() == name.upper() for n in columns):
        raise errors.invalid_identifier(name if name.isupper() else f'"{name}"')


def _check_rows(values: exp.Values) -> None:
    """The first row says what a column is: a text below a number has to be one
    (https://docs.snowflake.com/en/sql-reference/sql/insert#multi-row-insert-using-explicitly-specified-values)."""
    rows = [row.expressions for row in values.expressions if isinstance(row, exp.Tuple)]
    kinds = [type_.kind if (type_ := type_of(cell)) else "" for cell in rows[0]] if rows else []
    for row in rows[1:]:
        for cell, kind in zip(list(row), kinds, strict=False):
            if kind == "NUMBER" and (type_ := type_of(cell)) is not None and type_.kind == "VARCHAR":
                cell.replace(call_of("_cxm_numeric_text", cell.copy()))


def _limit(cell: Expr, length: int) -> None:
    """A value on its way into VARCHAR(length), checked; DEFAULT and what is short enough are left alone."""
    type_ = type_of(cell)
    keyword = isinstance(cell, exp.Null) or (isinstance(cell, (exp.Column, exp.Var)) and cell.name.upper() == "DEFAULT")
    if not length or keyword or (type_ and 0 < type_.length <= length):
        return
    text = exp.cast(cell.copy(), exp.DataType.build("VARCHAR"))
    cell.replace(call_of("_cxm_varchar", text, exp.Literal.number(length)))


def _limit_changes(tree: Expr, target: Columns) -> None:
    """UPDATE … SET and MERGE: what goes into a VARCHAR(n) is not longer."""
    for then in tree.find_all(exp.Update, exp.Insert):
        pairs: list[tuple[Expr, Expr]] = []
        if isinstance(then, exp.Update):
            pairs = [(e.this, e.expression) for e in then.expressions if isinstance(e, exp.EQ)]
        elif isinstance(then.this, exp.Tuple) and isinstance(then.expression, exp.Tuple):
            pairs = list(zip(then.this.expressions, then.expression.expressions, strict=False))
        elif isinstance(then.expression, exp.Tuple):
            pairs = [(exp.column(n), v) for n, v in zip(target, then.expression.expressions, strict=False)]
        for column, value in pairs:
            name = folded(column.this) if isinstance(column, exp.Column) else folded(column)
            _check_case(name, target)
            if type_ := target.get(name):
                _limit(value, type_.length)


def _renamed(items: list[Item] | None, alias: Expr | None) -> Columns | None:
    """A source's columns, by the names that its alias gives them."""
    if items is None:
        return None
    names = [folded(c) for c in (alias.args.get("columns") or [] if alias else [])]
    return {names[i] if i < len(names) else item.name: item.type for i, item in enumerate(items)}


def _star(projection: Expr, scope: Scope) -> list[Item] | None:
    """What `*` or `t.*` stands for; None when a source's columns are not known, or some are left out or renamed."""
    star = projection if isinstance(projection, exp.Star) else projection.this
    if not isinstance(star, exp.Star) or any(star.args.get(k) for k in ("except_", "replace", "rename", "ilike")):
        return None
    table = (
        folded(projection.args["table"]) if isinstance(projection, exp.Column) and projection.args.get("table") else ""
    )
    found = [c for alias, c in scope.sources if not table or alias == table]
    return None if not found or None in found else [Item(n, t) for c in found if c for n, t in c.items()]
