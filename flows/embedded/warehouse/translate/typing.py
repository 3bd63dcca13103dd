"""The type of each expression of a statement, and what DuckDB has to compute otherwise so that values and types are Snowflake's.

syntax tree ──typed──▶ the same tree: a / b, AVG, ROUND … in decimal arithmetic, texts of a checked length, results in their types

DuckDB divides and averages in binary, and adds 32-bit constants in 32 bits. The types of its operands decide over the digits of a
result, so types are worked out here, by Snowflake's rules, from those of the tables' columns, which DuckDB tells (`columns`).
sqlglot's annotate_types has no precision and scale for most functions, and DuckDB's own typeof gives DuckDB's type of a result.
An expression whose type is not known here is left to DuckDB.

https://docs.snowflake.com/en/sql-reference/operators-arithmetic, …/data-type-conversion, …/identifiers-syntax.
Long because a query is walked once, clause by clause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate import types
from flows.embedded.warehouse.translate.column_names import column_name
from flows.embedded.warehouse.translate.types import Type

Columns = dict[str, Type | None]
_TYPE = "cxm_type"
LENGTHS = "cxm_lengths"  # of the VARCHAR(n) columns that CREATE TABLE … AS takes over
_T = exp.DataType.Type
_INTEGERS = (_T.INT, _T.BIGINT, _T.SMALLINT, _T.TINYINT)
_TEXTS = (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR)
_TIMES = {
    _T.DATE: "DATE", _T.TIME: "TIME", _T.TIMESTAMP: "TIMESTAMP_NTZ", _T.TIMESTAMPNTZ: "TIMESTAMP_NTZ",
    _T.DATETIME: "TIMESTAMP_NTZ",
    _T.TIMESTAMPLTZ: "TIMESTAMP_LTZ", _T.TIMESTAMPTZ: "TIMESTAMP_TZ", _T.BOOLEAN: "BOOLEAN", _T.VARIANT: "VARIANT",
    _T.OBJECT: "OBJECT", _T.ARRAY: "ARRAY", _T.BINARY: "BINARY", _T.VARBINARY: "BINARY",
}  # fmt: skip
# Arguments that DuckDB wants as a whole number, where a NUMBER(38,0) is a decimal: (function, its arguments).
_WHOLE: dict[type[Expr], tuple[str, ...]] = {
    exp.Substring: ("start", "length"), exp.Left: ("expression",), exp.Right: ("expression",), exp.Pad: ("expression",),
    exp.Repeat: ("times",), exp.Space: ("this",), exp.SplitPart: ("part_index",), exp.DateAdd: ("expression",),
    exp.TimestampAdd: ("expression",), exp.TsOrDsAdd: ("expression",), exp.AddMonths: ("expression",), exp.Chr: ("expressions",),
    exp.StrPosition: ("position", "occurrence"), exp.RegexpExtract: ("position", "occurrence", "group"),
    exp.DateFromParts: ("year", "month", "day"), exp.TimestampFromParts: ("year", "month", "day", "hour", "min", "sec", "nano"),
    exp.BitwiseAnd: ("this", "expression"), exp.BitwiseOr: ("this", "expression"), exp.BitwiseXor: ("this", "expression"),
    exp.BitwiseNot: ("this",), exp.BitwiseLeftShift: ("this", "expression"), exp.BitwiseRightShift: ("this", "expression"),
    exp.Lag: ("offset",), exp.Lead: ("offset",), exp.NthValue: ("offset",), exp.Ntile: ("this",), exp.Factorial: ("this",),
    exp.Bracket: ("expressions",), exp.Round: ("decimals",), exp.Trunc: ("decimals",), exp.Ceil: ("decimals",),
    exp.Floor: ("decimals",), exp.TimeFromParts: ("hour", "min", "sec", "nano"), exp.Interval: ("this",),
}  # fmt: skip
_SAME = (
    exp.Min,
    exp.Max,
    exp.AnyValue,
    exp.Abs,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
    exp.Mode,
    exp.Neg,
    exp.Paren,
)
_COUNTS = (exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Length, exp.ApproxDistinct, exp.CountIf, exp.Ntile)
_FLOATS = (exp.Sqrt, exp.Pow, exp.Ln, exp.Log, exp.Exp, exp.Sin, exp.Cos, exp.Tan, exp.Corr)
_YES_OR_NO = (exp.Predicate, exp.Not, exp.And, exp.Or, exp.Xor, exp.Boolean)
_TO_TEXT = (
    exp.Concat,
    exp.DPipe,
    exp.Upper,
    exp.Lower,
    exp.Trim,
    exp.Substring,
    exp.Left,
    exp.Right,
    exp.Replace,
    exp.ToChar,
)


@dataclass
class Scope:
    """What a query's names may mean: its sources' columns, None where they are not known, then its own result's columns."""

    sources: list[tuple[str, Columns | None]] = field(default_factory=list)
    outer: Scope | None = None
    results: Columns = field(default_factory=dict)


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
            if isinstance(inner, exp.Cast) and not isinstance(inner, exp.TryCast) and _declared(inner.to) == type_:
                continue
            name = projection.alias if isinstance(projection, exp.Alias) else column_name(projection)
            cast = _decimal(inner.copy(), type_)
            if isinstance(projection, exp.Alias):
                projection.set("this", cast)
            elif name is None:
                projection.replace(cast)
            else:
                projection.replace(exp.alias_(cast, name, quoted=True))

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
            before, name = projection.sql(dialect="snowflake"), column_name(projection)
            shown = folded(projection.args["alias"]) if isinstance(projection, exp.Alias) else folded(projection)
            type_ = self._walk(projection, scope, ctes)
            made = select.expressions[place]
            if name is not None and made.sql(dialect="snowflake") != before:  # its own text is its name
                made.replace(exp.alias_(made.copy(), name, quoted=True))
                shown, made = name, select.expressions[place]
            _exact(made.unalias())
            made = select.expressions[place]
            if isinstance(made, exp.Alias):
                scope.results.setdefault(shown, type_)
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
        else:
            columns = None
        scope.sources.append((folded(alias.this) if isinstance(alias, exp.TableAlias) and alias.this else "", columns))

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
            return _is(node, items[0].type if items and len(items) == 1 else None)
        if isinstance(node, exp.Column):
            return _is(node, _resolved(node, scope))
        if isinstance(node, exp.Literal):
            return _is(node, _literal(node))
        if isinstance(node, (exp.DataType, exp.Var)):
            return None
        for child in list(node.iter_expressions()):
            self._walk(child, scope, ctes)
        for name in _WHOLE.get(type(node), ()):
            _make_whole(node.args.get(name), "_cxm_int32" if isinstance(node, (exp.Pad, exp.Chr)) else "_cxm_int64")
        for make in (_arithmetic, _average, _share, _median, _cast, _round, _branches, _text_summed, _typeof):
            if (made := make(node)) is not None:
                return made
        return _is(node, _simple(node))


