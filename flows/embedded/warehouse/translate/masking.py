"""Masking: replaces the masked column with the policy's expression everywhere in a statement.

a query over T ──masked──▶ the same over (SELECT CASE WHEN … THEN A ELSE '***' END AS A, B FROM T) AS T

"At runtime, Snowflake rewrites the query to apply the masking policy expression to the columns": in projections, predicates,
joins, GROUP BY, ORDER BY (https://docs.snowflake.com/en/user-guide/security-column-intro#how-does-a-masking-policy-work). A view
over masked tables is replaced by its query, since the engine would run the view without masks; its own policies come on top.
Functions in a policy: https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-scalar-functions#memoizable-udfs.

If the account has no policy, a statement costs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import Expr, exp

from flows.embedded.warehouse.session import policies
from flows.embedded.warehouse.session.policies import Attached
from flows.embedded.warehouse.session.privileges import authorize, folded, is_named, parts_of, sources, target_of
from flows.embedded.warehouse.storage import described
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.text.grammar import quote_name
from flows.embedded.warehouse.translate import legal, types

if TYPE_CHECKING:
    from flows.embedded.warehouse.account.objects import AccountObject
    from flows.embedded.warehouse.session.connection import WarehouseConnection

CURRENT_TAG = "SYSTEM$GET_TAG_ON_CURRENT_COLUMN"
VIEW_TEXT = "cxm_view_text"  # a CREATE VIEW's meta: the statement as it was sent
_SOURCE = "CXM_MASKED"
_NAMES = {"NUMBER": "FIXED", "FLOAT": "REAL", "VARCHAR": "TEXT"}
_SHOWN = {
    "STRING": "VARCHAR", "TEXT": "VARCHAR", "CHAR": "VARCHAR", "CHARACTER": "VARCHAR", "NCHAR": "VARCHAR", "NVARCHAR": "VARCHAR",
    "INT": "NUMBER", "INTEGER": "NUMBER", "BIGINT": "NUMBER", "SMALLINT": "NUMBER", "TINYINT": "NUMBER", "BYTEINT": "NUMBER",
    "DECIMAL": "NUMBER", "NUMERIC": "NUMBER", "DOUBLE": "FLOAT", "REAL": "FLOAT", "FLOAT4": "FLOAT", "FLOAT8": "FLOAT",
    "DATETIME": "TIMESTAMP_NTZ", "TIMESTAMP": "TIMESTAMP_NTZ", "VARBINARY": "BINARY",
}  # fmt: skip
_TYPES = (*types.SCALAR, "VARIANT")


def shown_type(name: str) -> str:
    """Return a type's name as DESC MASKING POLICY shows it. Raises 000002 for a type that policies do not support here."""
    shown = _SHOWN.get(name, name)
    if shown not in _TYPES:
        raise errors.unsupported(f"a masking policy for {name}")
    return shown


def type_name(shown: str) -> str:
    """Return a type's name as errors have it: TEXT, FIXED, REAL."""
    return _NAMES.get(shown, shown)


def columns_of(conn: WarehouseConnection, item: AccountObject) -> dict[str, str]:
    """Return a table's or view's columns with their types as errors name them."""
    name = ".".join(map(quote_name, item.name.split(".", 2)))
    known = conn.registry.columns
    columns: Any = None if conn.transaction.wrote else known.get(name)
    if columns is None:
        columns = {column: types.of_engine(type_) for column, type_ in described.columns(conn.duck, name)}
    return {column: type_name(type_.kind) if type_ else "" for column, type_ in columns.items()}


def masked(conn: WarehouseConnection, tree: Expr) -> Expr:
    """Mask what a statement reads; `tree` is changed and returned."""
    if not conn.account.masks or isinstance(tree, (exp.Alter, exp.Drop, exp.Comment, exp.Show, exp.TruncateTable)):
        return tree
    if isinstance(tree, exp.Create) and (str(tree.args.get("kind")).upper() == "VIEW" or tree.args.get("clone")):
        return tree  # a view is masked when it is read, a clone has its table's policies
    target = None if isinstance(tree, (exp.Query, exp.Describe)) else target_of(tree)
    if target is not None and isinstance(tree, (exp.Update, exp.Delete, exp.Merge)):
        _mask_target(conn, tree, target)
    _mask_sources(conn, tree, target)
    return tree


def _mask_sources(conn: WarehouseConnection, tree: Expr, target: exp.Table | None = None) -> bool:
    """Replace the tables and views that a tree reads with masked queries; return True if any was replaced."""
    any_masked = False
    for table in list(sources(tree, target)):
        name = conn.qualify(parts_of(table))
        if name in conn.temporary_tables or name[1] == "INFORMATION_SCHEMA":
            continue
        if (query := _query(conn, ".".join(name))) is not None:
            _replace(tree, table, query)
            any_masked = True
    return any_masked


