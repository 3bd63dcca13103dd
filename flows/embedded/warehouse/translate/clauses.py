"""Refuses clauses that sqlglot takes from other dialects and Snowflake's grammar lacks; translates `(+)`.

syntax tree ──check_clauses──▶ nothing, or 001003, 000002; ──outer_joins──▶ the tree, `b.x (+)` as LEFT JOIN b
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors

_MOST_SAMPLED = 1_000_000
_LONGEST_NAME = 255
_JOINS = ("SEMI", "ANTI")
_METHODS = {"ROW": "BERNOULLI", "BLOCK": "SYSTEM"}  # the other names of SAMPLE's methods
_ROW_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
# Clauses of these statements that sqlglot reads and Snowflake does not have: argument of the tree → the clause's keyword.
_FOREIGN = {"returning": "RETURNING", "default": "DEFAULT", "conflict": "ON CONFLICT", "alternative": "OR", "with_": "WITH",
            "by_name": "BY NAME"}  # fmt: skip


def check_clauses(node: Expr) -> None:
    """Raise for one node of a tree that is not Snowflake SQL, or that would give other rows here than on Snowflake."""
    if isinstance(node, _ROW_CHANGES):
        for argument, word in _FOREIGN.items():
            if node.args.get(argument):
                raise errors.syntax(word)
        if isinstance(node, exp.Insert):
            _check_insert(node)
    elif isinstance(node, exp.Create) and isinstance(node.expression, (exp.Values, exp.Table)):
        raise errors.syntax("AS: a SELECT is expected behind it")
    elif isinstance(node, exp.Select):
        _check_select(node)
    elif isinstance(node, (exp.Limit, exp.Fetch)):
        _check_limit(node)
    elif isinstance(node, exp.SetOperation):
        _check_set_operation(node)
    elif isinstance(node, exp.Join) and str(node.args.get("kind") or "").upper() in _JOINS:
        raise errors.syntax(f"{node.args['kind']} JOIN")
    elif isinstance(node, exp.TableSample):
        _check_sample(node)
    elif isinstance(node, exp.Values):
        _check_values(node)
    elif isinstance(node, (exp.HistoricalData, exp.Changes)):
        raise errors.unsupported("time travel (AT | BEFORE) and CHANGES: only what a table holds now can be read")
    elif isinstance(node, exp.CTE):
        _check_cte(node)
    elif isinstance(node, exp.Order) and isinstance(node.parent, exp.Query):
        _without_constants(node)
    elif isinstance(node, exp.Between) and node.args.get("symmetric") is not None:
        raise errors.syntax("SYMMETRIC" if node.args["symmetric"] else "ASYMMETRIC")
    elif isinstance(node, exp.In) and not any(
        node.args.get(key) for key in ("expressions", "query", "unnest", "field")
    ):
        raise errors.syntax("()")
    elif isinstance(node, (exp.BitwiseLeftShift, exp.BitwiseRightShift)) and "requires_int128" not in node.args:
        raise errors.syntax("<<" if isinstance(node, exp.BitwiseLeftShift) else ">>")
    elif isinstance(node, exp.DataType) and node.this == exp.DataType.Type.ARRAY and node.expressions:
        raise errors.unsupported(f"the structured type {node.sql(dialect='snowflake')}")
    elif isinstance(node, exp.CheckColumnConstraint):  # the engine would enforce it
        raise errors.unsupported("CHECK")
    elif isinstance(node, exp.ComputedColumnConstraint):
        raise errors.unsupported("a column that is computed from others")
    elif isinstance(node, exp.Identifier):
        check_length(node.name)


def _check_insert(insert: exp.Insert) -> None:
    """Check that the target has no alias, and that the rows come from VALUES or a query
    (https://docs.snowflake.com/en/sql-reference/sql/insert#syntax)."""
    if isinstance(insert.this, exp.Table) and insert.this.alias:
        raise errors.syntax(insert.this.alias)
    if isinstance(insert.expression, exp.Table):
        raise errors.syntax("TABLE")


def _without_constants(order: exp.Order) -> None:
    """Remove constants that are not a position, since they order nothing; `order` is changed in place."""
    left = [
        part
        for part in order.expressions
        if not isinstance(part.this, (exp.Null, exp.Boolean))
        and not (isinstance(part.this, exp.Literal) and (part.this.is_string or not part.this.name.isdigit()))
    ]
    if len(left) < len(order.expressions):
        order.set("expressions", left)
        if not left and order.parent is not None:
            order.parent.set("order", None)


def check_length(name: str) -> None:
    """Check that a name has 255 characters at most (https://docs.snowflake.com/en/sql-reference/identifiers-syntax)."""
    if len(name) > _LONGEST_NAME:
        raise errors.syntax(f"{name[:20]}… (a name of {len(name)} characters, {_LONGEST_NAME} at most)")


def _check_select(select: exp.Select) -> None:
    """Refuse clauses that Snowflake's SELECT lacks (https://docs.snowflake.com/en/sql-reference/sql/select#syntax), and
    FOR UPDATE (…/constructs/for-update: only for hybrid tables)."""
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on") is not None:
        raise errors.syntax("ON")
    if select.args.get("sample") is not None:
        raise errors.syntax("USING SAMPLE")
    if select.args.get("into") is not None:
        raise errors.syntax("INTO")
    if select.args.get("offset") is not None and not isinstance(select.args.get("limit"), (exp.Limit, exp.Fetch)):
        raise errors.syntax("OFFSET")  # https://docs.snowflake.com/en/sql-reference/constructs/limit#syntax
    if select.args.get("locks"):
        raise errors.unsupported("SELECT … FOR UPDATE")


def _check_limit(node: exp.Limit | exp.Fetch) -> None:
    """Check that a limit is a constant; '' and NULL mean none
    (https://docs.snowflake.com/en/sql-reference/constructs/limit#parameters)."""
    options = node.args.get("limit_options")
    if options is not None and (options.args.get("percent") or options.args.get("with_ties")):
        raise errors.syntax("PERCENT" if options.args.get("percent") else "WITH TIES")
    count = node.args.get("expression") or node.args.get("count")
    if isinstance(node, exp.Fetch) and count is None:
        raise errors.syntax("ROW")
    if isinstance(count, exp.Literal) and not count.is_string and not count.name.isdigit():
        raise errors.syntax(count.name)
    if isinstance(count, exp.Literal) and count.is_string and not count.name:
        count.replace(exp.Null())
    elif isinstance(count, (exp.Binary, exp.Func, exp.Column, exp.Query)):
        raise errors.syntax(count.sql(dialect="snowflake"))


def _check_set_operation(node: exp.SetOperation) -> None:
    """Refuse ALL except with UNION, and ORDER BY and LIMIT of a single query without parentheses
    (https://docs.snowflake.com/en/sql-reference/operators-query)."""
    if isinstance(node.this, exp.Select) and any(node.this.args.get(key) for key in ("order", "limit", "offset")):
        raise errors.syntax(node.key.upper())
    if not isinstance(node, exp.Union) and node.args.get("distinct") is False:
        raise errors.unsupported(f"{node.key.upper()} ALL")


def _check_sample(sample: exp.TableSample) -> None:
    """Refuse to sample blocks by a number of rows or of a subquery
    (https://docs.snowflake.com/en/sql-reference/constructs/sample)."""
    method = sample.args.get("method")
    if method is not None and str(method).upper() in _METHODS:
        sample.set("method", exp.var(_METHODS[str(method).upper()]))
    size = sample.args.get("size")
    if isinstance(size, exp.Literal) and float(size.name or 0) > _MOST_SAMPLED:
        raise errors.syntax(f"{size.name} ROWS ({_MOST_SAMPLED} at most)")
    if str(sample.args.get("method") or "").upper() in ("SYSTEM", "BLOCK"):
        if size is not None:
            raise errors.syntax("ROWS")
        if isinstance(sample.parent, exp.Subquery):
            raise errors.unsupported("SAMPLE SYSTEM of a subquery")


def _check_cte(cte: exp.CTE) -> None:
    """Check that a CTE names each column of its query, and that a recursive one is a UNION ALL
    (https://docs.snowflake.com/en/sql-reference/constructs/with)."""
    query = cte.this
    if cte.args.get("materialized") is not None:
        raise errors.syntax("MATERIALIZED")
    clause = cte.parent
    if isinstance(query, exp.Union) and isinstance(clause, exp.With) and clause.args.get("recursive"):
        named = (table.name.upper() for table in query.expression.find_all(exp.Table) if not table.args.get("db"))
        if cte.alias.upper() in named:
            if query.args.get("distinct") is not False:
                raise errors.unsupported("a recursive WITH with UNION (UNION ALL is expected)")
            _check_recursive(query.expression)
    columns = cte.args["alias"].columns if cte.args.get("alias") is not None else []
    if columns and isinstance(query, exp.Select) and not query.is_star and len(columns) != len(query.expressions):
        raise errors.column_list_mismatch()


def _check_recursive(query: Expr) -> None:
    """Check that the recursive part only joins and filters: with an aggregate it would never end
    (https://docs.snowflake.com/en/sql-reference/constructs/with#usage-notes)."""
    if not isinstance(query, exp.Select):
        return
    clauses = [
        key for key in ("distinct", "group", "having", "order", "limit", "offset", "qualify") if query.args.get(key)
    ]
    if clauses or any(column.find(exp.AggFunc, exp.Window) for column in query.expressions):
        what = clauses[0].upper() if clauses else "an aggregate or a window function"
        raise errors.unsupported(f"{what} in the recursive part of a WITH")


def _check_values(values: exp.Values) -> None:
    """Check that a list of names has one for each column
    (https://docs.snowflake.com/en/sql-reference/constructs/values#parameters)."""
    alias = values.args.get("alias")
    names = alias.columns if isinstance(alias, exp.TableAlias) else []
    row = values.expressions[0] if values.expressions else None
    width = len(row.expressions) if isinstance(row, exp.Tuple) else 1
    if names and len(names) != width:
        raise errors.unsupported(f"VALUES of {width} columns with names for {len(names)} of them")


def check_qualifiers(tree: Expr) -> None:
    """Check that a column's qualifier is the table's name in the statement, case included: 000904 for "x".A of a table X
    (https://docs.snowflake.com/en/sql-reference/identifiers-syntax)."""
    columns = [column for column in tree.find_all(exp.Column) if column.args.get("table") is not None]
    if not columns:
        return
    names: set[str] = set()
    for source in tree.find_all(exp.Table, exp.Subquery, exp.CTE, exp.Lateral, exp.Values, exp.Pivot):
        alias = source.args.get("alias")
        own = alias.this if isinstance(alias, exp.TableAlias) else alias
        for name in (own, source.this if isinstance(source, exp.Table) else None):
            if isinstance(name, exp.Identifier):
                names.add(name.name if name.args.get("quoted") else name.name.upper())
    alike = {name.casefold() for name in names}
    for column in columns:
        table = column.args["table"]
        name = table.name if table.args.get("quoted") else table.name.upper()
        if name not in names and name.casefold() in alike:
            raise errors.invalid_identifier(column.sql(dialect="snowflake"))


def outer_joins(tree: Expr) -> Expr:
    """Turn `WHERE a.x = b.x (+)` into LEFT JOIN b; the tree is changed in place
    (https://docs.snowflake.com/en/sql-reference/constructs/where#joins-in-the-where-clause)."""
    if not any(map(_is_marked, tree.find_all(exp.Column))):
        return tree
    for select in list(tree.find_all(exp.Select)):
        where = select.args.get("where")
        if where is not None and any(_is_marked(column) for column in where.find_all(exp.Column)):
            _join(select, where)
    if any(map(_is_marked, tree.find_all(exp.Column))):
        raise errors.syntax("(+)")
    return tree


def _is_marked(column: exp.Column) -> bool:
    return bool(column.args.get("join_mark"))


def _join(select: exp.Select, where: exp.Where) -> None:
    joins = list(select.args.get("joins") or [])
    if any(join.args.get(key) for join in joins for key in ("on", "using", "side", "method")):
        raise errors.unsupported("(+) beside JOIN … ON")
    conditions: dict[str, list[Expr]] = {}
    left: list[Expr] = []
    top = where.this
    for condition in list(top.flatten()) if isinstance(top, exp.And) else [top]:
        marked = [column for column in condition.find_all(exp.Column) if _is_marked(column)]
        names = {column.table.upper() for column in marked}
        if not marked:
            left.append(condition)
            continue
        if len(names) > 1 or "" in names or condition.find(exp.Query):
            raise errors.unsupported("(+) of more than one table, or of a column without its table, in one condition")
        for column in marked:
            column.set("join_mark", False)
        conditions.setdefault(names.pop(), []).append(condition)
    first = select.args["from_"].this.alias_or_name.upper()
    if first in conditions and len(joins) == 1 and len(conditions) == 1:
        joins[0].set("side", "RIGHT")
        joins[0].set("on", exp.and_(*conditions[first]))
    else:
        _join_left(select, joins, conditions)
    select.set("where", exp.Where(this=exp.and_(*left)) if left else None)


def _join_left(select: exp.Select, joins: list[exp.Join], conditions: dict[str, list[Expr]]) -> None:
    inner = [join for join in joins if join.this.alias_or_name.upper() not in conditions]
    outer = [join for join in joins if join.this.alias_or_name.upper() in conditions]
    stars = any(column.is_star for column in select.expressions)
    if len(outer) != len(conditions) or (stars and inner + outer != joins):
        raise errors.unsupported("(+) of the first of three tables, or of one before others that * shows")
    for join in inner:
        join.set("kind", "CROSS")
    for join in outer:
        join.set("kind", None)
        join.set("side", "LEFT")
        join.set("on", exp.and_(*conditions[join.this.alias_or_name.upper()]))
    select.set("joins", inner + outer)