def _is(node: Expr, type_: Type | None) -> Type | None:
    node.meta[_TYPE] = type_
    return type_


def type_of(node: object) -> Type | None:
    """The type that the walk found for an expression."""
    return node.meta.get(_TYPE) if isinstance(node, Expr) else None


def _replaced(node: Expr, by: Expr, type_: Type | None) -> Type | None:
    node.replace(by)
    return _is(by, type_)


def _decimal(node: Expr, type_: Type) -> Expr:
    # not exp.cast, which takes a cast to one NUMBER for a cast to every other
    to = exp.DataType.build(f"DECIMAL({type_.precision}, {type_.scale})", dialect="snowflake")
    made = exp.Cast(this=node, to=to)
    _is(made, type_)
    return made


def _call(name: str, *arguments: Expr) -> Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _numeric(*found: Type | None) -> bool:
    return all(t is not None and t.kind == "NUMBER" for t in found)


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


def _literal(node: exp.Literal) -> Type | None:
    if node.is_string:
        return Type("VARCHAR", length=len(node.name) or 1)
    text = node.name
    if (
        "e" in text.lower()
    ):  # 1e10 is NUMBER(11,0): https://docs.snowflake.com/en/sql-reference/functions/system_typeof#examples
        text = f"{Decimal(text):f}"
        if len(text.replace(".", "")) > types.DIGITS:
            return types.FLOAT
        node.set("this", text)
    return types.of_literal(text)


