"""Replaces functions that depend on the session: CURRENT_ROLE(), LAST_QUERY_ID(), RESULT_SCAN, QUERY_HISTORY.

syntax tree ──rewrite──▶ the same tree with literals, and with names of Arrow tables that DuckDB reads

https://docs.snowflake.com/en/sql-reference/functions-context, …/functions/result_scan, …/functions/query_history.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa
from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr, exp

from flows.embedded.warehouse.account.objects import ACCOUNT_NAME, ORGANIZATION, REGION
from flows.embedded.warehouse.session import policies
from flows.embedded.warehouse.session.privileges import folded
from flows.embedded.warehouse.session.registry import QueryRecord
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import scan, unescape
from flows.embedded.warehouse.translate import account_usage, policy_references
from flows.embedded.warehouse.translate.masking import CURRENT_TAG
from flows.embedded.warehouse.translate.translation import SERVER_VERSION, NameContext, translated

if TYPE_CHECKING:
    import duckdb

    from flows.embedded.warehouse.session.connection import WarehouseConnection


def rewrite(
    conn: WarehouseConnection, expression: Expr, query_id: str, sql: str, duck: duckdb.DuckDBPyConnection
) -> Expr:
    """Replace the session's functions with their values; `expression` is changed and returned.

    `duck` is the connection on which the statement will run.
    A top-level column keeps the name that Snowflake gives it: the call's own text in upper case.
    Raises ProgrammingError 000709 (02000) for RESULT_SCAN of an unknown id.
    """
    ddl = isinstance(expression, exp.Create) and not isinstance(expression.expression, exp.Query)
    view = isinstance(expression, exp.Create) and str(expression.args.get("kind")).upper() == "VIEW"
    for node in list(expression.find_all(exp.Func)):
        name = _name(node)
        value = _value(conn, name, node, query_id, sql)
        if value is None:
            continue
        if ddl or view:
            raise errors.unsupported(f"{name}() in the definition of an object")
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            value = exp.alias_(value, node.sql(dialect="snowflake").upper(), quoted=True)
        if node is expression:
            expression = value
        node.replace(value)
    for rows in list(expression.find_all(exp.TableFromRows)):
        named = _table_function(conn, rows)
        if named is not None:
            name, table = named
            duck.register(name, table)
            conn.registered[name] = duck
            rows.replace(exp.Table(this=exp.to_identifier(name, quoted=True), alias=rows.args.get("alias")))
    return expression


def _name(node: exp.Func) -> str:
    return str(node.this).upper() if isinstance(node, exp.Anonymous) else node.sql_names()[0]


def _value(conn: WarehouseConnection, name: str, node: exp.Func, query_id: str, sql: str) -> Expr | None:
    """Return the literal for a context function, or None for any other function."""
    text: str | None
    if name == "CURRENT_DATABASE":
        text = conn.database
    elif name == "CURRENT_SCHEMA":
        text = conn.schema
    elif name == "CURRENT_SCHEMAS":
        names = dict.fromkeys(
            n for n in (conn.schema, "PUBLIC") if n and conn.database and conn.has_schema(conn.database, n)
        )
        text = json.dumps([f"{conn.database}.{n}" for n in names])
    elif name == "CURRENT_ROLE":
        text = conn.role
    elif name == "CURRENT_USER":
        text = conn.user
    elif name == "CURRENT_WAREHOUSE":
        text = conn.warehouse
    elif name == "CURRENT_VERSION":
        text = SERVER_VERSION
    elif name == "CURRENT_REGION":
        text = REGION
    elif name in ("CURRENT_ACCOUNT", "CURRENT_ACCOUNT_NAME"):
        text = ACCOUNT_NAME
    elif name == "CURRENT_ORGANIZATION_NAME":
        text = ORGANIZATION
    elif name == "CURRENT_SESSION":
        text = str(conn.session_id)
    elif name == "CURRENT_CLIENT":
        text = conn.client
    elif name == "CURRENT_IP_ADDRESS":
        text = "127.0.0.1"
    elif name == "CURRENT_STATEMENT":
        text = sql
    elif name == "CURRENT_TRANSACTION":
        text = str(conn.transaction.id) if conn.transaction.open else None
    elif name == "CURRENT_SECONDARY_ROLES":
        roles = sorted(conn.active_roles() - conn.account.roles_of(conn.role)) if conn.secondary_roles == "ALL" else []
        text = json.dumps(
            {"roles": ",".join(roles), "value": conn.secondary_roles if conn.secondary_roles == "ALL" else ""},
            separators=(",", ":"),
        )
    elif name == "CURRENT_AVAILABLE_ROLES":
        text = json.dumps(sorted(conn.allowed_roles()))
    elif name == "LAST_QUERY_ID":
        return _last_query_id(conn, node, query_id)
    elif name == "IS_ROLE_IN_SESSION":
        role = node.expressions[0] if node.expressions else None
        if not isinstance(role, exp.Literal):
            raise errors.unsupported("IS_ROLE_IN_SESSION of anything but a string constant")
        return exp.Boolean(this=role.name.upper() in conn.active_roles())
    elif name == "GETVARIABLE":
        text = _variable(conn, node)
    elif name == CURRENT_TAG:
        raise errors.unsupported(f"{CURRENT_TAG} outside a masking policy")
    elif name == "SYSTEM$GET_TAG":
        text = _tag_value(conn, node)
    else:
        return None
    return exp.cast(exp.Null(), "VARCHAR") if text is None else exp.Literal.string(text)


def _variable(conn: WarehouseConnection, node: exp.Func) -> str | None:
    """Answer GETVARIABLE('<name>'): a session variable's value as a text, NULL for one that is not set
    (https://docs.snowflake.com/en/sql-reference/session-variables#viewing-variables-for-the-session)."""
    name = node.expressions[0] if len(node.expressions) == 1 else None
    if not (isinstance(name, exp.Literal) and name.is_string):
        raise errors.unsupported("GETVARIABLE of anything but the name of a variable as a string constant")
    if (written := conn.variables.get(name.name)) is None:
        return None
    text = str(written).removeprefix("(").removesuffix(")")
    token = next(scan(text), None)
    if token is None or token.kind not in ("string", "number") or token.end < len(text):
        raise errors.unsupported(f"GETVARIABLE of a variable that is neither a text nor a NUMBER ({name.name})")
    return unescape(text) if token.kind == "string" else text


def _tag_value(conn: WarehouseConnection, node: exp.Func) -> str | None:
    """Answer SYSTEM$GET_TAG('<tag>', '<object>', 'TABLE' | 'COLUMN' | 'SCHEMA' | 'DATABASE'): the value, set or inherited.

    The role must have the right to DESCRIBE the object, and USAGE on the tag's database and schema
    (https://docs.snowflake.com/en/sql-reference/functions/system_get_tag#usage-notes).
    """
    texts = [argument.name for argument in node.expressions if isinstance(argument, exp.Literal)]
    if len(texts) != 3 or texts[2].upper() not in ("TABLE", "COLUMN", "SCHEMA", "DATABASE"):
        raise errors.unsupported(
            "SYSTEM$GET_TAG of anything but these, by three string constants: table, column, schema, database"
        )
    tag = ".".join(conn.qualify(texts[0].upper().split(".")))
    if conn.account.find("TAG", tag) is None:
        raise errors.not_found("TAG", tag)
    conn.require_use_of(*tag.split(".")[:2])
    parts = texts[1].upper().split(".")
    column = parts.pop() if texts[2].upper() == "COLUMN" else ""
    kind = texts[2].upper() if texts[2].upper() in ("SCHEMA", "DATABASE") else "TABLE"
    name = conn.full_name(kind, parts)
    item = conn.account.find(kind, name) or conn.account.find("VIEW", name)
    if item is None or not conn.may_see(item.kind, name):
        raise errors.not_found(kind, name)
    return policies.tags_of(conn, item, column).get(tag)


def _last_query_id(conn: WarehouseConnection, node: exp.Func, query_id: str) -> Expr:
    """Answer LAST_QUERY_ID([n]): -1 is the statement before this one, 1 the session's first
    (https://docs.snowflake.com/en/sql-reference/functions/last_query_id)."""
    number = int(node.expressions[0].sql()) if node.expressions else -1
    ids = [i for i in conn.last_query_ids if i != query_id]
    index = number - 1 if number > 0 else number
    try:
        return exp.Literal.string(ids[index])
    except IndexError:
        return exp.cast(exp.Null(), "VARCHAR")


def _table_function(conn: WarehouseConnection, rows: exp.TableFromRows) -> tuple[str, pa.Table] | None:
    call: Expr = rows.this
    while isinstance(call, exp.Dot):
        call = call.expression
    if not isinstance(call, exp.Anonymous):
        return None
    name = str(call.this).upper()
    if name == "RESULT_SCAN":
        query_id = call.expressions[0] if call.expressions else None
        if not isinstance(query_id, exp.Literal):
            raise errors.unsupported("RESULT_SCAN of anything but a query id")
        result = conn.registry.results.get(query_id.name)
        # "You cannot access the results of a query that another user has run", …/functions/result_scan#usage-notes
        if result is None or any(
            r.query_id == query_id.name and r.user_name != conn.user for r in conn.registry.history.all()
        ):
            raise ProgrammingError(msg=f"Statement {query_id.name} not found", errno=709, sqlstate="02000")
        return f"_cxm_result_{query_id.name}", result
    if name == account_usage.CALL:
        return "_cxm_query_attribution_history", account_usage.rows(conn)
    if name in ("QUERY_HISTORY", "QUERY_HISTORY_BY_SESSION", "QUERY_HISTORY_BY_USER", "QUERY_HISTORY_BY_WAREHOUSE"):
        return "_cxm_query_history", _query_history(conn, name, call)
    if name == "POLICY_REFERENCES":
        return "_cxm_policy_references", policy_references.rows(conn, call)
    return None


_HISTORY = pa.schema(
    [(n, pa.string()) for n in ("QUERY_ID", "QUERY_TEXT", "DATABASE_NAME", "SCHEMA_NAME", "QUERY_TYPE")]
    + [("SESSION_ID", pa.int64())]
    + [(n, pa.string()) for n in ("USER_NAME", "ROLE_NAME", "WAREHOUSE_NAME", "WAREHOUSE_SIZE", "QUERY_TAG", "EXECUTION_STATUS",
                                  "ERROR_CODE", "ERROR_MESSAGE")]
    + [("START_TIME", pa.timestamp("us", tz="UTC")), ("END_TIME", pa.timestamp("us", tz="UTC")),
       ("TOTAL_ELAPSED_TIME", pa.int64()), ("ROWS_PRODUCED", pa.int64())]
)  # fmt: skip


def _query_history(conn: WarehouseConnection, name: str, call: exp.Anonymous) -> pa.Table:
    """Return the newest statements first, at most RESULT_LIMIT (default 100, 10,000 at most), narrowed by END_TIME_RANGE_START
    and _END, SESSION_ID, USER_NAME, WAREHOUSE_NAME; those of other users only for a role with MONITOR or OPERATE rights."""
    arguments = {str(a.this.name).upper(): a.expression for a in call.expressions if isinstance(a, exp.Kwarg)}
    known = {"RESULT_LIMIT", "END_TIME_RANGE_START", "END_TIME_RANGE_END", "SESSION_ID", "USER_NAME", "WAREHOUSE_NAME",
             "INCLUDE_CLIENT_GENERATED_STATEMENT"}  # fmt: skip
    if len(arguments) != len(call.expressions) or set(arguments) - known:
        raise errors.unsupported(f"{name} with {', '.join(sorted(set(arguments) - known)) or 'positional arguments'}")
    limit = int(arguments["RESULT_LIMIT"].name) if "RESULT_LIMIT" in arguments else 100
    if not 1 <= limit <= 10_000:
        raise errors.invalid_value(limit, "RESULT_LIMIT")
    records = conn.registry.history.all()[::-1]
    if not conn.may("MONITOR", "ACCOUNT", ""):
        records = [r for r in records if r.user_name == conn.user]
    if name == "QUERY_HISTORY_BY_SESSION":
        session = int(arguments["SESSION_ID"].name) if "SESSION_ID" in arguments else conn.session_id
        records = [r for r in records if r.session_id == session]
    elif name == "QUERY_HISTORY_BY_USER":
        user = arguments["USER_NAME"].name.upper() if "USER_NAME" in arguments else conn.user
        records = [r for r in records if r.user_name == user]
    elif name == "QUERY_HISTORY_BY_WAREHOUSE":
        warehouse = folded(arguments["WAREHOUSE_NAME"]).upper() if "WAREHOUSE_NAME" in arguments else conn.warehouse
        records = [r for r in records if r.warehouse_name == warehouse]
    for key, keep in (("END_TIME_RANGE_START", 1), ("END_TIME_RANGE_END", -1)):
        if key in arguments:
            at = _instant(conn, arguments[key])
            records = [r for r in records if (r.end_time.timestamp() - at) * keep >= 0]
    return pa.Table.from_pylist([_history_row(r) for r in records[:limit]], schema=_HISTORY)


def _instant(conn: WarehouseConnection, expression: Expr) -> float:
    """Return the seconds since 1970 of a timestamp expression, which DuckDB computes on another connection than the session's."""
    select = exp.select(expression.copy())
    with conn.duck.cursor() as duck:
        row = duck.execute(translated(select, NameContext.of(conn, duck)).sql(dialect="duckdb")).fetchone()
    moment = row[0] if row else None
    if moment is None:
        raise errors.invalid_value("NULL", "END_TIME_RANGE")
    return float(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())


def _history_row(r: QueryRecord) -> dict[str, object]:
    return {
        "QUERY_ID": r.query_id, "QUERY_TEXT": r.query_text, "DATABASE_NAME": r.database_name, "SCHEMA_NAME": r.schema_name,
        "QUERY_TYPE": r.query_type, "SESSION_ID": r.session_id, "USER_NAME": r.user_name, "ROLE_NAME": r.role_name,
        "WAREHOUSE_NAME": r.warehouse_name, "WAREHOUSE_SIZE": None, "QUERY_TAG": r.query_tag,
        "EXECUTION_STATUS": r.execution_status, "ERROR_CODE": r.error_code, "ERROR_MESSAGE": r.error_message,
        "START_TIME": r.start_time, "END_TIME": r.end_time,
        "TOTAL_ELAPSED_TIME": round((r.end_time - r.start_time).total_seconds() * 1000), "ROWS_PRODUCED": r.rows_produced,
    }  # fmt: skip
