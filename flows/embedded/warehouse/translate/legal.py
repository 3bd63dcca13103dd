"""Checks that a statement is Snowflake's SQL: its functions, its types, what is in FROM. The engine's own names are unknown.

syntax tree ──check──▶ the same tree, IDENTIFIER('…') and TABLE('…') as the names they mean; or 001003, 002140, 002040
DuckDB's SQL ──check_engine_sql──▶ nothing, when the engine reads from it what the tree says

Which objects a name may mean is in `privileges`.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb
from fakesnow.transforms import identifier
from sqlglot import Expr, exp

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import spelled
from flows.embedded.warehouse.text.function_names import (
    INFORMATION_SCHEMA_FUNCTIONS,
    KNOWN_FUNCTIONS,
    REFUSED_FUNCTIONS,
)
from flows.embedded.warehouse.text.grammar import split_name
from flows.embedded.warehouse.translate.clauses import check_clauses, check_qualifiers, outer_joins
from flows.embedded.warehouse.translate.passes import changed

_T = exp.DataType.Type
# https://docs.snowflake.com/en/sql-reference/intro-summary-data-types
_TYPES = frozenset({
    _T.DECIMAL, _T.INT, _T.BIGINT, _T.SMALLINT, _T.TINYINT, _T.DOUBLE, _T.FLOAT, _T.VARCHAR, _T.CHAR, _T.NCHAR, _T.NVARCHAR,
    _T.TEXT, _T.BINARY, _T.VARBINARY, _T.BOOLEAN, _T.DATE, _T.DATETIME, _T.TIME, _T.TIMESTAMP, _T.TIMESTAMPLTZ,
    _T.TIMESTAMPNTZ, _T.TIMESTAMPTZ, _T.VARIANT, _T.OBJECT, _T.ARRAY, _T.MAP, _T.GEOGRAPHY, _T.GEOMETRY, _T.VECTOR, _T.FILE,
    _T.DECFLOAT, _T.INTERVAL, _T.NULL, _T.UNKNOWN,
})  # fmt: skip
_NOT_HERE = (_T.GEOGRAPHY, _T.GEOMETRY, _T.MAP, _T.DECFLOAT, _T.FILE)
_LONGEST = 134_217_728  # characters of a VARCHAR
_SHOWN = ("COLUMNS",)  # the others have handlers; SHOW FUNCTIONS would have to list those built in
# A part of a date, the name of a stage: what sqlglot writes into the engine's SQL unchanged.
_PLAIN_WORD = re.compile(r"[\w$.@%/~=+:&\-]*")
_ORDERED = (
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue,
    exp.LastValue, exp.NthValue,
)  # fmt: skip
_NOT_INSERTED = (
    exp.Query, exp.AggFunc, exp.Window, exp.ParseJSON, exp.Array, exp.Struct, exp.JSONObject, exp.StarMap, exp.ToVariant,
)  # fmt: skip
_NAMING = (exp.Create, exp.Alter, exp.Drop, exp.Comment, exp.Show, exp.Describe)


def check(expression: Expr, bindings: Any = None) -> Expr:
    """Check a statement; return it with its IDENTIFIER('…') and TABLE('…') as plain names.

    Raises ProgrammingError: 001003 for what is not Snowflake SQL, 002140 for an unknown function, 002040 for an unknown type.
    """
    expression = changed(expression, lambda node: _identified(node, bindings))
    if expression.find(exp.MatchRecognize):
        raise errors.unsupported("MATCH_RECOGNIZE")
    for call in list(expression.find_all(exp.Func)):
        _check_call(call)
    for rows in list(expression.find_all(exp.TableFromRows)):
        if isinstance(rows.this, exp.Literal):
            rows.replace(_named(rows.this.name, rows.args.get("alias")))
    for node in expression.walk():
        _check_node(node, expression)
        check_clauses(node)
    outer_joins(expression)
    check_qualifiers(expression)
    if isinstance(expression, exp.Insert) and isinstance(expression.expression, exp.Values):
        _check_inserted(expression.expression)
    return expression


def _identified(node: Expr, bindings: Any) -> Expr:
    """Return the name that IDENTIFIER('…') means, with its alias; any other node as it is."""
    named: Expr = identifier(node, bindings)
    if named is not node and isinstance(node, exp.Table) and isinstance(named, exp.Table) and node.args.get("alias"):
        named.set("alias", node.args["alias"].copy())
    return named


def _check_inserted(values: exp.Values) -> None:
    """Refuse queries, aggregates, window functions and semi-structured values in VALUES
    (https://docs.snowflake.com/en/sql-reference/sql/insert#usage-notes)."""
    for row in values.expressions:
        for cell in row.expressions if isinstance(row, exp.Tuple) else [row]:
            names = (spelled(call) or "" for call in cell.find_all(exp.Func))
            if cell.find(*_NOT_INSERTED) or any(name.startswith(("ARRAY_", "OBJECT_")) for name in names):
                raise errors.invalid_in_values(cell.sql(dialect="snowflake", comments=False)[:80])


def _check_call(call: exp.Func) -> None:
    name = spelled(call)
    if isinstance(call, exp.DynamicIdentifier):
        # its text would be put into the SQL as it is
        raise errors.unsupported("IDENTIFIER(…) for anything but a table, a view or a stage")
    if isinstance(call, exp.Unnest):
        raise errors.unknown_function("UNNEST")
    if name is None:
        return
    if name in REFUSED_FUNCTIONS:
        raise errors.unsupported(f"the function {name}")
    if isinstance(call, (exp.Count, exp.If)) and name in ("COUNT", "IFF"):
        got = sum(call.args.get(key) is not None for key in ("this", "true", "false"))
        if (name == "COUNT" and not got) or (name == "IFF" and got < 3):
            raise errors.argument_count(name, 1 if name == "COUNT" else 3, got)
    elif (least := _LEAST.get(name)) and (got := _count(call)) < least:
        raise errors.argument_count(name, least, got)
    if isinstance(call, exp.Coalesce):
        _check_arguments(name, int(call.this is not None) + len(call.expressions))
    if name not in KNOWN_FUNCTIONS:
        raise errors.unknown_function(name)
    dot = call.parent
    if isinstance(dot, exp.Dot) and dot.expression is call:
        before = dot.this.name.upper() if not isinstance(dot.this, exp.Dot) else dot.this.expression.name.upper()
        if before != "INFORMATION_SCHEMA" or name not in INFORMATION_SCHEMA_FUNCTIONS:
            raise errors.unknown_function(f"{dot.this.sql(dialect='snowflake')}.{name}")


# Where sqlglot takes fewer arguments than Snowflake.
_LEAST = {"SUBSTR": 2, "SUBSTRING": 2, "SPLIT_PART": 3, "DECODE": 3, "REPLACE": 2, "TRANSLATE": 3, "LPAD": 2, "RPAD": 2}


def _count(call: exp.Func) -> int:
    given = [value for key, value in call.args.items() if isinstance(value, Expr) and key != "expressions"]
    return len(given) + len(call.expressions)


def _check_arguments(name: str, count: int) -> None:
    """Check that COALESCE has at least two arguments, and IFNULL and NVL have two
    (https://docs.snowflake.com/en/sql-reference/functions/coalesce, …/ifnull, …/nvl)."""
    if count < 2 or (count > 2 and name in ("IFNULL", "NVL")):
        raise errors.argument_count(name, 2, count)


def _named(text: str, alias: Expr | None) -> exp.Table:
    """Return the table that a text names (https://docs.snowflake.com/en/sql-reference/literals-table)."""
    parts = [exp.to_identifier(part, quoted=True) for part in split_name(text)][::-1]
    if not 1 <= len(parts) <= 3:
        raise errors.not_found("TABLE", text)
    return exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)), alias=alias)


