"""USE, and statements on databases and schemas.

USE … ──▶ the session; CREATE | ALTER | DROP DATABASE, SCHEMA ──▶ a DuckDB file, a DuckDB schema, the account

https://docs.snowflake.com/en/sql-reference/sql/use, …/create-database, …/create-schema, …/drop-database, …/drop-schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from flows.embedded.warehouse.account.kinds import Kind, checked
from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.statements import tags
from flows.embedded.warehouse.statements.objects import changed
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, accept_create_prefix, quote_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def _retention(value: object) -> object:
    return int(str(value))


def _text(value: object) -> object:
    return str(value)


DATABASE = Kind(
    "DATABASE",
    "CREATE DATABASE",
    {
        "DATA_RETENTION_TIME_IN_DAYS": _retention,
        "MAX_DATA_EXTENSION_TIME_IN_DAYS": _retention,
        "LOG_LEVEL": _text,
        "TRACE_LEVEL": _text,
    },
)
SCHEMA = Kind("SCHEMA", "CREATE SCHEMA", DATABASE.properties)


def use(conn: WarehouseConnection, words: Words) -> Result:
    """USE [ROLE | WAREHOUSE | DATABASE | SCHEMA | SECONDARY ROLES] <name>."""
    words.expect("USE")
    if words.accept("SECONDARY", "ROLES"):
        choice = words.accept_any("ALL", "NONE")
        if choice:
            conn.secondary_roles = choice
        else:
            raise errors.unsupported("USE SECONDARY ROLES with a list")
    elif words.accept("ROLE"):
        name = words.part()
        words.finish()
        if conn.account.find("ROLE", name) is None or name not in conn.allowed_roles():
            raise errors.role_not_assigned(name, conn.user, conn.account.find("ROLE", name) is not None)
        conn.role = name
    elif words.accept("WAREHOUSE"):
        name = words.part()
        words.finish()
        if conn.account.find("WAREHOUSE", name) is None or not conn.may_see("WAREHOUSE", name):
            raise errors.cannot_perform()
        conn.require("USAGE", "WAREHOUSE", name)
        conn.warehouse = name
    else:
        what = words.accept_any("DATABASE", "SCHEMA")
        parts = words.name()
        words.finish()
        if what == "DATABASE" or (not what and len(parts) == 1):
            if conn.account.find("DATABASE", parts[-1]) is None or not conn.may_see("DATABASE", parts[-1]):
                raise errors.cannot_perform()
            conn.use_database(parts[-1])
        else:
            database, schema = conn.qualify_schema(parts, "USE SCHEMA")
            if conn.account.find("DATABASE", database) is None or not conn.has_schema(database, schema):
                raise errors.cannot_perform()
            if schema != "INFORMATION_SCHEMA" and not conn.may_see("SCHEMA", f"{database}.{schema}"):
                raise errors.cannot_perform()
            conn.use_schema(database, schema)
    words.finish()
    return status()


def create_database(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] [TRANSIENT] DATABASE [IF NOT EXISTS] <name> …; it becomes the session's database."""
    replaces = accept_create_prefix(words)
    transient = words.accept("TRANSIENT")
    words.expect("DATABASE")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    name = words.part()
    if words.sees("CLONE") or words.sees("FROM"):
        raise errors.unsupported("CREATE DATABASE … CLONE / FROM SHARE")
    _, comment = checked(DATABASE, words.options())
    words.finish()
    with conn.engine.ddl_lock:
        before = conn.account.find("DATABASE", name)
        conn.require("CREATE DATABASE", "ACCOUNT", "")
        if before and if_absent:
            return status(f"{name} already exists, statement succeeded.")
        if before and not replaces:
            raise errors.already_exists(name)
        if before:
            conn.require("OWNERSHIP", "DATABASE", name)
            _leave(conn, name)
            conn.engine.drop_database(name)
        conn.engine.create_database(name, conn.role, comment or "", transient)
    conn.use_database(name)
    return status(f"Database {name} successfully created.")


def drop_database(conn: WarehouseConnection, words: Words) -> Result:
    """DROP DATABASE [IF EXISTS] <name> [CASCADE | RESTRICT]."""
    words.expect("DROP", "DATABASE")
    if_exists = words.accept("IF", "EXISTS")
    name = words.part()
    words.accept_any("CASCADE", "RESTRICT")
    words.finish()
    with conn.engine.ddl_lock:
        if conn.account.find("DATABASE", name) is None:
            if if_exists:
                return status(f"Drop statement executed successfully ({name} already dropped).")
            raise errors.not_found("DATABASE", name)
        conn.require("OWNERSHIP", "DATABASE", name)
        _leave(conn, name)
        conn.engine.drop_database(name)
    return status(f"{name} successfully dropped.")


