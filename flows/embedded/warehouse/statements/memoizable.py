"""Memoizable SQL functions without arguments, which a masking policy's body may call: CREATE, DROP, SHOW.

CREATE FUNCTION f() RETURNS t MEMOIZABLE AS '<query>' ──▶ the account; `translate.masking` calls it

https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-scalar-functions#memoizable-udfs. Every other function, and a call
outside a policy, is refused by name.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sqlglot import exp

from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.privileges import authorize
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, status, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements.policies import may_create
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.dialect import parse
from flows.embedded.warehouse.text.grammar import Words, accept_create_prefix
from flows.embedded.warehouse.translate import legal, masking

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def create(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] [SECURE] FUNCTION [IF NOT EXISTS] <name>() RETURNS <type> … MEMOIZABLE … AS '<query>'."""
    replaces = accept_create_prefix(words)
    words.accept("SECURE")
    words.expect("FUNCTION")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    database, schema, short = conn.qualify(words.name(), "CREATE FUNCTION")
    words.expect("(")
    if not words.accept(")"):
        raise errors.unsupported("CREATE FUNCTION with arguments")
    words.expect("RETURNS")
    if words.sees("TABLE"):
        raise errors.unsupported("CREATE FUNCTION … RETURNS TABLE")
    returns = words.part()
    if words.accept("("):
        while not words.accept(")"):
            words.take()
    memoizable, comment = False, ""
    while not words.accept("AS"):
        if words.accept("MEMOIZABLE"):
            memoizable = True
        elif words.accept("COMMENT", "="):
            comment = words.string()
        elif not (words.accept("LANGUAGE", "SQL") or words.accept("NOT", "NULL")):
            raise errors.unsupported(f"CREATE FUNCTION with {words.upper()} {words.upper(1)}".strip())
    body = words.string().strip()
    words.finish()
    if not memoizable:
        raise errors.unsupported("CREATE FUNCTION without MEMOIZABLE")
    text = body if body.upper().startswith(("SELECT", "WITH")) else f"SELECT {body}"
    query = legal.check(parse(text))
    if not isinstance(query, exp.Query):
        raise errors.syntax(body)
    name, place = f"{database}.{schema}.{short}", f"{database}.{schema}"
    before = may_create(conn, "FUNCTION", (database, schema, short), replaces or if_absent)
    if before and if_absent:
        return status(f"{short} already exists, statement succeeded.")
    masking.qualify(query, place)
    authorize(conn, query)
    if before:
        conn.require("OWNERSHIP", "FUNCTION", name)
        conn.account.drop("FUNCTION", name)
    properties = {"returns": masking.shown_type(returns), "body": text}
    conn.account.create(AccountObject("FUNCTION", name, conn.role, comment, properties=properties))
    return status(f"Function {short} successfully created.")


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP FUNCTION [IF EXISTS] <name>()."""
    words.expect("DROP", "FUNCTION")
    if_exists = words.accept("IF", "EXISTS")
    parts = words.name()
    words.expect("(", ")")
    words.finish()
    name = ".".join(conn.qualify(parts))
    if conn.account.find("FUNCTION", name) is None:
        if if_exists:
            return status("Drop statement executed successfully.")
        raise errors.not_found("FUNCTION", ".".join(parts))
    conn.require("OWNERSHIP", "FUNCTION", name)
    conn.account.drop("FUNCTION", name)
    return status(f"{parts[-1]} successfully dropped.")


_COLUMNS: list[str | tuple[str, str]] = [
    ("created_on", TIMESTAMP_LTZ), "name", "schema_name", "is_builtin", "is_aggregate", "is_ansi", "min_num_arguments",
    "max_num_arguments", "arguments", "description", "catalog_name", "is_table_function", "valid_for_clustering", "is_secure",
    "secrets", "external_access_integrations", "is_external_function", "language", "is_memoizable", "is_data_metric",
]  # fmt: skip


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW USER FUNCTIONS | PROCEDURES [LIKE …] [IN …] (https://docs.snowflake.com/en/sql-reference/sql/show-user-functions);
    dbt asks for both before it builds. There are no procedures here."""
    words.expect("SHOW", "USER")
    functions = words.accept_any("FUNCTIONS", "PROCEDURES") == "FUNCTIONS"
    filter_ = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all("FUNCTION") if functions else []:
        database, schema, name = item.name.split(".", 2)
        if filter_.admits(name) and in_scope(conn, filter_, item.name) and may_show(conn, "FUNCTION", item.name):
            rows.append({
                "created_on": item.created_on.astimezone(UTC), "name": name, "schema_name": schema, "is_builtin": "N",
                "is_aggregate": "N", "is_ansi": "N", "min_num_arguments": "0", "max_num_arguments": "0",
                "arguments": f"{name}() RETURN {item.properties['returns']}", "description": item.comment,
                "catalog_name": database, "is_table_function": "N", "valid_for_clustering": "N", "is_secure": "N",
                "is_external_function": "N", "language": "SQL", "is_memoizable": "Y", "is_data_metric": "N",
            })  # fmt: skip
    return table(rows, _COLUMNS)