def _replace(tree: Expr, table: exp.Table, query: exp.Query) -> None:
    alias = table.args.get("alias") or exp.TableAlias(this=table.this.copy())
    for column in tree.find_all(exp.Column):
        if column.args.get("db") and folded(column.args["table"]) == folded(table.this):  # S.T.A: the subquery is T
            column.set("db", None)
            column.set("catalog", None)
    made = exp.Subquery(this=query, alias=alias.copy())
    for key, value in table.args.items():
        if key not in ("this", "db", "catalog", "alias") and value:
            made.set(key, value)
    table.replace(made)


def _query(conn: WarehouseConnection, full: str) -> exp.Query | None:
    """Return the query that replaces a table or view; None if nothing of it is masked."""
    item = conn.account.find("TABLE", full) or conn.account.find("VIEW", full)
    if item is None:
        return None
    inner = _view_query(conn, item) if item.kind == "VIEW" else None
    masks = _masks(conn, item)
    if inner is None and not masks:
        return None
    source: exp.Table | exp.Subquery = _table(full)
    if inner is not None:
        source = inner
    source.set(
        "alias", exp.TableAlias(this=_id(_SOURCE), columns=(source.args.get("alias") or exp.TableAlias()).columns)
    )
    return exp.select(
        *(
            exp.alias_(_expression(conn, masks[column], item, column), column, quoted=True)
            if column in masks
            else exp.column(_id(column), table=_id(_SOURCE))
            for column in columns_of(conn, item)
        )
    ).from_(source)


def _masks(conn: WarehouseConnection, item: AccountObject) -> dict[str, Attached]:
    if not policies.may_mask(conn, item):
        return {}
    effective = {
        column: policies.effective(conn, item, column, type_) for column, type_ in columns_of(conn, item).items()
    }
    return {column: attached for column, attached in effective.items() if attached}


def _view_query(conn: WarehouseConnection, view: AccountObject) -> exp.Subquery | None:
    """Return a view's query over masked tables, with the names of its columns; None if none of its tables is masked."""
    statement: Any = view.properties.get("statement")
    if not statement:
        raise errors.unsupported(
            f"view {view.name}, which an older version made, beside masking policies: create it again"
        )
    create = _statement(str(statement[0]))
    query = create.expression.copy()
    qualify(query, str(statement[1]))
    if not _mask_sources(conn, query):
        return None
    listed = create.this.expressions if isinstance(create.this, exp.Schema) else []
    names = [_id(folded(c.this if isinstance(c, exp.ColumnDef) else c)) for c in listed]
    query = query.unnest() if isinstance(query, exp.Subquery) else query
    return exp.Subquery(this=query, alias=exp.TableAlias(this=_id(_SOURCE), columns=names))


@lru_cache(maxsize=256)
def _statement(text: str) -> exp.Create:
    tree = legal.check(parse(text))
    assert isinstance(tree, exp.Create)
    return tree


def qualify(tree: Expr, place: str) -> None:
    """Complete the names of a query with the database and schema that it was written in."""
    database, _, schema = place.partition(".")
    for table in list(sources(tree)):
        if not table.args.get("db"):
            table.set("db", _id(schema))
        if not table.args.get("catalog"):
            table.set("catalog", _id(database))


# ---- a policy's expression


def _expression(conn: WarehouseConnection, attached: Attached, item: AccountObject, column: str) -> Expr:
    """Return the policy's body over a column of the table or view, which is read under the name CXM_MASKED."""
    columns = dict(zip((a for a, _ in attached.policy.arguments), (column, *attached.using), strict=False))
    return _over(conn, attached, item, column, {a: exp.column(_id(c), table=_id(_SOURCE)) for a, c in columns.items()})


def _over(
    conn: WarehouseConnection, attached: Attached, item: AccountObject, column: str, arguments: Mapping[str, Expr]
) -> Expr:
    place = attached.policy.name.rpartition(".")[0]
    select = _body(attached.policy.body).copy()
    tags = policies.tags_of(conn, item, column)
    for call in list(select.find_all(exp.Anonymous)):
        if str(call.this).upper() == CURRENT_TAG:
            tag = ".".join(_completed(call.expressions[0].name.upper(), place))
            call.replace(exp.Literal.string(tags[tag]) if tag in tags else exp.Null())
    database, schema, _ = item.name.split(".", 2)
    for kind, text in ((exp.CurrentDatabase, database), (exp.CurrentSchema, schema)):
        for node in list(select.find_all(kind)):
            node.replace(exp.Literal.string(text))
    _call_functions(conn, select, place)
    qualify(select, place)
    for one in list(select.find_all(exp.Column)):
        if not one.table and folded(one.this) in arguments:
            one.replace(arguments[folded(one.this)].copy())
    return exp.Paren(this=select.expressions[0].unalias())