def _leave(conn: WarehouseConnection, name: str) -> None:
    """Leave the database: DuckDB cannot detach the one that a connection uses."""
    if conn.database == name:
        conn.leave_database()


def _alter(conn: WarehouseConnection, words: Words, kind: Kind, name: str, if_exists: bool) -> Result:
    """Run what follows the name: SET or UNSET of properties or tags."""
    item = conn.account.find(kind.name, name)
    if item is None:
        if if_exists:
            return status()
        raise errors.not_found(kind.name, name)
    if tags.sees(words):
        if not conn.may("APPLY TAG", "ACCOUNT", ""):
            conn.require("OWNERSHIP", kind.name, name)
        tags.change(conn, words, item)
        return status()
    if words.upper() not in ("SET", "UNSET"):
        raise errors.unsupported(f"ALTER {kind.name} … {words.upper()}")
    conn.require("MODIFY", kind.name, name)
    conn.account.put(changed(kind, item, words))
    return status()


def alter_database(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER DATABASE [IF EXISTS] <name> SET … | UNSET …; RENAME and SWAP are refused."""
    words.expect("ALTER", "DATABASE")
    if_exists = words.accept("IF", "EXISTS")
    name = words.part()
    return _alter(conn, words, DATABASE, name, if_exists)


def create_schema(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] [TRANSIENT] SCHEMA [IF NOT EXISTS] <name> [WITH MANAGED ACCESS] …; it becomes the session's schema."""
    replaces = accept_create_prefix(words)
    transient = words.accept("TRANSIENT")
    words.expect("SCHEMA")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    database, schema = conn.qualify_schema(words.name(), "CREATE SCHEMA")
    if words.sees("CLONE"):
        raise errors.unsupported("CREATE SCHEMA … CLONE")
    managed = words.accept("WITH", "MANAGED", "ACCESS")
    properties, comment = checked(SCHEMA, words.options())
    properties = tags.taken(conn, properties)
    words.finish()
    full = f"{database}.{schema}"
    if conn.account.find("DATABASE", database) is None:
        raise errors.not_found("DATABASE", database)
    with conn.engine.ddl_lock:
        before = conn.has_schema(database, schema)
        conn.require("CREATE SCHEMA", "DATABASE", database)
        if before and if_absent:
            return status(f"{schema} already exists, statement succeeded.")
        if before and not replaces:
            raise errors.already_exists(schema)
        if before:
            conn.require("OWNERSHIP", "SCHEMA", full)
            _drop_schema(conn, database, schema)
        conn.duck.execute(f"CREATE SCHEMA {quote_name(database)}.{quote_name(schema)}")
        conn.account.create(
            AccountObject(
                "SCHEMA",
                full,
                conn.role,
                comment or "",
                properties={**properties, "transient": transient, "managed": managed},
            )
        )
    conn.use_schema(database, schema)
    return status(f"Schema {schema} successfully created.")


def drop_schema(conn: WarehouseConnection, words: Words) -> Result:
    """DROP SCHEMA [IF EXISTS] <name> [CASCADE | RESTRICT], with everything in it."""
    words.expect("DROP", "SCHEMA")
    if_exists = words.accept("IF", "EXISTS")
    parts = words.name()
    words.accept_any("CASCADE", "RESTRICT")
    words.finish()
    database, schema = conn.qualify_schema(parts, "DROP SCHEMA")
    with conn.engine.ddl_lock:
        if conn.account.find("DATABASE", database) is None or schema not in conn.engine.schemas(database):
            if if_exists:
                return status(f"Drop statement executed successfully ({schema} already dropped).")
            raise errors.not_found("SCHEMA", f"{database}.{schema}")
        conn.require("OWNERSHIP", "SCHEMA", f"{database}.{schema}")
        _drop_schema(conn, database, schema)
    return status(f"{schema} successfully dropped.")


def _drop_schema(conn: WarehouseConnection, database: str, schema: str) -> None:
    if (conn.database, conn.schema) == (database, schema):
        conn.leave_schema()
    conn.duck.execute(f"DROP SCHEMA {quote_name(database)}.{quote_name(schema)} CASCADE")
    gone = exp.Drop(
        this=exp.Table(this=exp.to_identifier(schema, True), db=exp.to_identifier(database, True)), kind="SCHEMA"
    )
    load_history.after_statement(conn.duck, gone, database, schema)
    conn.account.drop("SCHEMA", f"{database}.{schema}")


def alter_schema(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER SCHEMA [IF EXISTS] <name> SET … | UNSET …; RENAME and SWAP are refused."""
    words.expect("ALTER", "SCHEMA")
    if_exists = words.accept("IF", "EXISTS")
    full = ".".join(conn.qualify_schema(words.name(), "ALTER SCHEMA"))
    return _alter(conn, words, SCHEMA, full, if_exists)