def _make_whole(argument: object, function: str) -> None:
    """A NUMBER where DuckDB takes whole numbers of 64 bits alone."""
    for node in argument if isinstance(argument, list) else [argument]:
        if isinstance(node, Expr) and _numeric(type_of(node)) and not isinstance(node.unnest(), exp.Literal):
            node.replace(_call(function, node.copy()))


def _exact(node: Expr) -> None:
    """A constant as a decimal, so that arithmetic with it does not overflow at 32 bits."""
    type_ = type_of(node)
    if isinstance(node, exp.Literal) and not node.is_string and type_ is not None and _numeric(type_):
        node.replace(_decimal(node.copy(), type_))


def _arithmetic(node: Expr) -> Type | None:
    if not isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
        return None
    a, b = type_of(node.this), type_of(node.expression)
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ is not None and type_.kind == "VARCHAR" and not isinstance(operand, exp.Literal) and _numeric(other):
            operand.replace(_decimal(operand.copy(), types.TEXT_AS_NUMBER))
    for operand, type_, other in ((node.this, a, b), (node.expression, b, a)):
        if type_ == types.NULL and _numeric(other):
            operand.replace(_decimal(operand.copy(), types.number(1)))
    a, b = type_of(node.this), type_of(node.expression)
    if a is None or b is None or not _numeric(a, b):
        if a is not None and a.kind == "DATE" and _numeric(b):
            _make_whole(node.expression, "_cxm_int32")
            return _is(node, a)
        return _is(node, types.FLOAT) if a and b and {a.kind, b.kind} <= {"NUMBER", "FLOAT"} else _is(node, None)
    if isinstance(node, exp.Div):
        return _divide(node, node.this, a, node.expression, b)
    _exact(node.this)
    _exact(node.expression)
    if isinstance(node, exp.Mod):
        return _is(node, types.common([a, b]))
    if not isinstance(node, exp.Mul):
        return _is(node, types.added(a, b))
    made = types.multiplied(a, b)
    if made.scale < a.scale + b.scale:
        return _replaced(node, _decimal(node.copy(), made), made)
    return _is(node, made)


def _divide(node: Expr, above: Expr, a: Type, below: Expr, b: Type) -> Type | None:
    """`above` / `below` in the place of `node`: whole numbers of 128 bits are divided and rounded, the point is set afterwards.

    2/7: 2 * 10**6 // 7, rounded half away from zero, times 0.000001.
    """
    made = types.divided(a, b)
    shift = made.scale - a.scale + b.scale
    narrow = a.precision + shift <= 18 and b.precision <= 18
    function = "_cxm_divide" if narrow else "_cxm_divide_wide"
    call = _call(
        function, _unscaled(above, a, shift), _unscaled(below, b, 0), exp.Literal.number(f"0.{'0' * (made.scale - 1)}1")
    )
    return _replaced(node, _decimal(call, made), made)


def _unscaled(node: Expr, type_: Type, shift: int) -> Expr:
    """A decimal times 10 ** (its scale + `shift`): a whole number."""
    inner = node.copy()
    if isinstance(inner, exp.Literal):
        inner = _decimal(inner, type_)
    if not type_.scale + shift:
        return inner
    return exp.Mul(
        this=exp.Paren(this=inner),
        expression=_decimal(exp.Literal.number(10 ** (type_.scale + shift)), types.number(type_.scale + shift + 1)),
    )