def _check_node(node: Expr, root: Expr) -> None:
    node.comments = None  # the engine needs no comments
    if isinstance(node, exp.Table) and not isinstance(root, exp.Copy):
        _check_table(node)
    elif isinstance(node, exp.DataType) and isinstance(node.this, _T):
        _check_type(node)
    elif isinstance(node, exp.Tuple) and isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
        raise errors.syntax("(" + ", ".join(part.sql(dialect="snowflake") for part in node.expressions) + ")")
    elif isinstance(node, (exp.Struct, exp.JSONObject)):
        _check_once(node)
    elif isinstance(node, exp.Dot) and isinstance(node.this, exp.Struct):
        raise errors.syntax(f".{node.expression.name}")
    elif isinstance(node, exp.Var) and not _PLAIN_WORD.fullmatch(str(node.this)):
        raise errors.syntax(str(node.this))
    elif isinstance(node, exp.Identifier) and "'" in node.name and isinstance(root, _NAMING):
        raise errors.unsupported(f"the name {node.name} with an apostrophe in it")
    elif isinstance(node, exp.SetItem) and (
        node.args.get("kind") not in (None, "VARIABLE") or not isinstance(node.this, exp.EQ)
    ):
        raise errors.syntax(str(node.args.get("kind") or node.sql(dialect="snowflake")))
    elif isinstance(node, (exp.Summarize, exp.Pragma, exp.Attach, exp.Detach, exp.Command)) and not (
        node is root or (isinstance(root, exp.Alter) and drops_clustering(node))
    ):
        if isinstance(root, exp.Alter) and str(node.expression).strip().upper().startswith(_KEYS):
            raise errors.unsupported(f"ALTER TABLE … {node.sql(dialect='snowflake')}")
        raise errors.syntax(node.sql(dialect="snowflake"))
    elif isinstance(node, exp.Window):
        if node.args.get("order"):
            _check_unordered(node)
        else:
            _check_ordered(node)
    elif isinstance(node, exp.StarMap) and any(
        node.this.args.get(k) for k in ("except_", "ilike", "rename", "replace")
    ):
        raise errors.unsupported("OBJECT_CONSTRUCT(*) of some of the columns")
    elif isinstance(node, exp.Collate):
        raise errors.unsupported("COLLATE")
    elif isinstance(node, exp.IntDiv):
        raise errors.syntax("DIV")
    elif isinstance(node, exp.Interval) and not isinstance(node.parent, _BESIDE_INTERVAL):
        raise errors.unsupported("an INTERVAL that is not added to a date or time")
    elif isinstance(node, exp.Select) and node.args.get("windows"):
        raise errors.syntax("WINDOW")
    elif isinstance(node, exp.Select) and node.args.get("distinct") and node.args.get("order"):
        _check_distinct(node)
    elif isinstance(node, exp.GroupConcat) and node.args.get("on_overflow") is not None:
        raise errors.argument_count("LISTAGG", 2, 3)
    elif isinstance(node, exp.Filter):
        raise errors.syntax("FILTER")
    elif isinstance(node, exp.Connect):
        raise errors.unsupported("CONNECT BY")
    elif isinstance(node, exp.Show) and node.name.upper() not in _SHOWN:
        raise errors.unsupported(f"SHOW {node.name}")


