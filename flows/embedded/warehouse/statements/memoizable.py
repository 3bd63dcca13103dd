"""Memoizable SQL functions without arguments, which a masking policy's body may call: CREATE and DROP.

CREATE FUNCTION f() RETURNS t MEMOIZABLE AS '<query>' ──▶ the account; `translate.masking` calls it

https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-scalar-functions#memoizable-udfs. Every other function, and a call
outside a policy, is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.privileges import authorize
from flows.embedded.warehouse.session.result import Result, status
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
    if conn.account.find("DATABASE", database) is None or not conn.has_schema(database, schema):
        raise errors.not_found("SCHEMA", place)
    conn.require_use_of(database, schema)
    conn.require("CREATE FUNCTION", "SCHEMA", place)
    before = conn.account.find("FUNCTION", name)
    if before and if_absent:
        return status(f"{short} already exists, statement succeeded.")
    if before and not replaces:
        raise errors.already_exists(short)
    authorize(conn, masking.qualified(query, place))
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