def _average(node: Expr) -> Type | None:
    """AVG of a NUMBER is SUM / COUNT, with the digits of such a division; over a window both are."""
    window = node if isinstance(node, exp.Window) and isinstance(node.this, exp.Avg) else None
    if window is None and (not isinstance(node, exp.Avg) or isinstance(node.parent, exp.Window)):
        return None
    call = window.this if window is not None else node
    argument = call.this.expressions[0] if isinstance(call.this, exp.Distinct) else call.this
    type_ = type_of(argument)
    if type_ is None or not _numeric(type_):
        return None
    halves: list[Expr] = [_call("SUM", call.this.copy()), exp.Count(this=call.this.copy(), big_int=True)]
    if window is not None:
        halves = [_with_call(window, half) for half in halves]
    return _divide(node, halves[0], types.summed(type_), halves[1], types.COUNTED)


def _share(node: Expr) -> Type | None:
    """RATIO_TO_REPORT(x) OVER (…) is x / SUM(x) OVER (…)."""
    if not isinstance(node, exp.Window):
        return None
    call = node.this
    if not isinstance(call, exp.Anonymous) or str(call.this).upper() != "RATIO_TO_REPORT" or len(call.expressions) != 1:
        return None
    part = call.expressions[0]
    type_ = type_of(part)
    if type_ is None or not _numeric(type_):
        return None
    return _divide(node, part, type_, _with_call(node, _call("SUM", part.copy())), types.summed(type_))


def _with_call(window: exp.Window, call: Expr) -> Expr:
    made = window.copy()
    made.set("this", call)
    return made


def _median(node: Expr) -> Type | None:
    """MEDIAN and PERCENTILE_CONT of a NUMBER have three more digits (https://docs.snowflake.com/en/sql-reference/functions/median)."""
    if isinstance(node, exp.Median):
        argument = node.this
    elif isinstance(node, exp.WithinGroup) and isinstance(node.this, exp.PercentileCont):
        ordered = node.find(exp.Ordered)
        argument = ordered.this if ordered is not None else None
    else:
        return None
    type_ = type_of(argument)
    if type_ is None or not _numeric(type_):
        return None
    made = types.number(type_.precision + 3, min(type_.scale + 3, 37))
    argument.replace(_decimal(argument.copy(), made))
    return _is(node, made)


def _text_summed(node: Expr) -> Type | None:
    """SUM and AVG of a text take it for a number, and fail where it is none."""
    if isinstance(node, (exp.Sum, exp.Avg)) and (type_ := type_of(node.this)) and type_.kind == "VARCHAR":
        node.set("this", exp.cast(node.this, exp.DataType.build("DOUBLE"), copy=False))
        return _is(node, types.FLOAT)
    return None


def _typeof(node: Expr) -> Type | None:
    """SYSTEM$TYPEOF of what has a known type (https://docs.snowflake.com/en/sql-reference/functions/system_typeof)."""
    if not isinstance(node, exp.Anonymous) or str(node.this).upper() != "SYSTEM$TYPEOF" or len(node.expressions) != 1:
        return None
    argument = node.expressions[0]
    type_ = type_of(argument)
    if (
        type_ is None
        or (type_.kind == "VARCHAR" and not type_.length)
        or type_.kind not in ("NUMBER", "VARCHAR", "NULL", "FLOAT", "BOOLEAN")
    ):
        raise errors.unsupported(f"SYSTEM$TYPEOF({argument.sql(dialect='snowflake')})")
    size = {"FLOAT": "DOUBLE", "BOOLEAN": "SB1"}.get(type_.kind, "LOB")
    if type_.kind == "NUMBER":
        most = int(argument.name.replace(".", "")) if isinstance(argument, exp.Literal) else 10**type_.precision - 1
        size = next((f"SB{n}" for n in (1, 2, 4, 8) if most < 1 << (8 * n - 1)), "SB16")
    text = exp.Literal.string(f"{type_}[{size}]")
    return _replaced(node, text, Type("VARCHAR", length=len(text.name)))


