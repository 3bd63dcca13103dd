"""Stages and file formats: CREATE | ALTER | DROP ──every option stored──▶ Account.

SHOW and DESCRIBE are in `stages_shown`, LIST in `stage_files`, the checks of options in `stage_options`.
https://docs.snowflake.com/en/sql-reference/sql/create-stage, …/create-file-format
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.objects import AccountObject
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.statements.stage_options import format_options, stage_properties
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, accept_create_prefix

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def create_file_format(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] [TEMPORARY] FILE FORMAT [IF NOT EXISTS] <name> TYPE = … <options> [COMMENT = …]."""
    replaces = accept_create_prefix(words)
    words.accept_any("TEMPORARY", "TEMP", "VOLATILE")
    words.expect("FILE", "FORMAT")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    database, schema, name = conn.qualify(parts, "CREATE FILE FORMAT")
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", ""))
    written = format_options(options)
    before = _make(conn, "FILE FORMAT", (database, schema, name), replaces, if_absent, comment, written)
    if before:
        return before
    return status(f"File format {name} successfully created.")


def create_stage(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] [TEMPORARY] STAGE [IF NOT EXISTS] <name> [URL …] [FILE_FORMAT …] …"""
    replaces = accept_create_prefix(words)
    temporary = bool(words.accept_any("TEMPORARY", "TEMP"))
    words.expect("STAGE")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    database, schema, name = conn.qualify(parts, "CREATE STAGE")
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", ""))
    properties = stage_properties(conn, options)
    if "URL" not in properties:
        raise errors.unsupported("CREATE STAGE without URL: an internal stage")
    before = _make(
        conn, "STAGE", (database, schema, name), replaces, if_absent, comment, {**properties, "TEMPORARY": temporary}
    )
    if before:
        return before
    return status(f"Stage area {name} successfully created.")


def _make(
    conn: WarehouseConnection,
    kind: str,
    name: tuple[str, str, str],
    replaces: bool,
    if_absent: bool,
    comment: str,
    properties: Mapping[str, object],
) -> Result | None:
    """Register a stage or file format; a Result if it exists already and IF NOT EXISTS was given."""
    database, schema, short = name
    if conn.account.find("DATABASE", database) is None or not conn.has_schema(database, schema):
        raise errors.not_found("SCHEMA", f"{database}.{schema}")
    full = ".".join(name)
    before = conn.account.find(kind, full)
    if before and if_absent:
        conn.require_use_of(database, schema)
        if not conn.may_see(kind, full):
            raise errors.insufficient(kind, short)
        return status(f"{short} already exists, statement succeeded.")
    if before and not replaces:
        raise errors.already_exists(short)
    conn.require_use_of(database, schema)
    if before:
        conn.require("OWNERSHIP", kind, full)
        conn.account.drop(kind, full)
    conn.require(f"CREATE {kind}", "SCHEMA", f"{database}.{schema}")
    conn.account.create(AccountObject(kind, full, conn.role, comment, properties=properties))
    return None


def alter(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER STAGE | FILE FORMAT [IF EXISTS] <name> SET … (RENAME is refused)."""
    words.expect("ALTER")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    if_exists = words.accept("IF", "EXISTS")
    full = ".".join(conn.qualify(words.name(), f"ALTER {kind}"))
    item = conn.account.find(kind, full)
    if item is None:
        if if_exists:
            return status()
        raise errors.not_found(kind, full)
    if not words.accept("SET"):
        raise errors.unsupported(f"ALTER {kind} … {words.upper()}")
    conn.require("OWNERSHIP", kind, full)
    options = words.options()
    words.finish()
    comment = str(options.pop("COMMENT", item.comment))
    if kind == "STAGE":
        merged = {**item.properties, **options}
        temporary = merged.pop("TEMPORARY", False)
        credentials = merged.pop("HAS_CREDENTIALS", False)
        fresh = stage_properties(conn, merged) | {
            "TEMPORARY": temporary,
            "HAS_CREDENTIALS": credentials or "CREDENTIALS" in options,
        }
        conn.account.put(replace(item, comment=comment, properties=fresh))
    else:
        if "TYPE" in options and options["TYPE"] != item.properties["TYPE"]:
            raise errors.invalid_value(options["TYPE"], "TYPE")
        fresh = format_options({**item.properties, **options})
        conn.account.put(replace(item, comment=comment, properties=fresh))
    return status()


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP STAGE | FILE FORMAT [IF EXISTS] <name>."""
    words.expect("DROP")
    kind = words.accept_any("STAGE", "FILE FORMAT")
    if_exists = words.accept("IF", "EXISTS")
    database, schema, name = conn.qualify(words.name(), f"DROP {kind}")
    words.finish()
    full = f"{database}.{schema}.{name}"
    if conn.account.find(kind, full) is None:
        if if_exists:
            return status(f"Drop statement executed successfully ({name} already dropped).")
        raise errors.not_found(kind, full)
    conn.require("OWNERSHIP", kind, full)
    conn.account.drop(kind, full)
    return status(f"{name} successfully dropped.")