def drops_clustering(action: Expr) -> bool:
    """Whether an action of ALTER TABLE, which sqlglot leaves unread, is DROP CLUSTERING KEY
    (https://docs.snowflake.com/en/sql-reference/sql/alter-table#clustering-actions-clusteringaction)."""
    words = f"{action.this} {action.expression}".upper().split() if isinstance(action, exp.Command) else []
    return words == ["DROP", "CLUSTERING", "KEY"]


def _check_type(node: exp.DataType) -> None:
    """Check that a type is one of Snowflake's, with a length or precision that it may have
    (https://docs.snowflake.com/en/sql-reference/data-types-text#varchar, …/data-types-numeric#number)."""
    sizes = [int(p.name) for p in node.expressions if isinstance(p, exp.DataTypeParam) and p.name.isdigit()]
    text = node.this in (_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR) and sizes
    number = node.this == _T.DECIMAL and sizes
    wrong = (text and not 1 <= sizes[0] <= _LONGEST) or (
        number and not (1 <= sizes[0] <= 38 and (len(sizes) < 2 or sizes[1] <= min(sizes[0], 37)))
    )
    if node.this in (_T.BINARY, _T.VARBINARY) and sizes and isinstance(node.parent, exp.ColumnDef):
        raise errors.unsupported(f"{node.sql(dialect='snowflake')} as a column's type (BINARY holds the same)")
    if node.this in _NOT_HERE:
        raise errors.unsupported(f"the type {node.sql(dialect='snowflake')}")
    if node.this not in _TYPES or wrong:
        raise errors.unsupported_type(node.sql(dialect="snowflake"))