def _declared(to: exp.DataType) -> Type | None:
    """The type that CAST or a column's definition names."""
    sizes = [int(p.name) for p in to.expressions if isinstance(p, exp.DataTypeParam) and p.name.isdigit()]
    if to.this in _INTEGERS:
        return types.INTEGER
    if to.this == _T.DECIMAL:
        return types.number(sizes[0], sizes[1] if len(sizes) > 1 else 0) if sizes else types.INTEGER
    if to.this in (_T.FLOAT, _T.DOUBLE):
        return types.FLOAT
    if to.this in _TEXTS:
        return Type("VARCHAR", length=sizes[0] if sizes else 1 if to.this in (_T.CHAR, _T.NCHAR) else 0)
    return Type(_TIMES[to.this]) if to.this in _TIMES else None


def _cast(node: Expr) -> Type | None:
    if not isinstance(node, exp.Cast):
        return None
    to, source = _declared(node.to), type_of(node.this)
    attempt = isinstance(node, exp.TryCast)
    if attempt and source is not None and source.kind not in ("VARCHAR", "NULL"):
        raise errors.try_cast_of(str(source), str(to or node.to.sql(dialect="snowflake")))
    if to is not None and to.kind == "VARCHAR" and to.length and not (source and 0 < source.length <= to.length):
        function = "_cxm_try_varchar" if attempt else "_cxm_varchar"
        inner = exp.cast(node.this, exp.DataType.build(f"VARCHAR({to.length})", dialect="snowflake"))
        return _replaced(node, _call(function, inner, exp.Literal.number(to.length)), to)
    if to == types.BOOLEAN and source is not None and source.kind == "VARCHAR":
        node.set("this", _call("_cxm_truth", node.this.copy()))
    if to is not None and to.kind == "NUMBER" and source is not None and source.kind == "VARCHAR":
        # 1_000 is a number for DuckDB alone
        node.set("this", _call("_cxm_try_digits" if attempt else "_cxm_digits", node.this.copy()))
    return _is(node, to)


def _round(node: Expr) -> Type | None:
    """ROUND, TRUNC, CEIL, FLOOR of a NUMBER to a constant number of digits."""
    if not isinstance(node, (exp.Round, exp.Trunc, exp.Ceil, exp.Floor)):
        return None
    mode = node.args.get("truncate")
    if mode is not None and mode.name.upper() != "HALF_AWAY_FROM_ZERO":
        raise errors.unsupported(f"ROUND with the rounding mode {mode.name}")
    type_, written = type_of(node.this), node.args.get("decimals")
    if type_ is None or not _numeric(type_):
        return _is(node, types.FLOAT if type_ in (types.FLOAT, types.VARCHAR) else None)
    digits = written.this if isinstance(written, exp.Neg) else written
    if digits is not None and not (isinstance(digits, exp.Literal) and digits.name.isdigit()):
        return _is(node, None)
    scale = (int(digits.name) if digits is not None else 0) * (-1 if isinstance(written, exp.Neg) else 1)
    made = types.rounded(type_, scale)
    if scale >= type_.scale and scale >= 0:
        return _replaced(node, node.this.copy(), type_)
    if isinstance(node, exp.Round) and scale >= 0:
        return _replaced(node, _decimal(node.this.copy(), made), made)
    shifted = _moved(
        _decimal(node.this.copy(), type_) if isinstance(node.this, exp.Literal) else node.this.copy(), scale
    )
    name = {exp.Trunc: "TRUNC", exp.Ceil: "CEIL", exp.Floor: "FLOOR"}.get(type(node), "ROUND")
    return _replaced(node, _decimal(_moved(_call(name, shifted), -scale), made), made)