@lru_cache(maxsize=256)
def _body(text: str) -> Expr:
    return parse(f"SELECT {text}")


def _completed(name: str, place: str) -> list[str]:
    """Complete a tag's or function's name with the policy's database and schema."""
    parts = name.split(".")
    return [*place.split(".")[: 3 - len(parts)], *parts]


def _call_functions(conn: WarehouseConnection, select: Expr, place: str) -> None:
    """Replace the call of a memoizable function without arguments with its query."""
    for call in list(select.find_all(exp.Anonymous)):
        parts: list[Expr] = [exp.to_identifier(str(call.this))]
        node: Expr = call
        while isinstance(node.parent, exp.Dot) and node.parent.expression is node:
            node = node.parent
            parts = [*(p for p in node.this.flatten() if isinstance(p, exp.Identifier)), *parts] if isinstance(
                node.this, exp.Dot
            ) else [node.this, *parts]  # fmt: skip
        name = ".".join(_completed(".".join(folded(p) for p in parts), place))
        item = conn.account.find("FUNCTION", name)
        if item is None:
            if node is not call:
                raise errors.unknown_function(name)
            continue
        text: Any = item.properties["body"]
        query = legal.check(parse(str(text)))
        qualify(query, name.rpartition(".")[0])
        assert isinstance(query, exp.Query)
        node.replace(exp.Subquery(this=query.copy()))


def check_body(conn: WarehouseConnection, body: str, arguments: tuple[str, ...], place: str) -> None:
    """Raise for a body that is not a Snowflake expression over the policy's arguments, or reads what its owner may not."""
    select = _body(body).copy()
    if not isinstance(select, exp.Select) or len(select.expressions) != 1 or len(select.args.get("joins") or []):
        raise errors.syntax(body)
    for call in list(select.find_all(exp.Anonymous)):
        if str(call.this).upper() == CURRENT_TAG:
            call.replace(exp.Literal.string(""))
    _call_functions(conn, select, place)
    qualify(select, place)
    for column in select.find_all(exp.Column):
        outside = column.find_ancestor(exp.Select) is select
        if outside and (column.table or folded(column.this) not in arguments):
            raise errors.invalid_identifier(column.sql(dialect="snowflake").upper())
    authorize(conn, legal.check(select))


# ---- the table that a statement changes


def _mask_target(conn: WarehouseConnection, tree: Expr, target: exp.Table) -> None:
    """Mask the changed table's own columns where their values are read: WHERE, ON, the right side of SET.

    An unqualified name is the target's where no other table of the statement has such a column.
    """
    if not is_named(target) or (name := conn.qualify(parts_of(target))) in conn.temporary_tables:
        return
    item = conn.account.find("TABLE", ".".join(name))
    if item is None or not (masks := _masks(conn, item)):
        return
    alias = folded(target.args["alias"].this) if target.args.get("alias") else name[2]
    others = [table for table in sources(tree, target) if table.parent_select is None]
    theirs = {column for table in others for column in _columns_of_source(conn, table)}
    written = {id(pair.this) for update in tree.find_all(exp.Update) for pair in update.expressions}
    for insert in tree.find_all(exp.Insert):
        written |= {id(c) for c in insert.this.find_all(exp.Column)} if insert.this else set()
    for column in list(tree.find_all(exp.Column)):
        key = folded(column.this)
        if key not in masks or id(column) in written:
            continue
        if column.table:
            if folded(column.args["table"]) != alias:
                continue
        elif column.parent_select is not None or key in theirs:
            continue
        using = zip((a for a, _ in masks[key].policy.arguments), (key, *masks[key].using), strict=False)
        table = column.args.get("table")
        arguments = {a: exp.column(_id(c), table=table.copy() if table else None) for a, c in using}
        column.replace(_over(conn, masks[key], item, key, arguments))


def _columns_of_source(conn: WarehouseConnection, table: exp.Table) -> list[str]:
    full = ".".join(conn.qualify(parts_of(table)))
    item = conn.account.find("TABLE", full) or conn.account.find("VIEW", full)
    try:
        return list(columns_of(conn, item)) if item else []
    except duckdb.Error:
        return []


def _id(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _table(full: str) -> exp.Table:
    database, schema, name = full.split(".", 2)
    return exp.Table(this=_id(name), db=_id(schema), catalog=_id(database))
