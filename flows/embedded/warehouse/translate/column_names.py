"""Snowflake's names of a result's columns, such as `COUNT(*)`, where DuckDB would use others."""

from __future__ import annotations

from sqlglot import Expr, exp

from flows.embedded.warehouse.text.dialect import WRITTEN


def column_names(query: Expr) -> list[str | None]:
    """Return the names that Snowflake gives a result's columns: their text, as in `COUNT(*)`; None for those that have a name."""
    top = _first_select(query)
    return [] if top is None else [column_name(column) for column in top.expressions]


def column_name(column: Expr) -> str | None:
    """Return the name that Snowflake gives a result's column, or None when the column has a name."""
    if isinstance(column, exp.Paren) and isinstance(bare := column.unnest(), exp.Column) and not bare.is_star:
        return bare.name if bare.this.args.get("quoted") else bare.name.upper()
    has_name = isinstance(column, (exp.Column, exp.Alias, exp.Star, exp.Dot)) or column.is_star
    if has_name or column.find(exp.Placeholder):
        return None
    return str(column.meta.get(WRITTEN) or column.sql(dialect="snowflake")).upper()


def named(value: Expr, name: str) -> exp.Alias:
    """Return a value under a name, also a subquery, whose own alias would be a table's."""
    return exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))


def name_columns(query: Expr, names: list[str | None]) -> None:
    """Give the columns of a query that is ready for DuckDB the names that `column_names` returned before."""
    top = _first_select(query)
    if top is None or len(top.expressions) != len(names):
        return
    for column, name in zip(list(top.expressions), names, strict=True):
        if name is not None and not isinstance(column, exp.Alias):
            column.replace(named(column.copy(), name))


def _first_select(query: Expr) -> exp.Select | None:
    """Return the SELECT that names a result's columns: a UNION's first."""
    while not isinstance(query, exp.Select):
        if not isinstance(query, exp.Query) or not isinstance(query.this, exp.Query):
            return None
        query = query.this
    return query