def _moved(node: Expr, digits: int) -> Expr:
    """node * 10 ** digits."""
    if not digits:
        return node
    power = str(10**digits) if digits > 0 else f"0.{'0' * (-digits - 1)}1"
    return exp.Mul(this=exp.Paren(this=node), expression=_decimal(exp.Literal.number(power), types.of_literal(power)))


def _branches(node: Expr) -> Type | None:
    """CASE, IFF, COALESCE, GREATEST: one type for all; a text beside numbers is a number."""
    found: list[object] = []
    if isinstance(node, exp.Case):
        found = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, exp.If) and not isinstance(node.parent, exp.Case):
        found = [node.args["true"], node.args.get("false")]
    elif isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
        found = [node.this, *node.expressions]
    values = [v for v in found if isinstance(v, Expr)]
    if not values:
        return None
    made = types.common(type_of(v) for v in values)
    if made is not None and made.kind == "NUMBER":
        for value in values:
            if (type_ := type_of(value)) and type_.kind == "VARCHAR":
                value.replace(_decimal(value.copy(), made))
    return _is(node, made)


def _simple(node: Expr) -> Type | None:
    """The type of an expression that DuckDB computes as Snowflake does."""
    if isinstance(node, exp.Sum):
        type_ = type_of(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this)
        return types.summed(type_) if type_ and type_.kind == "NUMBER" else None
    if isinstance(node, exp.ByteLength):
        return _replaced(
            node, _call("STRLEN", exp.cast(node.this.copy(), exp.DataType.build("VARCHAR"))), types.COUNTED
        )
    if isinstance(node, exp.Nullif):
        return type_of(node.this)
    if isinstance(node, exp.ToNumber):
        if (type_ := type_of(node.this)) and type_.kind == "VARCHAR" and node.args.get("format") is None:
            node.set("this", _call("_cxm_try_digits" if node.args.get("safe") else "_cxm_digits", node.this.copy()))
        sizes = [node.args.get(k) for k in ("precision", "scale")]
        if node.args.get("format") is None and all(isinstance(s, exp.Literal) for s in sizes if s is not None):
            return (
                types.number(*(int(s.name) for s in sizes if s is not None)) if sizes[0] is not None else types.INTEGER
            )
        return None
    if isinstance(node, exp.Window):
        return type_of(node.this)
    if isinstance(node, (exp.Alias, exp.IgnoreNulls, exp.RespectNulls, exp.Lag, exp.Lead, *_SAME)):
        return type_of(node.this)
    if isinstance(node, _COUNTS):
        return types.COUNTED
    if isinstance(node, _FLOATS):
        return types.FLOAT
    if isinstance(node, _YES_OR_NO):
        return types.BOOLEAN
    if isinstance(node, _TO_TEXT):
        return types.VARCHAR
    return types.NULL if isinstance(node, exp.Null) else None


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
            declared = _declared(type_) if type_ is not None else None
            if type_ is not None and type_.this in (_T.CHAR, _T.NCHAR) and declared is not None:
                column.set("kind", exp.DataType.build(f"VARCHAR({declared.length})", dialect="snowflake"))


def _check_case(name: str, columns: Columns) -> None:
    """Raises 000904 for the name of a column that is spelled in another case."""
    if name not in columns and any(n.upper() == name.upper() for n in columns):
        raise errors.invalid_identifier(name if name.isupper() else f'"{name}"')


def _limit(cell: Expr, length: int) -> None:
    """A value on its way into VARCHAR(length), checked; DEFAULT and what is short enough are left alone."""
    type_ = type_of(cell)
    keyword = isinstance(cell, exp.Null) or (isinstance(cell, (exp.Column, exp.Var)) and cell.name.upper() == "DEFAULT")
    if not length or keyword or (type_ and 0 < type_.length <= length):
        return
    text = exp.cast(cell.copy(), exp.DataType.build("VARCHAR"))
    cell.replace(_call("_cxm_varchar", text, exp.Literal.number(length)))


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
