"""Checks the columns that a query gives a new table or view: each has a name, no two the same, and a view keeps them.

query of CREATE … AS ──▶ 002022, 002025 or 002026, or nothing; the query of a view with its columns listed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.session.privileges import is_named
from flows.embedded.warehouse.statements.columns import columns_of
from flows.embedded.warehouse.storage import described
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.translate.scopes import folded

if TYPE_CHECKING:
    from flows.embedded.warehouse.statements.runner import Runner


def check_named(made: exp.Create) -> None:
    """Raise 002022 if a column of a view, or of a table made of a query, has no name
    (https://docs.snowflake.com/en/sql-reference/sql/create-view#required-parameters)."""
    query = made.expression.unnest() if isinstance(made.expression, exp.Subquery) else made.expression
    if isinstance(made.this, exp.Schema) or not isinstance(query, exp.Select):
        return
    for column in query.expressions:
        if not (isinstance(column.unnest(), (exp.Alias, exp.Column, exp.Dot, exp.JSONExtract)) or column.is_star):
            raise errors.missing_column_name()


def check_different(runner: Runner, query: object) -> None:
    """Refuse two columns of one name (https://docs.snowflake.com/en/sql-reference/sql/create-table#usage-notes); the engine would
    number them."""
    select = query.unnest() if isinstance(query, exp.Subquery) else query
    if not isinstance(select, exp.Select):
        return
    names = [folded(column.args["alias"] if isinstance(column, exp.Alias) else column.this)
             for column in select.expressions
             if isinstance(column, (exp.Alias, exp.Column)) and not column.is_star]  # fmt: skip
    if (stars := [column for column in select.expressions if column.is_star]) and (
        known := _of_one_table(runner, select)
    ):
        names += [name for star in stars for name in _shown(star, known)]
    elif stars:
        try:
            empty = runner.translated(select.copy()).limit(0).sql(dialect="duckdb")  # type: ignore[attr-defined]
            names = [str(c[0]) for c in runner.duck.execute(empty).description or []]
        except duckdb.Error:
            return  # running the statement raises the error
    for name in names:
        if names.count(name) > 1:
            raise errors.duplicate_column(name)


def _of_one_table(runner: Runner, select: exp.Select) -> list[str]:
    """Return the columns of the only table that a query reads; none if it reads anything else or the engine lacks the table."""
    from_ = select.args.get("from_")
    table = from_.this if isinstance(from_, exp.From) else None
    if not isinstance(table, exp.Table) or not is_named(table):
        return []
    if any(select.args.get(part) for part in ("joins", "laterals", "with_")) or any(
        s.args.get("ilike") for s in select.find_all(exp.Star)
    ):
        return []
    return [*(columns_of(runner.conn, runner.duck, table) or {})]


def _shown(star: Expr, columns: list[str]) -> list[str]:
    """Return the names that `*` or `T.*` with EXCLUDE, REPLACE and RENAME gives."""

    def name(node: Expr) -> str:
        return folded(node.this if isinstance(node, exp.Column) else node)

    options = (star.this if isinstance(star, exp.Column) else star).args
    left = {name(column) for column in options.get("except_") or []}
    renamed = {name(one.this): folded(one.args["alias"]) for one in options.get("rename") or []}
    return [renamed.get(column, column) for column in columns if column not in left]


def keep_columns(runner: Runner, view: exp.Create) -> None:
    """Replace `*` in a view's query by the columns that it has now: later changes to a table are not propagated
    (https://docs.snowflake.com/en/sql-reference/sql/create-view#usage-notes). `view` is changed in place."""
    query = view.expression
    if not isinstance(query, exp.Query):
        return
    listed = view.this.expressions if isinstance(view.this, exp.Schema) else []
    if not listed:
        check_different(runner, query)
    stars = any(column.is_star for select in query.find_all(exp.Select) for column in select.expressions)
    if not listed and not stars:
        return
    try:
        sql = runner.translated(query.copy()).sql(dialect="duckdb")
        names = [column for column, _ in described.columns(runner.duck, f"({sql})")]
    except duckdb.Error:
        return  # running the statement raises the error
    if listed and len(listed) != len(names):
        raise errors.column_list_mismatch()
    if stars and len(set(names)) == len(names):
        columns = [exp.column(exp.to_identifier(name, quoted=True)) for name in names]
        view.set("expression", exp.select(*columns).from_(query.copy().subquery("CXM_VIEW")))