def _check_once(node: Expr) -> None:
    """Refuse a key that comes twice (https://docs.snowflake.com/en/sql-reference/functions/object_construct#usage-notes)."""
    keys = [part.this.name for part in node.expressions if isinstance(part.this, exp.Literal)]
    for key in keys:
        if keys.count(key) > 1:
            raise errors.duplicate_key(key)


def _check_distinct(select: exp.Select) -> None:
    """Check that SELECT DISTINCT is ordered by what it selects
    (https://docs.snowflake.com/en/sql-reference/constructs/order-by)."""
    if select.args["distinct"].args.get("on") is not None or any(column.is_star for column in select.expressions):
        return
    shown = {column.alias_or_name.upper() for column in select.expressions}
    shown |= {column.unalias().name.upper() for column in select.expressions}
    for ordered in select.args["order"].expressions:
        by = ordered.this
        if isinstance(by, exp.Column) and by.name.upper() not in shown:
            raise errors.compilation(
                f"[{by.sql(dialect='snowflake').upper()}] is not a valid order by expression", 979, "42601"
            )


def _check_ordered(window: exp.Window) -> None:
    """Check that functions which rank, or look at other rows, have an order
    (https://docs.snowflake.com/en/sql-reference/functions-window-syntax)."""
    call = window.this
    while isinstance(call, (exp.IgnoreNulls, exp.RespectNulls)):
        call = call.this
    if isinstance(call, _ORDERED):
        raise errors.no_order(spelled(call) or call.sql_name())


def _check_unordered(window: exp.Window) -> None:
    """Refuse ORDER BY in the OVER of MEDIAN, MODE, LISTAGG and percentiles, which take the whole partition
    (https://docs.snowflake.com/en/sql-reference/functions/median#syntax)."""
    call = window.this
    while isinstance(call, (exp.IgnoreNulls, exp.RespectNulls, exp.WithinGroup)):
        call = call.this
    if isinstance(call, exp.AggFunc) and isinstance(call.this, exp.Distinct) and not isinstance(call, exp.GroupConcat):
        raise errors.compilation("distinct cannot be used with a window frame or an order.", 2043, "42601")
    if isinstance(call, _OF_PARTITIONS):
        raise errors.unsupported(f"ORDER BY in the OVER of {spelled(call) or call.sql_name()}")


_KEYS = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY")
_OF_PARTITIONS = (exp.Median, exp.Mode, exp.PercentileCont, exp.PercentileDisc, exp.GroupConcat)
_BESIDE_INTERVAL = (exp.Add, exp.Sub, exp.WindowSpec, exp.Interval)


def _check_table(table: exp.Table) -> None:
    this = table.this
    if isinstance(this, exp.Literal):
        raise errors.syntax(this.sql(dialect="snowflake"))
    if isinstance(this, exp.Var):
        raise errors.unsupported("a query over a staged file (COPY INTO a table first)")
    if not isinstance(this, (exp.Identifier, exp.Func, exp.Values)):
        raise errors.syntax(table.sql(dialect="snowflake"))


def check_engine_sql(parser: duckdb.DuckDBPyConnection, tree: Expr, sql: str) -> None:
    """Refuse a query if DuckDB reads a table in its text that is not in the tree, whose rights were checked.

    `parser` is an engine without any objects, so that a view is read as its name; `sql` is the tree's text.
    """
    query = tree if isinstance(tree, exp.Query) else tree.args.get("expression")
    if not isinstance(query, exp.Query) or isinstance(query, exp.Values):
        return
    try:
        with parser.cursor() as duck:
            read = duck.get_table_names(sql if query is tree else query.sql(dialect="duckdb"), qualified=True)
    except duckdb.Error:
        return  # running the statement raises the error
    known = {table.name.casefold() for table in tree.find_all(exp.Table)}
    if any(
        split_name(name.partition(" AS ")[0].partition(" TABLESAMPLE ")[0])[-1].casefold() not in known for name in read
    ):
        raise errors.unsupported("a query in which the engine reads more than it names")
