"""Rewrites PIVOT as the equivalent grouped query, so that its aggregates have the same types and digits as elsewhere.

FROM T PIVOT (AVG(A) FOR Q IN ('x' AS X))
    ──grouped──▶ FROM (SELECT * EXCLUDE (Q, A), AVG(CASE WHEN Q = 'x' THEN A END) AS X FROM T GROUP BY ALL)

https://docs.snowflake.com/en/sql-reference/constructs/pivot
"""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors

_AGGREGATES = (exp.Avg, exp.Count, exp.Max, exp.Min, exp.Sum)


def grouped(tree: Expr) -> Expr:
    """Rewrite every PIVOT of the tree, in place. Raises 000002 unless it is one aggregate of a column by a list of constants."""
    for pivot in list(tree.find_all(exp.Pivot)):
        source = pivot.parent
        if pivot.args.get("unpivot") or not isinstance(source, (exp.Table, exp.Subquery)):
            continue
        if len(source.args["pivots"]) > 1:
            raise errors.unsupported("several PIVOT of one table")
        source.replace(_query(source, pivot))
    return tree


def _query(source: exp.Table | exp.Subquery, pivot: exp.Pivot) -> exp.Subquery:
    aggregate, field = pivot.expressions[0], pivot.args["fields"][0]
    name = aggregate.alias
    aggregate = aggregate.unalias()
    if (
        len(pivot.expressions) > 1
        or not isinstance(aggregate, _AGGREGATES)
        or not isinstance(aggregate.this, exp.Column)
    ):
        raise errors.unsupported("PIVOT by anything but one AVG, COUNT, MAX, MIN or SUM of a column")
    if not isinstance(field, exp.In) or not field.expressions or field.find(exp.PivotAny):
        raise errors.unsupported("PIVOT … IN (ANY) and IN (SELECT …) (a list of values is here)")
    star = exp.Star(except_=[field.this.this.copy(), aggregate.this.this.copy()])
    columns: list[Expr] = [star]
    for value in field.expressions:
        constant = value.this if isinstance(value, exp.PivotAlias) else value
        test = exp.EQ(this=field.this.copy(), expression=constant.copy())
        call = aggregate.copy()
        call.set("this", exp.Case(ifs=[exp.If(this=test, true=aggregate.this.copy())]))
        default = pivot.args.get("default_on_null")
        made = exp.Coalesce(this=call, expressions=[default.copy()]) if isinstance(default, Expr) else call
        columns.append(exp.alias_(made, _named(value, name)))
    inner = source.copy()
    inner.set("pivots", None)
    query = exp.select(*columns).from_(inner)
    query.set("group", exp.Group(all=True))
    alias = pivot.args.get("alias")
    if alias is None:
        alias = exp.TableAlias(this=exp.to_identifier(source.alias_or_name or "CXM_PIVOT"))
    return exp.Subquery(this=query, alias=alias.copy(), joins=source.args.get("joins"))


def _named(value: Expr, aggregate: str) -> exp.Identifier:
    """Return the name of a value's column: its alias, or the constant as it is written; then the aggregate's alias."""
    if isinstance(value, exp.PivotAlias):
        alias = value.args["alias"]
        name = alias.name if isinstance(alias, exp.Identifier) and alias.quoted else alias.name.upper()
        return exp.to_identifier(f"{name}_{aggregate.upper()}" if aggregate else name, quoted=True)
    text = f"{value.name}_{aggregate.upper()}" if aggregate else value.name
    written = (
        f"'{text}'" if value.is_string else text if isinstance(value, exp.Literal) else value.sql(dialect="snowflake")
    )
    return exp.to_identifier(written, quoted=True)
